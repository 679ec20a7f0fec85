//! The log of the program, and where its spans go.

use std::{io, panic};

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    fmt,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

/// The crates whose logging is known to hold no secrets.
const OURS: [&str; 3] = ["server_reference", "webwaka_server", "sdk_core"];

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// A line of text for each event.
    Text,
    /// A JSON object for each.
    Json,
}

/// Why nothing can be logged as it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartLog {
    /// `RUST_LOG` makes no sense.
    #[error("RUST_LOG is to be a level, such as info, or a list such as server_reference=debug,info")]
    Filter(#[source] tracing_subscriber::filter::FromEnvError),
    /// Somebody logs already.
    #[error("the log cannot be started")]
    Taken(#[from] TryInitError),
    /// Spans cannot be exported as the variables of OpenTelemetry have it.
    #[cfg(feature = "otlp")]
    #[error("spans cannot be exported by OTLP")]
    Export(#[source] opentelemetry_otlp::ExporterBuildError),
}

/// The log, as long as it is needed: what waits to be exported leaves when this is dropped, which may wait for it, and
/// so is to happen outside of an asynchronous task.
#[must_use]
pub struct Logging {
    #[cfg(feature = "otlp")]
    _exporting: Option<super::otlp::Exporting>,
}

/// Logs to standard error from now on, what `RUST_LOG` asks for, or else from `info` on. Other crates than those of this
/// project are heard from `info` on whatever it asks for: below that they may show what passes through them.
///
/// With the feature `otlp` spans are exported as well, where the variables of OpenTelemetry say where to.
///
/// # Errors
/// [`StartLog`]
pub fn start(form: LogForm) -> Result<Logging, StartLog> {
    let asked = match std::env::var_os(EnvFilter::DEFAULT_ENV) {
        Some(_) => EnvFilter::try_from_default_env().map_err(StartLog::Filter)?,
        None => EnvFilter::new("info"),
    };
    let lines = fmt::layer().with_ansi(false).with_writer(io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match form {
        LogForm::Text => lines.boxed(),
        LogForm::Json => lines.json().boxed(),
    };
    let quiet = filter_fn(|metadata| is_ours(metadata) || *metadata.level() <= Level::INFO);
    let log = tracing_subscriber::registry().with(lines.with_filter(asked.and(quiet)));
    #[cfg(feature = "otlp")]
    let (log, exporting) = {
        let (layer, exporting) = super::otlp::layer().map_err(StartLog::Export)?.unzip();
        (log.with(layer), exporting)
    };
    log.try_init()?;
    panic::set_hook(Box::new(|panic| {
        // Without what it says: that may be made of what somebody sent.
        let at = panic.location().map(tracing::field::display);
        tracing::error!(at, "a panic");
    }));
    Ok(Logging {
        #[cfg(feature = "otlp")]
        _exporting: exporting,
    })
}

pub(super) fn is_ours(metadata: &Metadata<'_>) -> bool {
    let of = metadata.target().split("::").next();
    of.is_some_and(|of| OURS.contains(&of))
}
