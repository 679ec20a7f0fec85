//! A client's storage: what is in it survives the process; commits take a while, fail, or are said to have failed though they
//! were written. Of the replica there is nothing, since nobody follows a collection.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use sdk_core::{
    driver::Store,
    engine::storage::{Batch, OutboxBatch, OutboxRecord, Query, Rows, Scan, StoreError, Stored},
    protocol::{TopicName, TopicPosition},
};
use serde::Deserialize;

use crate::sim::Sim;

/// What outlives a client's process.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    records: BTreeMap<u64, String>,
    meta: Option<String>,
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
        self.meta.as_deref().map(bookmarks).unwrap_or_default()
    }

    fn write(&mut self, batch: OutboxBatch) {
        for key in batch.remove {
            self.records.remove(&key);
        }
        self.records.extend(batch.put.into_iter().map(|record| (record.key, record.text)));
        self.meta = batch.meta.or(self.meta.take());
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
        let outbox = disk.records.iter().map(record).collect();
        Ok(Stored { outbox, meta: disk.meta.clone(), cursors: Some(Vec::new()), notes: Vec::new() })
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
                self.sim.books().stored(&name, &topic, at);
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
