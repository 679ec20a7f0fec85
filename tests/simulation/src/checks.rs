//! What must hold at every step.

use std::collections::BTreeSet;

use sdk_core::{
    engine::{
        Call, CallBody, QueryId, Refusal,
        storage::{Batch, StoreError},
    },
    protocol::{
        Choice, ClientFrame, DocKey, Document, ErrorCode, Intent, Json, Judgement, Limits, Operation,
        Outcome, ProtocolError, Resolves, Resume, Seq, ServerFrame, decode,
    },
};
use server_reference::storage::Batch as ServerBatch;

use crate::{
    amend::AMENDMENTS,
    client::tenant,
    conflicts::DECISIONS,
    disk::Kept,
    folds::effect_of,
    ledger::{Committed, OpKey, Said},
    model::bare,
    reads::ticket_of,
    world::World,
};

impl World {
    /// The ticket of the operation in that place of a client's outbox, also of one that has left it.
    pub(crate) fn ticket_of(&self, index: usize, seq: u64) -> Option<u64> {
        Some(self.ledger.ticket_at(self.clients[index].disk.schema(seq)?, seq))
    }

    /// A client's operation as the server committed it.
    fn committed(&self, index: usize, seq: u64) -> Option<&Committed> {
        let key = self.ledger.judged_at(self.ticket_of(index, seq)?, seq)?;
        self.ledger.committed.get(key)
    }

    /// What a commit takes out of the outbox has been judged durably, or was refused and must not come back.
    pub(crate) fn check_removals(&mut self, index: usize, batch: &Batch) {
        let Batch::Outbox(batch) = batch else { return };
        for gone in self.clients[index].disk.removed_by(batch) {
            let wishes = &self.clients[index].wishes;
            let judged =
                self.ledger.judged_at(self.ledger.ticket_at(gone.schema, gone.seq), gone.seq).is_some()
                    && !gone.dead;
            let undone = wishes.undone.contains(&(gone.schema, gone.seq));
            self.claim(
                judged || undone || wishes.unwanted.contains(&gone.seq),
                "an operation leaves the outbox only after a durable judgement",
                || format!("client {index} removes {gone:?}, which nobody has judged or withdrawn"),
            );
        }
    }

    /// A stored position never goes back within its epoch, nor does a stored document, unless what is stored is emptied
    /// with it.
    pub(crate) fn check_stored(&mut self, index: usize, batch: &Batch) {
        let Batch::Replica(batch) = batch else { return };
        if batch.clear != sdk_core::engine::storage::Clear::Nothing {
            return;
        }
        for (name, position) in &batch.cursors {
            let before = self.clients[index].disk.copy().cursors.get(name).cloned();
            let back = before
                .as_ref()
                .is_some_and(|before| before.epoch == position.epoch && before.offset > position.offset);
            self.claim(!back, "a position never goes back within its epoch", || {
                format!("client {index} stores {position:?} of {name} over {before:?}")
            });
        }
        for document in batch.put.iter().filter(|document| !batch.flip.contains(&document.key.collection)) {
            let revision = |text: &str| decode::<Document>(text).map(|document| document.rev.0).ok();
            let before = self.clients[index].disk.copy().documents.get(&document.key);
            let (before, after) = (before.and_then(|text| revision(text)), revision(&document.text));
            self.claim(before <= after, "a stored document never goes back", || {
                format!("client {index} stores {after:?} of {} over {before:?}", document.key)
            });
        }
    }

    /// Whatever leaves a client is stored, complete and within the limits.
    pub(crate) fn check_frame(&mut self, index: usize, frame: &ClientFrame) {
        match frame {
            ClientFrame::Push(push) => {
                self.check_sent(index, &push.operations);
                let sent = push.operations.iter().map(|operation| operation.seq.0);
                self.clients[index].in_flight.extend(sent);
                let (count, most) =
                    (self.clients[index].in_flight.len(), self.plan.limits.in_flight_operations);
                self.claim(count <= most, "no more operations are in flight than the server allows", || {
                    format!("client {index} has {count} in flight")
                });
            }
            ClientFrame::Hello(hello) => self.check_resume(index, &hello.resume),
            _ => {}
        }
    }

    /// The same for what goes over HTTP.
    pub(crate) fn check_call(&mut self, index: usize, call: &Call) {
        match &call.body {
            CallBody::Push(request) => self.check_sent(index, &request.operations),
            CallBody::Pull(request) => self.check_resume(index, &request.collections),
        }
    }

    fn check_sent(&mut self, index: usize, operations: &[Operation]) {
        // Before the first welcome a client cannot know better than the usual.
        let limits = if self.clients[index].welcomed { self.plan.limits } else { Limits::default() };
        let most = limits.batch_operations;
        self.claim(operations.len() <= most, "a batch is within the server's limit", || {
            format!("client {index} sends {} at once", operations.len())
        });
        for operation in operations {
            let is_it = |kept: &Kept| {
                kept.seq == operation.seq.0 && kept.schema == u64::from(operation.schema) && !kept.dead
            };
            let stored = self.clients[index].disk.kept().any(is_it);
            self.claim(stored, "an operation is never sent before it is stored", || {
                format!("client {index} sends {operation:?}, which is not in its outbox as it stands")
            });
            self.ledger.sent.insert((u64::from(operation.schema), operation.seq.0));
        }
    }

    /// What a client says that it has is stored or arriving; it cannot say more than there is.
    fn check_resume(&mut self, index: usize, resume: &[Resume]) {
        for one in resume {
            let known = one.after.as_ref().map_or(0, |after| after.offset.0);
            let head = self.ledger.head(&tenant(self.clients[index].tenant), &one.collection);
            self.claim(known <= head, "a client never claims to have read more than there is", || {
                format!("client {index} claims {:?} of {}, whose head is {head}", one.after, one.collection)
            });
        }
    }

    /// What reaches a client: nothing of another tenant, and no complaint about what it sent.
    pub(crate) fn check_answer(&mut self, index: usize, frame: &Result<ServerFrame, ProtocolError>) {
        match frame {
            Ok(ServerFrame::Welcome(_)) => self.clients[index].welcomed = true,
            Ok(ServerFrame::Outcomes(outcomes)) => {
                for judgement in &outcomes.judgements {
                    self.clients[index].in_flight.remove(&judgement.seq.0);
                    self.check_acknowledged(index, judgement);
                }
            }
            Ok(ServerFrame::Changes(changes)) => {
                for changed in &changes.documents {
                    for (_, value) in changed.doc.values() {
                        self.check_origin(index, &value);
                    }
                }
            }
            Ok(ServerFrame::Error(error)) => {
                let blamed = matches!(
                    error.code,
                    ErrorCode::Malformed
                        | ErrorCode::FrameTooLarge
                        | ErrorCode::TooDeep
                        | ErrorCode::TooMany
                        | ErrorCode::UnexpectedFrame
                        | ErrorCode::Forbidden
                        | ErrorCode::ClientIdTaken
                        | ErrorCode::StrategyMismatch
                        | ErrorCode::Internal
                        | ErrorCode::Unknown
                );
                self.claim(!blamed, "the server has nothing to object to what a client sends", || {
                    format!("client {index} is told {error}")
                });
            }
            Ok(_) => {}
            Err(error) => self.violate("a client can read what the server sends", format!("{error}")),
        }
    }

    fn check_acknowledged(&mut self, index: usize, judgement: &Judgement) {
        let stored = self.committed(index, judgement.seq.0).map(|committed| committed.judgement.clone());
        if matches!(judgement.outcome, Outcome::Conflicted(_)) || is_reused(judgement) {
            return;
        }
        let told = as_stored(judgement.clone());
        self.claim(stored.as_ref() == Some(&told), "what the server acknowledges is committed", || {
            format!("client {index} is told {judgement:?}; committed is {stored:?}")
        });
    }

    fn check_origin(&mut self, index: usize, value: &Json) {
        let Some(ticket) = ticket_of(value) else { return };
        let Some(origin) = self.ledger.submissions.get(&ticket).map(|one| one.client) else { return };
        let (theirs, ours) = (self.clients[origin].tenant, self.clients[index].tenant);
        self.claim(theirs == ours, "a tenant never sees another's documents", || {
            format!("client {index} of tenant {ours} sees {value:?} of tenant {theirs}")
        });
    }

    /// What a query shows is what it asked for.
    pub(crate) fn check_view(&mut self, index: usize, id: QueryId) {
        let Some(query) = self.clients[index].queries.get(&id).cloned() else { return };
        let Some(view) = self.clients[index].engine.as_ref().and_then(|engine| engine.view(id)) else {
            return;
        };
        let ordered = view.documents.is_sorted_by(|a, b| a.id < b.id);
        self.claim(ordered, "a view is in order and shows each document once", || format!("{view:?}"));
        for document in &view.documents {
            let collection = match &query {
                sdk_core::engine::storage::Query::One(key) => key.collection.clone(),
                sdk_core::engine::storage::Query::Range { collection, .. } => collection.clone(),
            };
            let key = DocKey { collection, id: document.id.clone() };
            self.claim(query.selects(&key), "a view shows what it was asked for", || format!("{key}"));
            for value in document.values().values() {
                self.check_origin(index, value);
            }
        }
        self.check_reads(index, &query, &view);
    }

    /// The application is told that an edit is durable: it is.
    pub(crate) fn told_submitted(&mut self, index: usize, ticket: u64, seq: u64) {
        let attempt = self.told_amended(index, ticket, seq);
        if attempt && ticket >= AMENDMENTS || (DECISIONS..AMENDMENTS).contains(&ticket) {
            return;
        }
        let folded = self.told_folded(index, ticket, seq);
        let wire = self.ledger.submissions.get(&ticket).map_or(ticket, |one| one.wire);
        let kept = self.clients[index].disk.kept().any(|kept| (kept.schema, kept.seq) == (wire, seq));
        self.claim(kept, "an edit that is reported durable is stored", || {
            format!("client {index} reports {ticket} as {seq}")
        });
        let Some(one) = self.ledger.submissions.get_mut(&ticket) else { return };
        let said = if folded { Said::Nothing } else { std::mem::replace(&mut one.said, Said::Durable(seq)) };
        self.claim(said == Said::Nothing, "an edit is answered once", || format!("{ticket} was {said:?}"));
    }

    /// The application is told that an edit was refused.
    pub(crate) fn told_refused(&mut self, index: usize, ticket: u64, refusal: &Refusal) {
        let unamended = self.told_unamended(index, ticket, refusal);
        if (DECISIONS..AMENDMENTS).contains(&ticket) {
            return;
        }
        self.tally.refused += 1;
        let expected = match refusal {
            Refusal::NotDurable(error) => Some(error) == self.clients[index].disk_error.as_ref(),
            Refusal::OutboxFull { limit, .. } => *limit == self.plan.outbox && self.plan.is_tight(),
            Refusal::DependencyFailed { .. } => self.waits_in_vain(index, ticket),
            _ => unamended == Some(true),
        };
        self.tally.full += u64::from(matches!(refusal, Refusal::NotDurable(StoreError::Full(_))));
        self.claim(expected, "an edit that makes sense is refused only for what its storage said", || {
            format!("client {index}: {refusal:?}")
        });
        let Some(one) = self.ledger.submissions.get_mut(&ticket) else { return };
        if self.clients[index].wishes.lied && matches!(refusal, Refusal::NotDurable(_)) {
            self.clients[index].wishes.doubtful_edits.insert(ticket);
        }
        let said = std::mem::replace(&mut one.said, Said::Refused);
        self.claim(said == Said::Nothing, "an edit is answered once", || format!("{ticket} was {said:?}"));
    }

    /// The application is told an outcome: it is the one that the server has stored.
    pub(crate) fn told_settled(&mut self, index: usize, seq: u64, doc: &DocKey, outcome: Outcome) {
        if self.told_ended(index, seq, &outcome) {
            return;
        }
        let stored = self.committed(index, seq);
        let same = stored.is_some_and(|one| one.judgement.outcome == outcome && one.operation.doc == *doc);
        let seen = format!("client {index} is told {outcome:?} of {seq}; stored is {stored:?}");
        let ticket = stored.map(|one| self.ledger.ticket(&one.operation));
        self.claim(same, "the application is told the outcome that the server stored", || seen);
        if let Some(ticket) = ticket {
            for part in self.ledger.with_parts(ticket) {
                self.clients[index].reads.settled(doc, part, &outcome);
            }
            if matches!(outcome, Outcome::Rejected(_)) {
                self.fail_unsaved(index, ticket);
            }
        }
    }

    /// Enters what the server has just committed, and holds what must hold of it.
    ///
    /// What was called conflicted may have an id among those `judged` in the same commit, a little later.
    pub(crate) fn record(
        &mut self,
        batch: &ServerBatch,
        actor: u32,
        judgements: &[Judgement],
        judged: &BTreeSet<OpKey>,
    ) {
        let same = judgements.len() == batch.operations.len();
        self.claim(same, "each operation of a batch has its judgement", || format!("{judgements:?}"));
        let mut refused = BTreeSet::new();
        for (operation, judgement) in batch.operations.iter().zip(judgements) {
            let (judgement, by) = (&as_stored(judgement.clone()), judgement.by);
            let key = key_of(batch, operation.seq);
            let ticket = self.ledger.ticket(operation);
            if is_reused(judgement) {
                let overtaking = refused.contains(&operation.doc);
                self.check_reused(&key, operation, overtaking);
                refused.insert(operation.doc.clone());
                continue;
            }
            // A copy may have sent it before, under another id.
            let key = self.ledger.judged_at(ticket, key.2).cloned().unwrap_or(key);
            let borrowed = key.1 != batch.client.to_string() && judgement.position.is_some();
            let name = borrowed.then(|| self.server.witness.as_ref()?.actor(&key.0, &key.1).ok()?).flatten();
            self.claim(
                by.map(|by| by.0) == name,
                "a judgement tells in whose name it was, if not in the asker's",
                || format!("{key:?} is said to be judged as {by:?}; documents know it as {name:?}"),
            );
            let there = self.server.witness.as_ref().and_then(|witness| witness.judgement(&key).ok()?);
            let seen = format!("{key:?} is said to be {judgement:?}; the database has {there:?}");
            let conflicted = matches!(judgement.outcome, Outcome::Conflicted(_));
            self.claim(
                if conflicted {
                    there.is_none() || judged.contains(&key)
                } else {
                    there.as_ref() == Some(judgement)
                },
                "what the server says is committed is committed, and a conflict is not",
                || seen,
            );
            if matches!(judgement.outcome, Outcome::Conflicted(_)) {
                self.check_conflicted(key, actor, batch, operation, judgement);
                continue;
            }
            if let Some(first) = self.ledger.committed.get(&key) {
                self.tally.repeated += 1;
                self.tally.reunited += u64::from(key.1 != batch.client.to_string());
                let same = first.judgement == *judgement;
                let seen = format!("{key:?} was {:?} and is now {judgement:?}", first.judgement);
                self.claim(same, "a repeated operation gets the same judgement", || seen);
                continue;
            }
            self.check_new(&key, operation, judgement);
            if matches!(judgement.outcome, Outcome::Rejected(_)) {
                self.tally.rejected += 1;
            }
            let committed = Committed {
                operation: operation.clone(),
                now: batch.now,
                judgement: judgement.clone(),
                epoch: self.epoch_of(&key, operation, judgement),
                order: self.ledger.next_order(),
            };
            self.ledger.enter(key, actor, committed);
        }
    }

    /// The history in which an operation has just been judged; of one without a position the database tells.
    pub(crate) fn epoch_of(&self, key: &OpKey, operation: &Operation, judgement: &Judgement) -> String {
        let stored = || self.server.witness.as_ref()?.epoch(&key.0, &operation.doc.collection).ok()?;
        let position = judgement.position.as_ref();
        position.map(|position| position.epoch.to_string()).or_else(stored).unwrap_or_default()
    }

    pub(crate) fn check_new(&mut self, key: &OpKey, operation: &Operation, judgement: &Judgement) {
        let ticket = self.ledger.ticket(operation);
        let Some(one) = self.ledger.submissions.get(&ticket).cloned() else {
            return self.violate("only what was submitted reaches the server", format!("{operation:?}"));
        };
        let durable = matches!(one.said, Said::Durable(seq) | Said::Wiped(seq) if seq == key.2);
        self.claim(durable, "only what was reported durable reaches the server", || {
            format!("ticket {ticket} arrives as {key:?} and its client said {:?}", one.said)
        });
        self.check_parents(key, &one);
        let maker = operation.maker.map_or(key.1.clone(), |maker| maker.to_string());
        self.claim(
            maker == one.maker.to_string(),
            "an operation names the id that it was made under",
            || format!("ticket {ticket} arrives as {key:?} and is said to be made by {maker}: {one:?}"),
        );
        let was_merged = self.ledger.conflicted.iter().any(|(_, _, one)| {
            self.ledger.ticket(&one.operation) == ticket
                && one.operation.resolves.as_ref().is_some_and(|by| by.choice == Choice::Merged)
        });
        let intents = match &operation.resolves {
            Some(resolves) if !resolves.mine.is_empty() => Some(&resolves.mine),
            // What was wanted at first is left out where there is no room for it, also if a merge has collided anew.
            Some(Resolves { choice, .. }) if *choice == Choice::Merged || was_merged => None,
            _ => Some(&operation.intents),
        };
        let total = self.ledger.total(ticket);
        let as_one = |intents: &Vec<Intent>| {
            if one.parts.is_empty() { total == *intents } else { effect_of(&total) == effect_of(intents) }
        };
        let same = one.doc == operation.doc && intents.is_none_or(as_one);
        self.claim(same, "an operation arrives as it was submitted", || {
            format!("{operation:?} should do {total:?}")
        });
        let home = tenant(self.clients[one.client].tenant);
        self.claim(home == key.0, "an operation arrives in its own tenant", || format!("{key:?}"));
        let mut lane = self.ledger.committed.iter().filter(|((tenant, client, _), committed)| {
            *tenant == key.0 && *client == key.1 && committed.operation.doc == operation.doc
        });
        // What was rejected or forgotten tells nobody that a copy was ahead.
        let copied = self.copies.has(&self.clients[one.client]);
        let told =
            |other: &Committed| other.judgement.position.is_some() && !self.ledger.is_forgotten(key, other);
        let overtaken = lane.any(|((_, _, seq), other)| *seq > key.2 && (!copied || told(other)));
        self.claim(!overtaken, "the operations of a lane are judged in their order", || {
            format!("{key:?} on {} comes after a later one: {judgement:?}", operation.doc)
        });
    }
}

/// The id under which a batch brings an operation.
pub(crate) fn key_of(batch: &ServerBatch, seq: Seq) -> OpKey {
    (batch.scope.tenant().to_string(), batch.client.to_string(), seq.0)
}

fn is_reused(judgement: &Judgement) -> bool {
    matches!(&judgement.outcome, Outcome::Rejected(why) if why.code == ErrorCode::OperationIdReused)
}

/// A judgement with the server's own name of the history: a reader that began after deletions were forgotten knows it
/// by another. In whose name it was depends on who asks.
fn as_stored(mut judgement: Judgement) -> Judgement {
    judgement.by = None;
    if let Some(position) = &mut judgement.position {
        position.epoch = bare(position.epoch.as_str()).parse().expect("a part of an epoch's name is one");
    }
    judgement
}
