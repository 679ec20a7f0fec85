//! The store of several servers: one PostgreSQL, which all of them write to.
//!
//! What a store does is [written once](super::sql); here is how it reaches this database, and what the embedded store has by
//! its one writer. Before anything else a transaction takes a lock for each tenant that it writes for, held until it is over,
//! across all instances: so a tenant's heads, actors, letters and records of the audit follow one another in the order of
//! commits, and no position is ever seen before one that is less. Upkeep, which is every tenant's, waits for all and lets
//! nobody else write for the length of a slice.
//!
//! Each tenant is one writer's of an instance: what it commits is told in the order of commits.

mod audit;
mod connection;
mod grants;
mod groups;
mod names;
mod readers;
mod revocations;
mod schema;
mod session;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod transactions;

use std::hash::{DefaultHasher, Hash, Hasher};

pub use audit::{Chains, audit_with_key, audited};
pub use groups::PostgresGroups;
pub use schema::{migrate, migrate_groups, migrate_transactions};
pub use settings::{Options, Timeouts};
pub use store::{OnAdvance, PostgresStore, Shared};
pub use transactions::{OnCommit, PostgresTransactions};

/// Which of so many writers a tenant's rows are written by.
fn place(tenant: &str, writers: usize) -> usize {
    let mut hash = DefaultHasher::new();
    tenant.hash(&mut hash);
    usize::try_from(hash.finish() % writers as u64).unwrap_or_default()
}
