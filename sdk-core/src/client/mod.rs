//! The client as a Rust program uses it: collections to edit and watch, handles that tell what became of an edit.

mod collection;
mod error;
mod operation;
mod patience;
mod publish;
mod question;
mod room;
mod router;
mod topic;
mod transaction;
mod watch;

pub use collection::{Collection, Document};
pub use error::{Closed, EncodeError, SubmitError};
pub use operation::Operation;
pub use publish::{CloudEvent, Publishing};
pub use question::{QueryAnswer, Question, QuestionError};
pub use room::{Message, Room, RoomMessages, SendError, Show, User};
pub use router::Router;
pub use topic::{Delivery, Topic, TopicError, TopicEvent, TopicEvents};
pub use transaction::{Transaction, TransactionError, TransactionOutcome};
pub use watch::Watch;

use std::{sync::Arc, time::Duration};

use crate::{
    driver::{Driver, Parts, Platform, Rules, Runtime, Store, TokenSource, Transport},
    engine::{Amendment, Config, Conflicted, Rejected, Status, Ticket, storage::StoreError},
    protocol::{ClientId, CollectionName, Intent, InvalidId, OpId, RoomName, Seq, Strategy, TopicName},
    reconcile::Resolution,
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
    /// Version of the application's schema.
    schema: u32,
}

impl<P: Platform> Clone for Client<P> {
    fn clone(&self) -> Self {
        let Self { driver, router, strategies, schema } = self;
        let (router, strategies) = (Arc::clone(router), Arc::clone(strategies));
        Self { driver: driver.clone(), router, strategies, schema: *schema }
    }
}

impl<S: Store, T: Transport, R: Runtime, K: TokenSource> Client<With<S, T, R, K>> {
    /// Loads the store and begins to work; it connects as soon as it can. `rules` is what the application decides with
    /// code of its own, and the version of its schema, `()` for nothing; `seed` should be random.
    ///
    /// # Errors
    /// The outbox could not be loaded. Nothing was changed.
    pub async fn start(
        store: S,
        transport: T,
        runtime: R,
        tokens: K,
        rules: impl Rules,
        config: Config,
        seed: u64,
    ) -> Result<Self, StoreError> {
        let router = Arc::new(Router::default());
        let (strategies, schema) = (config.collections.as_slice().into(), rules.schema());
        let parts =
            Parts { store, transport, runtime, tokens, events: Arc::clone(&router), rules: Box::new(rules) };
        let driver = Driver::start(parts, config, seed).await?;
        Ok(Self { driver, router, strategies, schema })
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

    /// A topic of the server.
    ///
    /// # Errors
    /// The name is none that a topic can have.
    pub fn topic(&self, name: &str) -> Result<Topic<P>, InvalidId> {
        Ok(Topic::new(self.clone(), TopicName::new(name)?))
    }

    /// A room, where one sees who else is there now and is seen oneself. One is in it until the value is dropped, and
    /// enters it again whenever the link has come back.
    ///
    /// # Errors
    /// The name is none that a room can have.
    pub fn room(&self, name: &str) -> Result<Room<P>, InvalidId> {
        self.room_with(name, None)
    }

    /// The same, with the time between two states that are sent, of which the newest counts: 16 ms to 10 s, 50 ms if
    /// nothing is said.
    ///
    /// # Errors
    /// As [`room`](Self::room).
    pub fn room_with(&self, name: &str, interval: Option<Duration>) -> Result<Room<P>, InvalidId> {
        Ok(Room::enter(self, RoomName::new(name)?, interval))
    }

    /// Somebody of the same tenant, by the subject of their tokens.
    pub fn user(&self, subject: &str) -> User<P> {
        User::new(self.clone(), subject)
    }

    /// What people say to this person from now on, while there is a link.
    pub fn messages(&self) -> RoomMessages<P> {
        RoomMessages::direct(self)
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

    /// The edits that the server will never apply and nobody has discarded, oldest first. Events are among the
    /// [unpublished](Self::unpublished).
    pub fn rejected(&self) -> Vec<Rejected> {
        self.driver.rejected()
    }

    /// Replaces what an operation does. One that was certainly never sent keeps its `Seq` and its place; a dead letter
    /// becomes a new operation at the end of its lane, and is gone itself. Resolves once that is durable on this device;
    /// until then, and if it fails, the operation stays as it was.
    ///
    /// # Errors
    /// [`Refusal::TooLate`](crate::engine::Refusal::TooLate) if a server may know the operation, and all errors of
    /// [`Collection::put`].
    pub async fn edit(&self, seq: Seq, intents: Vec<Intent>) -> Result<Operation, SubmitError> {
        self.amend(seq, Amendment::Edit(self.schema, intents)).await
    }

    /// Tries a dead letter again: an edit as a new operation that does the same, at the end of its lane; an event as it was,
    /// in its place. Otherwise as
    /// [`edit`](Self::edit). What it depends on and is a dead letter itself, it does not wait for any more.
    ///
    /// # Errors
    /// [`Refusal::NotRejected`](crate::engine::Refusal::NotRejected) if it is no dead letter, and all errors of
    /// [`Collection::put`].
    pub async fn retry(&self, seq: Seq) -> Result<Operation, SubmitError> {
        self.amend(seq, Amendment::Retry).await
    }

    /// Withdraws an operation that was certainly never sent, or a dead letter. Resolves once it is durable that it will
    /// never be sent; its handles then hear `aborted`, and those that depend on it become dead letters.
    ///
    /// # Errors
    /// As [`edit`](Self::edit).
    pub async fn abort(&self, seq: Seq) -> Result<(), SubmitError> {
        self.amend(seq, Amendment::Abort).await.map(drop)
    }

    /// The conflicts that wait for somebody to decide, oldest first: those of `Manual` collections, and those of `Merge`
    /// collections that the application's [`Rules`] have not decided. They survive a restart; until one is resolved, the
    /// later edits of its document wait, and all others go on.
    pub fn conflicts(&self) -> Vec<Conflicted> {
        self.driver.conflicts()
    }

    /// Resolves when the conflicts, or what they are about, have changed since this was last called, on whichever clone.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn conflicts_changed(&self) -> Result<Vec<Conflicted>, Closed> {
        self.router.conflicts_changed().await?;
        Ok(self.driver.conflicts())
    }

    /// Ends a conflict by a person's decision. Resolves when that is durable on this device; the operation keeps its
    /// `Seq`, is sent again, and may conflict again if others have written meanwhile.
    ///
    /// # Errors
    /// [`Refusal::NotConflicted`](crate::engine::Refusal::NotConflicted) if it is in no conflict (any more),
    /// [`Refusal::NotReady`](crate::engine::Refusal::NotReady) if what it collides with has not arrived here, and all
    /// errors of [`Collection::put`].
    pub async fn resolve(&self, seq: Seq, resolution: Resolution) -> Result<Operation, SubmitError> {
        self.amend(seq, Amendment::Resolve(resolution)).await
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

    async fn amend(&self, seq: Seq, amendment: Amendment) -> Result<Operation, SubmitError> {
        self.ask(|ticket| self.driver.amend(ticket, seq, amendment)).await
    }

    /// Asks something that is answered when it is durable.
    async fn ask(&self, ask: impl FnOnce(Ticket)) -> Result<Operation, SubmitError> {
        let (ticket, answer) = self.router.submission();
        ask(ticket);
        let (seq, outcome) = answer.await.map_err(|_| Closed)??;
        let id = OpId { client: self.driver.client(), seq };
        Ok(Operation::new(id, self.driver.status().durable, outcome))
    }

    fn strategy(&self, name: &CollectionName) -> Strategy {
        let found = self.strategies.iter().find(|(known, _)| known == name);
        found.map_or(Strategy::default(), |(_, strategy)| *strategy)
    }
}
