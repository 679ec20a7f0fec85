//! The embedded store.
//!
//! [`SqliteDocuments`] is one connection and does all the work, synchronously and without a clock of its own.
//! [`SqliteStore`] runs one of it on a thread of its own as the only writer, and others for reading.

pub mod audit;
mod connection;
pub mod events;
mod grants;
mod readers;
mod revocations;
mod schema;
mod store;
#[cfg(test)]
mod tests;
pub mod transactions;

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};
use sdk_core::{
    clock::Millis,
    protocol::{Changes, ClientId, CollectionName, DocKey, Limits, Manifest},
};

pub use store::{OnAdvance, SqliteStore};

pub use super::sql::NewEpoch;
use super::{
    Batch, Committed, Page, ResolutionRecord, StorageError,
    events::{LogError, Which},
    refusals::{ClientChange, ClientDead, Note},
    sql::{self, Commits, Rules, commit, conflict, letters, read, refusals, upkeep},
};
use crate::{resolvers::Resolvers, snapshot::Export, tenant::TenantScope};

/// Documents that one transaction of upkeep looks at, so that writers do not wait long for it.
pub const UPKEEP_SLICE: usize = 256;

/// The documents of every tenant, over one connection.
pub struct SqliteDocuments {
    connection: Connection,
    rules: Rules,
}

impl SqliteDocuments {
    /// Opens or creates the database at `path`.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], also if this SQLite or the database has the wrong version.
    pub fn open(path: &Path, limits: Limits, new_epoch: NewEpoch) -> Result<Self, StorageError> {
        Self::over(Connection::open(path)?, audit::key(Some(path))?, limits, new_epoch)
    }

    /// A database that ends with this value.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] if this SQLite has the wrong version.
    pub fn in_memory(limits: Limits, new_epoch: NewEpoch) -> Result<Self, StorageError> {
        Self::over(Connection::open_in_memory()?, audit::key(None)?, limits, new_epoch)
    }

    fn over(
        mut connection: Connection,
        key: audit::Key,
        limits: Limits,
        new_epoch: NewEpoch,
    ) -> Result<Self, StorageError> {
        audit::enable(&connection, key, audit::DOCUMENTS)?;
        schema::prepare_writer(&mut connection)?;
        Ok(Self { connection, rules: Rules { limits, resolvers: Resolvers::default(), new_epoch } })
    }

    /// The same, with resolvers for the conflicts of some collections.
    pub fn with_resolvers(self, resolvers: Resolvers) -> Self {
        Self { rules: Rules { resolvers, ..self.rules }, ..self }
    }

    /// Judges several batches in one transaction, each in a savepoint of its own: one that fails takes nothing from
    /// the others. When this returns, all that is `Ok` is durable.
    ///
    /// # Errors
    /// Each batch has its own; if the transaction as a whole fails, every batch has
    /// [`StorageError::Unavailable`] and nothing was written.
    pub fn commit_group(&mut self, group: Vec<Batch>) -> Vec<Result<Committed, StorageError>> {
        let size = group.len();
        self.try_group(group).unwrap_or_else(|error| {
            let failure = error.to_string();
            (0..size).map(|_| Err(StorageError::Unavailable(failure.clone().into()))).collect()
        })
    }

    fn try_group(
        &mut self,
        group: Vec<Batch>,
    ) -> Result<Vec<Result<Committed, StorageError>>, rusqlite::Error> {
        // Taken at once: a read that turns into a write could fail half-way.
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut results = Vec::with_capacity(group.len());
        for batch in &group {
            let savepoint = transaction.savepoint()?;
            let result = commit::batch(&*savepoint, batch, &mut self.rules);
            match &result {
                Ok(_) => savepoint.commit()?,
                // Rolls back to the savepoint. If SQLite has given up the whole transaction (as it may when the disk
                // is full), that fails, and with it the group.
                Err(_) => savepoint.finish()?,
            }
            results.push(result);
        }
        transaction.commit()?;
        Ok(results)
    }

    /// Reads one page of changes, of one point in time.
    ///
    /// # Errors
    /// [`StorageError::NoSuchCollection`], [`StorageError::Unavailable`] or [`StorageError::Corrupt`].
    pub fn changes(&self, scope: &TenantScope, page: &Page) -> Result<Changes, StorageError> {
        let snapshot = self.connection.unchecked_transaction()?;
        read::changes(&*snapshot, scope, page)
    }

    /// Hands every living document of a collection to `to`, as [`Exports::export`](crate::snapshot::Exports::export)
    /// does.
    ///
    /// # Errors
    /// [`StorageError::NoSuchCollection`], [`StorageError::Unavailable`] or [`StorageError::Corrupt`], or what `to` says.
    pub fn export(
        &self,
        scope: &TenantScope,
        collection: &CollectionName,
        mut to: Box<dyn Export>,
    ) -> Result<Manifest, StorageError> {
        let snapshot = self.connection.unchecked_transaction()?;
        let at = read::export(&*snapshot, scope, collection, &mut *to)?;
        to.finish(at)
    }

    /// How conflicts about a document were decided, oldest first; the newest
    /// [`KEPT_RESOLUTIONS`](super::KEPT_RESOLUTIONS) are kept.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] or [`StorageError::Corrupt`].
    pub fn resolutions(
        &self,
        scope: &TenantScope,
        doc: &DocKey,
    ) -> Result<Vec<ResolutionRecord>, StorageError> {
        conflict::records(&self.connection, scope.tenant(), doc.collection.as_str(), doc.id.as_str())
    }

    /// Begins a new epoch in every collection and returns how many there are. For a database that was restored from
    /// a backup: its readers may know more than it does, and must be told.
    ///
    /// Since the backup, actors may have been given to clients that it does not know of. Their numbers live on in the
    /// clocks of other clients, so they are retired: no new client gets one.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; nothing was changed.
    pub fn renew_epochs(&mut self) -> Result<usize, StorageError> {
        self.within(|connection, rules| upkeep::renew_epochs(connection, &mut rules.new_epoch))
    }

    /// Removes what is left of at most [`UPKEEP_SLICE`] documents that were deleted at or before a Unix time, and returns
    /// of how many. Readers that stand before these deletions start anew.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; nothing was changed.
    pub fn prune(&mut self, before: Millis) -> Result<usize, StorageError> {
        self.within(|connection, _| upkeep::prune(connection, before, UPKEEP_SLICE))
    }

    /// Brings back to `now` what is stamped with a time beyond it and the allowed skew, and returns how many
    /// documents that were. For a database whose server once had a clock that was ahead. Each gets a new revision.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] or [`StorageError::Corrupt`]; some documents may have been changed. It may be
    /// called again.
    pub fn heal(&mut self, now: Millis) -> Result<usize, StorageError> {
        let mut progress = upkeep::Progress::default();
        while !progress.done {
            progress = self.within(|connection, _| upkeep::heal(connection, now, UPKEEP_SLICE, progress))?;
        }
        Ok(progress.healed)
    }

    /// Keeps what was refused of a client's publications, and takes away the letters of what was not.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; nothing was kept.
    pub fn note(
        &mut self,
        scope: &TenantScope,
        client: ClientId,
        notes: &[Note],
        now: Millis,
    ) -> Result<(), StorageError> {
        self.within(|connection, _| refusals::note(connection, scope, client, notes, now))
    }

    fn client_letters(
        &mut self,
        scope: &TenantScope,
        which: Which,
        now: Millis,
    ) -> Result<ClientDead, LogError> {
        self.within(|connection, _| letters::list(connection, scope, which, now))
    }

    fn change_client_letters(
        &mut self,
        scope: &TenantScope,
        change: &ClientChange,
        now: Millis,
    ) -> Result<letters::Changed, LogError> {
        self.within(|connection, rules| letters::change(connection, rules, scope, change, now))
    }

    /// Does something in one transaction, which is committed unless it fails.
    fn within<T, E: From<StorageError>>(
        &mut self,
        work: impl FnOnce(&dyn sql::Connection, &mut Rules) -> Result<T, E>,
    ) -> Result<T, E> {
        let immediate = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(immediate).map_err(StorageError::from)?;
        let result = work(&*transaction, &mut self.rules)?;
        transaction.commit().map_err(StorageError::from)?;
        Ok(result)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub fn check(&self) -> Result<(), StorageError> {
        Ok(self.connection.query_row(
            "SELECT count(*) FROM (SELECT 1 FROM collections LIMIT 1)",
            [],
            |_| Ok(()),
        )?)
    }
}

impl Commits for SqliteDocuments {
    fn commit_group(&mut self, group: Vec<Batch>) -> Vec<Result<Committed, StorageError>> {
        Self::commit_group(self, group)
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
