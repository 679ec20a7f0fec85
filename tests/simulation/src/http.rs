//! HTTP requests at the server: the real handlers' logic, over a store that answers when the simulation says so.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use futures::{FutureExt, channel::oneshot, future::BoxFuture};
use sdk_core::{
    clock::Millis,
    engine::{CallBody, HttpId, Reply},
    protocol::{Changes, ClientId, CollectionName, Limits, Manifest, ProtocolError, encode},
};
use server_reference::{
    snapshot::{Export, Exports},
    storage::{
        Batch, Committed, Documents, Page, StorageError,
        events::{LogError, Publications, Publish, Published},
        refusals::{Note, Refusals},
    },
    sync::exchange::{pull, push},
    tenant::TenantScope,
};

/// Where the answer to a question goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, StorageError>>;

/// What a request asks of the store.
pub(crate) enum Ask {
    /// A commit.
    Commit(Batch, Answer<Committed>),
    /// A read.
    Changes(TenantScope, Page, Answer<Changes>),
    /// A read of all of a collection.
    Export(TenantScope, CollectionName, Box<dyn Export>, Answer<Manifest>),
}

/// What waits to be asked.
pub(crate) type Asks = Arc<Mutex<VecDeque<Ask>>>;

/// A store that passes every question on.
pub(crate) struct Store(Asks);

impl Store {
    /// A store whose questions go here.
    pub(crate) fn new(asks: Asks) -> Self {
        Self(asks)
    }

    fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Answer<T>) -> Ask,
    ) -> BoxFuture<'_, Result<T, StorageError>> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().expect("one thread").push_back(ask(sender));
        let gone = |_| StorageError::Unavailable("the store has stopped".into());
        receiver.map(move |answer| answer.map_err(gone)?).boxed()
    }
}

impl Documents for Store {
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StorageError>> {
        self.ask(|answer| Ask::Commit(batch, answer))
    }

    fn changes(&self, scope: TenantScope, page: Page) -> BoxFuture<'_, Result<Changes, StorageError>> {
        self.ask(|answer| Ask::Changes(scope, page, answer))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        futures::future::ready(Ok(())).boxed()
    }
}

impl Exports for Store {
    fn export(
        &self,
        scope: TenantScope,
        collection: CollectionName,
        to: Box<dyn Export>,
    ) -> BoxFuture<'_, Result<Manifest, StorageError>> {
        self.ask(|answer| Ask::Export(scope, collection, to, answer))
    }
}

/// A log that takes nothing: nobody publishes here.
struct NoTopics;

impl Publications for NoTopics {
    fn publish(
        &self,
        _: TenantScope,
        _: Vec<Publish>,
        _: Millis,
    ) -> BoxFuture<'_, Result<Vec<Option<Published>>, LogError>> {
        futures::future::ready(Err(StorageError::Unavailable("there are no topics".into()).into())).boxed()
    }
}

impl Refusals for NoTopics {
    fn note(
        &self,
        _: TenantScope,
        _: ClientId,
        _: Vec<Note>,
        _: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        futures::future::ready(Err(StorageError::Unavailable("there are no topics".into()))).boxed()
    }
}

/// Who sent a request: client, its life, the request's name there, and whether the answer gets lost.
pub(crate) type Caller = (usize, u32, HttpId, bool);

/// What a request is answered with.
pub(crate) enum Answered {
    /// A push or a pull.
    Call(Result<Reply, ProtocolError>),
    /// A part of a snapshot.
    Part(Result<String, ProtocolError>),
}

/// One request under way.
pub(crate) struct Exchange {
    /// Who sent it.
    pub(crate) caller: Caller,
    /// Whether it wants a part of a snapshot, which somebody else may be making.
    pub(crate) wants_part: bool,
    task: Pin<Box<dyn Future<Output = Answered>>>,
    asks: Asks,
}

impl Exchange {
    /// A request of a caller whose token was good.
    pub(crate) fn new(
        caller: Caller,
        scope: TenantScope,
        limits: Limits,
        body: CallBody,
        now: Millis,
    ) -> Self {
        let asks = Asks::default();
        let store = Store::new(Arc::clone(&asks));
        let task = Box::pin(async move {
            let reply = match body {
                CallBody::Push(request) => {
                    let none = NoTopics;
                    push(&store, &none, &none, &limits, scope, &encode(&request), now).await.map(Reply::Push)
                }
                CallBody::Pull(request) => {
                    pull(&store, &limits, scope, &encode(&request), now).await.map(Reply::Pull)
                }
            };
            Answered::Call(reply)
        });
        Self { caller, wants_part: false, task, asks }
    }

    /// A request for a part of a snapshot, which the server's archive answers.
    pub(crate) fn part(
        caller: Caller,
        asks: Asks,
        task: impl Future<Output = Result<String, ProtocolError>> + 'static,
    ) -> Self {
        Self { caller, wants_part: true, task: task.map(Answered::Part).boxed_local(), asks }
    }

    /// Goes on as far as it can: returns what it asks, and the reply once there is one.
    pub(crate) fn poll(&mut self) -> (Vec<Ask>, Option<Answered>) {
        let reply = match self.task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => Some(reply),
            Poll::Pending => None,
        };
        (self.asks.lock().expect("one thread").drain(..).collect(), reply)
    }
}
