//! What a session holds while it is open.

use sdk_core::{
    clock::Millis,
    protocol::{ActorId, ClientId, Limits, Operation, Publication, Seq},
};

use super::{
    follow::Following,
    session::{Pace, SILENCE, Whereabouts},
    topics::Topics,
    work::Work,
};
use crate::tenant::TenantScope;

/// A session that was welcomed.
pub(super) struct Open {
    pub(super) scope: TenantScope,
    pub(super) version: u32,
    pub(super) actor: ActorId,
    /// Another token is being verified.
    pub(super) refreshing: bool,
    pub(super) client: ClientId,
    pub(super) following: Following,
    pub(super) topics: Topics,
    pub(super) whereabouts: Whereabouts,
    pub(super) pace: Pace,
    pub(super) operations: Work<Operation>,
    /// They go to another store than operations, and neither kind waits for the other's disk.
    pub(super) publications: Work<Publication>,
    /// What the client has said that it holds still of what it was refused, for the next commit.
    pub(super) holds: Option<Vec<Seq>>,
    /// Whether something may be kept of the client that it was refused.
    pub(super) has_letters: bool,
    pub(super) next_ping: Millis,
    pub(super) last_heard: Millis,
    pub(super) token_ends: Millis,
}

impl Open {
    /// Whether another frame may come: what is held is bounded by one batch in flight and what fits behind it.
    pub(super) fn has_room(&self, limits: &Limits) -> bool {
        let bytes = self.operations.bytes() + self.publications.bytes();
        let in_flight = self.operations.len() + self.publications.len();
        bytes < limits.frame_bytes && in_flight + limits.batch_operations <= limits.in_flight_operations
    }

    /// Whether a store is at work for it.
    pub(super) fn is_storing(&self) -> bool {
        self.operations.is_under_way() || self.publications.is_under_way()
    }

    /// Nothing is heard while nothing is read, so a peer cannot be silent while its commit is under way.
    pub(super) fn silence_ends(&self) -> Millis {
        if self.is_storing() { Millis(u64::MAX) } else { self.last_heard.plus(SILENCE) }
    }
}
