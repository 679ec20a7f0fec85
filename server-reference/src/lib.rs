//! The reference server of webwaka-realtime.
//!
//! An operation enters by [WebSocket](gateway) or by [HTTP](sync), under the [scope](tenant) of a verified
//! [token](auth), which may [narrow](access) what its subject reads and writes. The [store](storage) judges it in one transaction and it is acknowledged once that is durable; the
//! [hub] tells whoever follows its collection. Events enter and leave by [HTTP](streams). [Rooms](rooms) keep
//! nothing. [`server::Server`] puts these together, and the binary
//! `webwaka-server` runs it.
//!
//! What decides has no clock, socket or thread of its own: [`gateway::session::Session`] and
//! [`storage::sqlite::SqliteDocuments`] are driven from outside, by the server and by the simulator alike.

pub mod access;
mod attempts;
pub mod auth;
mod backend;
pub mod clock;
pub mod codes;
pub mod config;
mod courier;
pub mod data;
mod description;
pub mod dev;
#[cfg(test)]
mod fixtures;
pub mod gateway;
mod gzip;
mod health;
pub mod hub;
pub mod identity;
pub mod limits;
mod line;
pub mod metrics;
#[cfg(feature = "redis")]
pub mod neighbours;
pub mod office;
pub mod origin;
pub mod random;
pub mod resolvers;
pub mod rooms;
pub mod server;
pub mod service;
mod serving;
pub mod snapshot;
pub mod storage;
pub mod streams;
pub mod sync;
pub mod tenant;
pub mod trace;
pub mod transactions;
pub mod upkeep;
