//! What the application wants of operations that it has submitted: to change, to try again, to withdraw.

use super::{
    Amendment, Engine, Event, Refusal, Ticket,
    submit::{Wanted, saw_first},
};
use crate::{
    outbox::{State, Work},
    protocol::{Intent, OpId, Operation, ResolvedBy, Seq},
};

/// Changes that may wait for the commit under way.
const MAX_POSTPONED: usize = 1_024;

impl Engine {
    /// Changes an operation. While an earlier change of it is being saved, this waits: otherwise nobody could say
    /// what is left of it if that fails.
    pub(super) fn amend(&mut self, ticket: Ticket, seq: Seq, amendment: Amendment) {
        if !self.outbox.is_changing(seq) {
            let kept = match (&amendment, self.outbox.edit(seq)) {
                (Amendment::Edit(schema, intents), Some(old)) if self.adoption.is_orphan(ticket) => {
                    Some(Wanted::Edit(old.doc.clone(), *schema, intents.clone()))
                }
                _ => None,
            };
            let result = self.amend_now(seq, amendment);
            self.answer_or_bury(ticket, kept, result);
        } else if self.postponed.len() < MAX_POSTPONED {
            self.postponed.push((ticket, seq, amendment));
        } else {
            self.answer_when_durable(ticket, Err(Refusal::Busy));
        }
    }

    /// The commit is over.
    pub(super) fn amend_postponed(&mut self) {
        for (ticket, seq, amendment) in std::mem::take(&mut self.postponed) {
            self.amend(ticket, seq, amendment);
        }
    }

    fn amend_now(&mut self, seq: Seq, amendment: Amendment) -> Result<Seq, Refusal> {
        let entry = self.outbox.get(seq).ok_or(Refusal::TooLate)?;
        let (is_dead, work) = (matches!(entry.state, State::Rejected(_)), entry.work.clone());
        let may_change = is_dead || entry.is_unsent();
        let doc = entry.edit().map(|operation| operation.doc.clone());
        doc.iter().for_each(|doc| self.views.touch(doc));
        match (amendment, work) {
            (Amendment::Resolve(resolution), _) => self.resolve(seq, &resolution, ResolvedBy::Person),
            _ if !may_change => Err(Refusal::TooLate),
            (Amendment::Retry, _) if !is_dead => Err(Refusal::NotRejected),
            (Amendment::Edit(schema, intents), Work::Edit(dead)) if is_dead => {
                self.revive(dead, schema, intents)
            }
            (Amendment::Edit(schema, intents), Work::Edit(operation)) => {
                let (seq, doc, former) = (operation.seq, operation.doc.clone(), operation);
                let (mut operation, _) = self.compose(seq, doc, schema, intents)?;
                saw_first(&mut operation.base.was, &former);
                operation.replaces = former.replaces;
                let bytes = self.check(&operation)?;
                self.outbox.replace(operation.into(), bytes).map_err(|full| self.full(full))?;
                Ok(seq)
            }
            (Amendment::Retry, Work::Edit(dead)) => {
                // One of an earlier schema is migrated like any other once it lives.
                let (schema, intents) = (dead.schema, dead.intents.clone());
                self.revive(dead, schema, intents)
            }
            // No judgement binds the number of an event, so that it can keep its place before those that wait behind it.
            (amended @ (Amendment::Republish(_) | Amendment::Retry), Work::Event(old, key)) => {
                let event = if let Amendment::Republish(event) = amended { event } else { old.event };
                let (publication, bytes) = self.compose_event(seq, old.topic, event)?;
                self.outbox.replace(Work::Event(publication, key), bytes).map_err(|full| self.full(full))?;
                if is_dead {
                    self.emit(Event::Reopened(seq));
                }
                Ok(seq)
            }
            (Amendment::Abort, _) => {
                self.outbox.withdraw(seq, self.server_now());
                self.untold |= is_dead;
                self.aborted.insert(seq, doc);
                Ok(seq)
            }
            (Amendment::Edit(..), Work::Event(..)) | (Amendment::Republish(_), Work::Edit(_)) => {
                Err(Refusal::Invalid("an edit stays an edit, and an event an event".into()))
            }
        }
    }

    /// Makes a new operation of a dead letter.
    fn revive(&mut self, dead: Operation, schema: u32, intents: Vec<Intent>) -> Result<Seq, Refusal> {
        let Operation { seq: old, doc, replaces, .. } = dead;
        let (mut operation, _) = self.compose(self.ids.upcoming(), doc, schema, intents)?;
        // An operator may have applied what was refused, or be about to: there is one effect of the two.
        let first = || OpId { client: self.ids.maker(old).unwrap_or(self.client()), seq: old }.into();
        operation.replaces = Some(replaces.unwrap_or_else(first));
        let bytes = self.check(&operation)?;
        let seq = self.ids.next_seq();
        self.outbox.revive(old, operation, bytes).map_err(|full| self.full(full))?;
        Ok(seq)
    }
}
