//! A store that forgets: what a client goes on with where there is no storage.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Store;
use crate::{
    engine::storage::{
        Batch, Clear, Generation, OutboxBatch, OutboxRecord, Query, ReplicaBatch, Rows, Scan, Segment,
        StoreError, Stored, StoredDocument,
    },
    protocol::{CollectionName, DocKey, DocumentId, MAX_SAFE_INTEGER, StreamPosition},
    sorted::SortedMap,
};

/// Keeps everything in memory and nothing beyond it; [`is_durable`](Store::is_durable) says so.
///
/// It has no cap of its own: the outbox is capped by the engine's limits, and the replica by what the
/// server holds of the collections followed.
#[derive(Debug, Default)]
pub struct MemoryStore {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    records: SortedMap<u64, String>,
    meta: Option<String>,
    documents: SortedMap<CollectionName, SortedMap<DocumentId, String>>,
    segments: SortedMap<(CollectionName, Generation, DocumentId), String>,
    cursors: SortedMap<CollectionName, StreamPosition>,
    notes: SortedMap<CollectionName, String>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // No code between taking and releasing the lock leaves a batch half applied.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    async fn load(&self) -> Result<Stored, StoreError> {
        let held = self.held();
        let record = |(key, text): (&u64, &String)| OutboxRecord { key: *key, text: text.clone() };
        Ok(Stored {
            outbox: held.records.iter().map(record).collect(),
            meta: held.meta.clone(),
            cursors: Some(held.cursors.clone().into_iter().collect()),
            notes: held.notes.clone().into_iter().collect(),
        })
    }

    async fn read(&self, query: Query, scan: Scan) -> Result<Rows, StoreError> {
        let held = self.held();
        let segments = held.segments(&query, scan);
        let documents = match query {
            Query::One(key) => held.document(&key).into_iter().collect(),
            Query::Range { collection, from, to, limit } => {
                held.range(&collection, from, to).take(limit).collect()
            }
        };
        Ok(Rows { documents, segments })
    }

    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        match batch {
            Batch::Outbox(batch) => self.held().apply_outbox(batch),
            Batch::Replica(batch) => {
                self.held().apply_replica(batch);
                Ok(())
            }
        }
    }

    fn is_durable(&self) -> bool {
        false
    }
}

impl Held {
    fn document(&self, key: &DocKey) -> Option<StoredDocument> {
        let text = self.documents.get(&key.collection)?.get(&key.id)?;
        Some(StoredDocument { key: key.clone(), text: text.clone() })
    }

    fn range(
        &self,
        collection: &CollectionName,
        from: Option<DocumentId>,
        to: Option<DocumentId>,
    ) -> impl Iterator<Item = StoredDocument> {
        let first = from.unwrap_or_else(DocumentId::smallest);
        self.documents
            .get(collection)
            .into_iter()
            .flat_map(move |documents| documents.range(first.clone()..))
            .take_while(move |(id, _)| to.as_ref().is_none_or(|to| *id < to))
            .map(|(id, text)| StoredDocument {
                key: DocKey { collection: collection.clone(), id: id.clone() },
                text: text.clone(),
            })
    }

    /// The segments that reach into the query's range: all whose largest id is in it, and the one that goes beyond.
    fn segments(&self, query: &Query, scan: Scan) -> Vec<String> {
        let (from, to, _) = query.bounds();
        let name = query.collection();
        let first = (name.clone(), scan.generation, from.cloned().unwrap_or_else(DocumentId::smallest));
        let mut beyond = to.is_some_and(|to| *to <= first.2);
        self.segments
            .range(first..)
            .take_while(|((collection, generation, last), _)| {
                let here = !beyond && collection == name && *generation == scan.generation;
                beyond |= to.is_some_and(|to| last >= to);
                here
            })
            .take(scan.segments)
            .map(|(_, text)| text.clone())
            .collect()
    }

    fn apply_outbox(&mut self, batch: OutboxBatch) -> Result<(), StoreError> {
        if let Some(record) = batch.put.iter().find(|record| record.key > MAX_SAFE_INTEGER) {
            return Err(StoreError::Failed(format!("key {} is beyond 2^53 - 1", record.key)));
        }
        for key in batch.remove {
            self.records.remove(&key);
        }
        self.records.extend(batch.put.into_iter().map(|record| (record.key, record.text)));
        self.meta = batch.meta.or(self.meta.take());
        Ok(())
    }

    fn apply_replica(&mut self, batch: ReplicaBatch) {
        match batch.clear {
            Clear::Nothing => {}
            Clear::Collections(names) => {
                self.documents.retain(|name, _| !names.contains(name));
                self.segments.retain(|(name, ..), _| !names.contains(name));
                self.cursors.retain(|name, _| !names.contains(name));
                self.notes.retain(|name, _| !names.contains(name));
            }
            Clear::All => {
                self.documents.clear();
                self.segments.clear();
                self.cursors.clear();
                self.notes.clear();
            }
        }
        for name in batch.flip {
            self.documents.remove(&name);
        }
        self.segments.retain(|(name, generation, _), _| {
            !batch.drop.iter().any(|(dropped, gone)| dropped == name && gone == generation)
        });
        for DocKey { collection, id } in batch.remove {
            if let Some(documents) = self.documents.get_mut(&collection) {
                documents.remove(&id);
            }
        }
        for StoredDocument { key: DocKey { collection, id }, text } in batch.put {
            self.documents.get_or_insert_with(collection, Default::default).insert(id, text);
        }
        for Segment { collection, generation, last, text } in batch.stage {
            self.segments.insert((collection, generation, last), text);
        }
        self.cursors.extend(batch.cursors);
        self.notes.extend(batch.notes);
    }
}
