//! How the database is reached.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use postgres::{
    Client, Config, NoTls,
    config::{Host, SslMode},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::storage::StorageError;

/// How long the database may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To be connected with, also until a lost network is noticed.
    pub connect: Duration,
    /// For one statement.
    pub statement: Duration,
    /// For a lock, which another instance may hold for the length of its transaction.
    pub lock: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            statement: Duration::from_secs(30),
            lock: Duration::from_secs(10),
        }
    }
}

/// Where the database is, and as who it is entered.
#[derive(Clone)]
pub struct Options {
    /// A connection string or URL of PostgreSQL. Unless it says `sslmode=disable`, the connection is by TLS and the server's
    /// certificate is verified.
    pub url: String,
    /// A file of certificates (PEM) of those who vouch for the server's; the system's, if there is none.
    pub roots: Option<PathBuf>,
    /// A file whose first line is the password, so that it is not in the URL.
    pub password: Option<PathBuf>,
    /// The schema that the tables are in.
    pub schema: String,
    /// Connections that write. Each serves some of the tenants.
    pub writers: usize,
    /// Connections that read.
    pub readers: usize,
    /// How long things may take.
    pub timeouts: Timeouts,
}

impl Options {
    /// Those for a database with a URL, with what is usual for the rest.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            roots: None,
            password: None,
            schema: "webwaka".into(),
            writers: 4,
            readers: 4,
            timeouts: Timeouts::default(),
        }
    }

    /// The same for the critical transactions, whose tables are in a schema of their own.
    pub fn transactions(&self) -> Self {
        Self { schema: format!("{}_transactions", self.schema), ..self.clone() }
    }

    /// The same for the consumer groups, whose tables are in a schema of their own.
    pub fn groups(&self) -> Self {
        Self { schema: format!("{}_groups", self.schema), ..self.clone() }
    }
}

impl fmt::Debug for Options {
    /// Without the URL, which may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// What was found to be right of the options.
pub(super) struct Settings {
    config: Config,
    tls: Option<Arc<ClientConfig>>,
    pub(super) schema: String,
    pub(super) timeouts: Timeouts,
}

impl Settings {
    pub(super) fn new(options: &Options) -> Result<Self, StorageError> {
        let mut config: Config = options.url.parse()?;
        if let Some(file) = &options.password {
            let unreadable = |error| StorageError::Unavailable(format!("{}: {error}", file.display()).into());
            let text = std::fs::read_to_string(file).map_err(unreadable)?;
            config.password(text.lines().next().unwrap_or_default());
        }
        let Timeouts { connect, statement, lock } = options.timeouts;
        config.connect_timeout(connect).keepalives(true).keepalives_idle(connect);
        if !config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
            config.tcp_user_timeout(statement + connect);
        }
        if config.get_application_name().is_none() {
            config.application_name("webwaka-server");
        }
        let limits = format!(
            "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={}",
            statement.as_millis(),
            lock.as_millis(),
            statement.as_millis(),
        );
        let limits = config.get_options().map_or_else(|| limits.clone(), |more| format!("{more} {limits}"));
        config.options(&limits);
        let tls = if config.get_ssl_mode() == SslMode::Disable {
            None
        } else {
            // Never without, because the server says so.
            config.ssl_mode(SslMode::Require);
            Some(Arc::new(client_config(options)?))
        };
        Ok(Self { config, tls, schema: options.schema.clone(), timeouts: options.timeouts })
    }

    /// A new connection, whose names are those of the schema.
    pub(super) fn connect(&self) -> Result<Client, StorageError> {
        let mut client = match &self.tls {
            Some(tls) => self.config.connect(MakeRustlsConnect::new((**tls).clone()))?,
            None => self.config.connect(NoTls)?,
        };
        client.execute("SELECT set_config('search_path', $1, false)", &[&quoted(&self.schema)])?;
        Ok(client)
    }

    /// The number of a tenant's lock. That two tenants may have the same makes one wait for the other, and no more.
    pub(super) fn lock(&self, tenant: &str) -> i64 {
        number(&["tenant", &self.schema, tenant])
    }

    /// That of the lock which those share who write a tenant's rows, and who writes every tenant's has alone.
    pub(super) fn lock_of_all(&self) -> i64 {
        number(&["all", &self.schema])
    }

    /// That of the lock of who changes the tables.
    pub(super) fn lock_of_tables(&self) -> i64 {
        number(&["tables", &self.schema])
    }
}

fn number(parts: &[&str]) -> i64 {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    let hash = digest(&SHA256, &bytes);
    let first = hash.as_ref().first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}

/// Does something on a thread of its own: a connection waits, which a thread that serves others must not.
pub(super) fn apart<T: Send>(
    work: impl FnOnce() -> Result<T, StorageError> + Send,
) -> Result<T, StorageError> {
    let panicked = |_| StorageError::Unavailable("the thread that was to connect has failed".into());
    std::thread::scope(|threads| threads.spawn(work).join()).unwrap_or_else(|panic| Err(panicked(panic)))
}

/// A name as it stands in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn client_config(options: &Options) -> Result<ClientConfig, StorageError> {
    let unavailable = |error: String| StorageError::Unavailable(error.into());
    let mut roots = RootCertStore::empty();
    match &options.roots {
        Some(file) => {
            let named = |error| unavailable(format!("{}: {error}", file.display()));
            let certificates =
                CertificateDer::pem_file_iter(file).map_err(|error| named(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| named(error.to_string()))?;
                roots.add(certificate).map_err(|error| named(error.to_string()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(unavailable(
            "there are no certificates of those who could vouch for the database's".into(),
        ));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unavailable(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
