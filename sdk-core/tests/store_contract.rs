//! The store contract, held against the stores of this crate.

use sdk_core::{
    driver::MemoryStore, engine::storage::StoreError, native::SqliteStore, testing::store_contract::Stores,
};

struct MemoryStores;

impl Stores for MemoryStores {
    type Store = MemoryStore;

    async fn open(&self, _name: &str) -> Result<MemoryStore, StoreError> {
        Ok(MemoryStore::new())
    }
}

/// SQLite stores in a temporary folder that goes with this value.
struct SqliteStores {
    folder: tempfile::TempDir,
}

impl SqliteStores {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made") }
    }
}

impl Stores for SqliteStores {
    type Store = SqliteStore;

    async fn open(&self, name: &str) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(self.folder.path().join(name)).await
    }
}

mod memory {
    use super::MemoryStores;
    sdk_core::store_contract!(tokio::test, MemoryStores);
}

mod sqlite {
    use super::SqliteStores;
    sdk_core::store_contract!(tokio::test, SqliteStores::new());
}
