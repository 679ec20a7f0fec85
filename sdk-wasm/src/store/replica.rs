//! The rebuildable side: a copy of what the server has.

use js_sys::{Array, Uint8Array};
use sdk_core::{
    engine::storage::{Clear, Generation, Query, ReplicaBatch, Rows, Scan, StoreError, StoredDocument},
    protocol::{CollectionName, DocKey, StreamPosition, decode, encode},
};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::IdbRequest;

use super::keys;
use crate::idb::{Connection, Durability, FENCE, Failure, Schema, Term, Transaction};

const SCHEMA: Schema = Schema { version: 2, stores: &[DOCUMENTS, CURSORS, SEGMENTS, NOTES, FENCE] };
/// Document key (bytes) to its text.
const DOCUMENTS: &str = "documents";
/// Collection name to its position as JSON text.
const CURSORS: &str = "cursors";
/// Segment key (bytes) to its text in UTF-8: bytes pass from the disk into the engine as they are, while a text of
/// JavaScript's is made of them first and then taken apart again.
const SEGMENTS: &str = "segments";
/// Collection name to the note on its snapshots.
const NOTES: &str = "notes";

/// Cursors and notes.
type Loaded = (Vec<(CollectionName, StreamPosition)>, Vec<(CollectionName, String)>);

pub(super) struct Replica {
    database: Connection,
    term: Term,
}

impl Replica {
    pub(super) fn new(name: String, term: Term) -> Self {
        Self { database: Connection::new(name, &SCHEMA).in_term(term), term }
    }

    /// Takes it over from whoever had it, and reads cursors and notes; none if they cannot be read, whatever the reason.
    pub(super) async fn load(&self) -> Option<Loaded> {
        self.database.impose(self.term).await.ok()?;
        let (cursors, notes) = self
            .database
            .read(|transaction| {
                let (cursors, notes) = (transaction.store(CURSORS)?, transaction.store(NOTES)?);
                Ok(((cursors.get_all_keys()?, cursors.get_all()?), (notes.get_all_keys()?, notes.get_all()?)))
            })
            .await
            .ok()?;
        let cursor = |(name, position): (CollectionName, String)| Some((name, decode(&position).ok()?));
        let cursors = named(&cursors.0, &cursors.1)?.into_iter().map(cursor).collect::<Option<_>>()?;
        Some((cursors, named(&notes.0, &notes.1)?))
    }

    /// What a query selects, in one transaction.
    pub(super) async fn read(&self, query: &Query, scan: Scan) -> Result<Rows, StoreError> {
        let (from, to, limit) = query.bounds();
        let found = self.database.read(|transaction| {
            let documents = transaction.store(DOCUMENTS)?;
            let documents = match query {
                Query::One(key) => Documents::One(documents.get(&keys::document(key))?),
                Query::Range { collection, .. } => match keys::range(collection, from, to)? {
                    Some(range) => Documents::Some {
                        ids: documents.get_all_keys_with_key_and_limit(&range, count(limit))?,
                        texts: documents.get_all_with_key_and_limit(&range, count(limit))?,
                    },
                    None => Documents::None,
                },
            };
            Ok((documents, ask_segments(transaction, query, scan)?))
        });
        let (documents, segments) = found.await.map_err(unreadable)?;
        let mut texts = Vec::new();
        for request in segments {
            for text in results(&request).ok_or_else(foreign)? {
                texts.push(segment_text(text).ok_or_else(foreign)?);
            }
        }
        texts.truncate(scan.segments);
        Ok(Rows { documents: documents.take(query).ok_or_else(foreign)?, segments: texts })
    }

    /// Resolves when the batch would survive the end of the browser.
    pub(super) async fn apply(&self, batch: &ReplicaBatch) -> Result<(), StoreError> {
        let cursors = batch.cursors.iter().map(|(name, position)| (name.as_str(), encode(position)));
        let cursors: Vec<_> = cursors.collect();
        let write =
            || self.database.write(Durability::Relaxed, |transaction| ask(transaction, batch, &cursors));
        match write().await.map_err(StoreError::from) {
            Err(StoreError::Fenced) => Err(StoreError::Fenced),
            // All of it may go, so a database that is damaged, or was deleted under us, is no reason to fail.
            Err(_) if batch.clear == Clear::All => {
                self.database.recreate().await?;
                Ok(write().await?)
            }
            result => result,
        }
    }
}

/// Requests for documents, until the transaction has ended.
enum Documents {
    None,
    One(IdbRequest),
    Some { ids: IdbRequest, texts: IdbRequest },
}

impl Documents {
    fn take(&self, query: &Query) -> Option<Vec<StoredDocument>> {
        match (self, query) {
            (Self::One(found), Query::One(key)) => match found.result().ok()? {
                nothing if nothing.is_undefined() => Some(Vec::new()),
                text => Some(vec![StoredDocument { key: key.clone(), text: text.as_string()? }]),
            },
            (Self::Some { ids, texts }, _) => {
                let collection = query.collection();
                let document = |(id, text): (JsValue, JsValue)| {
                    let key = DocKey { collection: collection.clone(), id: keys::id(&id)? };
                    Some(StoredDocument { key, text: text.as_string()? })
                };
                results(ids)?.iter().zip(results(texts)?.iter()).map(document).collect()
            }
            _ => Some(Vec::new()),
        }
    }
}

fn ask_segments(transaction: &Transaction, query: &Query, scan: Scan) -> Result<Vec<IdbRequest>, JsValue> {
    if scan.generation == Generation::NONE {
        return Ok(Vec::new());
    }
    let (from, to, _) = query.bounds();
    let segments = transaction.store(SEGMENTS)?;
    match keys::segments(query.collection(), scan.generation, from, to)? {
        Some((within, None)) => Ok(vec![segments.get_all_with_key_and_limit(&within, count(scan.segments))?]),
        Some((within, Some(beyond))) => Ok(vec![
            segments.get_all_with_key_and_limit(&within, count(scan.segments))?,
            segments.get_all_with_key_and_limit(&beyond, 1)?,
        ]),
        None => Ok(Vec::new()),
    }
}

/// No limit that a read may have comes near the end of u32.
fn count(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(u32::MAX)
}

fn ask(transaction: &Transaction, batch: &ReplicaBatch, cursors: &[(&str, String)]) -> Result<(), JsValue> {
    let documents = transaction.store(DOCUMENTS)?;
    let segments = transaction.store(SEGMENTS)?;
    let positions = transaction.store(CURSORS)?;
    let notes = transaction.store(NOTES)?;
    match &batch.clear {
        Clear::Nothing => {}
        Clear::Collections(names) => {
            for name in names {
                documents.delete(&keys::collection(name)?.into())?;
                segments.delete(&keys::collection(name)?.into())?;
                positions.delete(&name.as_str().into())?;
                notes.delete(&name.as_str().into())?;
            }
        }
        Clear::All => {
            documents.clear()?;
            segments.clear()?;
            positions.clear()?;
            notes.clear()?;
        }
    }
    for name in &batch.flip {
        documents.delete(&keys::collection(name)?.into())?;
    }
    for (name, generation) in &batch.drop {
        segments.delete(&keys::generation(name, *generation)?.into())?;
    }
    for key in &batch.remove {
        documents.delete(&keys::document(key))?;
    }
    for document in &batch.put {
        documents.put_with_key(&document.text.as_str().into(), &keys::document(&document.key))?;
    }
    for segment in &batch.stage {
        let text = Uint8Array::from(segment.text.as_bytes());
        segments.put_with_key(&text, &keys::segment(segment))?;
    }
    for (name, text) in &batch.notes {
        notes.put_with_key(&text.into(), &name.as_str().into())?;
    }
    for (name, text) in cursors {
        positions.put_with_key(&text.into(), &(*name).into())?;
    }
    Ok(())
}

/// The text of a segment. Earlier releases stored it as such.
fn segment_text(stored: JsValue) -> Option<String> {
    match stored.dyn_into::<Uint8Array>() {
        Ok(bytes) => String::from_utf8(bytes.to_vec()).ok(),
        Err(text) => text.as_string(),
    }
}

/// One text for each collection.
fn named(names: &IdbRequest, texts: &IdbRequest) -> Option<Vec<(CollectionName, String)>> {
    let entry = |(name, text): (JsValue, JsValue)| {
        Some((CollectionName::new(&name.as_string()?).ok()?, text.as_string()?))
    };
    results(names)?.iter().zip(results(texts)?.iter()).map(entry).collect()
}

fn results(request: &IdbRequest) -> Option<Array> {
    request.result().ok()?.dyn_into().ok()
}

/// Whatever keeps the replica from being read, the cure is the same: throw it away and fetch it again.
fn unreadable(failure: Failure) -> StoreError {
    match failure.into() {
        StoreError::Failed(reason) | StoreError::Denied(reason) => StoreError::Corrupt(reason),
        error => error,
    }
}

fn foreign() -> StoreError {
    StoreError::Corrupt("the replica holds a record that is not ours".into())
}
