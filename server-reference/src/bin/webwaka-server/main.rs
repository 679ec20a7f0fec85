//! The server's command line.

mod auditing;
mod limiting;
mod revoking;
mod settings;

use std::{
    error::Error,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use sdk_core::protocol::Limits;
use server_reference::{
    access::Grant,
    clock::wall,
    config::{AUDIT_DAYS, GRANT_SECONDS, GrantsConfig, ServerConfig, StartError, TOMBSTONE_DAYS, days},
    data::DataFolder,
    dev::{DevIssuer, TENANT, TOKEN_SECONDS},
    office::Charge,
    random,
    server::Server,
    storage::sqlite::{
        SqliteDocuments, UPKEEP_SLICE,
        events::{Caps, SqliteEvents},
    },
    streams::StreamsConfig,
    trace::{self, LogForm},
    transactions::{Handlers, TransactionsConfig, ledger},
    upkeep::before,
};

use limiting::Limiting;
use settings::Settings;

/// A request makes and drops many small things, each on whichever thread has it then.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The reference server of webwaka-realtime.
#[derive(Parser)]
#[command(name = "webwaka-server", version)]
struct Cli {
    /// A file of settings in TOML: the options of `serve` by their names. The command line and the environment come first.
    #[arg(long, global = true, env = "WEBWAKA_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until SIGTERM or SIGINT.
    Serve(Box<Serve>),
    /// Look at the settings of `serve` without serving.
    #[command(subcommand)]
    Config(Config),
    /// Print a development token, made with the secret in the data folder.
    Token(Token),
    /// Forget deletions that are older than a number of days. A running server does so by itself.
    Prune {
        /// The data folder.
        #[arg(long, default_value = "data", env = "WEBWAKA_DATA")]
        data: PathBuf,
        /// How many days a deletion is remembered.
        #[arg(long, default_value_t = TOMBSTONE_DAYS, env = "WEBWAKA_TOMBSTONE_DAYS")]
        tombstone_days: u32,
    },
    /// Who administered what: list the records, verify that none was changed or taken out, keep signed checkpoints of them.
    Audit(auditing::Auditing),
    /// Take tokens back, at a running server or in the data folder of one that is stopped.
    Revoke(revoking::Revoking),
    /// After the server's clock was ahead: bring times from the future back to now, and tell every reader.
    Heal {
        /// The data folder.
        #[arg(long, default_value = "data", env = "WEBWAKA_DATA")]
        data: PathBuf,
    },
    /// After the database was restored from a backup: make every client read anew what the backup may lack.
    RenewEpochs {
        /// The data folder.
        #[arg(long, default_value = "data", env = "WEBWAKA_DATA")]
        data: PathBuf,
    },
}

#[derive(Subcommand)]
enum Config {
    /// Check them, and print each with where it comes from.
    Check(Box<Serve>),
    /// Print the JSON Schema of a file of settings.
    Schema,
}

#[derive(Args)]
struct Serve {
    /// Needs no configuration: loopback only, a secret of this machine, tokens from POST /dev/token.
    #[arg(long, conflicts_with = "keys", env = "WEBWAKA_DEV")]
    dev: bool,
    /// Where to listen; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:8787", env = "WEBWAKA_LISTEN")]
    listen: SocketAddr,
    /// Where to serve metrics for Prometheus, such as 127.0.0.1:9464; nowhere if not given.
    #[arg(long, env = "WEBWAKA_METRICS")]
    metrics: Option<SocketAddr>,
    /// The data folder.
    #[arg(long, default_value = "data", env = "WEBWAKA_DATA")]
    data: PathBuf,
    /// A folder of static files to serve.
    #[arg(long, env = "WEBWAKA_WEB")]
    web: Option<PathBuf>,
    /// The file of keys that tokens are verified with.
    #[arg(long, env = "WEBWAKA_KEYS")]
    keys: Option<PathBuf>,
    /// A web origin that may connect, such as `https://app.example`; may be given several times.
    #[arg(long = "origin", env = "WEBWAKA_ORIGINS", value_delimiter = ',')]
    origins: Vec<String>,
    /// How many days it is remembered that a document was deleted.
    #[arg(long, default_value_t = TOMBSTONE_DAYS, env = "WEBWAKA_TOMBSTONE_DAYS")]
    tombstone_days: u32,
    #[command(flatten)]
    limiting: Limiting,
    /// How many days the records of the audit are kept.
    #[arg(long, default_value_t = AUDIT_DAYS, env = "WEBWAKA_AUDIT_DAYS")]
    audit_days: u32,
    /// The URL of /v1/streams as the world sees it; without one, that of the listener.
    #[arg(long, env = "WEBWAKA_STREAMS_URL")]
    streams_url: Option<String>,
    /// How many milliseconds a long-poll of a topic waits.
    #[arg(long, default_value_t = 20_000, env = "WEBWAKA_LONG_POLL_MS")]
    long_poll_ms: u64,
    /// Have the ledger's transactions, as a development server has.
    #[arg(long, env = "WEBWAKA_LEDGER")]
    ledger: bool,
    /// A tenant, or the beginning of names and a `*`, whose data a super admin sees only after somebody else has approved; may be given several times.
    #[arg(
        long = "require-approval",
        value_name = "TENANT",
        env = "WEBWAKA_REQUIRE_APPROVAL",
        value_delimiter = ','
    )]
    require_approval: Vec<String>,
    /// How many seconds a super admin may have access to a tenant's data, at most.
    #[arg(long, default_value_t = GRANT_SECONDS, env = "WEBWAKA_GRANT_SECONDS")]
    grant_seconds: u64,
    /// The form of the log, which goes to standard error; RUST_LOG sets its level.
    #[arg(long, value_enum, default_value = "text", env = "WEBWAKA_LOG")]
    log: LogForm,
}

#[derive(Args)]
struct Token {
    /// The data folder of the development server.
    #[arg(long, default_value = "data", env = "WEBWAKA_DATA")]
    data: PathBuf,
    /// Whom the token names.
    #[arg(long)]
    subject: String,
    /// The tenant.
    #[arg(long, default_value = TENANT)]
    tenant: String,
    /// How many seconds it is valid.
    #[arg(long, default_value_t = TOKEN_SECONDS)]
    ttl: u64,
    /// What of the tenant's data it is for: the claim `access`, as JSON.
    #[arg(long)]
    access: Option<String>,
    /// Make it a super admin's: the claim `superadmin`, as JSON.
    #[arg(long, conflicts_with = "access")]
    superadmin: Option<String>,
}

fn main() -> ExitCode {
    let Err(error) = started() else { return ExitCode::SUCCESS };
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    let because = causes.iter().fold(String::new(), |text, cause| text + ": " + cause);
    eprintln!("webwaka-server: {error}{because}");
    ExitCode::FAILURE
}

fn started() -> Result<(), Box<dyn Error>> {
    let settings = settings::read(Cli::command())?;
    run(Cli::from_arg_matches(&settings.matches)?.command, &settings)
}

/// Whether a server could start with these settings, as far as that can be told without doing so.
fn check(options: &Serve) -> Result<(), StartError> {
    let Serve { dev, listen, data, keys, origins, .. } = options;
    match (dev, keys) {
        (true, Some(_)) => Err(StartError::DevWithKeys),
        (true, None) if listen.ip().is_loopback() => Ok(()),
        (true, None) => Err(StartError::DevNotLoopback(*listen)),
        (false, _) => {
            ServerConfig::production(*listen, data.clone(), keys.clone(), origins.clone()).map(drop)
        }
    }
}

fn run(command: Command, settings: &Settings) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve(options) => {
            // Ended outside of the runtime, as its end may wait.
            let _logging = trace::start(options.log)?;
            check(&options)?;
            serve(*options)
        }
        Command::Token(Token { data, subject, tenant, ttl, access, superadmin }) => {
            let issuer = DevIssuer::load_or_create(&data).map_err(StartError::DevSecret)?;
            let grants: Option<Vec<Grant>> = access.as_deref().map(serde_json::from_str).transpose()?;
            let token = match superadmin.as_deref().map(serde_json::from_str::<Vec<Charge>>).transpose()? {
                Some(charges) => issuer.mint_super_admin(&tenant, &subject, &charges, ttl, wall())?,
                None => issuer.mint_for(&tenant, &subject, grants.as_deref(), ttl, wall())?,
            };
            println!("{token}");
            Ok(())
        }
        Command::Prune { data, tombstone_days } => {
            let (_folder, mut documents) = open(&data)?;
            let before = before(wall(), days(tombstone_days));
            let (mut count, mut slice) = (0, UPKEEP_SLICE);
            while slice == UPKEEP_SLICE {
                slice = documents.prune(before)?;
                count += slice;
            }
            println!("{count} deletions are forgotten");
            Ok(())
        }
        Command::Config(Config::Schema) => Ok(print(&format!("{:#}\n", settings.schema()))?),
        Command::Config(Config::Check(options)) => {
            check(&options)?;
            Ok(print(&settings.show())?)
        }
        Command::Audit(auditing) => auditing::run(auditing),
        Command::Revoke(revoking) => revoking::run(revoking),
        Command::Heal { data } => {
            let (_folder, mut documents) = open(&data)?;
            let count = documents.heal(wall())?;
            println!("{count} documents had times from the future");
            Ok(())
        }
        Command::RenewEpochs { data } => {
            let (folder, mut documents) = open(&data)?;
            let mut events = SqliteEvents::open(&folder.events(), Caps::default(), random::bits())?;
            let (collections, topics) = (documents.renew_epochs()?, events.renew_epochs(wall())?);
            println!("{collections} collections and {topics} topics have a new epoch");
            Ok(())
        }
    }
}

fn print(text: &str) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())
}

/// The database of a server that is not running; nobody else may have it until both values are dropped.
fn open(data: &Path) -> Result<(DataFolder, SqliteDocuments), StartError> {
    let folder = DataFolder::open(data)?;
    let documents = SqliteDocuments::open(&folder.database(), Limits::default(), random::epochs())?;
    Ok((folder, documents))
}

#[tokio::main]
async fn serve(options: Serve) -> Result<(), Box<dyn Error>> {
    let Serve {
        dev,
        listen,
        metrics,
        data,
        web,
        keys,
        origins,
        tombstone_days,
        audit_days,
        limiting,
        streams_url,
        long_poll_ms,
        ledger,
        log: _,
        require_approval,
        grant_seconds,
    } = options;
    let config = if dev {
        ServerConfig::development(listen, data)?
    } else {
        ServerConfig::production(listen, data, keys, origins)?
    };
    let streams = StreamsConfig {
        public: streams_url.map(|url| url.trim_end_matches('/').to_owned()),
        long_poll: Duration::from_millis(long_poll_ms),
        ..StreamsConfig::default()
    };
    let handlers = Handlers::default();
    let handlers = if dev || ledger { ledger::with(handlers)? } else { handlers };
    let transactions = TransactionsConfig { handlers, ..TransactionsConfig::default() };
    let tombstone_age = days(tombstone_days);
    let grants = GrantsConfig::new(require_approval, grant_seconds)?;
    let config = ServerConfig {
        metrics,
        web,
        tombstone_age,
        audit_kept: days(audit_days),
        quotas: limiting.quotas(),
        streams,
        transactions,
        grants,
        ..config
    };
    let server = Server::bind(config).await?;
    if let Some(address) = server.metrics_address() {
        tracing::info!("metrics on http://{address}/metrics");
    }
    // Scripts wait for this line and read the port from it.
    writeln!(std::io::stdout().lock(), "listening on http://{}", server.address()?)?;
    server.serve(signal()?).await?;
    Ok(())
}

/// Resolves at the first SIGTERM or SIGINT.
#[cfg(unix)]
fn signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
    })
}

/// Resolves at the first Ctrl-C.
#[cfg(not(unix))]
fn signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without it the server can only be killed, which loses nothing acknowledged.
        let _ = tokio::signal::ctrl_c().await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_serve_is_a_setting_in_three_places_and_on_the_page() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        let page = include_str!("../../../../docs/operations.md");
        let mut count = 0;
        for arg in cli.find_subcommand("serve").unwrap().get_arguments() {
            let long = arg.get_long().unwrap_or_else(|| panic!("{} has no name", arg.get_id()));
            let variable = arg.get_env().unwrap_or_else(|| panic!("--{long} is not in the environment"));
            let usual = format!("WEBWAKA_{}", long.to_uppercase().replace('-', "_"));
            assert!(page.contains(&format!("`--{long}")), "--{long} is not on the page");
            let named = variable.to_str().unwrap();
            assert!(named == usual || page.contains(&format!("`{named}`")), "{named} is not on the page");
            assert!(arg.get_help().is_some(), "--{long} has no help");
            count += 1;
        }
        assert!(count >= 25, "{count}");
    }
}
