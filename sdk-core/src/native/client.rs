//! The parts of this folder, put together.

use std::{ops::Deref, path::Path};

use super::{InvalidServer, NativeTransport, SqliteStore, Tokens, TokioRuntime, traces::Traces};
use crate::{
    client::{Client, With},
    driver::Rules,
    engine::{Config, storage::StoreError},
    protocol::{ClientId, CollectionName, InvalidId, Strategy},
};

/// The parts a native client is made of.
pub type Native = With<SqliteStore, NativeTransport, TokioRuntime, Tokens>;

/// A [`Client`] with a SQLite store, on tokio. Cheap to clone; the clones are one client.
#[derive(Clone)]
pub struct NativeClient {
    client: Client<Native>,
    store: SqliteStore,
    traces: Traces,
}

impl Deref for NativeClient {
    type Target = Client<Native>;

    fn deref(&self) -> &Client<Native> {
        &self.client
    }
}

/// Why a client did not start. What its store holds is untouched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The server's address is unacceptable.
    #[error(transparent)]
    Server(#[from] InvalidServer),
    /// The name of a collection is unacceptable.
    #[error(transparent)]
    Collection(#[from] InvalidId),
    /// The store could not be opened; above all, another client may have it open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine gave no random numbers, without which a client cannot name itself.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

impl NativeClient {
    /// Opens the store in `folder` and begins to work; it connects to `server` as soon as that can be reached, and
    /// needs no network to start. Call it within a tokio runtime, which then carries the client.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn open(
        server: &str,
        folder: impl AsRef<Path>,
        collections: &[(&str, Strategy)],
        tokens: Tokens,
    ) -> Result<Self, OpenError> {
        Self::open_with(server, folder, collections, tokens, ()).await
    }

    /// The same with what the application decides by code of its own: the version of its schema, migrations of what an
    /// earlier one has left in the store, merges.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn open_with(
        server: &str,
        folder: impl AsRef<Path>,
        collections: &[(&str, Strategy)],
        tokens: Tokens,
        rules: impl Rules,
    ) -> Result<Self, OpenError> {
        let named = |(name, strategy): &(&str, Strategy)| Ok((CollectionName::new(name)?, *strategy));
        let collections = collections.iter().map(named).collect::<Result<_, InvalidId>>()?;
        let transport = NativeTransport::new(server)?;
        let traces = transport.traces().clone();
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(OpenError::Random)?;
        let seed = getrandom::u64().map_err(OpenError::Random)?;
        let config = Config::new(collections, ClientId::from_random(random));
        let store = SqliteStore::open(folder).await?;
        let runtime = TokioRuntime::current();
        let client = Client::start(store.clone(), transport, runtime, tokens, rules, config, seed).await?;
        Ok(Self { client, store, traces })
    }

    /// Has each request and frame that is sent from now on name a trace: what `source` gives at that moment, a `traceparent`
    /// of [W3C trace context](https://www.w3.org/TR/trace-context/), or none. What is no such text is left out. It is asked from
    /// tasks of the client, must not block, and must not call the client.
    pub fn trace_by(&self, source: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.traces.ask(Box::new(source));
    }

    /// Ends it, and resolves when its folder is free for the next client. What is pending stays there and is sent
    /// by that one.
    pub async fn close(self) {
        self.client.close();
        self.store.close().await;
    }
}
