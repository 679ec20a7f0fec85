//! The embedded event log: a database of its own, since nothing in it has to change together with documents, and
//! neither has to wait for the other's disk.
//!
//! [`SqliteEvents`] is one connection and does the work, without a clock of its own. [`EventStore`] runs it on a
//! thread as the only writer, and has other connections for reading.

mod append;
mod create;
mod group;
mod groups;
mod lineage;
mod lines;
mod names;
mod publish;
mod read;
mod recent;
mod row;
mod schema;
mod store;
mod subscriptions;
#[cfg(test)]
mod tests;
mod upkeep;

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use sdk_core::clock::Millis;

pub use store::{EventStore, OnNews};

use crate::storage::{
    StorageError,
    events::{LogEpoch, LogError, News},
    sqlite::audit,
};
use group::Group;
use names::Names;
use recent::Recent;

/// Topics of one tenant, where nothing else was said.
pub const TENANT_TOPICS: u64 = 100_000;

/// What a log accepts.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// Topics of one tenant.
    pub topics: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self { topics: TENANT_TOPICS }
    }
}

/// Random bits, so that no two epochs are the same even if a clock was set back.
pub type NewBits = Box<dyn FnMut() -> u16 + Send>;

/// The topics of every tenant, over one connection.
pub struct SqliteEvents {
    connection: Connection,
    caps: Caps,
    new_bits: NewBits,
    newest: LogEpoch,
    /// What the writer knows of the database without reading it; none after a transaction that failed.
    memory: Option<(Names, Recent)>,
}

impl SqliteEvents {
    /// Opens or creates the database at `path`.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], also if this SQLite or the database has the wrong version.
    pub fn open(path: &Path, caps: Caps, new_bits: NewBits) -> Result<Self, StorageError> {
        let mut connection = Connection::open(path)?;
        audit::enable(&connection, audit::key(Some(path))?, audit::TOPICS)?;
        schema::prepare(&mut connection)?;
        connection.set_prepared_statement_cache_capacity(128);
        let newest: u64 =
            connection.query_row("SELECT coalesce(max(epoch), 0) FROM topics", [], |row| row.get(0))?;
        Ok(Self { connection, caps, new_bits, newest: LogEpoch(newest), memory: None })
    }

    /// Runs calls in one transaction. What they wrote is durable when this returns, and the news of it may be told.
    ///
    /// # Errors
    /// Nothing was written, whatever the calls were told.
    fn transaction<T>(
        &mut self,
        run: impl FnOnce(&mut Group<'_>) -> Result<T, LogError>,
    ) -> Result<(T, Vec<News>), LogError> {
        let Self { connection, caps, new_bits, newest, memory } = self;
        // Taken at once: a read that turns into a write could fail half-way.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut new_epoch = |now: Millis| {
            // 48 bits of time, and below them what is random.
            let drawn = (now.0 << 16) | u64::from(new_bits());
            *newest = LogEpoch(drawn.max(newest.0 + 1));
            *newest
        };
        let (mut names, mut recent) = match memory.take() {
            Some(memory) => memory,
            None => (Names::load(&transaction)?, Recent::default()),
        };
        let mut group = Group::new(&transaction, *caps, &mut new_epoch, &mut names, &mut recent);
        let done = run(&mut group)?;
        let news = group.finish()?;
        transaction.commit()?;
        *memory = Some((names, recent));
        Ok((done, news))
    }

    /// Begins a new epoch in every topic and returns how many there are. For a database that was restored from a
    /// backup: its readers may know more than it does, and must be told.
    ///
    /// # Errors
    /// [`LogError::Storage`]; nothing was changed.
    pub fn renew_epochs(&mut self, now: Millis) -> Result<usize, LogError> {
        self.transaction(|group| group.renew_epochs(now)).map(|(count, _)| count)
    }
}
