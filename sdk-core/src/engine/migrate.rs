//! Operations that an earlier version of the application has left, on their way into its present schema.
//!
//! One of an earlier schema is shown as it is and not sent. The application gives its new form, which is stored in the
//! old one's place before it is sent; until then the old one stands in storage, and a restart asks again. An earlier
//! life, or a page with an earlier version of the application, may have sent it in its old form: the server knows an
//! operation by its `seq`, its document and when it was made, and gives the new form the judgement of the old one.
//!
//! Events are left as they are: an event says what was so when it was published, and its readers meet older ones anyway.

use super::{Effect, Engine};
use crate::{
    clock::Hlc,
    outbox::{Dead, Entry},
    protocol::{DocKey, ErrorCode, Intent, Operation, Rejection, Seq},
    wire::record,
};

/// An operation as its maker had it, in a schema that is not the application's any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outdated {
    /// The operation.
    pub seq: Seq,
    /// When it was made, or changed last.
    pub at: Hlc,
    /// The document it edits.
    pub doc: DocKey,
    /// The version of the schema that its intents are written for.
    pub schema: u32,
    /// What it does.
    pub intents: Vec<Intent>,
}

/// What an operation does in the application's present schema, or why it has no form in that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The operation.
    pub seq: Seq,
    /// As it was asked about.
    pub at: Hlc,
    /// What it does; or why it becomes a dead letter, which keeps what it did.
    pub intents: Result<Vec<Intent>, Rejection>,
}

impl Engine {
    /// The operations that are to be brought up to the application's schema: answer with
    /// [`Input::Migrated`](super::Input::Migrated). Nothing while an answer is awaited.
    ///
    /// Whoever starts the engine may ask before its first input, so that nobody ever sees the old forms; later ones come
    /// with [`Effect::Migrate`].
    pub fn outdated(&mut self) -> Vec<Outdated> {
        if self.migrating {
            return Vec::new();
        }
        let outdated = |entry: &Entry| {
            let Operation { seq, doc, at, schema, intents, .. } = entry.edit()?.clone();
            Some(Outdated { seq, at, doc, schema, intents })
        };
        let outdated: Vec<Outdated> = self.outbox.outdated().filter_map(outdated).collect();
        self.migrating = !outdated.is_empty();
        outdated
    }

    pub(super) fn advance_migrations(&mut self) {
        let outdated = self.outdated();
        if !outdated.is_empty() {
            self.effects.push_back(Effect::Migrate(outdated));
        }
    }

    /// Takes the answers.
    pub(super) fn migrated(&mut self, answers: Vec<Migrated>) {
        self.migrating = false;
        for Migrated { seq, at, intents } in answers {
            let asked = |operation: &&Operation| operation.seq == seq && operation.at == at;
            let Some(old) = self.outbox.outdated().filter_map(Entry::edit).find(asked).cloned() else {
                continue;
            };
            self.views.touch(&old.doc);
            self.inbox.touch(&self.outbox, &old.doc);
            if let Err(reason) = intents.and_then(|intents| self.put_form(old, intents)) {
                let why = Dead { reason, at: self.server_now() };
                let dead = self.outbox.reject(seq, why);
                self.tell_ends(dead);
            }
        }
    }

    /// Gives an operation its form in the present schema. All else of it stays, above all when it was made.
    fn put_form(&mut self, old: Operation, intents: Vec<Intent>) -> Result<(), Rejection> {
        let mut operation = Operation { schema: self.config.schema, intents, ..old };
        let checked = self.check_decided(&mut operation);
        let bytes = checked.map_err(|refusal| failed(refusal.to_string()))?;
        let renewed = self.outbox.migrate(operation, bytes);
        renewed.map_err(|full| failed(self.full(full).to_string()))
    }
}

/// There is no form in the present schema, for this reason.
pub(crate) fn failed(message: String) -> Rejection {
    Rejection { code: ErrorCode::MigrationFailed, message }
}

record!(out Outdated {
    doc: "doc";
    schema: "schema";
    intents: "intents";
});
