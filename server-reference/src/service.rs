//! What every handler works with.

use std::{hash::RandomState, net::SocketAddr, sync::Arc, time::Duration};

use sdk_core::{clock::Millis, protocol::Limits};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    attempts::Attempts,
    auth::{AuthError, Verifier},
    clock::Clock,
    config::{GrantsConfig, Identity, ServerConfig},
    dev::DevIssuer,
    hub::Hub,
    identity::tickets::Tickets,
    limits::{Limiter, Meter},
    metrics::Metrics,
    origin::Origins,
    rooms::Rooms,
    snapshot::Snapshots,
    storage::{
        Advance, Documents,
        attempts::AttemptLog,
        events::{DeadLetters, EventLog, GroupStore, News, Stirred},
        grants::Grants,
        refusals::ClientLetters,
        revocations::Revocations,
        transactions::Transactions,
    },
    streams::{StreamsConfig, subscriptions::Subscriptions},
    transactions::{Figures, TransactionsConfig},
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
    pub(crate) hub: Arc<Hub<Advance>>,
    pub(crate) events: Arc<dyn EventLog>,
    pub(crate) news: Arc<Hub<News>>,
    pub(crate) groups: Arc<dyn GroupStore>,
    pub(crate) letters: Arc<dyn DeadLetters>,
    pub(crate) client_letters: Arc<dyn ClientLetters>,
    pub(crate) revocations: Arc<dyn Revocations>,
    pub(crate) grants: Arc<dyn Grants>,
    pub(crate) grants_config: GrantsConfig,
    pub(crate) attempts_log: Arc<dyn AttemptLog>,
    pub(crate) attempts: Attempts,
    /// Tells workers that wait what others did in their group.
    pub(crate) stirred: Arc<Hub<Stirred>>,
    /// Nobody outside can work out what this makes of an answer.
    pub(crate) blur: RandomState,
    pub(crate) tickets: Tickets,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) transactions: Served,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) streams: StreamsConfig,
    /// Where topics are found, without a slash at its end.
    pub(crate) public_streams: String,
    /// Readers that wait for events.
    pub(crate) live: Arc<Semaphore>,
    pub(crate) verifier: Arc<Verifier>,
    /// Hands out development tokens, if this is a development server.
    pub(crate) dev: Option<DevIssuer>,
    pub(crate) origins: Origins,
    pub(crate) limits: Limits,
    pub(crate) limiter: Arc<Limiter>,
    /// By which all of it counts.
    pub(crate) clock: Clock,
    pub(crate) head_deadline: Duration,
    pub(crate) write_deadline: Duration,
    pub(crate) sessions: Arc<Semaphore>,
    pub(crate) greetings: Arc<Semaphore>,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) stopping: CancellationToken,
}

/// What a service keeps its data in, and what tells of it.
pub struct Stores {
    /// The documents.
    pub documents: Arc<dyn Documents>,
    /// Their snapshots.
    pub snapshots: Snapshots,
    /// What `documents` tells of its commits.
    pub hub: Arc<Hub<Advance>>,
    /// The topics.
    pub events: Arc<dyn EventLog>,
    /// What `events` tells of its commits.
    pub news: Arc<Hub<News>>,
    /// The groups that share them.
    pub groups: Arc<dyn GroupStore>,
    /// What became of events that these could not work on.
    pub letters: Arc<dyn DeadLetters>,
    /// What clients were refused.
    pub client_letters: Arc<dyn ClientLetters>,
    /// Tokens that were taken back.
    pub revocations: Arc<dyn Revocations>,
    /// Access grants of super admins.
    pub grants: Arc<dyn Grants>,
    /// What was tried and refused.
    pub attempts: Arc<dyn AttemptLog>,
    /// What is woken by them.
    pub subscriptions: Arc<Subscriptions>,
    /// The critical transactions.
    pub transactions: Arc<dyn Transactions>,
    /// What becomes of them.
    pub figures: Arc<Figures>,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
}

/// The critical transactions as they are served.
pub(crate) struct Served {
    pub(crate) store: Arc<dyn Transactions>,
    pub(crate) config: TransactionsConfig,
    pub(crate) figures: Arc<Figures>,
}

impl Service {
    /// A service at an address. It ends its sessions once `stopping` is cancelled.
    pub fn new(
        stores: Stores,
        config: ServerConfig,
        address: SocketAddr,
        stopping: CancellationToken,
    ) -> Self {
        let Stores {
            documents,
            snapshots,
            hub,
            events,
            news,
            groups,
            letters,
            client_letters,
            revocations,
            grants,
            attempts,
            subscriptions,
            transactions,
            figures,
            metrics,
        } = stores;
        let ServerConfig {
            identity,
            origins,
            limits,
            quotas,
            head_deadline,
            write_deadline,
            streams,
            transactions: config,
            grants: grants_config,
            ..
        } = config;
        let public_streams = streams.url(address);
        let (verifier, dev) = match identity {
            Identity::Dev(verifier, issuer) => (verifier, Some(issuer)),
            Identity::Keys(verifier) => (verifier, None),
        };
        Self {
            documents,
            snapshots,
            hub,
            events,
            news,
            groups,
            letters,
            client_letters,
            revocations,
            grants,
            grants_config,
            attempts_log: attempts,
            attempts: Attempts::default(),
            stirred: Arc::default(),
            blur: RandomState::new(),
            tickets: Tickets::default(),
            subscriptions,
            transactions: Served { store: transactions, config, figures },
            metrics,
            rooms: Arc::default(),
            live: Arc::new(Semaphore::new(streams.live)),
            streams,
            public_streams,
            verifier,
            dev,
            origins,
            limits,
            limiter: Limiter::new(quotas),
            clock: Clock::start(),
            head_deadline,
            write_deadline,
            sessions: Arc::new(Semaphore::new(MAX_SESSIONS as usize)),
            greetings: Arc::new(Semaphore::new(MAX_GREETINGS)),
            requests: Arc::new(Semaphore::new(MAX_REQUESTS)),
            stopping,
        }
    }

    /// The time that limits count by.
    pub(crate) fn now(&self) -> Millis {
        self.clock.monotonic()
    }

    /// Somebody came with a token that is none here.
    pub(crate) fn token_refused(&self, meter: &Meter, error: &AuthError) {
        meter.token_refused(error, self.now());
        tracing::info!(%error, "token refused");
        self.metrics.token_refused(error);
    }
}
