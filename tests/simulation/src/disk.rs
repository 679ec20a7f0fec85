//! A client's storage: two failure domains, what is in them after a crash, and how commits go wrong.

use std::collections::{BTreeMap, VecDeque};

use sdk_core::{
    engine::storage::{
        Batch, Clear, Generation, OutboxBatch, OutboxRecord, Query, ReplicaBatch, Rows, Scan, Stored,
        StoredDocument,
    },
    protocol::{CollectionName, DocKey, DocumentId, StreamPosition},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// An operation as a record of the outbox holds it, read without the engine's own types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its place.
    pub(crate) seq: u64,
    /// The ticket that it travels under, which the workload writes into the schema version.
    pub(crate) schema: u64,
    /// What it does, as text.
    pub(crate) intents: String,
    /// Whether it is a dead letter.
    pub(crate) dead: bool,
    /// The numbers of those that it waits for.
    pub(crate) after: Vec<u64>,
}

/// The replica's contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Copy {
    /// Documents as text.
    pub(crate) documents: BTreeMap<DocKey, String>,
    /// How far each collection is known.
    pub(crate) cursors: BTreeMap<CollectionName, StreamPosition>,
    /// Segments as text, by their largest id.
    pub(crate) segments: BTreeMap<(CollectionName, Generation, DocumentId), String>,
    /// What is noted of each collection's snapshots.
    pub(crate) notes: BTreeMap<CollectionName, String>,
}

/// One client's storage.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    outbox: BTreeMap<u64, (String, Vec<Kept>)>,
    /// The ticket that each operation travels under which ever was in the outbox, by its place.
    tickets: BTreeMap<u64, u64>,
    meta: Option<String>,
    /// What readers see.
    copy: Copy,
    /// What surely survives a crash; the commits after it do if the crash is kind.
    settled: Copy,
    relaxed: VecDeque<ReplicaBatch>,
    /// Commits of the replica that a crash may take back, at most.
    slack: usize,
}

impl Disk {
    /// An empty one, on which a crash may take back so many of the newest commits of the replica.
    pub(crate) fn new(slack: usize) -> Self {
        Self { slack, ..Self::default() }
    }

    /// Everything a client loads at its start.
    pub(crate) fn load(&self) -> Stored {
        let record =
            |(key, (text, _)): (&u64, &(String, Vec<Kept>))| OutboxRecord { key: *key, text: text.clone() };
        let cursors = self.copy.cursors.iter().map(|(name, position)| (name.clone(), position.clone()));
        Stored {
            outbox: self.outbox.iter().map(record).collect(),
            meta: self.meta.clone(),
            cursors: Some(cursors.collect()),
            notes: self.copy.notes.clone().into_iter().collect(),
        }
    }

    /// Reads documents and segments as a store does.
    pub(crate) fn read(&self, query: &Query, scan: Scan) -> Rows {
        let (from, to, limit) = query.bounds();
        let selected = self.copy.documents.iter().filter(|(key, _)| query.selects(key));
        let documents =
            selected.take(limit).map(|(key, text)| StoredDocument { key: key.clone(), text: text.clone() });
        let in_generation = self.copy.segments.iter().filter(|((name, generation, _), _)| {
            name == query.collection() && *generation == scan.generation
        });
        let mut segments = Vec::new();
        for ((.., last), text) in in_generation.filter(|((.., last), _)| from.is_none_or(|from| last >= from))
        {
            segments.push(text.clone());
            // The first that goes beyond the range is the last that reaches into it.
            if segments.len() == scan.segments || to.is_some_and(|to| last >= to) {
                break;
            }
        }
        Rows { documents: documents.collect(), segments }
    }

    /// Writes a batch.
    pub(crate) fn apply(&mut self, batch: Batch) {
        match batch {
            Batch::Outbox(batch) => self.apply_outbox(batch),
            Batch::Replica(batch) => {
                self.copy.apply(&batch);
                self.relaxed.push_back(batch);
                if self.relaxed.len() > self.slack
                    && let Some(oldest) = self.relaxed.pop_front()
                {
                    self.settled.apply(&oldest);
                }
            }
        }
    }

    fn apply_outbox(&mut self, batch: OutboxBatch) {
        for key in batch.remove {
            self.outbox.remove(&key);
        }
        for OutboxRecord { key, text } in batch.put {
            let kept = kept(&text);
            self.tickets.extend(kept.iter().map(|kept| (kept.seq, kept.schema)));
            self.outbox.insert(key, (text, kept));
        }
        self.meta = batch.meta.or(self.meta.take());
    }

    /// The operations that a batch would take out of the outbox.
    pub(crate) fn removed_by(&self, batch: &OutboxBatch) -> Vec<Kept> {
        let put = |key: &u64| batch.put.iter().find(|record| record.key == *key);
        let mut gone = Vec::new();
        for (key, (_, before)) in &self.outbox {
            let after = match put(key) {
                Some(record) => kept(&record.text),
                None if batch.remove.contains(key) => Vec::new(),
                None => continue,
            };
            let stays =
                |kept: &&Kept| after.iter().any(|after| (after.seq, after.schema) == (kept.seq, kept.schema));
            gone.extend(before.iter().filter(|kept| !stays(kept)).cloned());
        }
        gone
    }

    /// Ticket and number of the operations that a batch would bring into the outbox.
    pub(crate) fn added_by(&self, batch: &OutboxBatch) -> Vec<(u64, u64)> {
        let known =
            |kept: &Kept| self.kept().any(|other| (other.schema, other.seq) == (kept.schema, kept.seq));
        let put = batch.put.iter().flat_map(|record| kept(&record.text));
        put.filter(|kept| !known(kept)).map(|kept| (kept.schema, kept.seq)).collect()
    }

    /// The operations in the outbox.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.outbox.values().flat_map(|(_, kept)| kept)
    }

    /// The ticket that the operation in that place travels under, also of one that has left the outbox.
    pub(crate) fn schema(&self, seq: u64) -> Option<u64> {
        self.tickets.get(&seq).copied()
    }

    /// What readers see of the replica.
    pub(crate) fn copy(&self) -> &Copy {
        &self.copy
    }

    /// The process ends. The newest `lost` of the relaxed commits are gone.
    pub(crate) fn crash(&mut self, lost: usize) {
        let stays = self.relaxed.len().saturating_sub(lost);
        for batch in self.relaxed.drain(..).take(stays) {
            self.settled.apply(&batch);
        }
        self.copy = self.settled.clone();
    }

    /// The outbox is gone, and with it who the client was.
    pub(crate) fn wipe_outbox(&mut self) {
        self.outbox.clear();
        self.tickets.clear();
        self.meta = None;
    }

    /// The replica is gone.
    pub(crate) fn wipe_replica(&mut self) {
        self.copy = Copy::default();
        self.settled = Copy::default();
        self.relaxed.clear();
    }

    /// Commits of the replica that a crash may take back now.
    pub(crate) fn relaxed(&self) -> usize {
        self.relaxed.len()
    }
}

impl Copy {
    fn apply(&mut self, batch: &ReplicaBatch) {
        match &batch.clear {
            Clear::Nothing => {}
            Clear::Collections(names) => {
                self.documents.retain(|key, _| !names.contains(&key.collection));
                self.cursors.retain(|name, _| !names.contains(name));
                self.segments.retain(|(name, ..), _| !names.contains(name));
                self.notes.retain(|name, _| !names.contains(name));
            }
            Clear::All => *self = Self::default(),
        }
        self.documents.retain(|key, _| !batch.flip.contains(&key.collection));
        self.segments.retain(|(name, generation, _), _| !batch.drop.contains(&(name.clone(), *generation)));
        for key in &batch.remove {
            self.documents.remove(key);
        }
        for document in &batch.put {
            self.documents.insert(document.key.clone(), document.text.clone());
        }
        for segment in &batch.stage {
            let key = (segment.collection.clone(), segment.generation, segment.last.clone());
            self.segments.insert(key, segment.text.clone());
        }
        self.cursors.extend(batch.cursors.iter().cloned());
        self.notes.extend(batch.notes.iter().cloned());
    }
}

fn kept(text: &str) -> Vec<Kept> {
    #[derive(Deserialize)]
    struct Record {
        operations: Vec<Packed>,
    }
    #[derive(Deserialize)]
    struct Packed {
        op: Op,
        rejected: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        after: Vec<u64>,
    }
    #[derive(Deserialize)]
    struct Op {
        seq: u64,
        schema: u64,
        intents: Box<RawValue>,
    }
    let record: Record = serde_json::from_str(text).expect("the engine writes records that can be read");
    let kept = |Packed { op, rejected, after }| Kept {
        seq: op.seq,
        schema: op.schema,
        intents: op.intents.get().to_owned(),
        dead: rejected.is_some(),
        after,
    };
    record.operations.into_iter().map(kept).collect()
}
