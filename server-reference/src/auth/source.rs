//! Where a document of keys is had from, and keeping what it says up to date.
//!
//! It is read at start, when it is old, and when a token names a key that is not known, at most once in
//! [`PAUSE`]: whoever sends tokens cannot make us ask more often. While it cannot be had the last good one counts, until that
//! is too old to be believed.

use std::{
    convert::Infallible,
    net::IpAddr,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::{Client, Url, redirect::Policy};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use super::{
    jwks::{BadKeys, MAX_DOCUMENT},
    keys::Key,
};

/// The shortest time between two reads.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
/// How long a document may take to come.
const DEADLINE: Duration = Duration::from_secs(5);
/// How old a document may be before it is read anew, where nothing else was said.
pub(super) const REFRESH: Duration = Duration::from_secs(300);
/// How old a document may be before it is not believed any more, where nothing else was said.
pub(super) const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// A document of keys that changes.
pub struct Source {
    place: Place,
    pace: Pace,
    wanted: Notify,
    /// Counts the reads that have ended.
    reads: watch::Sender<u64>,
    /// When it may be read again.
    free: Mutex<Option<Instant>>,
}

/// How often a document is read, and how long it is believed.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The shortest time between two reads.
    pub pause: Duration,
    /// How old it may be before it is read anew.
    pub refresh: Duration,
    /// How old it may be before it counts no more.
    pub keep: Duration,
}

enum Place {
    File(PathBuf),
    Url(Url, Client),
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Not the address of one.
    #[error("keys come by https, or by http from this machine")]
    Url,
    /// The file cannot be read.
    #[error("the document cannot be read")]
    File(#[source] std::io::Error),
    /// There was no good answer.
    #[error("the document cannot be fetched")]
    Fetch(#[source] reqwest::Error),
    /// The answer was another.
    #[error("the document cannot be fetched: status {0}")]
    Status(u16),
    /// What came is no document of keys.
    #[error(transparent)]
    Keys(#[from] BadKeys),
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: PAUSE, refresh: REFRESH, keep: KEEP }
    }
}

impl Source {
    /// A file, which is read anew as an address would be.
    pub fn file(path: PathBuf, pace: Pace) -> Self {
        Self::new(Place::File(path), pace)
    }

    /// An address.
    ///
    /// # Errors
    /// [`SourceError::Url`] if it is not https, and not http on this machine; [`SourceError::Fetch`] if there can be no client.
    pub fn url(address: &str, pace: Pace) -> Result<Self, SourceError> {
        let url = Url::parse(address).map_err(|_| SourceError::Url)?;
        let host = url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let plain = url.username().is_empty() && url.password().is_none();
        if !plain || !(url.scheme() == "https" || (url.scheme() == "http" && loopback)) {
            return Err(SourceError::Url);
        }
        let client = Client::builder()
            // A redirect could lead to where nobody vouches for the keys.
            .redirect(Policy::none())
            .no_gzip()
            .timeout(DEADLINE);
        let client = if loopback { client.no_proxy() } else { client };
        Ok(Self::new(Place::Url(url, client.build().map_err(SourceError::Fetch)?), pace))
    }

    fn new(place: Place, pace: Pace) -> Self {
        let reads = watch::Sender::new(0);
        Self { place, pace, wanted: Notify::new(), reads, free: Mutex::new(None) }
    }

    /// Reads the document.
    pub(super) async fn read(&self) -> Result<Vec<Key>, SourceError> {
        let bytes = match &self.place {
            Place::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || read_file(&path))
                    .await
                    .map_err(|error| SourceError::File(std::io::Error::other(error)))?
                    .map_err(SourceError::File)?
            }
            Place::Url(url, client) => fetch(client, url).await?,
        };
        Ok(Key::of_set(&bytes)?)
    }

    /// Keeps the keys up to date, for as long as it is polled: hands out what was read, and nothing once what was read last
    /// is too old.
    pub(super) async fn run(&self, replace: impl Fn(Option<Vec<Key>>)) -> Infallible {
        let Pace { pause, refresh, keep } = self.pace;
        let mut good: Option<Instant> = None;
        loop {
            let next = match self.read().await {
                Ok(keys) => {
                    replace(Some(keys));
                    good = Some(Instant::now());
                    refresh
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    let lapsed = good.is_none_or(|good| good.elapsed() >= keep);
                    tracing::warn!(error, lapsed, "the keys of tokens could not be read; tried again later");
                    if lapsed {
                        replace(None);
                    }
                    pause
                }
            };
            *self.free.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + pause);
            self.reads.send_modify(|reads| *reads += 1);
            sleep(pause).await;
            // An error is the end of the time.
            let _ = timeout(next.saturating_sub(pause), self.wanted.notified()).await;
        }
    }

    /// Has the document read anew, unless that has just been done, and waits until it was. Cancel safe.
    pub(super) async fn renew(&self) {
        let mut reads = self.reads.subscribe();
        let free = *self.free.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the first read has ended there is nothing to compare with.
        if *reads.borrow_and_update() > 0 && free.is_some_and(|free| Instant::now() < free) {
            return;
        }
        self.wanted.notify_one();
        // An error is the end of the time: then the key stays unknown.
        let _ = timeout(DEADLINE * 2, reads.changed()).await;
    }
}

fn read_file(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    // One byte more than is allowed shows that there are more.
    std::fs::File::open(path)?.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn fetch(client: &Client, url: &Url) -> Result<Vec<u8>, SourceError> {
    let mut answer = client.get(url.clone()).send().await.map_err(SourceError::Fetch)?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(SourceError::Status(answer.status().as_u16()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(SourceError::Fetch)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_DOCUMENT {
            return Err(BadKeys::TooLong.into());
        }
    }
    Ok(bytes)
}
