//! What the application asks for.

use super::{
    Engine, Event, QueryId, Refusal, Ticket,
    storage::{MAX_QUERY, Query},
};
use crate::{
    clock::Millis,
    outbox::{Dead, Full, MAX_PARENTS, State, Work, fold},
    protocol::{
        Base, DocKey, ErrorCode, FieldName, Fields, Intent, Json, Operation, Publication, Rejection, Seq,
        TopicName, encode,
    },
    reconcile,
};

/// What the decision of a conflict adds to an operation at least, which must leave room for it.
const DECISION_BYTES: usize = 64;

/// What the application wants done.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// An edit of a document, written for a version of the application's schema.
    Edit(DocKey, u32, Vec<Intent>),
    /// An event for a topic, with the key under which a later one takes its place.
    Event(TopicName, Json, Option<String>),
}

impl Engine {
    /// Answers now with a refusal, or with the place of an operation once that is durable as it stands.
    pub(super) fn answer_when_durable(&mut self, ticket: Ticket, result: Result<Seq, Refusal>) {
        self.adoption.answered(ticket, result.as_ref().ok().copied());
        match result {
            Ok(seq) => self.tickets.get_or_insert_with(seq, Vec::new).push(ticket),
            Err(refusal) => self.emit(Event::Refused(ticket, refusal)),
        }
    }

    pub(super) fn submit(&mut self, ticket: Ticket, wanted: Wanted, after: Vec<Seq>) {
        let kept = self.adoption.is_orphan(ticket).then(|| wanted.clone());
        let result = self.queue(wanted, after);
        self.answer_or_bury(ticket, kept, result);
    }

    fn queue(&mut self, wanted: Wanted, after: Vec<Seq>) -> Result<Seq, Refusal> {
        self.check_parents(&after)?;
        let upcoming = self.ids.upcoming();
        let (work, bytes) = match wanted {
            Wanted::Edit(doc, schema, intents) => {
                let (operation, bytes) = self.compose(upcoming, doc, schema, intents)?;
                self.views.touch(&operation.doc);
                if after.is_empty()
                    && let Some(seq) = self.coalesce(&operation)
                {
                    return Ok(seq);
                }
                (Work::Edit(operation), bytes)
            }
            Wanted::Event(topic, event, key) => {
                let same = key.as_ref().filter(|_| after.is_empty());
                let same = same.and_then(|key| self.outbox.replaceable(&topic, key));
                let (publication, bytes) = self.compose_event(same.unwrap_or(upcoming), topic, event)?;
                let work = Work::Event(publication, key);
                if let Some(seq) = same {
                    self.outbox.replace(work, bytes).map_err(|full| self.full(full))?;
                    return Ok(seq);
                }
                (work, bytes)
            }
        };
        let seq = self.ids.next_seq();
        self.outbox.add(work, bytes, after).map_err(|full| self.full(full))?;
        Ok(seq)
    }

    /// The same, but what is refused for good and has nobody left to hear of it is kept as a dead letter.
    pub(super) fn answer_or_bury(
        &mut self,
        ticket: Ticket,
        kept: Option<Wanted>,
        mut result: Result<Seq, Refusal>,
    ) {
        if let (Err(refusal), Some(wanted)) = (&result, kept)
            && !refusal.is_retryable()
        {
            let message = refusal.to_string();
            let now = self.server_now();
            let seq = self.ids.next_seq();
            let (work, bytes) = match wanted {
                Wanted::Edit(doc, schema, intents) => {
                    let (at, base) = (self.clock.tick(now), Base::default());
                    let operation = Operation {
                        seq,
                        maker: None,
                        doc,
                        at,
                        schema,
                        intents,
                        base,
                        resolves: None,
                        replaces: None,
                    };
                    let bytes = encode(&operation).len();
                    (Work::Edit(operation), bytes)
                }
                Wanted::Event(topic, event, key) => {
                    let publication = Publication { seq, topic, event };
                    let bytes = encode(&publication).len();
                    (Work::Event(publication, key), bytes)
                }
            };
            let why = Dead { reason: Rejection { code: ErrorCode::InvalidOperation, message }, at: now };
            result = self.outbox.add_dead(work, bytes, why).map(|()| seq).map_err(|full| self.full(full));
        }
        self.answer_when_durable(ticket, result);
    }

    /// An event as it goes out, with its size. That it is one is for the facade to see to: it makes it whole.
    pub(super) fn compose_event(
        &self,
        seq: Seq,
        topic: TopicName,
        event: Json,
    ) -> Result<(Publication, usize), Refusal> {
        let limit = self.config.operation_bytes.min(self.limits.operation_bytes);
        let bytes = event.as_str().len();
        if bytes > limit {
            return Err(Refusal::TooLarge { bytes, limit });
        }
        let publication = Publication { seq, topic, event };
        let bytes = encode(&publication).len();
        Ok((publication, bytes))
    }

    /// An operation as the application wants it, upon what it sees now, with its size.
    pub(super) fn compose(
        &mut self,
        seq: Seq,
        doc: DocKey,
        schema: u32,
        intents: Vec<Intent>,
    ) -> Result<(Operation, usize), Refusal> {
        let collection = self.replica.collections.get(&doc.collection).ok_or(Refusal::UnknownCollection)?;
        let mut clock = self.views.document(&doc).map(|document| document.clock.clone()).unwrap_or_default();
        if let Some(before) = self.outbox.lane(&doc).next_back() {
            // Its maker is this one's, whether or not the document is at hand. A full clock loses nothing: the server
            // knows the order of a lane by itself.
            let judged = matches!(before.state, State::Judged { .. }).then(|| before.dot(None)).flatten();
            let seen = before.edit().map(|operation| operation.base.clock.dots());
            for dot in seen.into_iter().flatten().chain(judged) {
                let _ = clock.record(dot);
            }
        }
        let base = Base {
            clock,
            seen: collection.applied.clone(),
            was: collection.strategy.has_conflicts().then(|| self.seen_values(&doc, &intents)).flatten(),
        };
        let at = self.clock.tick(self.server_now());
        let (maker, resolves, replaces) = (None, None, None);
        let operation = Operation { seq, maker, doc, at, schema, intents, base, resolves, replaces };
        let bytes = self.check(&operation)?;
        Ok((operation, bytes))
    }

    /// Whether an operation makes sense, and its size.
    pub(super) fn check(&self, operation: &Operation) -> Result<usize, Refusal> {
        let collection = self.replica.collections.get(&operation.doc.collection);
        let strategy = collection.ok_or(Refusal::UnknownCollection)?.strategy;
        reconcile::validate(strategy, operation).map_err(|reason| Refusal::Invalid(reason.message))?;
        let mut limit = self.config.operation_bytes.min(self.limits.operation_bytes);
        if strategy.has_conflicts() && operation.resolves.is_none() {
            limit = limit.saturating_sub(DECISION_BYTES);
        }
        let bytes = operation.payload().len();
        if bytes > limit { Err(Refusal::TooLarge { bytes, limit }) } else { Ok(encode(operation).len()) }
    }

    pub(super) fn full(&self, _: Full) -> Refusal {
        let limits = self.outbox.limits();
        Refusal::OutboxFull { limit: limits.operations, bytes: limits.bytes }
    }

    /// Folds an edit into the one before it, if both are of one state and nobody has seen that one. Whatever stands
    /// in the way leaves two operations, which is never wrong.
    fn coalesce(&mut self, edit: &Operation) -> Option<Seq> {
        let newest = self.outbox.foldable(&edit.doc).filter(|_| self.config.coalesce)?.edit()?;
        let epoch = |operation: &Operation| operation.base.seen.as_ref().map(|seen| seen.epoch.clone());
        // While a document has operations its changes are at hand, so that a clock that stayed tells that none came.
        let same_base = newest.base.clock == edit.base.clock && epoch(newest) == epoch(edit);
        // Of one that stands in the place of another the server may say that it has no effect of its own.
        if newest.schema != edit.schema || !same_base || newest.replaces.is_some() {
            return None;
        }
        let intents = fold(&newest.intents, &edit.intents)?;
        let mut operation = Operation { at: edit.at, intents, ..newest.clone() };
        operation.base.was = edit.base.was.clone();
        saw_first(&mut operation.base.was, newest);
        let (seq, bytes) = (operation.seq, self.check(&operation).ok()?);
        self.outbox.replace(operation.into(), bytes).ok()?;
        Some(seq)
    }

    /// What the application sees of the fields that it writes, or of all where it writes the whole document; none if
    /// that is not at hand.
    fn seen_values(&self, doc: &DocKey, intents: &[Intent]) -> Option<Fields> {
        if !self.views.is_known(doc) && !self.outbox.has_lane(doc) {
            return None;
        }
        let mut seen = self.project(doc).map(|shown| shown.values()).unwrap_or_default();
        seen.retain(|name, _| looks_at(intents, name));
        Some(seen)
    }

    fn check_parents(&self, after: &[Seq]) -> Result<(), Refusal> {
        if after.len() > MAX_PARENTS {
            return Err(Refusal::Invalid(format!("an operation can wait for {MAX_PARENTS} others at most")));
        }
        for parent in after {
            if *parent >= self.ids.upcoming() || self.outbox.is_unsaved(*parent) {
                return Err(Refusal::Invalid("an operation can wait only for earlier, saved ones".into()));
            }
            // One that is being withdrawn is not there either, and has not succeeded.
            let withdrawn = self.aborted.contains_key(parent);
            if withdrawn || self.outbox.get(*parent).is_some_and(|entry| !entry.is_visible()) {
                return Err(Refusal::DependencyFailed { parent: *parent });
            }
        }
        Ok(())
    }

    /// What the server's clock shows now, as far as this machine knows.
    pub(super) fn server_now(&self) -> Millis {
        self.server_time(self.wall)
    }

    /// This machine's idea of the server's clock.
    pub(super) fn server_time(&self, wall: Millis) -> Millis {
        Millis(wall.0.saturating_add_signed(self.ahead))
    }

    pub(super) fn discard(&mut self, seq: Seq) {
        if !self.outbox.get(seq).is_some_and(|entry| matches!(entry.state, State::Rejected(_))) {
            return;
        }
        self.untold = true;
        let untold = self.outbox.is_unstored(seq);
        if let Some(entry) = self.drop_settled(seq)
            && untold
        {
            // That it has failed is told when it is saved, and then it is not here any more.
            self.aborted.insert(seq, entry.edit().map(|operation| operation.doc.clone()));
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
        self.views.open(id, query.clone());
        self.read(id, query);
    }

    pub(super) fn allow_network(&mut self, now: Millis, allowed: bool) {
        if self.network && !allowed {
            self.disconnect(now);
        }
        self.network = allowed;
        self.wake(now);
    }
}

/// Of a value that an edit changes a second time, the first that was seen counts, be it that there was none.
pub(super) fn saw_first(seen: &mut Option<Fields>, first: &Operation) {
    match (seen, &first.base.was) {
        (Some(seen), Some(was)) => {
            seen.retain(|name, _| !looks_at(&first.intents, name));
            seen.extend(was.clone());
        }
        (seen, _) => *seen = None,
    }
}

/// Whether whoever wants this writes the field, or the whole document.
fn looks_at(intents: &[Intent], name: &FieldName) -> bool {
    intents.iter().any(|intent| match intent {
        Intent::Put(_) | Intent::Delete {} => true,
        Intent::Set(fields) => fields.contains_key(name),
        Intent::Unset(names) => names.contains(name),
        Intent::Increment(amounts) => amounts.contains_key(name),
        Intent::Add(members) | Intent::Remove(members) => members.contains_key(name),
    })
}
