//! Connections for reading beside the writer.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::schema;
use crate::storage::{StorageError, sql::stopped};

/// Reads at one time.
const READERS: usize = 4;

/// Some connections to one database, none of which can write.
pub(super) struct Readers {
    connections: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Opens them on a database that is there.
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let connections = (0..READERS).map(|_| open_reader(path)).collect::<Result<_, _>>()?;
        Ok(Self {
            connections: Arc::new(Mutex::new(connections)),
            permits: Arc::new(Semaphore::new(READERS)),
        })
    }

    /// Reads at one point in time.
    pub(super) async fn read<T: Send + 'static, E: From<StorageError> + Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| stopped())?;
        let connections = self.connections.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            // There are as many connections as permits, and each goes back before its permit does.
            let connection = lock(&connections).pop().ok_or_else(stopped)?;
            let result = at_one_time(&connection, read);
            lock(&connections).push(connection);
            result
        });
        task.await.map_err(|error| StorageError::Unavailable(Box::new(error)))?
    }
}

fn open_reader(path: &Path) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    schema::prepare_reader(&connection)?;
    Ok(connection)
}

fn at_one_time<T, E: From<StorageError>>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let transaction = connection.unchecked_transaction().map_err(StorageError::from)?;
    read(&transaction)
}

fn lock(connections: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    // A reader that panicked took its connection with it and left the list whole.
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}
