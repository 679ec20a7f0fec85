//! The client as a Rust program uses it: collections to edit and watch, handles that tell what became of an edit.

mod collection;
mod error;
mod operation;
mod router;
mod watch;

pub use collection::{Collection, Document};
pub use error::{Closed, EncodeError, SubmitError};
pub use operation::Operation;
pub use router::Router;
pub use watch::Watch;

use std::sync::Arc;

use crate::{
    driver::{Driver, Parts, Platform, Runtime, Store, TokenSource, Transport},
    engine::{Config, Rejected, Status, storage::StoreError},
    protocol::{ClientId, CollectionName, InvalidId, Seq, Strategy},
};

/// The parts of a platform, with the client hearing the events.
pub struct With<S, T, R, K>(std::marker::PhantomData<(S, T, R, K)>);

impl<S: Store, T: Transport, R: Runtime, K: TokenSource> Platform for With<S, T, R, K> {
    type Store = S;
    type Transport = T;
    type Runtime = R;
    type Tokens = K;
    type Events = Arc<Router>;
}

/// A running client. Cheap to clone; the clones are one client. It works in the background until
/// [`close`](Self::close).
pub struct Client<P: Platform> {
    driver: Driver<P>,
    router: Arc<Router>,
    strategies: Arc<[(CollectionName, Strategy)]>,
}

impl<P: Platform> Clone for Client<P> {
    fn clone(&self) -> Self {
        let Self { driver, router, strategies } = self;
        Self { driver: driver.clone(), router: Arc::clone(router), strategies: Arc::clone(strategies) }
    }
}

impl<S: Store, T: Transport, R: Runtime, K: TokenSource> Client<With<S, T, R, K>> {
    /// Loads the store and begins to work; it connects as soon as it can. `seed` should be random.
    ///
    /// # Errors
    /// The outbox could not be loaded. Nothing was changed.
    pub async fn start(
        store: S,
        transport: T,
        runtime: R,
        tokens: K,
        config: Config,
        seed: u64,
    ) -> Result<Self, StoreError> {
        let router = Arc::new(Router::default());
        let strategies = config.collections.as_slice().into();
        let parts = Parts { store, transport, runtime, tokens, events: Arc::clone(&router) };
        let driver = Driver::start(parts, config, seed).await?;
        Ok(Self { driver, router, strategies })
    }
}

impl<P: Platform> Client<P> {
    /// A collection that the client was built with.
    ///
    /// # Errors
    /// The name is no collection name. One the client was not built with is refused when it is written to.
    pub fn collection(&self, name: &str) -> Result<Collection<P>, InvalidId> {
        Ok(Collection::new(self.clone(), CollectionName::new(name)?))
    }

    /// How the client is doing.
    pub fn status(&self) -> Status {
        self.driver.status()
    }

    /// Resolves when the status has changed since this was last called, on whichever clone.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn status_changed(&self) -> Result<Status, Closed> {
        self.router.status_changed().await?;
        Ok(self.driver.status())
    }

    /// The operations that the server will never apply and nobody has discarded, oldest first.
    pub fn rejected(&self) -> Vec<Rejected> {
        self.driver.rejected()
    }

    /// Drops a rejected operation for good.
    pub fn discard(&self, seq: Seq) {
        self.driver.discard(seq);
    }

    /// Allows the network, or forbids it; edits go on either way.
    pub fn set_network(&self, allowed: bool) {
        self.driver.set_network(allowed);
    }

    /// The id of this installation.
    pub fn id(&self) -> ClientId {
        self.driver.client()
    }

    /// Ends it. What is pending stays in the store and is sent by the next client that opens it.
    pub fn close(&self) {
        self.driver.stop();
        self.router.close();
    }

    fn strategy(&self, name: &CollectionName) -> Strategy {
        let found = self.strategies.iter().find(|(known, _)| known == name);
        found.map_or(Strategy::default(), |(_, strategy)| *strategy)
    }
}
