//! The whole server, over real sockets and as a real process.

mod access;
mod api;
mod attempts;
mod bad_input;
mod cloudevents;
mod conflicts;
mod grants;
mod groups;
mod hostile;
mod http;
mod letters;
mod limits;
mod metrics;
#[cfg(unix)]
mod process;
mod revocations;
#[cfg(unix)]
mod settings;
mod snapshots;
mod streams;
mod subscriptions;
mod support;
mod tenants;
mod tickets;
mod topics;
mod traces;
mod transactions;
mod websocket;
