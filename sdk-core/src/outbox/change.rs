//! What the application adds, changes and withdraws. Each change is made at once and shows at once, and is taken
//! back if it cannot be saved: what was durable before is then as it was.

use super::{Dead, Entry, Full, Outbox, Records, State, Work};
use crate::clock::Millis;
use crate::protocol::{DocKey, Operation, Seq, TopicName};
use crate::sorted::{SortedMap, SortedSet};

/// What a change replaced: an operation and its record; nothing if the operation is new.
pub(super) type Before = Option<(Entry, Option<u64>)>;

impl Outbox {
    /// Adds an operation that is to be saved, and sent once those it comes `after` have succeeded.
    ///
    /// # Errors
    /// [`Full`]
    pub fn add(&mut self, work: Work, bytes: usize, after: Vec<Seq>) -> Result<(), Full> {
        if self.entries.len() >= self.limits.operations || self.bytes + bytes > self.limits.bytes {
            return Err(Full);
        }
        let seq = work.seq();
        self.packs.add(seq);
        self.changes.get_or_insert_with(seq, || None);
        self.insert(Entry::new(work, bytes, after));
        Ok(())
    }

    /// Adds one that will never be sent, for the application to act on.
    ///
    /// # Errors
    /// [`Full`]
    pub fn add_dead(&mut self, work: Work, bytes: usize, why: Dead) -> Result<(), Full> {
        let seq = work.seq();
        self.add(work, bytes, Vec::new())?;
        self.set_state(seq, State::Rejected(why));
        Ok(())
    }

    /// Puts another operation in the place of the one with the same `Seq`, to be saved before it is sent.
    ///
    /// # Errors
    /// [`Full`]: the other one is too long; nothing was changed.
    pub fn replace(&mut self, work: Work, bytes: usize) -> Result<(), Full> {
        let seq = work.seq();
        let Some(old) = self.entries.get(&seq) else { return Ok(()) };
        if (self.bytes - old.bytes) + bytes > self.limits.bytes {
            return Err(Full);
        }
        let mut new = old.clone();
        (new.work, new.bytes) = (work, bytes);
        self.remember(seq);
        self.packs.rewrite(seq);
        self.drop_entry(seq);
        self.insert(new);
        self.set_state(seq, State::Saving);
        Ok(())
    }

    /// The same with the form that an operation has in the present schema. One in conflict stays so.
    ///
    /// # Errors
    /// [`Full`]: the form is too long; nothing was changed.
    pub fn migrate(&mut self, operation: Operation, bytes: usize) -> Result<(), Full> {
        let seq = operation.seq;
        let before = self.entries.get(&seq).map(|entry| entry.state.clone());
        self.replace(operation.into(), bytes)?;
        if let Some(conflict @ State::Conflicted(_)) = before {
            self.set_state(seq, conflict);
        }
        Ok(())
    }

    /// Withdraws an operation that was never sent, or a dead letter. Those that wait for it become dead letters.
    pub fn withdraw(&mut self, seq: Seq, at: Millis) {
        for child in self.dependents(seq) {
            self.remember(child);
            self.bury(child, Dead::of_dependency(at));
        }
        self.remember(seq);
        self.packs.remove(seq);
        self.drop_entry(seq);
    }

    /// Makes a dead letter an operation like any other again, in one commit: at the end of its lane and under another
    /// `Seq`, as the old one may be bound to a judgement. Dead letters that waited for it wait for the new one.
    ///
    /// # Errors
    /// [`Full`]; nothing was changed.
    pub fn revive(&mut self, dead: Seq, operation: Operation, bytes: usize) -> Result<(), Full> {
        let Some(entry) = self.entries.get(&dead) else { return Ok(()) };
        let freed = entry.bytes;
        if (self.bytes - freed) + bytes > self.limits.bytes {
            return Err(Full);
        }
        let alive = |parent: &Seq| self.entries.get(parent).is_some_and(Entry::is_visible);
        let after = entry.after.iter().copied().filter(alive).collect();
        let seq = operation.seq;
        for child in self.children.get(&dead).cloned().into_iter().flatten() {
            self.remember(child);
            self.packs.rewrite(child);
            let Some(mut waiting) = self.drop_entry(child) else { continue };
            waiting.after.iter_mut().filter(|parent| **parent == dead).for_each(|parent| *parent = seq);
            self.insert(waiting);
        }
        self.remember(dead);
        self.packs.remove(dead);
        self.drop_entry(dead);
        self.packs.add(seq);
        self.changes.get_or_insert_with(seq, || None);
        self.insert(Entry::new(operation.into(), bytes, after));
        Ok(())
    }

    /// The newest operation of a lane, if another edit may be folded into it: it was never sent, is not being saved
    /// at this moment, waits for nothing, and nothing waits for it.
    pub fn foldable(&self, doc: &DocKey) -> Option<&Entry> {
        self.lane(doc).rfind(|entry| entry.is_visible()).filter(|newest| self.is_apart(newest))
    }

    /// The event for a topic that one of the same key may take the place of; under the same conditions, wherever it stands
    /// in its lane.
    pub fn replaceable(&self, topic: &TopicName, key: &str) -> Option<Seq> {
        let same = |entry: &&Entry| matches!(&entry.work, Work::Event(event, Some(of)) if event.topic == *topic && of == key);
        self.entries.values().rfind(|entry| same(entry) && self.is_apart(entry)).map(Entry::seq)
    }

    /// Whether an operation was never sent, is not being saved at this moment, waits for nothing, and nothing for it.
    fn is_apart(&self, entry: &Entry) -> bool {
        let seq = entry.seq();
        let apart = entry.after.is_empty() && !self.children.contains_key(&seq);
        entry.is_unsent() && apart && !self.flushing.contains_key(&seq)
    }

    /// Whether an operation is new and its first commit not yet durable.
    pub fn is_unsaved(&self, seq: Seq) -> bool {
        let new = |changes: &SortedMap<Seq, Before>| matches!(changes.get(&seq), Some(None));
        new(&self.changes) || new(&self.flushing)
    }

    /// Whether what is stored of an operation is not what it is now.
    pub fn is_unstored(&self, seq: Seq) -> bool {
        self.changes.contains_key(&seq) || self.flushing.contains_key(&seq)
    }

    /// Whether an operation, or one that waits for it, is changed and that is not saved yet.
    pub fn is_changing(&self, seq: Seq) -> bool {
        self.is_unstored(seq) || self.dependents(seq).iter().any(|child| self.is_unstored(*child))
    }

    /// Has the next flush collect every record, whether or not it has changed.
    pub fn rewrite_all(&mut self) {
        self.packs.rewrite_all();
    }

    /// Collects what has changed since the last flush. Answer with [`Self::confirm`] or [`Self::take_back`] before
    /// the next.
    pub fn flush(&mut self) -> Option<Records> {
        let records = self.packs.flush(&self.entries)?;
        self.flushing = std::mem::take(&mut self.changes);
        Some(records)
    }

    /// The flushed records are durable. Returns the operations that are new, changed or withdrawn; those that are to
    /// be sent are now queued.
    pub fn confirm(&mut self) -> Vec<Seq> {
        self.packs.confirm();
        self.unsure = SortedSet::default();
        let saved: Vec<Seq> = std::mem::take(&mut self.flushing).into_iter().map(|(seq, _)| seq).collect();
        for seq in &saved {
            if self.entries.get(seq).is_some_and(|entry| matches!(entry.state, State::Saving)) {
                self.set_state(*seq, State::Queued);
            }
        }
        saved
    }

    /// The flushed records were not written. Returns the operations whose change was taken back, with the documents
    /// that they edit: new ones are gone and will never be sent, others are as they were. Removals are flushed again.
    pub fn take_back(&mut self) -> Vec<(Seq, Option<DocKey>)> {
        self.packs.take_back();
        let mut undone = Vec::new();
        for (seq, before) in std::mem::take(&mut self.flushing) {
            let doc = |entry: &Entry| entry.edit().map(|operation| operation.doc.clone());
            let now = self.drop_entry(seq).as_ref().and_then(doc);
            let doc = before.as_ref().map_or(now, |(entry, _)| doc(entry));
            if let Some((mut entry, record)) = before {
                if let Some(at) = self.dead_parent(&entry) {
                    entry.state = State::Rejected(Dead::of_dependency(at));
                } else if matches!(entry.state, State::Saving) {
                    entry.state = State::Queued;
                }
                if let Some(record) = record {
                    self.packs.put_back(seq, record);
                }
                // The store may have written the change although it said otherwise. It is not sent before it is stored as
                // it stands: a restart would find another form of it, or none, and know nothing of this one.
                self.insert(entry);
                self.unsure.insert(seq);
            }
            undone.push((seq, doc));
        }
        undone
    }

    /// When something that an operation waits for failed, meanwhile.
    fn dead_parent(&self, entry: &Entry) -> Option<Millis> {
        let dead = |parent: &Seq| match &self.entries.get(parent)?.state {
            State::Rejected(dead) => Some(dead.at),
            _ => None,
        };
        entry.after.iter().find_map(dead).filter(|_| entry.is_visible())
    }

    /// Keeps an operation as it is durable now, for the case that its change cannot be saved.
    fn remember(&mut self, seq: Seq) {
        let Some(entry) = self.entries.get(&seq) else { return };
        let record = self.packs.record_of(seq);
        self.changes.get_or_insert_with(seq, || Some((entry.clone(), record)));
    }
}
