//! The client's store in IndexedDB: two databases, because they fail and are thrown away apart.

mod browser;
mod keys;
mod lock;
mod outbox;
mod replica;

use sdk_core::{
    driver::Store,
    engine::storage::{Batch, Query, StoreError, Stored, StoredDocument},
};

pub use browser::BrowserStore;
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
    _lock: Lock,
}

impl IndexedDbStore {
    /// Takes the Web Lock `webwaka:<name>`, which belongs to one client at a time, and opens the outbox.
    ///
    /// # Errors
    /// `InUse` if another client holds the lock and does not let go within two seconds, as the page before a reload
    /// does; `Denied` where the browser has no IndexedDB or no Web Locks, or keeps them from this page.
    pub async fn open(name: &str) -> Result<Self, StoreError> {
        let prefix = ["webwaka:", name].concat();
        let lock = Lock::acquire(&prefix).await?;
        let outbox = Outbox::open([&prefix, ":outbox"].concat()).await?;
        Ok(Self { outbox, replica: Replica::new([&prefix, ":replica"].concat()), _lock: lock })
    }
}

impl Store for IndexedDbStore {
    async fn load(&self) -> Result<Stored, StoreError> {
        let (outbox, meta) = self.outbox.load().await?;
        Ok(Stored { outbox, meta, cursors: self.replica.cursors().await })
    }

    async fn read(&self, query: Query) -> Result<Vec<StoredDocument>, StoreError> {
        self.replica.read(&query).await
    }

    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        match batch {
            Batch::Outbox(batch) => self.outbox.apply(&batch).await,
            Batch::Replica(batch) => self.replica.apply(&batch).await,
        }
    }

    fn is_durable(&self) -> bool {
        !self.outbox.is_lost()
    }
}
