//! How Redis is reached.

use std::{fmt, fs, path::PathBuf, time::Duration};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates,
    cluster::{ClusterClient, ClusterClientBuilder},
};

use crate::storage::StorageError;

/// How long Redis may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To be connected with.
    pub connect: Duration,
    /// For one answer, with all that is tried again for it. What was asked for has failed then, or its outcome is unknown.
    pub answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), answer: Duration::from_secs(5) }
    }
}

/// The servers of Redis.
#[derive(Clone)]
pub enum Nodes {
    /// The URL of the only one, or of whoever is the primary: `redis://` or, with TLS, `rediss://`.
    One(String),
    /// URLs of some of a cluster's, by which the others are found.
    Cluster(Vec<String>),
}

/// Whether a process of Redis is taken to have all that was acknowledged by the one before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trust {
    /// It is not: topics begin another epoch with the first write after a restart or failover of Redis, and readers are told that
    /// their positions are lost. Right for every setting of Redis.
    #[default]
    Never,
    /// It is. For a Redis with `appendfsync always`, which is never replaced by a replica that may lack something and never restored
    /// from a backup. What an instance has seen itself and misses is noticed all the same.
    Restarted,
}

/// Where Redis is, and as who it is entered.
#[derive(Clone)]
pub struct Options {
    /// The servers.
    pub nodes: Nodes,
    /// The user; if none is given here, the one in the URLs or the default one.
    pub username: Option<String>,
    /// The password; if none is given here or by file, the one in the URLs.
    pub password: Option<String>,
    /// A file whose only line is the password.
    pub password_file: Option<PathBuf>,
    /// A file of certificates (PEM) of those who vouch for the servers'; the system's, if there is none.
    pub roots: Option<PathBuf>,
    /// What all keys begin with: letters, digits, `-`, `_`, `.` and `:`.
    pub prefix: String,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Calls under way at a time. Who comes after waits, within the time for an answer.
    pub in_flight: usize,
    /// Replicas that must have a write before it is acknowledged (`WAIT`).
    pub replicas: usize,
    /// What is thought of a Redis that was started anew.
    pub trust: Trust,
}

impl Options {
    /// Those for some servers, with what is usual for the rest.
    pub fn new(nodes: Nodes) -> Self {
        Self {
            nodes,
            username: None,
            password: None,
            password_file: None,
            roots: None,
            prefix: "webwaka".into(),
            timeouts: Timeouts::default(),
            in_flight: 1_024,
            replicas: 0,
            trust: Trust::default(),
        }
    }
}

impl fmt::Debug for Options {
    /// Without URLs and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// What was found to be right of the options.
pub(crate) struct Settings {
    infos: Vec<ConnectionInfo>,
    certificates: TlsCertificates,
    cluster: bool,
    timeouts: Timeouts,
}

impl Settings {
    pub(crate) fn new(options: &Options) -> Result<Self, StorageError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if options.prefix.is_empty() || !options.prefix.bytes().all(allowed) {
            return Err(unavailable("the prefix of Redis keys has letters, digits, `-`, `_`, `.` and `:`"));
        }
        if options.in_flight == 0 {
            return Err(unavailable("at least one call to Redis has to be allowed at a time"));
        }
        let password = match &options.password_file {
            None => options.password.clone(),
            Some(file) => {
                let text = fs::read_to_string(file)
                    .map_err(|error| unavailable(format!("{}: {error}", file.display())))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        let (urls, cluster) = match &options.nodes {
            Nodes::One(url) => (std::slice::from_ref(url), false),
            Nodes::Cluster(urls) => (urls.as_slice(), true),
        };
        let mut infos = Vec::new();
        for url in urls {
            let info = url.as_str().into_connection_info().map_err(down)?;
            let mut who = info.redis_settings().clone();
            if let Some(username) = &options.username {
                who = who.set_username(username);
            }
            if let Some(password) = &password {
                who = who.set_password(password);
            }
            infos.push(info.set_redis_settings(who));
        }
        if infos.is_empty() {
            return Err(unavailable("no server of Redis is named"));
        }
        let root_cert = match &options.roots {
            None => None,
            Some(file) => {
                Some(fs::read(file).map_err(|error| unavailable(format!("{}: {error}", file.display())))?)
            }
        };
        let certificates = TlsCertificates { client_tls: None, root_cert };
        Ok(Self { infos, certificates, cluster, timeouts: options.timeouts })
    }

    /// For a cluster, what reaches all of it.
    pub(super) fn cluster(&self) -> Option<Result<ClusterClient, StorageError>> {
        self.cluster.then(|| {
            let builder: ClusterClientBuilder = ClusterClient::builder(self.infos.clone())
                // What is sent twice could be done twice: whether it may be is known here, and not to the client.
                .retries(0)
                .connection_timeout(self.timeouts.connect)
                .response_timeout(self.timeouts.answer);
            let builder =
                if self.infos.iter().any(tls) { builder.certs(self.certificates.clone()) } else { builder };
            builder.build().map_err(down)
        })
    }

    /// What reaches each of the servers that were named.
    pub(crate) fn each(&self) -> Result<Vec<Client>, StorageError> {
        let client = |info: &ConnectionInfo| {
            if tls(info) {
                Client::build_with_tls(info.clone(), self.certificates.clone())
            } else {
                Client::open(info.clone())
            }
        };
        self.infos.iter().map(|info| client(info).map_err(down)).collect()
    }
}

fn tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

pub(super) fn unavailable(why: impl Into<String>) -> StorageError {
    StorageError::Unavailable(why.into().into())
}

pub(super) fn down(error: redis::RedisError) -> StorageError {
    StorageError::Unavailable(Box::new(error))
}
