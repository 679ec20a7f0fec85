//! The folder that holds everything a server keeps.

use std::{
    fmt::Write as _,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::{config::StartError, storage::sqlite::audit};

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

    /// The database of critical transactions.
    pub fn transactions(&self) -> PathBuf {
        self.path.join("transactions.db")
    }

    /// The key that webhooks are signed with.
    pub fn webhook_key(&self) -> PathBuf {
        self.path.join("webhook-key")
    }

    /// The databases in a folder that record who did what, by what they hold; also those of a running server.
    pub fn audited(path: &Path) -> [(&'static str, PathBuf); 3] {
        let of = |file| path.join(file);
        [
            (audit::DOCUMENTS, of("webwaka.sqlite3")),
            (audit::TOPICS, of("events.db")),
            (audit::TRANSACTIONS, of("transactions.db")),
        ]
    }

    /// The database of documents.
    pub fn database(&self) -> PathBuf {
        self.path.join("webwaka.sqlite3")
    }
}

/// The secret in a file; made there if there is none, readable by its owner alone.
pub(crate) fn secret_file(path: &Path, make: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => {
            let secret = make()?;
            file.write_all(hex(&secret).as_bytes())?;
            file.sync_all()?;
            Ok(secret)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_secret(path),
        Err(error) => Err(error),
    }
}

/// The secret in a file that is there.
pub(crate) fn read_secret(path: &Path) -> io::Result<Vec<u8>> {
    let damaged = || io::Error::other(format!("{} is damaged; remove it", path.display()));
    let text = fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    unhex(&text).ok_or_else(damaged)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(byte).collect()
}
