//! What was submitted, what the applications were told of it, and what the server committed.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::{
    clock::Millis,
    protocol::{ClientId, CollectionName, DocKey, Intent, Judgement, Operation, StreamPosition},
};

use crate::{
    deleted,
    model::{Effect, fold},
};

/// One edit that an application asked for. Its ticket is unique in the run and travels as the operation's schema
/// version, so that the edit can be told wherever it turns up.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    /// Who asked.
    pub(crate) client: usize,
    /// The id that it had then.
    pub(crate) maker: ClientId,
    /// The document.
    pub(crate) doc: DocKey,
    /// What is to be done.
    pub(crate) intents: Vec<Intent>,
    /// What the application knows of it.
    pub(crate) said: Said,
    /// Where the server put it.
    pub(crate) judged: Option<StreamPosition>,
    /// Whether the server has rejected it.
    pub(crate) rejected: bool,
}

/// What an application was told of its edit, or what a crash made of it before it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing yet.
    Nothing,
    /// It is durable: it must be judged exactly once.
    Durable(u64),
    /// It was refused: it must never reach the server.
    Refused,
    /// It was durable, and before it was judged it was in nobody's storage any more: it may have been on its way, or in a
    /// backup, and is judged once or not at all.
    Wiped(u64),
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
    /// The history in which it was judged.
    pub(crate) epoch: String,
    /// Its place among all that happened to the database.
    pub(crate) order: usize,
}

/// A write that took a place in the history of a document.
#[derive(Debug)]
pub(crate) struct Touch {
    /// Whose application made it.
    pub(crate) client: usize,
    /// Its ticket.
    pub(crate) ticket: u64,
    /// Its place.
    pub(crate) position: StreamPosition,
    /// What it writes.
    pub(crate) writes: Writes,
}

/// Which fields a write touches.
#[derive(Debug)]
pub(crate) struct Writes {
    names: BTreeSet<String>,
    others: bool,
    deletes: bool,
}

impl Writes {
    fn of(intents: &[Intent]) -> Self {
        let Effect { deletes, replaces, changes } = fold(intents);
        Self { names: changes.into_keys().collect(), others: deletes || replaces, deletes }
    }

    /// Whether it is a deletion.
    pub(crate) fn deletes(&self) -> bool {
        self.deletes
    }

    /// Whether it touches a field; or any at all.
    pub(crate) fn touches(&self, field: Option<&str>) -> bool {
        self.others || field.is_none_or(|field| self.names.contains(field))
    }
}

/// An operation's id, anywhere: tenant, client, sequence number.
pub(crate) type OpKey = (String, String, u64);

/// What the server has forgotten of one collection, at one time.
#[derive(Debug, Clone)]
pub(crate) struct Pruning {
    /// Its place among all that happened to the database.
    pub(crate) order: usize,
    /// Tenant and collection.
    pub(crate) collection: (String, String),
    /// The documents that are not there any more.
    pub(crate) documents: Vec<String>,
}

/// The run's own books.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By ticket.
    pub(crate) submissions: BTreeMap<u64, Submission>,
    /// By id; the order of commits is that of the positions.
    pub(crate) committed: BTreeMap<OpKey, Committed>,
    /// By tenant and document, in the order of the positions.
    pub(crate) touches: BTreeMap<(String, DocKey), Vec<Touch>>,
    /// The same, for what is said of deletions.
    pub(crate) histories: BTreeMap<(String, DocKey), Vec<deleted::Entry>>,
    /// Operations that the server called conflicted, with their writers' numbers.
    pub(crate) conflicted: Vec<(OpKey, u32, Committed)>,
    /// What the server has forgotten, in order.
    pub(crate) prunings: Vec<Pruning>,
    /// The newest revision of a document that was forgotten, by tenant and collection.
    pub(crate) horizons: BTreeMap<(String, String), u64>,
    /// The ids of the judged operations, by ticket.
    judged: BTreeMap<u64, OpKey>,
    heads: BTreeMap<(String, CollectionName), u64>,
    happened: usize,
}

impl Ledger {
    /// The next place among all that happens to the database: commits, conflicts and what is forgotten.
    pub(crate) fn next_order(&mut self) -> usize {
        self.happened += 1;
        self.happened
    }

    /// A new submission's ticket.
    pub(crate) fn submit(
        &mut self,
        client: usize,
        maker: ClientId,
        doc: DocKey,
        intents: Vec<Intent>,
    ) -> u64 {
        let ticket = self.submissions.len() as u64 + 1;
        let submission =
            Submission { client, maker, doc, intents, said: Said::Nothing, judged: None, rejected: false };
        self.submissions.insert(ticket, submission);
        ticket
    }

    /// Enters what the server has committed for the first time.
    pub(crate) fn enter(&mut self, key: OpKey, actor: u32, committed: Committed) {
        if let Some(position) = &committed.judgement.position {
            self.place(&key, actor, &committed.operation, position);
        } else if let Some(one) = self.submissions.get_mut(&u64::from(committed.operation.schema)) {
            one.rejected = true;
        }
        if let Some(position) = &committed.judgement.position {
            let name = (key.0.clone(), committed.operation.doc.collection.clone());
            let head = self.heads.entry(name).or_default();
            *head = position.offset.0.max(*head);
        }
        self.judged.insert(u64::from(committed.operation.schema), key.clone());
        self.committed.insert(key, committed);
    }

    /// Whether the server has forgotten the document of an operation since it was committed.
    pub(crate) fn is_forgotten(&self, key: &OpKey, committed: &Committed) -> bool {
        let DocKey { collection, id } = &committed.operation.doc;
        self.prunings.iter().any(|pruning| {
            let there = pruning.collection.0 == key.0 && pruning.collection.1 == collection.as_str();
            there && pruning.order > committed.order && pruning.documents.iter().any(|one| one == id.as_str())
        })
    }

    /// The edit that an operation is.
    pub(crate) fn submission(&self, operation: &Operation) -> Option<&Submission> {
        self.submissions.get(&u64::from(operation.schema))
    }

    /// Under which id an edit was judged.
    pub(crate) fn judged(&self, ticket: u64) -> Option<&OpKey> {
        self.judged.get(&ticket)
    }

    /// An edit as the server committed it.
    pub(crate) fn committed(&self, ticket: u64) -> Option<&Committed> {
        self.committed.get(self.judged(ticket)?)
    }

    fn place(&mut self, key: &OpKey, actor: u32, operation: &Operation, position: &StreamPosition) {
        let (tenant, client, _) = key;
        let lane = (tenant.clone(), operation.doc.clone());
        let entry = deleted::Entry::new(client.clone(), actor, operation.clone(), position.clone());
        self.histories.entry(lane.clone()).or_default().push(entry);
        let ticket = u64::from(operation.schema);
        if let Some(one) = self.submissions.get_mut(&ticket) {
            one.judged = Some(position.clone());
            let (client, writes) = (one.client, Writes::of(&operation.intents));
            let touch = Touch { client, ticket, position: position.clone(), writes };
            self.touches.entry(lane).or_default().push(touch);
        }
    }

    /// The ticket of the newest submission.
    pub(crate) fn newest_ticket(&self) -> u64 {
        self.submissions.len() as u64
    }

    /// The newest offset of a tenant's collection.
    pub(crate) fn head(&self, tenant: &str, collection: &CollectionName) -> u64 {
        self.heads.get(&(tenant.to_owned(), collection.clone())).copied().unwrap_or(0)
    }
}
