//! Whoever opens a store that another client has open takes it over, with all that waits in it to be sent. The other
//! one may not know of that yet: with each connection it asks its store before it sends anything, by a commit, and
//! once the store has refused one it sends nothing any more.

use super::{Engine, Event, storage::StoreError};
use crate::{
    clock::Millis,
    connection::Phase,
    protocol::{ErrorCode, ProtocolError},
    routing::LinkState,
};

/// What a client knows of its right to send what is in its store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Fence {
    /// Nothing since this connection came about, or there is none.
    #[default]
    Unknown,
    /// A commit is under way that will tell.
    Asked,
    /// The store is still this client's.
    Ours,
    /// Another client has taken it over.
    Lost,
}

impl Engine {
    /// Whether a commit is wanted for no other reason than to find out.
    pub(super) fn must_ask_store(&self) -> bool {
        self.fence == Fence::Unknown && self.is_met() && self.outbox.oldest_queued().is_some()
    }

    /// A commit begins.
    pub(super) fn asks_store(&mut self) {
        if self.fence == Fence::Unknown && self.is_met() {
            self.fence = Fence::Asked;
        }
    }

    /// A commit has ended.
    pub(super) fn store_answered(&mut self, now: Millis, error: Option<&StoreError>) {
        if error == Some(&StoreError::Fenced) && self.fence != Fence::Lost {
            self.fence = Fence::Lost;
            self.emit(Event::Fenced);
            self.problem =
                Some(ProtocolError::new(ErrorCode::StorageUnavailable, StoreError::Fenced.to_string()));
            self.disconnect(now);
        } else if self.fence == Fence::Asked {
            // A store that cannot write at present says nothing of others, and what is in it must still get out.
            self.fence = Fence::Ours;
        }
    }

    /// The connection is gone, or each request is one of its own.
    pub(super) fn forget_fence(&mut self) {
        if self.fence != Fence::Lost {
            self.fence = Fence::Unknown;
        }
    }

    fn is_met(&self) -> bool {
        self.socket.phase() == Phase::Greeting || self.link_state() != LinkState::Down
    }
}
