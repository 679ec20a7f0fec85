//! Encryption at rest. JavaScript does the cryptography, and only where the application asks for it; here is decided
//! what of a store is encrypted.
//!
//! All texts are: operations, identity, documents, segments. Keys are not (ids of documents, names of collections), nor are
//! positions, as stores order and select by them. A batch is encrypted before its transaction begins, because
//! nothing may be awaited within one.

use js_sys::{Array, Promise};
use sdk_core::{
    engine::storage::{Batch, Rows, StoreError, Stored},
    protocol::CollectionName,
};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

/// Begins every encrypted text; no text that is not begins so.
const SEALED: char = '!';

#[wasm_bindgen]
extern "C" {
    /// Both methods take `[name, text]` pairs and give the promise of as many texts. What was sealed under one name
    /// does not open under another.
    #[derive(Debug, Clone)]
    pub type Cipher;
    #[wasm_bindgen(method, catch)]
    fn seal(this: &Cipher, records: &Array) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn open(this: &Cipher, records: &Array) -> Result<Promise, JsValue>;
}

/// What the texts of one store are encrypted with, if they are.
pub(super) struct Sealing {
    store: String,
    cipher: Option<Cipher>,
}

/// Texts that are to be replaced.
#[derive(Default)]
struct Work<'a> {
    /// `[name, text]`, as the cipher takes them.
    records: Array,
    texts: Vec<&'a mut String>,
    /// Texts that were to be decrypted and are in the clear.
    plain: usize,
}

impl Sealing {
    pub(super) fn new(store: String, cipher: Option<Cipher>) -> Self {
        Self { store, cipher }
    }

    /// Encrypts what is about to be written.
    pub(super) async fn seal(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let Some(cipher) = &self.cipher else { return Ok(()) };
        let mut work = Work::default();
        match batch {
            Batch::Outbox(batch) => {
                for record in &mut batch.put {
                    self.add(&mut work, &record.key.to_string(), &mut record.text);
                }
                if let Some(meta) = &mut batch.meta {
                    self.add(&mut work, META, meta);
                }
            }
            Batch::Replica(batch) => {
                for document in &mut batch.put {
                    self.add(&mut work, &document.key.to_string(), &mut document.text);
                }
                for segment in &mut batch.stage {
                    self.add(&mut work, &segment_name(&segment.collection), &mut segment.text);
                }
            }
        }
        let sealed = cipher.seal(&work.records);
        work.finish(sealed).await.ok_or_else(|| StoreError::Failed("encryption failed".into()))
    }

    /// Decrypts what a client starts with. Returns whether some of it was not encrypted although it should be: it
    /// is from before encryption was asked for.
    ///
    /// # Errors
    /// [`StoreError::Locked`]
    pub(super) async fn open_stored(&self, stored: &mut Stored) -> Result<bool, StoreError> {
        let mut work = Work::default();
        for record in &mut stored.outbox {
            self.add_sealed(&mut work, &record.key.to_string(), &mut record.text);
        }
        if let Some(meta) = &mut stored.meta {
            self.add_sealed(&mut work, META, meta);
        }
        let plain = self.cipher.is_some() && work.plain > 0;
        self.open(work).await.ok_or(StoreError::Locked)?;
        Ok(plain)
    }

    /// Decrypts documents and segments of a collection.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], upon which the replica is fetched anew.
    pub(super) async fn open_rows(
        &self,
        collection: &CollectionName,
        rows: &mut Rows,
    ) -> Result<(), StoreError> {
        let mut work = Work::default();
        for document in &mut rows.documents {
            self.add_sealed(&mut work, &document.key.to_string(), &mut document.text);
        }
        for text in &mut rows.segments {
            self.add_sealed(&mut work, &segment_name(collection), text);
        }
        self.open(work).await.ok_or_else(|| StoreError::Corrupt("a document cannot be decrypted".into()))
    }

    async fn open(&self, work: Work<'_>) -> Option<()> {
        if work.texts.is_empty() {
            return Some(());
        }
        let opened = self.cipher.as_ref()?.open(&work.records);
        work.finish(opened).await
    }

    fn add<'a>(&self, work: &mut Work<'a>, key: &str, text: &'a mut String) {
        let name = [&self.store, ":", key].concat();
        work.records.push(&Array::of2(&name.into(), &text.trim_start_matches(SEALED).into()));
        // What replaces the text of a record that is to be encrypted follows this mark.
        let sealed = text.starts_with(SEALED);
        text.clear();
        if !sealed {
            text.push(SEALED);
        }
        work.texts.push(text);
    }

    fn add_sealed<'a>(&self, work: &mut Work<'a>, key: &str, text: &'a mut String) {
        if text.starts_with(SEALED) {
            self.add(work, key, text);
        } else {
            work.plain += 1;
        }
    }
}

/// The key of the client's own record, among those of operations.
const META: &str = "meta";

/// What a segment is sealed under. No key of a document has a space there.
fn segment_name(collection: &CollectionName) -> String {
    [collection.as_str(), " segment"].concat()
}

impl Work<'_> {
    /// Appends what the cipher gives to each text; none if it fails or gives something else.
    async fn finish(self, promise: Result<Promise, JsValue>) -> Option<()> {
        let value = JsFuture::from(promise.ok()?).await.ok()?;
        let given: Array = value.dyn_into().ok()?;
        for (text, given) in self.texts.into_iter().zip(given.iter()) {
            text.push_str(&given.as_string()?);
        }
        Some(())
    }
}
