//! A store of two SQLite files in one folder, one for each failure domain.
//!
//! `outbox.db` is synced to the disk with every commit. `replica.db` is not: it survives the end of the process,
//! and after a loss of power it is older or, at worst, rebuilt from the server. Each file has a thread of its
//! own, so the asynchronous executor never waits for the disk, and a long read of the replica does not delay an
//! operation that is being saved.

mod connection;
mod outbox;
mod replica;
mod worker;

use std::{fs, path::Path, sync::Arc};

use rusqlite::ffi;

use self::{outbox::Outbox, replica::Replica, worker::Worker};
use crate::{
    driver::Store,
    engine::storage::{Batch, Query, Rows, Scan, StoreError, Stored},
};

/// The oldest SQLite that cannot lose commits in WAL mode (3.7.0 to 3.51.2 can, when a checkpoint meets a reset
/// of the log).
const OLDEST_SQLITE: i32 = 3_051_003;

/// How large the files may grow, in bytes; beyond it a write fails with [`StoreError::Full`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The outbox.
    pub outbox_bytes: u64,
    /// The replica.
    pub replica_bytes: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { outbox_bytes: 256 << 20, replica_bytes: 4 << 30 }
    }
}

/// Durable storage of one client in a folder of its own. Cheap to clone; the clones are one store. When it is
/// [closed](Self::close), or the last of them is dropped, the next client can open it.
///
/// Cancel safety: a call whose future is dropped may have taken effect or not, but never in part.
#[derive(Debug, Clone)]
pub struct SqliteStore(Arc<Databases>);

#[derive(Debug)]
struct Databases {
    // Declared first, dropped first: the outbox's lock guards the replica, too.
    replica: Worker<Replica>,
    outbox: Worker<Outbox>,
}

impl SqliteStore {
    /// Opens the store in a folder, making both if they are not there.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another client, of this process or another, has it open;
    /// [`StoreError::Denied`] where the folder cannot be written to; [`StoreError::Corrupt`] for an outbox that
    /// cannot be read. A broken replica is no error here: loading tells.
    pub async fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(folder, SqliteOptions::default()).await
    }

    /// As [`open`](Self::open), with caps of the caller's choice.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(folder: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, StoreError> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            let version = rusqlite::version();
            return Err(StoreError::Failed(format!("SQLite {version} can lose commits; 3.51.3 is needed")));
        }
        let folder = folder.as_ref().to_owned();
        let (outbox_file, replica_file) = (folder.join("outbox.db"), folder.join("replica.db"));
        let outbox = Worker::start("webwaka-outbox", move || {
            create_folder(&folder)?;
            Outbox::open(&outbox_file, options.outbox_bytes)
        });
        let outbox = outbox.await?;
        let replica =
            Worker::start("webwaka-replica", move || Ok(Replica::open(replica_file, options.replica_bytes)));
        Ok(Self(Arc::new(Databases { replica: replica.await?, outbox })))
    }

    /// Takes nothing more. Resolves when what was handed over is written and both files are free for the next
    /// client.
    pub async fn close(&self) {
        // In this order, since the outbox's lock guards the replica, too.
        self.0.replica.stop().await;
        self.0.outbox.stop().await;
    }
}

impl Store for SqliteStore {
    async fn load(&self) -> Result<Stored, StoreError> {
        let (outbox, meta) = self.0.outbox.run(|outbox| outbox.load()).await?;
        let (cursors, notes) = self.0.replica.run(|replica| replica.load()).await.ok().unzip();
        Ok(Stored { outbox, meta, cursors, notes: notes.unwrap_or_default() })
    }

    async fn read(&self, query: Query, scan: Scan) -> Result<Rows, StoreError> {
        self.0.replica.run(move |replica| replica.read(&query, scan)).await
    }

    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        match batch {
            Batch::Outbox(batch) => self.0.outbox.run(move |outbox| outbox.apply(&batch)).await,
            Batch::Replica(batch) => self.0.replica.run(move |replica| replica.apply(&batch)).await,
        }
    }

    fn is_durable(&self) -> bool {
        true
    }
}

/// What is stored is one person's; others of the machine have no business there.
fn create_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|error| StoreError::Denied(format!("{}: {error}", folder.display())))
}

/// What a failure of SQLite means to the client.
fn store_error(error: rusqlite::Error) -> StoreError {
    let text = error.to_string();
    let Some(code) = error.sqlite_error().map(|error| error.extended_code) else {
        return StoreError::Failed(text);
    };
    // The low byte is the primary code; the rest says more about it.
    match code & 0xff {
        ffi::SQLITE_FULL => StoreError::Full(text),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => StoreError::InUse,
        ffi::SQLITE_CANTOPEN | ffi::SQLITE_READONLY | ffi::SQLITE_PERM | ffi::SQLITE_AUTH => {
            StoreError::Denied(text)
        }
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => StoreError::Corrupt(text),
        _ => StoreError::Failed(text),
    }
}
