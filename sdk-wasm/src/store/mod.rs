//! The client's store in IndexedDB: two databases, because they fail and are thrown away apart.

mod browser;
mod cipher;
mod keys;
mod outbox;
mod replica;

use sdk_core::{
    driver::Store,
    engine::storage::{Batch, OutboxBatch, Query, Rows, Scan, StoreError, Stored},
};

pub use browser::BrowserStore;
pub use cipher::Cipher;
use cipher::Sealing;
use outbox::Outbox;
use replica::Replica;

/// One client's storage, until another client opens it.
///
/// The outbox (`webwaka:<name>:outbox`) is written with strict durability and never rebuilt. The replica
/// (`webwaka:<name>:replica`) is written relaxed; what is wrong with it never touches the outbox.
pub struct IndexedDbStore {
    outbox: Outbox,
    replica: Replica,
    sealing: Sealing,
}

impl IndexedDbStore {
    /// Opens the outbox and takes it over: what an earlier store of this name is told to write fails with `Fenced`.
    /// Who may open it when is agreed among the pages of an origin, by a Web Lock; this is what holds where one of
    /// them sleeps. With a cipher all texts are encrypted, those that are there and are not yet as well.
    ///
    /// # Errors
    /// `Fenced` if another page took it over at the same time; `Denied` where the browser has no IndexedDB, or keeps
    /// it from this page.
    pub async fn open(name: &str, cipher: Option<Cipher>) -> Result<Self, StoreError> {
        let prefix = ["webwaka:", name].concat();
        let (outbox, term) = Outbox::open([&prefix, ":outbox"].concat()).await?;
        let replica = Replica::new([&prefix, ":replica"].concat(), term);
        Ok(Self { outbox, replica, sealing: Sealing::new(prefix, cipher) })
    }

    /// Calls back whenever the browser or another page has closed the outbox, and may have deleted it.
    pub fn on_taken(&self, callback: impl Fn() + 'static) {
        self.outbox.on_taken(callback);
    }
}

impl Store for IndexedDbStore {
    async fn load(&self) -> Result<Stored, StoreError> {
        let (outbox, meta) = self.outbox.load().await?;
        let mut stored = Stored { outbox, meta, ..Stored::default() };
        let replica = self.replica.load().await;
        if self.sealing.open_stored(&mut stored).await? {
            // What is in the outbox is irreplaceable and encrypted now. The replica, thus unreadable, is fetched anew.
            let (put, meta) = (stored.outbox.clone(), stored.meta.clone());
            self.apply(Batch::Outbox(OutboxBatch { put, meta, ..OutboxBatch::default() })).await?;
        } else if let Some((cursors, notes)) = replica {
            (stored.cursors, stored.notes) = (Some(cursors), notes);
        }
        Ok(stored)
    }

    async fn read(&self, query: Query, scan: Scan) -> Result<Rows, StoreError> {
        let mut rows = self.replica.read(&query, scan).await?;
        self.sealing.open_rows(query.collection(), &mut rows).await?;
        Ok(rows)
    }

    async fn apply(&self, mut batch: Batch) -> Result<(), StoreError> {
        self.sealing.seal(&mut batch).await?;
        match batch {
            Batch::Outbox(batch) => self.outbox.apply(&batch).await,
            Batch::Replica(batch) => self.replica.apply(&batch).await,
        }
    }

    fn is_durable(&self) -> bool {
        true
    }
}
