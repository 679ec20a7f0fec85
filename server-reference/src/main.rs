//! The server's command line.

use std::{error::Error, io::Write as _, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use sdk_core::protocol::Limits;
use server_reference::{
    clock::wall,
    config::{ServerConfig, StartError},
    data::DataFolder,
    dev::{DevIssuer, TENANT, TOKEN_SECONDS},
    server::{Server, random_epochs},
    storage::sqlite::SqliteDocuments,
};
use tracing_subscriber::EnvFilter;

/// The reference server of webwaka-realtime.
#[derive(Parser)]
#[command(name = "webwaka-server", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until SIGTERM or SIGINT.
    Serve(Serve),
    /// Print a development token, made with the secret in the data folder.
    Token(Token),
    /// After the database was restored from a backup: make every client read anew what the backup may lack.
    RenewEpochs {
        /// The data folder.
        #[arg(long, default_value = "data", env = "WEBWAKA_DATA")]
        data: PathBuf,
    },
}

#[derive(Args)]
struct Serve {
    /// Needs no configuration: loopback only, a secret of this machine, tokens from POST /dev/token.
    #[arg(long, conflicts_with = "keys")]
    dev: bool,
    /// Where to listen; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:8787", env = "WEBWAKA_LISTEN")]
    listen: SocketAddr,
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
    /// The form of the log, which goes to standard error; RUST_LOG sets its level.
    #[arg(long, value_enum, default_value = "text", env = "WEBWAKA_LOG")]
    log: LogForm,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogForm {
    Text,
    Json,
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
}

fn main() -> ExitCode {
    let Err(error) = run(Cli::parse().command) else { return ExitCode::SUCCESS };
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

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve(options) => serve(options),
        Command::Token(Token { data, subject, tenant, ttl }) => {
            let issuer = DevIssuer::load_or_create(&data).map_err(StartError::DevSecret)?;
            println!("{}", issuer.mint(&tenant, &subject, ttl, wall())?);
            Ok(())
        }
        Command::RenewEpochs { data } => {
            let folder = DataFolder::open(&data)?;
            let count = SqliteDocuments::open(&folder.database(), Limits::default(), random_epochs())?
                .renew_epochs()?;
            println!("{count} collections have a new epoch");
            Ok(())
        }
    }
}

#[tokio::main]
async fn serve(options: Serve) -> Result<(), Box<dyn Error>> {
    let Serve { dev, listen, data, web, keys, origins, log } = options;
    start_log(log);
    let config = if dev {
        ServerConfig::development(listen, data)?
    } else {
        ServerConfig::production(listen, data, keys, origins)?
    };
    let server = Server::bind(ServerConfig { web, ..config }).await?;
    // Scripts wait for this line and read the port from it.
    writeln!(std::io::stdout().lock(), "listening on http://{}", server.address()?)?;
    server.serve(signal()?).await?;
    Ok(())
}

fn start_log(form: LogForm) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr);
    match form {
        LogForm::Text => log.init(),
        LogForm::Json => log.json().init(),
    }
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
