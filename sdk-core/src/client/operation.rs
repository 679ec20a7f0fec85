//! The handle of an edit.

use futures::{FutureExt, channel::oneshot, future::Shared};

use super::Closed;
use crate::protocol::{OpId, Outcome};

/// An edit that is durable on this device. Dropping the handle changes nothing.
#[derive(Debug, Clone)]
pub struct Operation {
    pub(super) id: OpId,
    pub(super) durable: bool,
    pub(super) outcome: Shared<oneshot::Receiver<Outcome>>,
}

impl Operation {
    pub(super) fn new(id: OpId, durable: bool, outcome: oneshot::Receiver<Outcome>) -> Self {
        Self { id, durable, outcome: outcome.shared() }
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
