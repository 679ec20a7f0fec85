//! One pending operation.

use crate::clock::{Dot, Millis};
use crate::protocol::{
    ActorId, Collision, DocKey, EventName, Operation, Outcome, Publication, Rejection, Seq, StreamPosition,
    TopicName,
};
use crate::wire::{encode, record};

/// An operation with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is to be done.
    pub work: Work,
    /// Bytes of its JSON text.
    pub bytes: usize,
    /// How far it has come.
    pub state: State,
    /// Operations of this client that have to succeed before it is sent.
    pub after: Vec<Seq>,
    /// How often it is known to have been sent.
    pub attempts: u32,
    /// How often a conflict of it was resolved without a person, in this life.
    pub rounds: u32,
    /// Whether another copy of this client has used its id.
    pub(super) identity: Claim,
    /// It comes from storage: an earlier life may have sent it.
    pub(super) restored: bool,
}

impl Entry {
    /// An operation that is to be saved.
    pub(super) fn new(work: Work, bytes: usize, after: Vec<Seq>) -> Self {
        Self {
            work,
            bytes,
            state: State::Saving,
            after,
            attempts: 0,
            rounds: 0,
            identity: Claim::Ours,
            restored: false,
        }
    }

    /// Its place.
    pub fn seq(&self) -> Seq {
        self.work.seq()
    }

    /// The edit that it is; none if it is an event.
    pub fn edit(&self) -> Option<&Operation> {
        match &self.work {
            Work::Edit(operation) => Some(operation),
            Work::Event(..) => None,
        }
    }

    /// The event that it is; none if it is an edit.
    pub fn event(&self) -> Option<&Publication> {
        match &self.work {
            Work::Edit(_) => None,
            Work::Event(publication, _) => Some(publication),
        }
    }

    /// Whether it is the event of a name.
    pub(super) fn is_event(&self, name: &str) -> bool {
        let of = |publication: &Publication| EventName::of_checked(publication.event.as_str());
        self.event().is_some_and(|publication| of(publication).is_ok_and(|known| known.text() == name))
    }

    /// What it keeps its order in.
    pub(super) fn lane(&self) -> Lane<'_> {
        match &self.work {
            Work::Edit(operation) => Lane::Document(&operation.doc),
            Work::Event(publication, _) => Lane::Topic(&publication.topic),
        }
    }

    /// Whether the optimistic view shows it.
    pub fn is_visible(&self) -> bool {
        !matches!(self.state, State::Rejected(_))
    }

    /// By which name documents know it once they contain it, as far as this client has heard, which the server calls
    /// `actor`. None if it is yet to get one: what documents know by its id is another copy's.
    pub fn dot(&self, actor: Option<ActorId>) -> Option<Dot> {
        match self.state {
            State::Judged { dot, .. } => dot,
            _ if self.identity == Claim::Taken => None,
            _ => actor.map(|actor| Dot { actor, seq: self.seq() }),
        }
    }

    /// Whether no server can know of it: it is not on its way, and never was.
    pub fn is_unsent(&self) -> bool {
        self.attempts == 0 && !self.restored && matches!(self.state, State::Saving | State::Queued)
    }
}

/// What an operation does: an edit of a document goes to the documents, an event to the event log. All else of the
/// outbox makes no difference between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Edits a document.
    Edit(Operation),
    /// Publishes an event. With a key, a later one of the same key takes its place in the topic while it was not sent.
    Event(Publication, Option<String>),
}

impl Work {
    /// Its place.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Edit(operation) => operation.seq,
            Self::Event(publication, _) => publication.seq,
        }
    }

    /// Its JSON text.
    pub fn text(&self) -> String {
        match self {
            Self::Edit(operation) => encode(operation),
            Self::Event(publication, _) => encode(publication),
        }
    }
}

impl From<Operation> for Work {
    fn from(operation: Operation) -> Self {
        Self::Edit(operation)
    }
}

/// What operations keep their order in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane<'a> {
    /// The edits of a document.
    Document(&'a DocKey),
    /// The events for a topic.
    Topic(&'a TopicName),
}

/// Whose an operation's id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// As far as anybody knows, this client's.
    Ours,
    /// Another copy of this client has used it: the operation goes out under the client's next id.
    Taken,
    /// The client took another id for its sake, once; it does so no second time.
    Renewed,
}

/// How far an operation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its record is not durable as it stands; it must not be sent.
    Saving,
    /// Durable, and waiting to be sent.
    Queued,
    /// Sent; it is sent again on the next link.
    InFlight,
    /// The server has judged it; it waits for the replica to hold its effect.
    Judged {
        /// The judgement.
        outcome: Outcome,
        /// Where the effect stands; none if any commit of the replica will do.
        position: Option<StreamPosition>,
        /// By which name documents know it; none if the server has not told who this client is.
        dot: Option<Dot>,
    },
    /// It collides with a write that its maker had not seen. It waits for somebody to decide, and its lane with it.
    Conflicted(Clashing),
    /// A dead letter: it will not be applied, and waits for the application to act on it.
    Rejected(Dead),
}

/// Why and when an operation became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Why.
    pub reason: Rejection,
    /// Unix time.
    pub at: Millis,
}

/// What an operation collides with, and how far the decision is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clashing {
    /// What the server said.
    pub collision: Collision,
    /// How far the collection was then; who decides has to know it that far.
    pub position: Option<StreamPosition>,
    /// Why the application's own function did not decide; it is not asked again.
    pub problem: Option<String>,
}

record!(Clashing {
    collision: "collision";
    position: "position";
    problem: "problem";
});

record!(Dead {
    reason: "reason";
    at: "at";
});
