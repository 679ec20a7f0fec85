//! Group commit: whatever is submitted while one commit is under way goes together in the next.

use super::{
    BatchId, Effect, Engine, Event, ReadId, Refusal, Ticket,
    replica::Staged,
    storage::{Batch, OutboxBatch, OutboxRecord, Rows, StoreError},
};
use crate::{
    clock::Millis,
    connection::Backoff,
    outbox::Records,
    protocol::{ErrorCode, ProtocolError, Seq},
    sorted::SortedMap,
};

/// The commits under way.
#[derive(Debug)]
pub(super) struct Saving {
    outbox: Option<BatchId>,
    wrote_meta: bool,
    /// Who waits for the commit under way.
    tickets: Tickets,
    replica: Option<BatchId>,
    backoff: Backoff,
    retry_at: Option<Millis>,
}

/// Who waits until a change of an operation is durable.
pub(super) type Tickets = SortedMap<Seq, Vec<Ticket>>;

impl Default for Saving {
    fn default() -> Self {
        Self {
            outbox: None,
            wrote_meta: false,
            tickets: Tickets::new(),
            replica: None,
            backoff: Backoff::new(250, 30_000),
            retry_at: None,
        }
    }
}

impl Saving {
    /// Whether a commit of the outbox is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.outbox.is_some()
    }

    /// Whether all is durable that has been given to the store.
    pub(super) fn is_done(&self) -> bool {
        self.outbox.is_none() && self.retry_at.is_none()
    }

    /// When removals that failed are tried again; a new submission does not wait for that.
    pub(super) fn timeout(&self) -> Option<Millis> {
        self.retry_at.filter(|_| self.outbox.is_none())
    }
}

impl Engine {
    pub(super) fn flush_outbox(&mut self, now: Millis) {
        let waiting = self.saving.retry_at.is_some_and(|at| at > now) && self.tickets.is_empty();
        if self.saving.outbox.is_some() || waiting {
            return;
        }
        self.saving.retry_at = None;
        let records = match self.outbox.flush() {
            Some(records) => records,
            None if self.ids.is_urgent() || self.must_ask_store() => Records::default(),
            None => return,
        };
        self.asks_store();
        let put = records.put.into_iter().map(|(key, text)| OutboxRecord { key, text }).collect();
        let meta = self.ids.flush(self.clock.newest());
        self.saving.wrote_meta = meta.is_some();
        self.saving.tickets = std::mem::take(&mut self.tickets);
        let id = BatchId(self.next_id());
        self.saving.outbox = Some(id);
        let batch =
            Batch::Outbox(OutboxBatch { remove: records.remove, put, meta, adopted: self.adoption.take() });
        self.effects.push_back(Effect::Commit(id, batch));
    }

    pub(super) fn flush_replica(&mut self, now: Millis) {
        if let Some(batch) = self.replica.flush(now) {
            let id = BatchId(self.next_id());
            self.saving.replica = Some(id);
            self.effects.push_back(Effect::Commit(id, Batch::Replica(batch)));
        }
    }

    pub(super) fn committed(&mut self, now: Millis, id: BatchId) {
        if self.saving.outbox.take_if(|current| *current == id).is_some() {
            self.saving.backoff.reset();
            self.store_answered(now, None);
            let saved = self.outbox.confirm();
            if std::mem::take(&mut self.saving.wrote_meta) && self.ids.confirm() {
                self.emit(Event::IdentityRenewed);
            }
            for (seq, tickets) in std::mem::take(&mut self.saving.tickets) {
                tickets.into_iter().for_each(|ticket| self.emit(Event::Submitted(ticket, seq)));
            }
            self.tell_ends(saved);
            self.amend_postponed();
        } else if self.saving.replica.take_if(|current| *current == id).is_some() {
            let stored = self.replica.confirm();
            self.show(stored);
            self.settle();
        }
    }

    pub(super) fn store_failed(&mut self, now: Millis, id: BatchId, error: StoreError) {
        if self.saving.outbox.take_if(|current| *current == id).is_some() {
            if std::mem::take(&mut self.saving.wrote_meta) {
                self.ids.take_back();
            }
            for (seq, doc) in self.outbox.take_back() {
                self.aborted.remove(&seq);
                doc.iter().for_each(|doc| self.views.touch(doc));
            }
            for ticket in
                std::mem::take(&mut self.saving.tickets).into_iter().flat_map(|(_, tickets)| tickets)
            {
                self.emit(Event::Refused(ticket, Refusal::NotDurable(error.clone())));
            }
            if error == StoreError::Lost {
                self.write_all();
                self.emit(Event::StorageLost);
            }
            self.store_answered(now, Some(&error));
            self.saving.retry_at = Some(self.saving.backoff.fail(now, 100, &mut self.random));
            self.amend_postponed();
        } else if self.saving.replica.take_if(|current| *current == id).is_some() {
            self.replica_failed(now, &error);
            self.store_answered(now, Some(&error));
        }
    }

    /// Has the next commit write every record, and the client's own: an outbox that holds less than all of them must
    /// not keep the client's id, or two operations could get the same one.
    pub(super) fn write_all(&mut self) {
        self.outbox.rewrite_all();
        self.ids.take_back();
    }

    pub(super) fn loaded(&mut self, now: Millis, id: ReadId, result: Result<Rows, StoreError>) {
        let taken = match self.inbox.take_read(id) {
            Some((query, scan)) => {
                let void = self.replica.is_emptying(query.collection());
                result.and_then(|rows| self.views.adopt(&query, scan, rows, void).map(drop))
            }
            None => result.and_then(|rows| {
                self.views.loaded(id, rows, |collection| self.replica.is_emptying(collection))
            }),
        };
        match taken {
            Ok(()) => {
                self.refill();
                self.settle();
            }
            Err(error) => {
                self.views.not_loaded();
                self.replica_failed(now, &error);
            }
        }
    }

    /// The replica is thrown away and fetched again. What is in view stays until then.
    fn replica_failed(&mut self, now: Millis, error: &StoreError) {
        self.problem = Some(ProtocolError::new(ErrorCode::StorageUnavailable, error.to_string()));
        self.saving.replica = None;
        self.abandon_fetches();
        self.views.mark_stale(|_| true);
        self.replica.fail(now, &mut self.random);
    }

    /// Puts stored changes into view.
    fn show(&mut self, stored: Staged) {
        let mut removed = false;
        self.inbox.cleared(|name| stored.empties(name));
        for (id, query) in self.views.cleared(|name| stored.empties(name)) {
            self.read(id, query);
        }
        for (key, document) in stored.documents {
            removed |= !document.is_alive();
            self.inbox.touch(&self.outbox, &key);
            self.views.update(&key, document, self.outbox.has_lane(&key));
        }
        for name in &stored.flips {
            for (id, query) in self.views.replaced(name) {
                self.read(id, query);
            }
        }
        for name in &stored.complete {
            self.views.drop_stale(|key| key.collection == *name);
        }
        if removed {
            self.refill();
        }
    }
}
