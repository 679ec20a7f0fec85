//! What the application hears.

use super::{QueryId, Ticket, storage::StoreError};
use crate::{
    protocol::{CollectionName, DocKey, EndReason, Outcome, Seq},
    wire::{Encode, Object, record, write_text},
};

/// What the application hears.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// What was asked for is durable on this device, and concerns this operation. Several submissions may concern one.
    Submitted(Ticket, Seq),
    /// What was said has gone to so many sessions.
    Sent(Ticket, u64),
    /// What was said has gone to nobody, as far as is known.
    Unsent(Ticket, Unsent),
    /// What was asked for was refused; nothing of it was kept, and all else is as it was.
    Refused(Ticket, Refusal),
    /// An operation is settled; with the document that it edits, if it is no event.
    Settled(Seq, Option<DocKey>, Outcome),
    /// An event that was a dead letter is an operation again, under its number: it will be settled once more.
    Reopened(Seq),
    /// A live query or a room shows something else than before, or a reader of a topic has more.
    ViewChanged(QueryId),
    /// The status is not what it was.
    StatusChanged,
    /// The conflicts are not what they were, or what they are about.
    ConflictsChanged,
    /// The application's function took long to decide a conflict of this document; so many milliseconds.
    SlowResolver(DocKey, u64),
    /// Another copy of this client, of a cloned profile or a restored backup, had used its id. It has another one now,
    /// under which everything goes on; handles that were given out name the former.
    IdentityRenewed,
    /// There are [`MAX_QUERIES`](super::MAX_QUERIES) already, or [`MAX_TOPICS`](crate::protocol::MAX_TOPICS); this one was
    /// not opened.
    QueryRefused(QueryId),
    /// The history of a collection was not continuous: missed changes cannot be told one by one, and the
    /// collection is fetched anew.
    NotRecovered(CollectionName),
    /// What was saved on this device was deleted while it was open. What is not settled is saved again, by the next
    /// commit; a submission that met the deletion is refused.
    StorageLost,
    /// Another client has taken the storage over. This one sends and stores nothing any more.
    Fenced,
    /// So many records of the outbox cannot be read, or nobody knows any more whose they are. They stay as they are, and
    /// what they hold is not sent; all else goes on. Told once, at the start.
    StorageDamaged(usize),
}

/// Why a submission was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Storing it failed; it will never be sent.
    #[error("the operation could not be saved on this device")]
    NotDurable(#[source] StoreError),
    /// The outbox is full.
    #[error("the outbox holds its limit of {limit} operations or {bytes} bytes")]
    OutboxFull {
        /// Operations it can hold.
        limit: usize,
        /// Bytes it can hold.
        bytes: usize,
    },
    /// The collection is not among those the client was built with.
    #[error("the client was not built with this collection")]
    UnknownCollection,
    /// The operation is over its limit.
    #[error("the operation has {bytes} bytes; {limit} are allowed")]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The operation makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// It is too late to change the operation.
    #[error("the operation may have been sent already, or is settled")]
    TooLate,
    /// Only what was rejected can be tried again.
    #[error("the operation was not rejected")]
    NotRejected,
    /// Only what is in conflict can be resolved.
    #[error("the operation is in no conflict")]
    NotConflicted,
    /// What the operation collides with is not known here yet.
    #[error("what the operation collides with is not known here yet")]
    NotReady,
    /// An operation that this one is to come after was rejected.
    #[error("operation {}, which this one depends on, was rejected", parent.0)]
    DependencyFailed {
        /// Which one.
        parent: Seq,
    },
    /// Too many changes wait for the commit that is under way.
    #[error("too many changes wait for storage")]
    Busy,
}

impl Refusal {
    /// The stable reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotDurable(StoreError::Full(_)) => "storage_full",
            Self::NotDurable(StoreError::Fenced) => "fenced",
            Self::NotDurable(_) => "not_durable",
            Self::OutboxFull { .. } => "outbox_full",
            Self::UnknownCollection => "unknown_collection",
            Self::TooLarge { .. } => "too_large",
            Self::Invalid(_) => "invalid_operation",
            Self::TooLate => "too_late",
            Self::NotRejected => "not_rejected",
            Self::NotConflicted => "not_conflicted",
            Self::NotReady => "not_ready",
            Self::DependencyFailed { .. } => "dependency_failed",
            Self::Busy => "busy",
        }
    }

    /// Whether the same submission may be taken later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NotDurable(_) | Self::OutboxFull { .. } | Self::NotReady | Self::Busy)
    }
}

/// Why a message has gone to nobody. It is not kept; to say it again is the application's to decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Unsent {
    /// A stable code: of the server, or `not_connected` or `busy`.
    pub code: String,
    /// In words.
    pub message: String,
    /// Whether the same may be said later.
    pub retryable: bool,
}

impl Unsent {
    /// There is no link over which it could be said; or there was one, and it is not known what became of it.
    pub(super) fn not_connected() -> Self {
        let message = "there is no connection; what was said is not kept and may have reached nobody".into();
        Self { code: "not_connected".into(), message, retryable: true }
    }

    /// The server has asked to wait.
    pub(super) fn too_fast() -> Self {
        let message = "the server has asked to send less".into();
        Self { code: "rate_limited".into(), message, retryable: true }
    }

    /// Too many wait for their answer.
    pub(super) fn busy() -> Self {
        let message = "too many messages wait for their answer".into();
        Self { code: "busy".into(), message, retryable: true }
    }
}

/// The server has not passed it on.
impl From<EndReason> for Unsent {
    fn from(EndReason { code, message }: EndReason) -> Self {
        Self { code, message, retryable: false }
    }
}

record!(out Unsent {
    code: "code";
    message: "message";
    retryable: "retryable";
});

/// As an object with `code`, `message` and `retryable`.
impl Encode for Refusal {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        object.field("code", &self.code());
        object.field("message", &self.to_string());
        object.field("retryable", &self.is_retryable());
        object.end();
    }
}

/// As an object with one key, or as a word: `{"submitted":[ticket,seq]}`, `"statusChanged"`.
impl Encode for Event {
    fn write(&self, out: &mut String) {
        let (name, value): (&str, &dyn Encode) = match self {
            Self::Submitted(ticket, seq) => ("submitted", &(ticket, seq)),
            Self::Sent(ticket, count) => ("sent", &(ticket, count)),
            Self::Unsent(ticket, unsent) => ("unsent", &(ticket, unsent)),
            Self::Refused(ticket, refusal) => ("refused", &(ticket, refusal)),
            Self::Settled(seq, doc, outcome) => ("settled", &(seq, doc, outcome)),
            Self::Reopened(seq) => ("reopened", seq),
            Self::ViewChanged(id) => ("viewChanged", id),
            Self::StatusChanged => return write_text("statusChanged", out),
            Self::IdentityRenewed => return write_text("identityRenewed", out),
            Self::ConflictsChanged => return write_text("conflictsChanged", out),
            Self::SlowResolver(doc, took) => ("slowResolver", &(doc, took)),
            Self::QueryRefused(id) => ("queryRefused", id),
            Self::NotRecovered(collection) => ("notRecovered", collection),
            Self::StorageLost => return write_text("storageLost", out),
            Self::Fenced => return write_text("fenced", out),
            Self::StorageDamaged(records) => ("storageDamaged", records),
        };
        let mut object = Object::new(out);
        object.field(name, value);
        object.end();
    }
}
