//! The best store that this page can have.

use std::{cell::RefCell, rc::Rc};

use sdk_core::{
    driver::{MemoryStore, Store},
    engine::storage::{Batch, Query, Rows, Scan, StoreError, Stored},
};

use super::{Cipher, IndexedDbStore};

/// IndexedDB, or memory where the browser grants none; cheap to clone, and the clones are one store.
#[derive(Clone)]
pub struct BrowserStore(Rc<Inner>);

struct Inner {
    /// None once it is closed.
    backing: RefCell<Option<Rc<Backing>>>,
    durable: bool,
}

enum Backing {
    IndexedDb(IndexedDbStore),
    Memory(MemoryStore),
}

impl BrowserStore {
    /// Opens the store of the client `name`, encrypted if there is a cipher. Where the browser has no storage for this page (blocked by the user, a
    /// private window, a full disk) what is written is forgotten with the page, and
    /// [`is_durable`](Store::is_durable) says so.
    ///
    /// # Errors
    /// `Fenced` if another client opens it at this moment, `Corrupt` if the outbox cannot be read: neither may be passed over,
    /// for there are operations in it that wait to be sent.
    pub async fn open(name: &str, cipher: Option<Cipher>) -> Result<Self, StoreError> {
        let backing = match IndexedDbStore::open(name, cipher).await {
            Ok(store) => Backing::IndexedDb(store),
            Err(error @ (StoreError::Fenced | StoreError::Corrupt(_))) => return Err(error),
            Err(_) => Backing::Memory(MemoryStore::new()),
        };
        let durable = matches!(backing, Backing::IndexedDb(_));
        Ok(Self(Rc::new(Inner { backing: RefCell::new(Some(Rc::new(backing))), durable })))
    }

    /// Calls back whenever the browser or another page has closed the outbox, and may have deleted it.
    pub fn on_taken(&self, callback: impl Fn() + 'static) {
        if let Ok(Backing::IndexedDb(store)) = self.backing().as_deref() {
            store.on_taken(callback);
        }
    }

    /// Takes nothing more. What is being written is still written; then the databases are closed and the store can
    /// be opened by another client.
    pub fn close(&self) {
        self.0.backing.take();
    }

    fn backing(&self) -> Result<Rc<Backing>, StoreError> {
        self.0.backing.borrow().clone().ok_or_else(|| StoreError::Failed("the client is closed".into()))
    }
}

impl Store for BrowserStore {
    async fn load(&self) -> Result<Stored, StoreError> {
        match &*self.backing()? {
            Backing::IndexedDb(store) => store.load().await,
            Backing::Memory(store) => store.load().await,
        }
    }

    async fn read(&self, query: Query, scan: Scan) -> Result<Rows, StoreError> {
        match &*self.backing()? {
            Backing::IndexedDb(store) => store.read(query, scan).await,
            Backing::Memory(store) => store.read(query, scan).await,
        }
    }

    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        match &*self.backing()? {
            Backing::IndexedDb(store) => store.apply(batch).await,
            Backing::Memory(store) => store.apply(batch).await,
        }
    }

    fn is_durable(&self) -> bool {
        match self.backing().as_deref() {
            Ok(Backing::IndexedDb(store)) => store.is_durable(),
            Ok(Backing::Memory(_)) => false,
            Err(_) => self.0.durable,
        }
    }
}
