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
    /// The ticket that it travels under: of the edit that it continues, or its own.
    pub(crate) wire: u64,
    /// The edits that were laid into it, by ticket.
    pub(crate) parts: Vec<u64>,
    /// The edits that it waits for, as they were named.
    pub(crate) after: Vec<u64>,
    /// The edit of which it is another form.
    pub(crate) replaces: Option<u64>,
    /// The edit that was made of it after it had failed.
    pub(crate) revived: Option<u64>,
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
    /// It was laid into that one, and shares its fate.
    Folded(u64),
    /// Another form took its place before it was sent: it must never reach the server.
    Replaced(u64),
    /// The application withdrew it before it was sent: it must never reach the server.
    Withdrawn,
    /// It waited for another one that failed: it must never reach the server.
    Failed,
    /// The client crashed before it answered and the edit is not in its store: it must never reach the server.
    Lost,
}

impl Submission {
    /// Whether it is an operation of that number, as far as its application knows.
    pub(crate) fn is_at(&self, seq: u64) -> bool {
        matches!(self.said, Said::Durable(at) | Said::Wiped(at) if at == seq)
    }

    /// Whether it came to nothing on its own device.
    pub(crate) fn is_void(&self) -> bool {
        matches!(self.said, Said::Replaced(_) | Said::Withdrawn | Said::Failed)
    }
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
    /// Edits that continue others and are operations of their own, by the ticket that they travel under and their number.
    pub(crate) apart: BTreeMap<(u64, u64), u64>,
    /// The ticket that it travelled under, and the number, of all that was sent.
    pub(crate) sent: BTreeSet<(u64, u64)>,
    /// The ids of the judged operations, by ticket and number: one that was rejected may be tried again under another.
    judged: BTreeMap<(u64, u64), OpKey>,
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
        let submission = Submission {
            client,
            maker,
            doc,
            intents,
            wire: ticket,
            parts: Vec::new(),
            after: Vec::new(),
            replaces: None,
            revived: None,
            said: Said::Nothing,
            judged: None,
            rejected: false,
        };
        self.submissions.insert(ticket, submission);
        ticket
    }

    /// Enters what the server has committed for the first time.
    pub(crate) fn enter(&mut self, key: OpKey, actor: u32, committed: Committed) {
        let ticket = self.ticket(&committed.operation);
        if let Some(position) = &committed.judgement.position {
            self.place(&key, actor, &committed.operation, position);
        } else if let Some(one) = self.submissions.get_mut(&ticket) {
            one.rejected |= one.is_at(key.2);
        }
        if let Some(position) = &committed.judgement.position {
            let name = (key.0.clone(), committed.operation.doc.collection.clone());
            let head = self.heads.entry(name).or_default();
            *head = position.offset.0.max(*head);
        }
        self.judged.insert((ticket, key.2), key.clone());
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
        self.submissions.get(&self.ticket(operation))
    }

    /// The ticket of the edit that an operation is, or of the first of its parts.
    pub(crate) fn ticket(&self, operation: &Operation) -> u64 {
        self.ticket_at(u64::from(operation.schema), operation.seq.0)
    }

    /// The same of what travels under a ticket with a number.
    pub(crate) fn ticket_at(&self, wire: u64, seq: u64) -> u64 {
        self.apart.get(&(wire, seq)).copied().unwrap_or(wire)
    }

    /// The operation that an edit is, or is a part of.
    pub(crate) fn whole(&self, ticket: u64) -> u64 {
        match self.submissions.get(&ticket).map(|one| one.said) {
            Some(Said::Folded(head)) => head,
            _ => ticket,
        }
    }

    /// An edit, and those that were laid into it.
    pub(crate) fn with_parts(&self, ticket: u64) -> Vec<u64> {
        let parts = self.submissions.get(&ticket).map_or(&[][..], |one| &one.parts);
        [ticket].into_iter().chain(parts.iter().copied()).collect()
    }

    /// What all of these do together.
    pub(crate) fn total(&self, ticket: u64) -> Vec<Intent> {
        let parts = self.with_parts(ticket);
        parts
            .iter()
            .filter_map(|part| self.submissions.get(part))
            .flat_map(|one| one.intents.clone())
            .collect()
    }

    /// Under which id an edit was judged, as the operation that it is by now.
    pub(crate) fn judged(&self, ticket: u64) -> Option<&OpKey> {
        match self.submissions.get(&ticket)?.said {
            Said::Durable(seq) | Said::Wiped(seq) => self.judged_at(ticket, seq),
            Said::Folded(head) => self.judged(head),
            _ => None,
        }
    }

    /// The same as the operation of that number.
    pub(crate) fn judged_at(&self, ticket: u64, seq: u64) -> Option<&OpKey> {
        self.judged.get(&(ticket, seq))
    }

    /// What has become of an edit that others wait for: its newest form.
    pub(crate) fn form_of(&self, ticket: u64) -> u64 {
        let mut ticket = ticket;
        while let Some(one) = self.submissions.get(&ticket) {
            match (one.said, one.revived) {
                (Said::Replaced(next), _) | (_, Some(next)) => ticket = next,
                _ => break,
            }
        }
        ticket
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
        let ticket = self.ticket(operation);
        for part in self.with_parts(ticket) {
            self.submissions.entry(part).and_modify(|one| one.judged = Some(position.clone()));
        }
        if let Some(one) = self.submissions.get(&ticket) {
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
