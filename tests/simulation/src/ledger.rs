//! What was submitted, what the applications were told of it, and what the server committed.

use std::collections::BTreeMap;

use sdk_core::{
    clock::Millis,
    protocol::{ClientId, CollectionName, DocKey, Intent, Judgement, Operation},
};

/// One edit that an application asked for. Its ticket is unique in the run and travels as the operation's schema
/// version, so that the edit can be told wherever it turns up.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    /// Who asked.
    pub(crate) client: usize,
    /// The document.
    pub(crate) doc: DocKey,
    /// What is to be done.
    pub(crate) intents: Vec<Intent>,
    /// What the application knows of it.
    pub(crate) said: Said,
}

/// What an application was told of its edit, or what a crash made of it before it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing yet.
    Nothing,
    /// It is durable: it must be judged exactly once.
    Durable(ClientId, u64),
    /// It was refused: it must never reach the server.
    Refused,
    /// The client crashed before it answered and the edit is not in its store: it must never reach the server.
    Lost,
}

/// An operation as the server committed it for the first time.
#[derive(Debug, Clone)]
pub(crate) struct Committed {
    /// The operation, with the base that it had then.
    pub(crate) operation: Operation,
    /// The server's time then.
    pub(crate) now: Millis,
    /// The judgement that came of it.
    pub(crate) judgement: Judgement,
    /// How many operations were committed before it.
    pub(crate) order: usize,
}

/// An operation's id, anywhere: tenant, client, sequence number.
pub(crate) type OpKey = (String, String, u64);

/// The run's own books.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By ticket.
    pub(crate) submissions: BTreeMap<u64, Submission>,
    /// By id; the order of commits is that of the positions.
    pub(crate) committed: BTreeMap<OpKey, Committed>,
    heads: BTreeMap<(String, CollectionName), u64>,
}

impl Ledger {
    /// A new submission's ticket.
    pub(crate) fn submit(&mut self, client: usize, doc: DocKey, intents: Vec<Intent>) -> u64 {
        let ticket = self.submissions.len() as u64 + 1;
        let submission = Submission { client, doc, intents, said: Said::Nothing };
        self.submissions.insert(ticket, submission);
        ticket
    }

    /// Enters what the server has committed for the first time.
    pub(crate) fn enter(&mut self, key: OpKey, committed: Committed) {
        if let Some(position) = &committed.judgement.position {
            let name = (key.0.clone(), committed.operation.doc.collection.clone());
            let head = self.heads.entry(name).or_default();
            *head = position.offset.0.max(*head);
        }
        self.committed.insert(key, committed);
    }

    /// The newest offset of a tenant's collection.
    pub(crate) fn head(&self, tenant: &str, collection: &CollectionName) -> u64 {
        self.heads.get(&(tenant.to_owned(), collection.clone())).copied().unwrap_or(0)
    }
}
