//! Judgements, and when an operation may leave.

use super::{Engine, Event};
use crate::{
    clock::Millis,
    outbox::{Entry, State},
    protocol::{CollectionName, ErrorCode, Judgement, Outcome, Rejection, Seq, StreamPosition},
};

/// Milliseconds that the change which contains a judged operation may take to come by itself.
const OVERDUE: u64 = 5_000;

impl Engine {
    /// Takes the server's judgements. Some may be repeated, or be of operations long settled.
    pub(super) fn judged(&mut self, judgements: Vec<Judgement>) {
        for judgement in judgements {
            self.judge(judgement);
        }
        self.batch = self.batch.saturating_mul(2);
        self.settle();
    }

    /// Takes one judgement.
    pub(super) fn judge(&mut self, judgement: Judgement) {
        let (seq, at) = (judgement.seq, self.server_now());
        let epoch = judgement.position.as_ref().map(|position| position.epoch.clone());
        let Some(dead) = self.outbox.judge(judgement, self.ids.meta.actor, at) else { return };
        if let Some(doc) = self.outbox.edit(seq).map(|operation| operation.doc.clone()) {
            if let Some(epoch) = epoch {
                self.replica.hear_of(&doc.collection, &epoch);
            }
            self.views.touch(&doc);
            self.inbox.touch(&self.outbox, &doc);
        }
        self.tell_ends(dead);
    }

    /// Tells of those operations that have become dead letters, or were withdrawn.
    pub(super) fn tell_ends(&mut self, seqs: Vec<Seq>) {
        for seq in seqs {
            let end = match self.outbox.get(seq) {
                Some(entry @ Entry { state: State::Rejected(dead), .. }) => {
                    Some((entry.edit().map(|operation| operation.doc.clone()), dead.reason.clone()))
                }
                Some(_) => None,
                None => self.aborted.remove(&seq).map(|doc| (doc, aborted())),
            };
            if let Some((doc, reason)) = end {
                doc.iter().for_each(|doc| self.views.touch(doc));
                // One that waited in vain before it was saved shows no more; but first it is told that it was submitted, or
                // that it could not be.
                if !self.outbox.is_unsaved(seq) {
                    self.emit(Event::Settled(seq, doc, Outcome::Rejected(reason)));
                }
            }
        }
    }

    /// Lets go of the operations whose effect the replica holds.
    pub(super) fn settle(&mut self) {
        let done: Vec<Seq> =
            self.outbox.judged().filter(|entry| self.is_contained(entry)).map(Entry::seq).collect();
        if !done.is_empty() {
            self.waiting_since = None;
        }
        for seq in done {
            let Some(entry) = self.drop_settled(seq) else { continue };
            let doc = entry.edit().map(|operation| operation.doc.clone());
            if let State::Judged { outcome, .. } = entry.state {
                self.emit(Event::Settled(seq, doc, outcome));
            }
        }
    }

    /// Judged operations whose change does not come are not waited for: it is pulled.
    pub(super) fn pull_overdue(&mut self, now: Millis) {
        let waiting = self.outbox.judged().next().is_some();
        match self.overdue_at() {
            Some(at) if waiting && at <= now => {
                let edits = self.outbox.judged().filter_map(Entry::edit);
                let names: Vec<_> = edits.map(|operation| operation.doc.collection.clone()).collect();
                names.iter().for_each(|name| self.replica.want(name));
                self.waiting_since = Some(now);
            }
            None if waiting => self.waiting_since = Some(now),
            _ if !waiting => self.waiting_since = None,
            _ => {}
        }
    }

    /// When the oldest judged operation has waited long enough.
    pub(super) fn overdue_at(&self) -> Option<Millis> {
        self.waiting_since.map(|since| since.plus(OVERDUE))
    }

    fn is_contained(&self, entry: &Entry) -> bool {
        let State::Judged { position, .. } = &entry.state else { return false };
        // An event is in its topic when it is judged, and nothing here shows it.
        let Some(doc) = entry.edit().map(|operation| &operation.doc) else { return true };
        let Some(collection) = self.replica.collections.get(&doc.collection) else { return true };
        // What is stored is not in view before it has been read.
        if collection.partial || self.views.is_reading(doc) {
            return false;
        }
        match (position, &collection.applied) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(position), Some(applied)) => applied.includes(&position.epoch, position.offset),
        }
    }

    /// These positions mean nothing any more; whatever is fetched next contains the effects.
    pub(super) fn forget_positions(&mut self, void: impl Fn(&CollectionName, &StreamPosition) -> bool) {
        let is_void = |entry: &&Entry| match &entry.state {
            State::Judged { position: Some(position), .. } => {
                entry.edit().is_some_and(|operation| void(&operation.doc.collection, position))
            }
            _ => false,
        };
        let seqs: Vec<Seq> = self.outbox.judged().filter(is_void).map(Entry::seq).collect();
        for seq in seqs {
            self.outbox.wait_for(seq, None);
        }
    }

    /// The server is in another history than the one in which some operations of a collection were judged: they
    /// are contained in all that there is of it by now.
    pub(super) fn move_positions(&mut self, name: &CollectionName, now: &StreamPosition) {
        let elsewhere = |entry: &&Entry| {
            let judged =
                matches!(&entry.state, State::Judged { position: Some(at), .. } if at.epoch != now.epoch);
            judged && entry.edit().is_some_and(|operation| operation.doc.collection == *name)
        };
        let seqs: Vec<Seq> = self.outbox.judged().filter(elsewhere).map(Entry::seq).collect();
        for seq in seqs {
            self.outbox.wait_for(seq, Some(now.clone()));
        }
        self.settle();
    }

    pub(super) fn drop_settled(&mut self, seq: Seq) -> Option<Entry> {
        let entry = self.outbox.remove(seq)?;
        if let Some(doc) = entry.edit().map(|operation| &operation.doc) {
            self.views.touch(doc);
            if !self.outbox.has_lane(doc) {
                self.views.release(doc);
            }
        }
        Some(entry)
    }
}

fn aborted() -> Rejection {
    Rejection { code: ErrorCode::Aborted, message: "the application withdrew the operation".into() }
}
