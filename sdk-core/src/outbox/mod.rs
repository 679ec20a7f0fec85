//! Pending operations, from the moment they are submitted until they are settled and removed from storage.
//!
//! An operation is *saving* until its record is durable, then *queued*, *in flight*, and *judged*. A judged one
//! stays, and stays visible, until the replica holds its effect; a rejected one stays until the application
//! has seen it. All operations of a document form a lane and go out in order.
//!
//! The outbox does no I/O. What has changed is collected by [`Outbox::flush`] into records, written in one commit,
//! and then either confirmed or taken back.

mod entry;
mod pack;
#[cfg(test)]
mod tests;

pub use entry::{Entry, State};
pub use pack::{RecordError, Records};

use crate::sorted::{SortedMap, SortedSet};
use crate::{
    clock::Dot,
    protocol::{ActorId, DocKey, Judgement, Limits, Operation, Outcome, Seq, StreamPosition},
};
use pack::Packs;

/// How much an outbox holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Operations, rejected ones included.
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
    entries: SortedMap<Seq, Entry>,
    lanes: SortedMap<DocKey, SortedSet<Seq>>,
    packs: Packs,
    bytes: usize,
    in_flight: usize,
    rejected: usize,
    judged: SortedSet<Seq>,
    queued: SortedSet<Seq>,
}

impl Outbox {
    /// An outbox with the operations of its stored records.
    ///
    /// # Errors
    /// A record that cannot be read. Nothing was changed in storage.
    pub fn restore<'a>(
        records: impl Iterator<Item = (u64, &'a str)>,
        limits: OutboxLimits,
    ) -> Result<Self, RecordError> {
        let mut outbox = Self { limits, ..Self::default() };
        for (key, text) in records {
            for entry in outbox.packs.restore(key, text)? {
                outbox.insert(entry);
            }
        }
        Ok(outbox)
    }

    /// Adds an operation that is to be saved.
    ///
    /// # Errors
    /// [`Full`]
    pub fn add(&mut self, operation: Operation, bytes: usize) -> Result<(), Full> {
        if self.entries.len() >= self.limits.operations || self.bytes + bytes > self.limits.bytes {
            return Err(Full);
        }
        self.packs.add(operation.seq);
        self.insert(Entry { operation, bytes, state: State::Saving });
        Ok(())
    }

    /// Collects what has changed since the last flush. Answer with [`Self::confirm`] or [`Self::take_back`] before
    /// the next.
    pub fn flush(&mut self) -> Option<Records> {
        self.packs.flush(&self.entries)
    }

    /// The flushed records are durable. Returns the operations that are now queued.
    pub fn confirm(&mut self) -> Vec<Seq> {
        let saved = self.packs.confirm();
        for seq in &saved {
            self.set_state(*seq, State::Queued);
        }
        saved
    }

    /// The flushed records were not written. Returns the new operations among them, which are gone: they will
    /// never be sent. Removals are flushed again.
    pub fn take_back(&mut self) -> Vec<Entry> {
        self.packs.take_back().into_iter().filter_map(|seq| self.drop_entry(seq)).collect()
    }

    /// Takes the next operations to send, those of a lane in order, within the server's limits, and marks them in
    /// flight.
    pub fn take_batch(&mut self, limits: &Limits, most: usize) -> Vec<Operation> {
        let room = limits.in_flight_operations.saturating_sub(self.in_flight);
        let most = most.min(limits.batch_operations).min(room);
        // Half a frame is left for the envelope and for bases that grow.
        let (mut bytes, mut batch) = (limits.frame_bytes / 2, Vec::new());
        for seq in &self.queued {
            let entry = &self.entries[seq];
            if batch.len() >= most || (entry.bytes > bytes && !batch.is_empty()) {
                break;
            }
            bytes = bytes.saturating_sub(entry.bytes);
            batch.push(entry.operation.clone());
        }
        for operation in &batch {
            self.set_state(operation.seq, State::InFlight);
        }
        batch
    }

    /// The oldest queued operation, and its size.
    pub fn oldest_queued(&self) -> Option<&Entry> {
        self.queued.first().map(|seq| &self.entries[seq])
    }

    /// The link is gone: whatever was in flight is sent again.
    pub fn requeue(&mut self) {
        let in_flight = |entry: &&Entry| matches!(entry.state, State::InFlight);
        let seqs: Vec<Seq> =
            self.entries.values().filter(in_flight).map(|entry| entry.operation.seq).collect();
        for seq in seqs {
            self.set_state(seq, State::Queued);
        }
    }

    /// Records a judgement. Returns false if the operation was not waiting for one. After an operation that was not
    /// rejected the rest of its lane moves onto the new base.
    pub fn judge(&mut self, judgement: Judgement, actor: Option<ActorId>) -> bool {
        let seq = judgement.seq;
        let Some(entry) = self.entries.get(&seq) else { return false };
        if !matches!(entry.state, State::InFlight | State::Queued) {
            return false;
        }
        let lane = entry.operation.doc.clone();
        match judgement.outcome {
            Outcome::Rejected(reason) => {
                self.set_state(seq, State::Rejected(reason));
                self.packs.rewrite(seq);
            }
            // Nothing was judged: it is sent again on the next link.
            Outcome::Conflicted(_) => return false,
            outcome => {
                self.set_state(seq, State::Judged { outcome, position: judgement.position });
                if let Some(actor) = actor {
                    self.rebase(&lane, Dot { actor, seq });
                }
            }
        }
        true
    }

    /// Whoever made the later operations of a lane had seen the earlier ones.
    fn rebase(&mut self, lane: &DocKey, dot: Dot) {
        let later: Vec<Seq> =
            self.lane(lane).filter(|entry| entry.operation.seq > dot.seq).map(Entry::seq).collect();
        for seq in later {
            if let Some(entry) = self.entries.get_mut(&seq) {
                // A full clock loses nothing: the server knows the order of a lane by itself.
                let _ = entry.operation.base.clock.record(dot);
            }
        }
    }

    /// The judged operations, oldest first.
    pub fn judged(&self) -> impl Iterator<Item = &Entry> {
        self.judged.iter().map(|seq| &self.entries[seq])
    }

    /// Gives a judged operation another position to wait for; none for the next commit of the replica.
    pub fn wait_for(&mut self, seq: Seq, other: Option<StreamPosition>) {
        if let Some(State::Judged { position, .. }) = self.entries.get_mut(&seq).map(|entry| &mut entry.state)
        {
            *position = other;
        }
    }

    /// Removes an operation that is settled, or was rejected and seen.
    pub fn remove(&mut self, seq: Seq) -> Option<Entry> {
        self.packs.remove(seq);
        self.drop_entry(seq)
    }

    /// The operations of a document, oldest first.
    pub fn lane(&self, doc: &DocKey) -> impl Iterator<Item = &Entry> {
        self.lanes.get(doc).into_iter().flatten().map(|seq| &self.entries[seq])
    }

    /// The documents that have operations here, from `first` on.
    pub fn lanes_from(&self, first: &DocKey) -> impl Iterator<Item = &DocKey> {
        self.lanes.range(first.clone()..).map(|(doc, _)| doc)
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

    /// Operations that were rejected and not yet seen.
    pub fn rejected(&self) -> usize {
        self.rejected
    }

    /// Operations sent and not judged.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether anything is waiting to be sent.
    pub fn has_queued(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Its limits.
    pub fn limits(&self) -> OutboxLimits {
        self.limits
    }

    fn insert(&mut self, entry: Entry) {
        let seq = entry.seq();
        self.bytes += entry.bytes;
        self.lanes.get_or_insert_with(entry.operation.doc.clone(), Default::default).insert(seq);
        self.count(seq, &entry.state, true);
        self.entries.insert(seq, entry);
    }

    fn drop_entry(&mut self, seq: Seq) -> Option<Entry> {
        let entry = self.entries.remove(&seq)?;
        self.bytes -= entry.bytes;
        self.count(seq, &entry.state, false);
        if let Some(lane) = self.lanes.get_mut(&entry.operation.doc) {
            lane.remove(&seq);
            if lane.is_empty() {
                self.lanes.remove(&entry.operation.doc);
            }
        }
        Some(entry)
    }

    fn set_state(&mut self, seq: Seq, state: State) {
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        let before = std::mem::replace(&mut entry.state, state.clone());
        self.count(seq, &before, false);
        self.count(seq, &state, true);
    }

    /// Keeps the indexes by state.
    fn count(&mut self, seq: Seq, state: &State, present: bool) {
        let index = match state {
            State::Saving => return,
            State::Queued => &mut self.queued,
            State::Judged { .. } => &mut self.judged,
            State::InFlight | State::Rejected(_) => {
                let number =
                    if matches!(state, State::InFlight) { &mut self.in_flight } else { &mut self.rejected };
                *number = if present { *number + 1 } else { *number - 1 };
                return;
            }
        };
        if present {
            index.insert(seq)
        } else {
            index.remove(&seq)
        };
    }
}
