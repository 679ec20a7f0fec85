//! The client's store in IndexedDB: two databases, because they fail and are thrown away apart.

mod browser;
mod cipher;
mod keys;
mod lock;
mod outbox;
mod replica;

use sdk_core::{
    driver::Store,
    engine::storage::{Batch, OutboxBatch, Query, Rows, Scan, StoreError, Stored},
};

pub use browser::BrowserStore;
pub use cipher::Cipher;
use cipher::Sealing;
use lock::Lock;
use outbox::Outbox;
use replica::Replica;

/// One client's storage, for as long as this page lives.
///
/// The outbox (`webwaka:<name>:outbox`) is written with strict durability and never rebuilt. The replica
/// (`webwaka:<name>:replica`) is written relaxed; what is wrong with it never touches the outbox.
pub struct IndexedDbStore {
    outbox: Outbox,
    replica: Replica,
    sealing: Sealing,
    _lock: Lock,
}

impl IndexedDbStore {
    /// Takes the Web Lock `webwaka:<name>`, which belongs to one client at a time, and opens the outbox. With a
    /// cipher all texts are encrypted, those that are there and are not yet as well.
    ///
    /// # Errors
    /// `InUse` if another client holds the lock and does not let go within two seconds, as the page before a reload
    /// does; `Denied` where the browser has no IndexedDB or no Web Locks, or keeps them from this page.
    pub async fn open(name: &str, cipher: Option<Cipher>) -> Result<Self, StoreError> {
        let prefix = ["webwaka:", name].concat();
        let lock = Lock::acquire(&prefix).await?;
        let outbox = Outbox::open([&prefix, ":outbox"].concat()).await?;
        let replica = Replica::new([&prefix, ":replica"].concat());
        Ok(Self { outbox, replica, sealing: Sealing::new(prefix, cipher), _lock: lock })
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
        if self.sealing.open_stored(&mut stored).await? {
            // What is in the outbox is irreplaceable and encrypted now. The replica, thus unreadable, is fetched anew.
            let (put, meta) = (stored.outbox.clone(), stored.meta.clone());
            self.apply(Batch::Outbox(OutboxBatch { put, meta, ..OutboxBatch::default() })).await?;
        } else if let Some((cursors, notes)) = self.replica.load().await {
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
