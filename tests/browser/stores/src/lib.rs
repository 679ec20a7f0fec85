//! What the tests of IndexedDB run in a page: the contract of every store, and a store to be mistreated.
#![cfg(target_arch = "wasm32")]

use std::sync::Once;

use sdk_core::{
    driver::Store,
    engine::storage::{
        Adopted, Batch, Clear, OutboxBatch, OutboxRecord, Query, ReplicaBatch, Scan, StoreError,
        StoredDocument,
    },
    protocol::{CollectionName, DocKey, Epoch, Offset, Seq, StreamPosition},
    testing::store_contract::Stores,
};
use sdk_wasm::store::{BrowserStore, Cipher, IndexedDbStore};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

/// The names of the contract's cases.
#[wasm_bindgen]
pub fn cases() -> Vec<String> {
    sdk_core::store_contract!(names).map(String::from).into()
}

/// Runs one case, with or without encryption. A failure is a panic, which the page's console tells.
#[wasm_bindgen(js_name = runCase)]
pub async fn run_case(name: String, cipher: Option<Cipher>) {
    tell_panics();
    let stores = IndexedDb(cipher);
    sdk_core::store_contract!(run name.as_str(), stores);
}

fn tell_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| web_sys::console::error_1(&info.to_string().into())));
    });
}

/// Each case has a profile of its own.
struct IndexedDb(Option<Cipher>);

impl Stores for IndexedDb {
    type Store = IndexedDbStore;

    async fn open(&self, name: &str) -> Result<IndexedDbStore, StoreError> {
        IndexedDbStore::open(name, self.0.clone()).await
    }
}

/// A store that JavaScript holds. What fails throws the error's `Debug` text.
#[wasm_bindgen]
pub struct HeldStore(BrowserStore);

#[wasm_bindgen]
impl HeldStore {
    /// Opens the best store that the page can have.
    pub async fn open(name: String, cipher: Option<Cipher>) -> Result<Self, JsValue> {
        tell_panics();
        BrowserStore::open(&name, cipher).await.map(Self).map_err(thrown)
    }

    /// Lets it go.
    pub fn close(&self) {
        self.0.close();
    }

    /// Whether it says that it keeps what it is given.
    #[wasm_bindgen(js_name = isDurable)]
    pub fn is_durable(&self) -> bool {
        self.0.is_durable()
    }

    /// Writes one record of the outbox, with the metadata `meta`.
    #[wasm_bindgen(js_name = writeOutbox)]
    pub async fn write_outbox(&self, key: f64, text: String) -> Result<(), JsValue> {
        let put = vec![OutboxRecord { key: key as u64, text }];
        let batch = OutboxBatch { put, meta: Some("meta".into()), remove: vec![], ..OutboxBatch::default() };
        self.0.apply(Batch::Outbox(batch)).await.map_err(thrown)
    }

    /// Writes one record of the outbox, whose operation a submission became.
    pub async fn adopt(&self, key: f64, text: String, submission: String) -> Result<(), JsValue> {
        let put = vec![OutboxRecord { key: key as u64, text }];
        let adopted = vec![Adopted { key: submission, seq: Seq(key as u64) }];
        let batch = OutboxBatch { put, adopted, ..OutboxBatch::default() };
        self.0.apply(Batch::Outbox(batch)).await.map_err(thrown)
    }

    /// Writes documents of the collection `cards` and its cursor, in one batch; `clear` empties everything before.
    #[wasm_bindgen(js_name = writeReplica)]
    pub async fn write_replica(&self, ids: Vec<String>, text: String, clear: bool) -> Result<(), JsValue> {
        let document =
            |id: &String| Some(StoredDocument { key: DocKey::new("cards", id).ok()?, text: text.clone() });
        let position = StreamPosition { epoch: Epoch::new("epoch").map_err(thrown)?, offset: Offset(1) };
        let batch = ReplicaBatch {
            clear: if clear { Clear::All } else { Clear::Nothing },
            put: ids.iter().filter_map(document).collect(),
            cursors: vec![(cards()?, position)],
            ..ReplicaBatch::default()
        };
        self.0.apply(Batch::Replica(batch)).await.map_err(thrown)
    }

    /// The outbox's texts.
    pub async fn outbox(&self) -> Result<Vec<String>, JsValue> {
        let stored = self.0.load().await.map_err(thrown)?;
        Ok(stored.outbox.into_iter().map(|record| record.text).collect())
    }

    /// How many cursors there are; nothing if the replica is unreadable.
    pub async fn cursors(&self) -> Result<Option<usize>, JsValue> {
        Ok(self.0.load().await.map_err(thrown)?.cursors.map(|cursors| cursors.len()))
    }

    /// The texts of the documents of `cards`.
    pub async fn texts(&self) -> Result<Vec<String>, JsValue> {
        let documents = self.0.read(Query::all(cards()?), Scan::NONE).await.map_err(thrown)?.documents;
        Ok(documents.into_iter().map(|document| document.text).collect())
    }

    /// The ids of the documents of `cards`.
    pub async fn documents(&self) -> Result<Vec<String>, JsValue> {
        let documents = self.0.read(Query::all(cards()?), Scan::NONE).await.map_err(thrown)?.documents;
        Ok(documents.into_iter().map(|document| document.key.id.to_string()).collect())
    }
}

fn cards() -> Result<CollectionName, JsValue> {
    CollectionName::new("cards").map_err(thrown)
}

fn thrown(error: impl std::fmt::Debug) -> JsValue {
    js_sys::Error::new(&format!("{error:?}")).into()
}
