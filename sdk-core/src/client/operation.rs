//! The handle of an edit.

use super::{Closed, router::OutcomeReceiver};
use crate::protocol::{OpId, Outcome};

/// An edit that is durable on this device. Edits of a document that follow on one another before they are sent may be
/// one operation; their handles then have one id and hear one outcome. Dropping the handle changes nothing.
#[derive(Debug, Clone)]
pub struct Operation {
    pub(super) id: OpId,
    pub(super) durable: bool,
    pub(super) outcome: OutcomeReceiver,
}

impl Operation {
    pub(super) fn new(id: OpId, durable: bool, outcome: OutcomeReceiver) -> Self {
        Self { id, durable, outcome }
    }

    /// Its id, the same everywhere and for ever.
    pub fn id(&self) -> OpId {
        self.id
    }

    /// Whether it survives a restart of this device.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// What the server made of it; resolves once that is known here and the effect can be read here. May take as
    /// long as the network is away. Cancel safe.
    ///
    /// # Errors
    /// [`Closed`] if the client is closed first; the operation stays in its store.
    pub async fn outcome(&self) -> Result<Outcome, Closed> {
        self.outcome.clone().await.map_err(|_| Closed)
    }
}
