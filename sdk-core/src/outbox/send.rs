//! Which operations go out next.

use super::{Claim, Entry, Outbox, State, Work, entry::Lane};
use crate::{
    protocol::{ActorId, Limits, Operation, Publication, Seq},
    sorted::SortedMap,
};

/// What is sent at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Edits, those of a document in order.
    pub operations: Vec<Operation>,
    /// Events, those of a topic in order.
    pub publications: Vec<Publication>,
}

impl Batch {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.publications.is_empty()
    }
}

impl Outbox {
    /// Takes the next operations to send, those of a lane in order, within the server's limits, and marks them in
    /// flight. Each names the newest of its lane before it as seen, so that the server knows that its maker knew the
    /// document, also if the judgement of that one was lost on the way.
    pub fn take_batch(&mut self, limits: &Limits, most: usize, actor: Option<ActorId>) -> Batch {
        let room = limits.in_flight_operations.saturating_sub(self.in_flight);
        // Half a frame is left for the envelope and for bases that grow.
        let bytes = limits.frame_bytes / 2;
        let mut batch = Batch::default();
        for seq in self.ready(most.min(limits.batch_operations).min(room), bytes) {
            self.send(seq, actor);
            match &self.entries[&seq].work {
                Work::Edit(operation) => batch.operations.push(operation.clone()),
                Work::Event(publication, _) => batch.publications.push(publication.clone()),
            }
        }
        batch
    }

    /// The oldest queued operation.
    pub fn oldest_queued(&self) -> Option<&Entry> {
        self.queued.first().map(|seq| &self.entries[seq])
    }

    /// Whether anything can be sent now.
    pub fn has_ready(&self) -> bool {
        !self.ready(1, 0).is_empty()
    }

    /// The link is gone: whatever was in flight is sent again.
    pub fn requeue(&mut self) {
        let in_flight = |entry: &&Entry| matches!(entry.state, State::InFlight);
        let seqs: Vec<Seq> = self.entries.values().filter(in_flight).map(Entry::seq).collect();
        for seq in seqs {
            self.set_state(seq, State::Queued);
        }
    }

    /// The next operations that may go, at least one if there is any.
    fn ready(&self, most: usize, mut bytes: usize) -> Vec<Seq> {
        let (mut held, mut ready) = (self.held(), Vec::new());
        for seq in &self.queued {
            let entry = &self.entries[seq];
            let lane = entry.lane();
            if ready.len() >= most || (entry.bytes > bytes && !ready.is_empty()) {
                break;
            }
            if held.get(&lane).is_some_and(|first| first < seq)
                || self.outdated.contains(seq)
                || self.unsure.contains(seq)
            {
                continue;
            }
            let careful = entry.edit().is_some_and(|edit| self.careful.contains(&edit.doc.collection));
            if entry.identity == Claim::Taken {
                // Elsewhere those behind it may have been sent together with it, and are judged under the same id.
                if careful {
                    hold(&mut held, lane, *seq);
                }
                continue;
            }
            if !self.taken.is_empty() && entry.is_unsent() {
                continue;
            }
            let in_flight =
                |edit: &Operation| self.lane(&edit.doc).any(|other| other.state == State::InFlight);
            let behind = careful && entry.edit().is_some_and(in_flight);
            if behind || !self.parents_succeeded(entry) {
                hold(&mut held, lane, *seq);
                continue;
            }
            if careful {
                hold(&mut held, lane, *seq);
            }
            bytes = bytes.saturating_sub(entry.bytes);
            ready.push(*seq);
        }
        ready
    }

    /// Lanes with a durable operation that is being changed or withdrawn, is in conflict or of an earlier schema, or with an
    /// event that has no judgement yet or was refused, and which one that is: those behind it wait.
    fn held(&self) -> SortedMap<Lane<'_>, Seq> {
        let mut held = SortedMap::new();
        for (seq, before) in self.changes.iter().chain(&self.flushing) {
            let before = before.as_ref().map(|(entry, _)| entry);
            let held_by = match self.entries.get(seq) {
                Some(entry) if entry.is_visible() => {
                    Some(entry).filter(|entry| matches!(entry.state, State::Saving | State::Conflicted(_)))
                }
                // It comes back if that cannot be saved.
                _ => before.filter(|entry| entry.is_visible() || entry.event().is_some()),
            };
            if let Some(entry) = held_by {
                hold(&mut held, entry.lane(), *seq);
            }
        }
        let waiting = [&self.conflicted, &self.outdated, &self.published, &self.halting, &self.unsure];
        for seq in waiting.into_iter().flatten() {
            hold(&mut held, self.entries[seq].lane(), *seq);
        }
        held
    }

    /// What is not here any more has succeeded: a failure leaves a dead letter, and takes its dependents with it.
    fn parents_succeeded(&self, entry: &Entry) -> bool {
        entry.after.iter().all(|parent| match self.entries.get(parent) {
            Some(parent) => matches!(parent.state, State::Judged { .. }),
            None => true,
        })
    }

    fn send(&mut self, seq: Seq, actor: Option<ActorId>) {
        let before = self.edit(seq).and_then(|operation| {
            let before = self.lane(&operation.doc).take_while(|entry| entry.seq() < seq);
            before.filter(|entry| entry.is_visible()).last()?.dot(actor)
        });
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        if let (Work::Edit(operation), Some(dot)) = (&mut entry.work, before) {
            // A full clock loses nothing: the server knows the order of a lane by itself.
            let _ = operation.base.clock.record(dot);
        }
        entry.attempts = entry.attempts.saturating_add(1);
        self.set_state(seq, State::InFlight);
    }
}

/// Has what is behind an operation of a lane wait; the first that stands in the way counts.
fn hold<'a>(held: &mut SortedMap<Lane<'a>, Seq>, lane: Lane<'a>, seq: Seq) {
    let first = held.get_or_insert_with(lane, || seq);
    *first = seq.min(*first);
}
