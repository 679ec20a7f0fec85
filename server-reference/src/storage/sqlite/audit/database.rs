//! How chains are reached in the database that has them.

use std::path::Path;

use rusqlite::{OpenFlags, Transaction, TransactionBehavior};

use super::{Key, enable};
use crate::storage::{StorageError, sql::Connection, sqlite::schema};

/// What is done within a transaction.
pub(in crate::storage) type Work<'a> = dyn FnMut(&dyn Connection) -> Result<(), StorageError> + 'a;

/// A database with chains.
pub(in crate::storage) trait Database: Send {
    /// Reads at one point in time.
    fn look(&self, work: &mut Work<'_>) -> Result<(), StorageError>;

    /// Writes a tenant's rows in one transaction, which is committed unless it fails.
    fn change(&self, tenant: &str, work: &mut Work<'_>) -> Result<(), StorageError>;

    /// Has what was deleted leave the place where it was, as far as that is for a server to do.
    fn scrub(&self) -> Result<(), StorageError>;
}

impl dyn Database + '_ {
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&dyn Connection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        within(work, |once| self.look(once))
    }

    pub(super) fn write<T>(
        &self,
        tenant: &str,
        work: impl FnOnce(&dyn Connection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        within(work, |once| self.change(tenant, once))
    }
}

/// Brings the result of some work out of a transaction in which it is done once.
fn within<T>(
    work: impl FnOnce(&dyn Connection) -> Result<T, StorageError>,
    run: impl FnOnce(&mut Work<'_>) -> Result<(), StorageError>,
) -> Result<T, StorageError> {
    let (mut work, mut result) = (Some(work), None);
    run(&mut |connection| {
        result = work.take().map(|work| work(connection)).transpose()?;
        Ok(())
    })?;
    result.ok_or_else(|| StorageError::Unavailable("nothing was done in the transaction".into()))
}

/// A file of SQLite's.
pub(super) struct File(rusqlite::Connection);

impl File {
    /// One that is read as it is at this moment, and not changed.
    pub(super) fn seen(path: &Path) -> Result<Self, StorageError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        schema::prepare_reader(&connection)?;
        connection.execute_batch("BEGIN")?;
        Ok(Self(connection))
    }

    /// One that is changed, beside a server that may write to it.
    pub(super) fn kept(path: &Path, key: Key, chain: &'static str) -> Result<Self, StorageError> {
        let connection = rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema::settle(&connection)?;
        // What is erased is not to be read in the file's free space either.
        connection.execute_batch("PRAGMA secure_delete = ON")?;
        enable(&connection, key, chain)?;
        Ok(Self(connection))
    }
}

impl Database for File {
    fn look(&self, work: &mut Work<'_>) -> Result<(), StorageError> {
        work(&self.0)
    }

    fn change(&self, _: &str, work: &mut Work<'_>) -> Result<(), StorageError> {
        let transaction = Transaction::new_unchecked(&self.0, TransactionBehavior::Immediate)?;
        work(&*transaction)?;
        Ok(transaction.commit()?)
    }

    fn scrub(&self) -> Result<(), StorageError> {
        // The log has the pages as they were.
        Ok(self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }
}
