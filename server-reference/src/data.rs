//! The folder that holds everything a server keeps.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use crate::config::StartError;

/// A data folder, locked against a second server: two would not tell each other of their commits.
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if need be, and locks it until this value is dropped.
    ///
    /// # Errors
    /// [`StartError::Data`] or [`StartError::DataInUse`].
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::Data { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StartError::DataInUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The database of snapshots, which may be deleted while no server runs.
    pub fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots.db")
    }

    /// The database of events.
    pub fn events(&self) -> PathBuf {
        self.path.join("events.db")
    }

    /// The database of documents.
    pub fn database(&self) -> PathBuf {
        self.path.join("webwaka.sqlite3")
    }
}
