//! Opening a database file: locked, in WAL mode, with its schema up to date.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::store_error;
use crate::engine::storage::StoreError;

const PAGE_BYTES: u64 = 4096;

/// How one of the two files is opened.
pub(super) struct Settings {
    /// `FULL`: a commit survives the loss of power. `NORMAL`: it survives the end of the process.
    pub(super) synchronous: &'static str,
    /// How large the file may grow.
    pub(super) bytes: u64,
    /// Scripts that lead from one version of the schema to the next; how many have run is kept in
    /// `user_version`. They only ever add, so that a script once published is never changed.
    pub(super) migrations: &'static [&'static str],
}

/// Opens a file for this process alone, making it if it is not there.
pub(super) fn open(file: &Path, settings: &Settings) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(file).map_err(store_error)?;
    configure(&connection, settings).map_err(store_error)?;
    migrate(&mut connection, settings.migrations)?;
    Ok(connection)
}

fn configure(connection: &Connection, settings: &Settings) -> rusqlite::Result<()> {
    // Who has the file open keeps it until it closes it, so waiting would be in vain.
    connection.busy_timeout(std::time::Duration::ZERO)?;
    // Before WAL mode is entered, so that no shared memory is needed and the lock is held for good.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", settings.synchronous)?;
    // macOS alone: its fsync does not reach the disk without this.
    connection.pragma_update(None, "fullfsync", settings.synchronous == "FULL")?;
    connection.pragma_update(None, "max_page_count", settings.bytes / PAGE_BYTES)?;
    // After a burst the log shrinks back to this.
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    Ok(())
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    // The first write takes the exclusive lock, if the first read has not.
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(store_error)?;
    let version: usize =
        transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(store_error)?;
    let Some(missing) = migrations.get(version..) else {
        let known = migrations.len();
        return Err(StoreError::Failed(format!("written by a newer version: schema {version}, not {known}")));
    };
    for script in missing {
        transaction.execute_batch(script).map_err(store_error)?;
    }
    transaction.pragma_update(None, "user_version", migrations.len()).map_err(store_error)?;
    transaction.commit().map_err(store_error)
}
