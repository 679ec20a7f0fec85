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
    protocol::{Changes, Limits, ProtocolError, encode},
};
use server_reference::{
    storage::{Batch, Committed, Documents, Page, StorageError},
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
}

type Asks = Arc<Mutex<VecDeque<Ask>>>;

/// A store that passes every question on.
struct Store(Asks);

impl Store {
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

/// Who sent a request: client, its life, the request's name there, and whether the answer gets lost.
pub(crate) type Caller = (usize, u32, HttpId, bool);

/// One request under way.
pub(crate) struct Exchange {
    /// Who sent it.
    pub(crate) caller: Caller,
    task: Pin<Box<dyn Future<Output = Result<Reply, ProtocolError>>>>,
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
        let store = Store(Arc::clone(&asks));
        let task = Box::pin(async move {
            match body {
                CallBody::Push(request) => {
                    push(&store, &limits, scope, &encode(&request), now).await.map(Reply::Push)
                }
                CallBody::Pull(request) => {
                    pull(&store, &limits, scope, &encode(&request), now).await.map(Reply::Pull)
                }
            }
        });
        Self { caller, task, asks }
    }

    /// Goes on as far as it can: returns what it asks, and the reply once there is one.
    pub(crate) fn poll(&mut self) -> (Vec<Ask>, Option<Result<Reply, ProtocolError>>) {
        let reply = match self.task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(reply) => Some(reply),
            Poll::Pending => None,
        };
        (self.asks.lock().expect("one thread").drain(..).collect(), reply)
    }
}
