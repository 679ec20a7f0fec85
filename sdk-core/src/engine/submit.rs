//! What the application asks for.

use super::{
    Effect, Engine, Event, Now, QueryId, ReadId, Refusal, Ticket,
    storage::{MAX_QUERY, Query},
};
use crate::{
    clock::Millis,
    outbox::{Full, State},
    protocol::{Base, DocKey, Intent, Operation, Seq, encode},
    reconcile,
};

impl Engine {
    pub(super) fn submit(
        &mut self,
        now: Now,
        ticket: Ticket,
        doc: DocKey,
        schema: u32,
        intents: Vec<Intent>,
    ) {
        match self.queue(now, doc, schema, intents) {
            Ok(seq) => {
                self.tickets.insert(seq, ticket);
            }
            Err(refusal) => self.emit(Event::Refused(ticket, refusal)),
        }
    }

    fn queue(&mut self, now: Now, doc: DocKey, schema: u32, intents: Vec<Intent>) -> Result<Seq, Refusal> {
        let collection = self.replica.collections.get(&doc.collection).ok_or(Refusal::UnknownCollection)?;
        let base = Base {
            clock: self.views.document(&doc).map(|document| document.clock.clone()).unwrap_or_default(),
            seen: collection.applied.clone(),
            was: None,
        };
        let strategy = collection.strategy;
        let at = self.clock.tick(self.server_time(now.wall));
        let seq = self.ids.next_seq();
        let operation = Operation { seq, doc, at, schema, intents, base, resolves: None };
        reconcile::validate(strategy, &operation).map_err(|reason| Refusal::Invalid(reason.message))?;
        let (bytes, limit) =
            (encode(&operation).len(), self.config.operation_bytes.min(self.limits.operation_bytes));
        if bytes > limit {
            return Err(Refusal::TooLarge { bytes, limit });
        }
        let doc = operation.doc.clone();
        let limits = self.outbox.limits();
        self.outbox
            .add(operation, bytes)
            .map_err(|Full| Refusal::OutboxFull { limit: limits.operations, bytes: limits.bytes })?;
        self.views.touch(&doc);
        Ok(seq)
    }

    /// This machine's idea of the server's clock.
    pub(super) fn server_time(&self, wall: Millis) -> Millis {
        Millis(wall.0.saturating_add_signed(self.ahead))
    }

    pub(super) fn discard(&mut self, seq: Seq) {
        if self.outbox.get(seq).is_some_and(|entry| matches!(entry.state, State::Rejected(_))) {
            self.drop_settled(seq);
        }
    }

    pub(super) fn open(&mut self, id: QueryId, query: Query) {
        if !self.views.has_room() {
            self.emit(Event::QueryRefused(id));
            return;
        }
        let query = match query {
            Query::Range { collection, from, to, limit } => {
                Query::Range { collection, from, to, limit: limit.clamp(1, MAX_QUERY) }
            }
            one => one,
        };
        let read = ReadId(self.next_id());
        self.views.open(id, query.clone(), read);
        self.effects.push_back(Effect::Read(read, query));
    }

    pub(super) fn allow_network(&mut self, now: Millis, allowed: bool) {
        if self.network && !allowed {
            self.drop_link(now, 0);
            self.socket.rest();
            self.poll.stop();
            self.request = None;
            self.outbox.requeue();
        }
        self.network = allowed;
        self.wake(now);
    }
}
