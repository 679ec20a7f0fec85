//! Pending operations, from the moment they are submitted until they are settled and removed from storage.
//!
//! An operation is *saving* until its record is durable, then *queued*, *in flight*, and *judged*. A judged one
//! stays, and stays visible, until the replica holds its effect; a rejected one stays as a *dead letter* until the
//! application has acted on it. All edits of a document form a lane and go out in order, and so do all events for a
//! topic. A rejected edit leaves its lane to go on; behind a rejected event nothing goes out before the application has
//! acted on it.
//!
//! The outbox does no I/O. What has changed is collected by [`Outbox::flush`] into records, written in one commit,
//! and then either confirmed or taken back.

mod change;
mod entry;
mod fold;
mod judge;
mod pack;
mod send;
#[cfg(test)]
mod tests;

pub use entry::{Clashing, Dead, Entry, State, Work};
pub use fold::fold;
pub use pack::Records;
pub use send::Batch;

use crate::protocol::{CollectionName, DocKey, MAX_REJECTED, Operation, Seq};
use crate::sorted::{SortedMap, SortedSet};
use change::Before;
use entry::Claim;
use pack::Packs;

/// Operations that one operation may wait for.
pub const MAX_PARENTS: usize = 16;

/// How much an outbox holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Operations, dead letters included. One that could not be withdrawn is there again, also beyond this.
    pub operations: usize,
    /// Bytes of their JSON text.
    pub bytes: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { operations: 10_000, bytes: 32 << 20 }
    }
}

/// The outbox is at its limit; nothing was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The pending operations of one client.
#[derive(Debug, Default)]
pub struct Outbox {
    limits: OutboxLimits,
    /// Version of the application's schema; what is older is not sent.
    schema: u32,
    /// Collections whose lanes have one operation in flight at a time, because it may meet a conflict.
    careful: Vec<CollectionName>,
    entries: SortedMap<Seq, Entry>,
    lanes: SortedMap<DocKey, SortedSet<Seq>>,
    /// Who waits for an operation.
    children: SortedMap<Seq, SortedSet<Seq>>,
    packs: Packs,
    /// What was changed since the last flush, with what to put back if it cannot be saved.
    changes: SortedMap<Seq, Before>,
    /// The same of the commit under way.
    flushing: SortedMap<Seq, Before>,
    /// Operations whose change could not be saved, until they are stored anew as they were.
    unsure: SortedSet<Seq>,
    bytes: usize,
    /// Stored records that could not be read.
    unreadable: usize,
    in_flight: usize,
    rejected: usize,
    judged: SortedSet<Seq>,
    conflicted: SortedSet<Seq>,
    queued: SortedSet<Seq>,
    /// Operations of an earlier schema, but for dead letters.
    outdated: SortedSet<Seq>,
    /// Events that are in flight.
    published: SortedSet<Seq>,
    /// Events among the dead letters.
    halting: SortedSet<Seq>,
    /// Operations whose id another copy of this client has used.
    taken: SortedSet<Seq>,
}

impl Outbox {
    /// An outbox with the operations of its stored records. In the `careful` collections an operation is sent only
    /// when the one before it in its lane has been judged. One of an earlier `schema` is not sent before it was
    /// [migrated](Self::migrate).
    ///
    /// Records that cannot be read are counted and otherwise passed over: they stay in storage as they are.
    pub fn restore<'a>(
        records: impl Iterator<Item = (u64, &'a str)>,
        limits: OutboxLimits,
        schema: u32,
        careful: Vec<CollectionName>,
    ) -> Self {
        let mut outbox = Self { limits, schema, careful, ..Self::default() };
        for (key, text) in records {
            match outbox.packs.restore(key, text) {
                Ok(entries) => entries.into_iter().for_each(|entry| outbox.insert(entry)),
                Err(_) => outbox.unreadable += 1,
            }
        }
        outbox
    }

    /// The judged operations, oldest first.
    pub fn judged(&self) -> impl Iterator<Item = &Entry> {
        self.judged.iter().map(|seq| &self.entries[seq])
    }

    /// The operations that wait for somebody to decide, oldest first.
    pub fn conflicted(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.conflicted.iter().map(|seq| &self.entries[seq])
    }

    /// The operations of an earlier schema that are to be brought up to this one, oldest first. One that is being
    /// changed is among them when that is saved.
    pub fn outdated(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.outdated.iter().map(|seq| &self.entries[seq]);
        entries.filter(|entry| matches!(entry.state, State::Queued | State::Conflicted(_)))
    }

    /// Whether an operation is of an earlier schema, and no dead letter.
    pub fn is_outdated(&self, seq: Seq) -> bool {
        self.outdated.contains(&seq)
    }

    /// Removes an operation that is settled, or was rejected and seen. The next of its lane keeps what it knows of this
    /// one by the name that the server has for the client: the client may go by another when that is sent.
    pub fn remove(&mut self, seq: Seq) -> Option<Entry> {
        if let State::Judged { dot, .. } = self.entries.get(&seq)?.state {
            self.pass_on(seq, dot);
        }
        let doc = self.entries.get(&seq)?.edit().map(|operation| &operation.doc);
        let next = doc.and_then(|doc| self.lane(doc).map(Entry::seq).find(|next| *next > seq));
        if let Some(next) = next {
            // What the next one knows of this one is stored with it, now that nothing else tells.
            self.packs.rewrite(next);
        }
        self.packs.remove(seq);
        self.drop_entry(seq)
    }

    /// One edit.
    pub fn edit(&self, seq: Seq) -> Option<&Operation> {
        self.entries.get(&seq)?.edit()
    }

    /// The operations of a document, oldest first.
    pub fn lane(&self, doc: &DocKey) -> impl DoubleEndedIterator<Item = &Entry> {
        self.lanes.get(doc).into_iter().flatten().map(|seq| &self.entries[seq])
    }

    /// The documents that have operations here, from `first` on.
    pub fn lanes_from(&self, first: DocKey) -> impl Iterator<Item = &DocKey> {
        self.lanes.range(first..).map(|(doc, _)| doc)
    }

    /// Whether the document has operations here.
    pub fn has_lane(&self, doc: &DocKey) -> bool {
        self.lanes.contains_key(doc)
    }

    /// One operation.
    pub fn get(&self, seq: Seq) -> Option<&Entry> {
        self.entries.get(&seq)
    }

    /// Every operation, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Operations that are not settled.
    pub fn pending(&self) -> usize {
        self.entries.len() - self.rejected
    }

    /// The newest dead letters, newest first: those that the server hears of.
    pub fn dead(&self) -> Vec<Seq> {
        let dead = self.entries.values().rev().filter(|entry| !entry.is_visible());
        dead.map(Entry::seq).take(MAX_REJECTED).collect()
    }

    /// Dead letters.
    pub fn rejected(&self) -> usize {
        self.rejected
    }

    /// Stored records that could not be read.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// Operations sent and not judged.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Its limits.
    pub fn limits(&self) -> OutboxLimits {
        self.limits
    }

    fn insert(&mut self, entry: Entry) {
        let seq = entry.seq();
        self.bytes += entry.bytes;
        if let Some(operation) = entry.edit() {
            self.lanes.get_or_insert_with(operation.doc.clone(), Default::default).insert(seq);
        }
        for parent in &entry.after {
            self.children.get_or_insert_with(*parent, Default::default).insert(seq);
        }
        self.count(seq, &entry.state, entry.event().is_some(), true);
        let old = |operation: &Operation| operation.schema < self.schema;
        if entry.is_visible() && entry.edit().is_some_and(old) {
            self.outdated.insert(seq);
        }
        self.entries.insert(seq, entry);
    }

    fn drop_entry(&mut self, seq: Seq) -> Option<Entry> {
        let entry = self.entries.remove(&seq)?;
        self.bytes -= entry.bytes;
        self.taken.remove(&seq);
        self.unsure.remove(&seq);
        self.outdated.remove(&seq);
        self.count(seq, &entry.state, entry.event().is_some(), false);
        if let Some(operation) = entry.edit() {
            leave(&mut self.lanes, &operation.doc, seq);
        }
        for parent in &entry.after {
            leave(&mut self.children, parent, seq);
        }
        Some(entry)
    }

    fn set_state(&mut self, seq: Seq, state: State) {
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        let before = std::mem::replace(&mut entry.state, state.clone());
        let event = entry.event().is_some();
        if matches!(state, State::Rejected(_)) {
            self.outdated.remove(&seq);
        }
        self.count(seq, &before, event, false);
        self.count(seq, &state, event, true);
    }

    /// Keeps the indexes by state.
    fn count(&mut self, seq: Seq, state: &State, event: bool, present: bool) {
        let index = match state {
            State::Saving => return,
            State::Queued => &mut self.queued,
            State::Judged { .. } => &mut self.judged,
            State::Conflicted(_) => &mut self.conflicted,
            State::InFlight | State::Rejected(_) => {
                let (number, events) = match state {
                    State::InFlight => (&mut self.in_flight, &mut self.published),
                    _ => (&mut self.rejected, &mut self.halting),
                };
                *number = if present { *number + 1 } else { *number - 1 };
                if !event {
                    return;
                }
                events
            }
        };
        if present {
            index.insert(seq)
        } else {
            index.remove(&seq)
        };
    }
}

/// Takes a member out of a group, and the group away when it is empty.
fn leave<K: Ord>(groups: &mut SortedMap<K, SortedSet<Seq>>, group: &K, seq: Seq) {
    if let Some(members) = groups.get_mut(group) {
        members.remove(&seq);
        if members.is_empty() {
            groups.remove(group);
        }
    }
}
