//! The rebuildable side: a copy of what the server has.

use js_sys::Array;
use sdk_core::{
    engine::storage::{Clear, Query, ReplicaBatch, StoreError, StoredDocument},
    protocol::{CollectionName, DocKey, StreamPosition, decode, encode},
};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::IdbRequest;

use super::keys;
use crate::idb::{Connection, Durability, Failure, Schema, Transaction};

const SCHEMA: Schema = Schema { version: 1, stores: &[DOCUMENTS, CURSORS] };
/// Document key (bytes) to its text.
const DOCUMENTS: &str = "documents";
/// Collection name to its position as JSON text.
const CURSORS: &str = "cursors";

pub(super) struct Replica {
    database: Connection,
}

impl Replica {
    pub(super) fn new(name: String) -> Self {
        Self { database: Connection::new(name, &SCHEMA) }
    }

    /// The cursors; none if they cannot be read, whatever the reason.
    pub(super) async fn cursors(&self) -> Option<Vec<(CollectionName, StreamPosition)>> {
        let (names, positions) = self
            .database
            .read(|transaction| {
                let cursors = transaction.store(CURSORS)?;
                Ok((cursors.get_all_keys()?, cursors.get_all()?))
            })
            .await
            .ok()?;
        let (names, positions) = (results(&names)?, results(&positions)?);
        let cursor = |(name, position): (JsValue, JsValue)| {
            let name = CollectionName::new(&name.as_string()?).ok()?;
            Some((name, decode(&position.as_string()?).ok()?))
        };
        names.iter().zip(positions.iter()).map(cursor).collect()
    }

    /// What a query selects, by id in byte order.
    pub(super) async fn read(&self, query: &Query) -> Result<Vec<StoredDocument>, StoreError> {
        match query {
            Query::One(key) => self.one(key).await,
            Query::Range { collection, from, to, limit } => {
                // No limit that a query may have comes near the end of u32.
                let limit = u32::try_from(*limit).unwrap_or(u32::MAX);
                let range = keys::range(collection, from.as_ref(), to.as_ref());
                match range.map_err(|thrown| unreadable(thrown.into()))? {
                    Some(range) => self.range(collection, &range, limit).await,
                    None => Ok(Vec::new()),
                }
            }
        }
    }

    async fn one(&self, key: &DocKey) -> Result<Vec<StoredDocument>, StoreError> {
        let found = self
            .database
            .read(|transaction| transaction.store(DOCUMENTS)?.get(&keys::document(key)))
            .await
            .map_err(unreadable)?;
        match found.result().map_err(|thrown| unreadable(thrown.into()))? {
            nothing if nothing.is_undefined() => Ok(Vec::new()),
            text => {
                let text = text.as_string().ok_or_else(foreign)?;
                Ok(vec![StoredDocument { key: key.clone(), text }])
            }
        }
    }

    async fn range(
        &self,
        collection: &CollectionName,
        range: &JsValue,
        limit: u32,
    ) -> Result<Vec<StoredDocument>, StoreError> {
        let (ids, texts) = self
            .database
            .read(|transaction| {
                let documents = transaction.store(DOCUMENTS)?;
                Ok((
                    documents.get_all_keys_with_key_and_limit(range, limit)?,
                    documents.get_all_with_key_and_limit(range, limit)?,
                ))
            })
            .await
            .map_err(unreadable)?;
        let ids = results(&ids).ok_or_else(foreign)?;
        let texts = results(&texts).ok_or_else(foreign)?;
        let document = |(id, text): (JsValue, JsValue)| {
            let key = DocKey { collection: collection.clone(), id: keys::id(&id)? };
            Some(StoredDocument { key, text: text.as_string()? })
        };
        ids.iter().zip(texts.iter()).map(document).collect::<Option<_>>().ok_or_else(foreign)
    }

    /// Resolves when the batch would survive the end of the browser.
    pub(super) async fn apply(&self, batch: &ReplicaBatch) -> Result<(), StoreError> {
        let cursors = batch.cursors.iter().map(|(name, position)| (name.as_str(), encode(position)));
        let cursors: Vec<_> = cursors.collect();
        let write =
            || self.database.write(Durability::Relaxed, |transaction| ask(transaction, batch, &cursors));
        match write().await {
            // All of it may go, so a database that is damaged, or was deleted under us, is no reason to fail.
            Err(_) if batch.clear == Clear::All => {
                self.database.recreate().await?;
                Ok(write().await?)
            }
            result => Ok(result?),
        }
    }
}

fn ask(transaction: &Transaction, batch: &ReplicaBatch, cursors: &[(&str, String)]) -> Result<(), JsValue> {
    let documents = transaction.store(DOCUMENTS)?;
    let positions = transaction.store(CURSORS)?;
    match &batch.clear {
        Clear::Nothing => {}
        Clear::Collections(names) => {
            for name in names {
                if let Some(range) = keys::range(name, None, None)? {
                    documents.delete(&range)?;
                }
                positions.delete(&name.as_str().into())?;
            }
        }
        Clear::All => {
            documents.clear()?;
            positions.clear()?;
        }
    }
    for key in &batch.remove {
        documents.delete(&keys::document(key))?;
    }
    for document in &batch.put {
        documents.put_with_key(&document.text.as_str().into(), &keys::document(&document.key))?;
    }
    for (name, text) in cursors {
        positions.put_with_key(&text.into(), &(*name).into())?;
    }
    Ok(())
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
