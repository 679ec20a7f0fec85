//! How a server is set up, and why it may refuse to start.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use sdk_core::protocol::Limits;

use crate::{
    auth::{KeyError, KeyFile, Verifier},
    dev::DevIssuer,
    limits::Quotas,
    office::{covers, is_pattern},
    origin::Origins,
    resolvers::Resolvers,
    storage::{StorageError, grants::MIN_SECONDS},
    streams::StreamsConfig,
    transactions::TransactionsConfig,
};

/// How long the head of a request may take, where nothing else was said.
const HEAD_DEADLINE: Duration = Duration::from_secs(20);
/// How long a peer may take to accept one frame, where nothing else was said.
const WRITE_DEADLINE: Duration = Duration::from_secs(20);

/// Days for which it is remembered that a document was deleted, where nothing else was said.
pub const TOMBSTONE_DAYS: u32 = 90;

/// Days for which the records of the audit are kept, where nothing else was said: seven years with their leap days.
pub const AUDIT_DAYS: u32 = 2557;

/// Everything a server needs to know.
pub struct ServerConfig {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where its metrics are served, for operators alone; nowhere if this is none.
    pub metrics: Option<SocketAddr>,
    /// The folder that holds its data.
    pub data: PathBuf,
    /// A folder of static files to serve beside the API.
    pub web: Option<PathBuf>,
    /// Whose tokens it takes.
    pub identity: Identity,
    /// Which web pages may use it.
    pub origins: Origins,
    /// What it accepts.
    pub limits: Limits,
    /// How much a session, a user, a tenant and an address may do.
    pub quotas: Quotas,
    /// What decides conflicts on the server.
    pub resolvers: Resolvers,
    /// How long the head of a request may take, from when a connection is there or its last request was answered.
    pub head_deadline: Duration,
    /// How long a peer may take to accept one frame before it is dropped.
    pub write_deadline: Duration,
    /// How long it is remembered that a document was deleted. A reader that comes back later starts anew.
    pub tombstone_age: Duration,
    /// How long the records of the audit are kept.
    pub audit_kept: Duration,
    /// How topics are served.
    pub streams: StreamsConfig,
    /// The critical transactions that there are, and how they are served.
    pub transactions: TransactionsConfig,
    /// How super admins get at the data of tenants.
    pub grants: GrantsConfig,
}

/// How super admins get at the data of tenants.
#[derive(Debug, Clone)]
pub struct GrantsConfig {
    /// The tenants for which somebody else has to approve of an access grant: names, or the beginning of names and a `*`.
    pub approval: Vec<String>,
    /// How long a grant lasts at most.
    pub longest: Duration,
}

/// Seconds that an access grant lasts at most, where nothing else was said.
pub const GRANT_SECONDS: u64 = 4 * 60 * 60;

impl Default for GrantsConfig {
    fn default() -> Self {
        Self { approval: Vec::new(), longest: Duration::from_secs(GRANT_SECONDS) }
    }
}

impl GrantsConfig {
    /// The same from what an operator has written.
    ///
    /// # Errors
    /// [`StartError::Grants`].
    pub fn new(approval: Vec<String>, seconds: u64) -> Result<Self, StartError> {
        if let Some(bad) = approval.iter().find(|pattern| !is_pattern(pattern)) {
            let bad = format!("{bad:?} is no tenant's name, nor the beginning of one and a *");
            return Err(StartError::Grants(bad));
        }
        if seconds < MIN_SECONDS {
            return Err(StartError::Grants(format!("they last {MIN_SECONDS} seconds at least")));
        }
        Ok(Self { approval, longest: Duration::from_secs(seconds) })
    }

    /// Whether somebody else has to approve of a grant for a tenant.
    pub fn needs_approval(&self, tenant: &str) -> bool {
        self.approval.iter().any(|pattern| covers(pattern, tenant))
    }
}

/// Whose tokens a server takes.
pub enum Identity {
    /// Its own, made on this machine.
    Dev(Arc<Verifier>, DevIssuer),
    /// Those of an issuer whose keys it was given.
    Keys(Arc<Verifier>),
}

impl Identity {
    /// What verifies them.
    pub fn verifier(&self) -> &Arc<Verifier> {
        match self {
            Self::Dev(verifier, _) | Self::Keys(verifier) => verifier,
        }
    }
}

impl From<DevIssuer> for Identity {
    fn from(issuer: DevIssuer) -> Self {
        Self::Dev(Arc::new(issuer.verifier()), issuer)
    }
}

impl From<Verifier> for Identity {
    fn from(verifier: Verifier) -> Self {
        Self::Keys(Arc::new(verifier))
    }
}

/// Why a server did not start. Nothing was served and no data was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Neither `--dev` nor keys.
    #[error(
        "without --dev a server needs --keys FILE (or WEBWAKA_KEYS): issuer, audience and at least one key; see \
         docs/operations.md"
    )]
    NoKeys,
    /// The keys cannot be used.
    #[error("the keys cannot be used")]
    Keys(#[from] KeyError),
    /// Anybody who reaches a development server may have a token.
    #[error("--dev listens on loopback only, not on {0}")]
    DevNotLoopback(SocketAddr),
    /// Two kinds of tokens.
    #[error("--dev takes tokens of its own alone, and goes with no keys")]
    DevWithKeys,
    /// The development secret can neither be read nor made.
    #[error("the development secret cannot be used")]
    DevSecret(#[source] io::Error),
    /// What is said of access grants means nothing.
    #[error("the access grants cannot be set up: {0}")]
    Grants(String),
    /// The key that webhooks are signed with can neither be read nor made.
    #[error("the key of webhooks cannot be used")]
    WebhookKey(#[source] io::Error),
    /// Nothing can be counted.
    #[error("the metrics cannot be set up")]
    Metrics(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There can be no HTTP client for webhooks.
    #[error("webhooks cannot be called")]
    Webhooks(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The data folder cannot be made or locked.
    #[error("the data folder {path} cannot be used")]
    Data {
        /// Which folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another server has it.
    #[error("the data folder {path} is in use by another server")]
    DataInUse {
        /// Which folder.
        path: PathBuf,
    },
    /// The database cannot be opened.
    #[error("the database cannot be opened")]
    Storage(#[from] StorageError),
    /// The port is taken, or not allowed.
    #[error("cannot listen on {listen}")]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl ServerConfig {
    /// A development server: loopback only, a secret of its own in the data folder, pages of this machine allowed.
    ///
    /// # Errors
    /// [`StartError::DevNotLoopback`] or [`StartError::DevSecret`].
    pub fn development(listen: SocketAddr, data: PathBuf) -> Result<Self, StartError> {
        if !listen.ip().is_loopback() {
            return Err(StartError::DevNotLoopback(listen));
        }
        let identity = DevIssuer::load_or_create(&data).map_err(StartError::DevSecret)?.into();
        let origins = Origins::and_loopback(Vec::new());
        Ok(Self::new(listen, data, identity, origins))
    }

    /// A server that takes the tokens of one issuer.
    ///
    /// # Errors
    /// [`StartError::NoKeys`] if there is no file of keys, [`StartError::Keys`] if it cannot be used.
    pub fn production(
        listen: SocketAddr,
        data: PathBuf,
        keys: Option<PathBuf>,
        origins: Vec<String>,
    ) -> Result<Self, StartError> {
        let KeyFile { issuer, audience, keys, source } = KeyFile::read(&keys.ok_or(StartError::NoKeys)?)?;
        let identity = Verifier::new(&issuer, &audience, keys).with_source(source).into();
        let origins = Origins::exactly(origins);
        Ok(Self::new(listen, data, identity, origins))
    }

    fn new(listen: SocketAddr, data: PathBuf, identity: Identity, origins: Origins) -> Self {
        let (limits, quotas) = (Limits::default(), Quotas::default());
        let (write_deadline, tombstone_age) = (WRITE_DEADLINE, days(TOMBSTONE_DAYS));
        let resolvers = Resolvers::default();
        let (web, streams, transactions) = (None, StreamsConfig::default(), TransactionsConfig::default());
        Self {
            listen,
            metrics: None,
            data,
            web,
            identity,
            origins,
            limits,
            quotas,
            resolvers,
            head_deadline: HEAD_DEADLINE,
            write_deadline,
            tombstone_age,
            audit_kept: days(AUDIT_DAYS),
            streams,
            transactions,
            grants: GrantsConfig::default(),
        }
    }
}

/// So many days.
pub fn days(count: u32) -> Duration {
    Duration::from_secs(24 * 60 * 60) * count
}
