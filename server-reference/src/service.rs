//! What every handler works with.

use std::{sync::Arc, time::Duration};

use sdk_core::protocol::Limits;
use tokio::sync::{Semaphore, watch};

use crate::{
    auth::Verifier,
    config::{Identity, ServerConfig},
    dev::DevIssuer,
    hub::Hub,
    origin::Origins,
    snapshot::Snapshots,
    storage::Documents,
};

/// WebSocket sessions at one time.
pub const MAX_SESSIONS: u32 = 10_000;
/// WebSocket connections that have not said a valid hello yet.
pub const MAX_GREETINGS: usize = 256;
/// HTTP requests at one time.
pub const MAX_REQUESTS: usize = 512;

/// One running server, whichever its storage.
pub struct Service {
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) snapshots: Snapshots,
    pub(crate) hub: Arc<Hub>,
    pub(crate) verifier: Verifier,
    /// Hands out development tokens, if this is a development server.
    pub(crate) dev: Option<DevIssuer>,
    pub(crate) origins: Origins,
    pub(crate) limits: Limits,
    pub(crate) write_deadline: Duration,
    pub(crate) sessions: Arc<Semaphore>,
    pub(crate) greetings: Arc<Semaphore>,
    pub(crate) requests: Semaphore,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Service {
    /// A service over a store that tells `hub` of its commits. It ends its sessions once `stopping` holds true.
    pub fn new(
        documents: Arc<dyn Documents>,
        snapshots: Snapshots,
        hub: Arc<Hub>,
        config: ServerConfig,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let ServerConfig { identity, origins, limits, write_deadline, .. } = config;
        let (verifier, dev) = match identity {
            Identity::Dev(issuer) => (issuer.verifier(), Some(issuer)),
            Identity::Keys(verifier) => (verifier, None),
        };
        Self {
            documents,
            snapshots,
            hub,
            verifier,
            dev,
            origins,
            limits,
            write_deadline,
            sessions: Arc::new(Semaphore::new(MAX_SESSIONS as usize)),
            greetings: Arc::new(Semaphore::new(MAX_GREETINGS)),
            requests: Semaphore::new(MAX_REQUESTS),
            stopping,
        }
    }
}
