//! The truth about the network and what is saved where, in one value.

use super::{Engine, Syncing};
use crate::{
    clock::Millis,
    outbox::{Entry, State},
    protocol::{DocKey, Intent, Json, Operation, ProtocolError, Publication, Rejection, Seq, TopicName},
    routing::LinkState,
    wire::record,
};

/// How a client is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify), serde(rename_all = "camelCase"))]
pub struct Status {
    /// What can be reached.
    pub link: LinkState,
    /// Whether the application allows the network.
    pub network: bool,
    /// Operations that are not settled.
    pub pending: usize,
    /// Operations that were rejected and not yet seen.
    pub rejected: usize,
    /// Operations among the pending ones that wait for somebody to decide a conflict.
    pub conflicts: usize,
    /// Whether what is submitted survives a restart.
    pub durable: bool,
    /// Records of the outbox that were found damaged at the start. They stay there, and are not sent.
    pub damaged: usize,
    /// Whether this device has all that the server had when the connection came about, and what came since.
    pub caught_up: bool,
    /// The snapshot that is being fetched.
    #[cfg_attr(feature = "typescript", tsify(optional))]
    pub syncing: Option<Syncing>,
    /// Why the link is not up, or what last went wrong with it.
    #[cfg_attr(
        feature = "typescript",
        tsify(optional, type = "{ code: string; message: string; retryAfter?: number }")
    )]
    pub problem: Option<ProtocolError>,
}

/// A dead letter: an edit that will not be applied as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify), serde(rename_all = "camelCase"))]
pub struct Rejected {
    /// The operation.
    #[cfg_attr(feature = "typescript", tsify(type = "number"))]
    pub seq: Seq,
    /// The document it was to edit.
    #[cfg_attr(feature = "typescript", tsify(type = "[collection: string, id: string]"))]
    pub doc: DocKey,
    /// What it was to do.
    #[cfg_attr(feature = "typescript", tsify(type = "unknown[]"))]
    pub intents: Vec<Intent>,
    /// The version of the application's schema that this is written for.
    pub schema: u32,
    /// Why not.
    #[cfg_attr(feature = "typescript", tsify(type = "{ code: string; message: string }"))]
    pub reason: Rejection,
    /// Since when; Unix time in milliseconds.
    #[cfg_attr(feature = "typescript", tsify(type = "number"))]
    pub at: Millis,
    /// How often it is known to have been sent.
    pub attempts: u32,
}

/// An operation that is stored and not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The operation.
    pub seq: Seq,
    /// The document it edits.
    pub doc: DocKey,
    /// What it does.
    pub intents: Vec<Intent>,
}

/// An event that is not in its topic yet, or will not be as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify), serde(rename_all = "camelCase"))]
pub struct Unpublished {
    /// The operation.
    #[cfg_attr(feature = "typescript", tsify(type = "number"))]
    pub seq: Seq,
    /// Where it goes.
    #[cfg_attr(feature = "typescript", tsify(type = "string"))]
    pub topic: TopicName,
    /// The event.
    #[cfg_attr(feature = "typescript", tsify(type = "Record<string, unknown>"))]
    pub event: Json,
    /// Why it was refused; none while it waits. Behind one that was refused nothing of its topic is sent.
    #[cfg_attr(feature = "typescript", tsify(type = "{ code: string; message: string }", optional))]
    pub reason: Option<Rejection>,
    /// Since when that is so; Unix time in milliseconds.
    #[cfg_attr(feature = "typescript", tsify(type = "number", optional))]
    pub at: Option<Millis>,
    /// How often it is known to have been sent.
    pub attempts: u32,
}

impl Engine {
    /// How the client is doing now.
    pub fn status(&self) -> Status {
        Status {
            link: self.link_state(),
            network: self.network,
            pending: self.outbox.pending(),
            rejected: self.outbox.rejected(),
            conflicts: self.outbox.conflicted().len(),
            durable: self.config.durable,
            damaged: self.damaged,
            caught_up: self.replica.is_caught_up(),
            syncing: self.syncing(),
            problem: self.problem.clone(),
        }
    }

    /// The edits that were rejected and not yet discarded, oldest first.
    pub fn rejected(&self) -> Vec<Rejected> {
        let rejected = |entry: &Entry| {
            let (operation, State::Rejected(dead)) = (entry.edit()?, &entry.state) else { return None };
            Some(Rejected {
                seq: entry.seq(),
                doc: operation.doc.clone(),
                intents: operation.intents.clone(),
                schema: operation.schema,
                reason: dead.reason.clone(),
                at: dead.at,
                attempts: entry.attempts,
            })
        };
        self.outbox.entries().filter_map(rejected).collect()
    }

    /// The edits that are stored and not settled, oldest first.
    pub fn unsettled(&self) -> Vec<Unsettled> {
        let unsettled = |entry: &Entry| {
            let Operation { seq, doc, intents, .. } = entry.edit()?.clone();
            (entry.is_visible() && self.is_stored(entry)).then_some(Unsettled { seq, doc, intents })
        };
        self.outbox.entries().filter_map(unsettled).collect()
    }

    /// The events that are stored and not settled, or were rejected and not yet discarded, oldest first.
    pub fn unpublished(&self) -> Vec<Unpublished> {
        let unpublished = |entry: &Entry| {
            let Publication { seq, topic, event } = entry.event().filter(|_| self.is_stored(entry))?.clone();
            let (reason, at) = match &entry.state {
                State::Rejected(dead) => (Some(dead.reason.clone()), Some(dead.at)),
                _ => (None, None),
            };
            Some(Unpublished { seq, topic, event, reason, at, attempts: entry.attempts })
        };
        self.outbox.entries().filter_map(unpublished).collect()
    }

    /// Whether the store has an operation, be it as it was before a change.
    fn is_stored(&self, entry: &Entry) -> bool {
        !(matches!(entry.state, State::Saving) && self.outbox.is_unsaved(entry.seq()))
    }

    pub(super) fn link_state(&self) -> LinkState {
        if self.socket.is_live() {
            LinkState::Up
        } else if self.network && self.poll.works() {
            LinkState::Degraded
        } else {
            LinkState::Down
        }
    }
}

record!(out Status {
    link: "link";
    network: "network";
    pending: "pending";
    rejected: "rejected";
    conflicts: "conflicts";
    durable: "durable";
    damaged: "damaged";
    caught_up: "caughtUp";
    syncing: "syncing";
    problem: "problem";
});

record!(out Unsettled {
    seq: "seq";
    doc: "doc";
    intents: "intents";
});

record!(out Rejected {
    seq: "seq";
    doc: "doc";
    intents: "intents";
    schema: "schema";
    reason: "reason";
    at: "at";
    attempts: "attempts";
});

record!(out Unpublished {
    seq: "seq";
    topic: "topic";
    event: "event";
    reason: "reason";
    at: "at";
    attempts: "attempts";
});
