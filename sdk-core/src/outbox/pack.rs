//! Records: several operations each, because a store is fast in bytes and slow in records.
//!
//! A record's key is the smallest `Seq` it was made with. When some of its operations go, the record is written
//! again with the rest; when all are gone, it is removed.

use super::entry::{Clashing, Dead, Entry, State, Work};
use crate::protocol::{Json, Operation, Publication, Seq, TopicName};
use crate::sorted::{SortedMap, SortedSet};
use crate::wire::{Bad, Reader, decode, encode, record};

/// Operations in one record.
const PACK_OPERATIONS: usize = 64;
/// Bytes after which a record takes no more operations.
const PACK_BYTES: usize = 64 * 1024;

/// What is to be written in one commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    /// Keys that go.
    pub remove: Vec<u64>,
    /// Records that are written, by key.
    pub put: Vec<(u64, String)>,
}

/// A record as JSON.
struct Record {
    operations: Vec<Packed>,
}

/// Either an edit or an event.
#[derive(Default)]
struct Packed {
    op: Option<Operation>,
    seq: Option<Seq>,
    topic: Option<TopicName>,
    event: Option<Json>,
    coalesce: Option<String>,
    after: Vec<Seq>,
    attempts: u32,
    rejected: Option<Dead>,
    conflict: Option<Clashing>,
}

record!(Record {
    operations: "operations";
});

record!(Packed {
    op: "op";
    seq: "seq";
    topic: "topic";
    event: "event";
    coalesce: "coalesce";
    after: "after", or_empty;
    attempts: "attempts" or 0;
    rejected: "rejected";
    conflict: "conflict";
});

/// Which operation is in which record, and what is to be written.
#[derive(Debug, Default)]
pub(super) struct Packs {
    members: SortedMap<u64, SortedSet<Seq>>,
    home: SortedMap<Seq, u64>,
    /// Operations in no record yet.
    fresh: SortedSet<Seq>,
    /// Records that are no longer what is stored.
    dirty: SortedSet<u64>,
    flushing: Option<Flush>,
}

#[derive(Debug)]
struct Flush {
    fresh: SortedSet<Seq>,
    new_keys: SortedSet<u64>,
    dirty: SortedSet<u64>,
}

impl Packs {
    /// The operations of a stored record. One that cannot be read is not known here afterwards, so that nothing ever
    /// rewrites or removes it.
    pub(super) fn restore(&mut self, key: u64, text: &str) -> Result<Vec<Entry>, Bad> {
        let record: Record = decode(text)?;
        let mut entries = Vec::with_capacity(record.operations.len());
        for packed in record.operations {
            entries.push(entry(packed)?);
        }
        for entry in &entries {
            self.home.insert(entry.seq(), key);
            self.members.get_or_insert_with(key, Default::default).insert(entry.seq());
        }
        Ok(entries)
    }

    pub(super) fn add(&mut self, seq: Seq) {
        self.fresh.insert(seq);
    }

    pub(super) fn rewrite(&mut self, seq: Seq) {
        if let Some(key) = self.home.get(&seq) {
            self.dirty.insert(*key);
        }
    }

    pub(super) fn rewrite_all(&mut self) {
        self.dirty.extend(self.members.keys().copied());
    }

    pub(super) fn remove(&mut self, seq: Seq) {
        self.rewrite(seq);
        if let Some(key) = self.home.remove(&seq)
            && let Some(members) = self.members.get_mut(&key)
        {
            members.remove(&seq);
        }
    }

    /// Which record an operation is in; none if it is in none yet.
    pub(super) fn record_of(&self, seq: Seq) -> Option<u64> {
        self.home.get(&seq).copied()
    }

    /// Puts it back there.
    pub(super) fn put_back(&mut self, seq: Seq, key: u64) {
        self.home.insert(seq, key);
        self.members.get_or_insert_with(key, Default::default).insert(seq);
        self.dirty.insert(key);
    }

    pub(super) fn flush(&mut self, entries: &SortedMap<Seq, Entry>) -> Option<Records> {
        if self.fresh.is_empty() && self.dirty.is_empty() {
            return None;
        }
        let fresh = std::mem::take(&mut self.fresh);
        let new_keys = self.pack(&fresh, entries);
        let dirty = std::mem::take(&mut self.dirty);
        let mut records = Records::default();
        let mut keys = new_keys.clone();
        keys.extend(dirty.iter().copied());
        for key in &keys {
            match self.members.get(key).filter(|members| !members.is_empty()) {
                Some(members) => records.put.push((*key, text(members, entries))),
                None => {
                    self.members.remove(key);
                    records.remove.push(*key);
                }
            }
        }
        self.flushing = Some(Flush { fresh, new_keys, dirty });
        Some(records)
    }

    /// Distributes operations over new records.
    fn pack(&mut self, fresh: &SortedSet<Seq>, entries: &SortedMap<Seq, Entry>) -> SortedSet<u64> {
        let mut keys = SortedSet::default();
        let (mut key, mut count, mut bytes) = (0, 0, 0);
        for seq in fresh {
            if count == 0 || count >= PACK_OPERATIONS || bytes >= PACK_BYTES {
                (key, count, bytes) = (seq.0, 0, 0);
                keys.insert(key);
            }
            count += 1;
            bytes += entries.get(seq).map_or(0, |entry| entry.bytes);
            self.home.insert(*seq, key);
            self.members.get_or_insert_with(key, Default::default).insert(*seq);
        }
        keys
    }

    pub(super) fn confirm(&mut self) {
        self.flushing = None;
    }

    /// Nothing was written. New operations are in no record again; what has become of them is the caller's concern.
    pub(super) fn take_back(&mut self) {
        let Some(flush) = self.flushing.take() else { return };
        for seq in &flush.fresh {
            self.home.remove(seq);
        }
        for key in &flush.new_keys {
            self.members.remove(key);
        }
        // A store may report a failure although it has written. Whatever it says, records whose operations were
        // refused must not come back after a restart, so they are removed once more.
        self.dirty.extend(flush.dirty);
        self.dirty.extend(flush.new_keys);
    }
}

/// An operation as it was stored.
fn entry(packed: Packed) -> Result<Entry, Bad> {
    let Packed { op, seq, topic, event, coalesce, after, attempts, rejected, conflict } = packed;
    let work = match (op, seq.zip(topic).zip(event)) {
        (Some(op), None) => Work::Edit(op),
        (None, Some(((seq, topic), event))) => Work::Event(Publication { seq, topic, event }, coalesce),
        _ => return Err(Reader::new("").bad("neither an edit nor an event")),
    };
    let bytes = work.text().len();
    let state = match (rejected, conflict) {
        (Some(dead), _) => State::Rejected(dead),
        (None, Some(clashing)) => State::Conflicted(clashing),
        (None, None) => State::Queued,
    };
    Ok(Entry { state, attempts, restored: true, ..Entry::new(work, bytes, after) })
}

fn text(members: &SortedSet<Seq>, entries: &SortedMap<Seq, Entry>) -> String {
    let packed = |entry: &Entry| {
        let (rejected, conflict) = match &entry.state {
            State::Rejected(dead) => (Some(dead.clone()), None),
            State::Conflicted(clashing) => (None, Some(clashing.clone())),
            _ => (None, None),
        };
        let mut packed = Packed {
            after: entry.after.clone(),
            attempts: entry.attempts,
            rejected,
            conflict,
            ..Packed::default()
        };
        match &entry.work {
            Work::Edit(operation) => packed.op = Some(operation.clone()),
            Work::Event(Publication { seq, topic, event }, coalesce) => {
                packed.seq = Some(*seq);
                packed.topic = Some(topic.clone());
                packed.event = Some(event.clone());
                packed.coalesce.clone_from(coalesce);
            }
        }
        packed
    };
    encode(&Record { operations: members.iter().filter_map(|seq| entries.get(seq)).map(packed).collect() })
}
