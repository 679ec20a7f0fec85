//! A client's storage: what is in it survives the process; commits take a while, fail, or are said to have failed though they
//! were written. Of the replica there is nothing, since nobody follows a collection.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use sdk_core::{
    driver::Store,
    engine::storage::{Batch, OutboxBatch, OutboxRecord, Query, Rows, Scan, StoreError, Stored},
    protocol::{TopicName, TopicPosition},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{ledger::number_of, reader::of_client, sim::Sim};

/// Commits that storage may lie about.
const TAIL: usize = 8;

/// What is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    records: BTreeMap<u64, String>,
    meta: Option<String>,
}

/// What outlives a client's process.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) held: Held,
    /// What it was before each of the newest commits, oldest first.
    earlier: VecDeque<Held>,
    /// Per mille of commits that fail.
    pub(crate) trouble: u64,
    /// The last commit was written and said to have failed.
    pub(crate) phantom: bool,
}

/// Positions that are stored: the reader's name, the topic, and the position.
pub(crate) type Bookmarks = Vec<(String, TopicName, TopicPosition)>;

impl Disk {
    /// The positions that it has.
    pub(crate) fn bookmarks(&self) -> Bookmarks {
        self.held.meta.as_deref().map(bookmarks).unwrap_or_default()
    }

    fn write(&mut self, batch: OutboxBatch) {
        self.earlier.push_back(self.held.clone());
        if self.earlier.len() > TAIL {
            self.earlier.pop_front();
        }
        let Held { records, meta } = &mut self.held;
        for key in batch.remove {
            records.remove(&key);
        }
        records.extend(batch.put.into_iter().map(|record| (record.key, record.text)));
        *meta = batch.meta.or(meta.take());
    }

    /// So many of the newest commits never were, whatever was said of them.
    pub(crate) fn lose(&mut self, commits: usize) {
        for _ in 0..commits {
            self.held = self.earlier.pop_back().unwrap_or_else(|| self.held.clone());
        }
    }

    /// What is stored is something else.
    pub(crate) fn put_back(&mut self, held: Held) {
        *self = Self { held, ..Self::default() };
    }

    /// The events that it has, by number.
    pub(crate) fn events(&self) -> BTreeSet<usize> {
        #[derive(Deserialize)]
        struct Record {
            operations: Vec<Packed>,
        }
        #[derive(Deserialize)]
        struct Packed {
            event: Box<RawValue>,
        }
        let events = |text: &String| {
            let Record { operations } =
                serde_json::from_str(text).expect("the engine writes what can be read");
            operations.into_iter().filter_map(|packed| number_of(packed.event.get())).collect::<Vec<_>>()
        };
        self.held.records.values().flat_map(events).collect()
    }
}

fn bookmarks(meta: &str) -> Bookmarks {
    #[derive(Deserialize)]
    struct Meta {
        #[serde(default)]
        topics: Vec<Bookmark>,
    }
    #[derive(Deserialize)]
    struct Bookmark {
        name: String,
        topic: String,
        at: String,
    }
    let Meta { topics } = serde_json::from_str(meta).expect("the engine writes what can be read");
    let read = |Bookmark { name, topic, at }| {
        (name, TopicName::new(&topic).expect("it was a name"), at.parse().expect("it was a position"))
    };
    topics.into_iter().map(read).collect()
}

/// The storage as one life of a client sees it.
pub(crate) struct SimStore {
    sim: Arc<Sim>,
    client: usize,
    disk: Arc<Mutex<Disk>>,
}

impl SimStore {
    pub(crate) fn new(sim: Arc<Sim>, client: usize, disk: Arc<Mutex<Disk>>) -> Self {
        Self { sim, client, disk }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("no part panics")
    }
}

impl Store for SimStore {
    async fn load(&self) -> Result<Stored, StoreError> {
        let disk = self.disk();
        let record = |(key, text): (&u64, &String)| OutboxRecord { key: *key, text: text.clone() };
        let Held { records, meta } = &disk.held;
        let outbox = records.iter().map(record).collect();
        Ok(Stored { outbox, meta: meta.clone(), cursors: Some(Vec::new()), notes: Vec::new() })
    }

    async fn read(&self, _: Query, _: Scan) -> Result<Rows, StoreError> {
        Ok(Rows::default())
    }

    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.sim.wait(self.sim.plan.disk_latency).await;
        let trouble = self.disk().trouble;
        let (fails, written) = (self.sim.chance(trouble), self.sim.chance(300));
        let failed = Err(StoreError::Failed("the disk is ill".into()));
        if fails && !written {
            return failed;
        }
        if let Batch::Outbox(batch) = batch {
            let stored = batch.meta.as_deref().map(bookmarks).unwrap_or_default();
            for (name, topic, at) in stored {
                self.sim.books().stored(&of_client(self.client, &name), &topic, at);
            }
            let kept: Vec<u64> = batch.put.iter().map(|record| record.key).collect();
            let (client, gone) = (self.client, &batch.remove);
            self.sim.note(format_args!("client {client} stores {kept:?} without {gone:?}; fails: {fails}"));
            let mut disk = self.disk();
            disk.write(batch);
            disk.phantom = fails;
        }
        self.sim.wait(self.sim.plan.disk_latency).await;
        if fails { failed } else { Ok(()) }
    }

    fn is_durable(&self) -> bool {
        true
    }
}
