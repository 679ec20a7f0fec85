//! What the application wants of operations that it has submitted: to change, to try again, to withdraw.

use super::{Amendment, Engine, Refusal, Ticket, submit::saw_first};
use crate::{
    outbox::State,
    protocol::{Base, Intent, Operation, ResolvedBy, Seq},
};

/// Changes that may wait for the commit under way.
const MAX_POSTPONED: usize = 1_024;

impl Engine {
    /// Changes an operation. While an earlier change of it is being saved, this waits: otherwise nobody could say
    /// what is left of it if that fails.
    pub(super) fn amend(&mut self, ticket: Ticket, seq: Seq, amendment: Amendment) {
        if !self.outbox.is_changing(seq) {
            let kept = match (&amendment, self.outbox.get(seq)) {
                (Amendment::Edit(schema, intents), Some(entry)) if self.adoption.is_orphan(ticket) => {
                    Some((entry.operation.doc.clone(), *schema, intents.clone()))
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
        let (is_dead, operation) = (matches!(entry.state, State::Rejected(_)), entry.operation.clone());
        let may_change = is_dead || entry.is_unsent();
        self.views.touch(&operation.doc);
        match amendment {
            Amendment::Resolve(resolution) => self.resolve(seq, &resolution, ResolvedBy::Person),
            _ if !may_change => Err(Refusal::TooLate),
            Amendment::Edit(schema, intents) if is_dead => self.revive(operation, schema, intents),
            Amendment::Edit(schema, intents) => {
                let Operation { seq, doc, base: Base { was: seen, .. }, .. } = operation;
                let (mut operation, _) = self.compose(seq, doc, schema, intents)?;
                saw_first(&mut operation.base.was, seen);
                let bytes = self.check(&operation)?;
                self.outbox.replace(operation, bytes).map_err(|full| self.full(full))?;
                Ok(seq)
            }
            Amendment::Retry if is_dead => {
                // One of an earlier schema is migrated like any other once it lives.
                let (schema, intents) = (operation.schema, operation.intents.clone());
                self.revive(operation, schema, intents)
            }
            Amendment::Retry => Err(Refusal::NotRejected),
            Amendment::Abort => {
                self.outbox.withdraw(seq, self.server_now());
                self.aborted.insert(seq, operation.doc);
                Ok(seq)
            }
        }
    }

    /// Makes a new operation of a dead letter.
    fn revive(&mut self, dead: Operation, schema: u32, intents: Vec<Intent>) -> Result<Seq, Refusal> {
        let Operation { seq: old, doc, .. } = dead;
        let (operation, bytes) = self.compose(self.ids.upcoming(), doc, schema, intents)?;
        let operation = Operation { seq: self.ids.next_seq(), ..operation };
        let seq = operation.seq;
        self.outbox.revive(old, operation, bytes).map_err(|full| self.full(full))?;
        Ok(seq)
    }
}
