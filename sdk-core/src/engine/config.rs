//! What an application chooses.

use crate::{
    outbox::OutboxLimits,
    protocol::{ClientId, CollectionName, Strategy},
};

/// Settings of a client.
#[derive(Debug, Clone)]
pub struct Config {
    /// The collections it follows and writes to, each with the strategy for concurrent edits.
    pub collections: Vec<(CollectionName, Strategy)>,
    /// Version of the application's own schema.
    pub schema: u32,
    /// How much it queues.
    pub outbox: OutboxLimits,
    /// Whether an edit is folded into the one before it while that was not sent.
    pub coalesce: bool,
    /// Bytes of one operation, checked before the server's own limit is known.
    pub operation_bytes: usize,
    /// Milliseconds between polls while only HTTP works.
    pub poll_interval: u64,
    /// The id that the client takes if its store has none. Must be random.
    pub fresh_client: ClientId,
    /// Whether what is stored survives a restart.
    pub durable: bool,
}

impl Config {
    /// The defaults, for these collections.
    pub fn new(collections: Vec<(CollectionName, Strategy)>, fresh_client: ClientId) -> Self {
        Self {
            collections,
            schema: 0,
            outbox: OutboxLimits::default(),
            coalesce: true,
            operation_bytes: 128 * 1024,
            poll_interval: 3_000,
            fresh_client,
            durable: true,
        }
    }
}
