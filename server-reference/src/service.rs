//! What every handler works with.

use std::sync::Arc;

use sdk_core::protocol::Limits;
use tokio::sync::{Semaphore, watch};

use crate::{auth::Verifier, dev::DevIssuer, hub::Hub, origin::Origins, storage::Documents};

/// WebSocket sessions at one time.
pub const MAX_SESSIONS: u32 = 10_000;
/// WebSocket connections that have not said a valid hello yet.
pub const MAX_GREETINGS: usize = 256;
/// HTTP requests at one time.
pub const MAX_REQUESTS: usize = 512;

/// One running server, whichever its storage.
pub struct Service {
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) verifier: Verifier,
    pub(crate) limits: Limits,
    pub(crate) origins: Origins,
    pub(crate) dev: Option<DevIssuer>,
    pub(crate) sessions: Arc<Semaphore>,
    pub(crate) greetings: Arc<Semaphore>,
    pub(crate) requests: Semaphore,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Service {
    /// A service over a store that tells `hub` of its commits. It ends its sessions once `stopping` holds true.
    pub fn new(
        documents: Arc<dyn Documents>,
        hub: Arc<Hub>,
        verifier: Verifier,
        limits: Limits,
        origins: Origins,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            documents,
            hub,
            verifier,
            limits,
            origins,
            dev: None,
            sessions: Arc::new(Semaphore::new(MAX_SESSIONS as usize)),
            greetings: Arc::new(Semaphore::new(MAX_GREETINGS)),
            requests: Semaphore::new(MAX_REQUESTS),
            stopping,
        }
    }

    /// Also hands out development tokens.
    pub fn with_dev(self, issuer: DevIssuer) -> Self {
        Self { dev: Some(issuer), ..self }
    }
}
