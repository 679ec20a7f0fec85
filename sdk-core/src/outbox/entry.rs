//! One pending operation.

use crate::protocol::{Operation, Outcome, Rejection, Seq, StreamPosition};

/// An operation with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The operation.
    pub operation: Operation,
    /// Bytes of its JSON text.
    pub bytes: usize,
    /// How far it has come.
    pub state: State,
}

impl Entry {
    /// Its place.
    pub fn seq(&self) -> Seq {
        self.operation.seq
    }

    /// Whether the optimistic view shows it.
    pub fn is_visible(&self) -> bool {
        !matches!(self.state, State::Rejected(_))
    }
}

/// How far an operation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its record is not durable yet; it must not be sent.
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
    },
    /// The server will never apply it; it waits for the application to see that.
    Rejected(Rejection),
}
