//! The event log of several servers: one Redis, or one Redis Cluster, which all of them write to.
//!
//! All keys of a topic have one hash tag, and whatever is decided of a topic is decided by one script that has looked before it
//! writes. What is between topics (how many a tenant has, what a fork holds of its source) takes several steps, ordered so that
//! one that is cut short leaves too much rather than too little: a name in its tenant's register, a reference at a source. Each is
//! due to be looked at, and [`RedisEvents::tidy`] takes away what nothing came of.
//!
//! A Redis may come back without its last writes, or without any. Each topic knows which process of Redis wrote it last, and each
//! instance how far it has seen a topic: where one of the two does not fit, the topic begins another epoch before anything is
//! written, and its readers are told that their positions are lost.

mod append;
mod change;
mod create;
mod echoes;
mod keys;
mod lineage;
mod lines;
mod link;
mod news;
mod publish;
mod read;
mod register;
mod reply;
mod scripts;
mod seen;
mod settings;
mod store;
mod subscriptions;
#[cfg(test)]
pub(crate) mod tests;
mod topic;
mod upkeep;

pub use news::{Heard, OnHeard};
pub(crate) use settings::Settings;
pub use settings::{Nodes, Options, Timeouts, Trust};
pub use store::RedisEvents;
