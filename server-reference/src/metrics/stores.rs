//! Stores whose calls are measured.

use std::{sync::Arc, time::Instant};

use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use sdk_core::{clock::Millis, protocol::Changes};
use tracing::Instrument;

use super::Metrics;
use crate::{
    storage::{
        Batch, Committed, Documents, Page, StorageError,
        events::{
            Answer, Append, Appended, Created, EventLog, LogError, NewTopic, Publications, Publish,
            Published, Read, Slice, TopicName, TopicState,
        },
    },
    tenant::TenantScope,
};

/// A store that does what another does, and tells how long that took.
pub(crate) struct Measured<S: ?Sized> {
    store: Arc<S>,
    name: &'static str,
    metrics: Arc<Metrics>,
}

/// Tells an error of the store from an answer that is no success.
trait Failure {
    fn is_failure(&self) -> bool;
}

impl Failure for StorageError {
    fn is_failure(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Corrupt { .. })
    }
}

impl Failure for LogError {
    fn is_failure(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_failure())
    }
}

impl<S: ?Sized> Measured<S> {
    pub(crate) fn new(store: Arc<S>, name: &'static str, metrics: Arc<Metrics>) -> Self {
        Self { store, name, metrics }
    }

    fn measure<'a, T: Send + 'a, E: Failure + Send + 'a>(
        &'a self,
        call: &'static str,
        answer: BoxFuture<'a, Result<T, E>>,
    ) -> BoxFuture<'a, Result<T, E>>
    where
        S: Send + Sync,
    {
        async move {
            let began = Instant::now();
            let result = answer.instrument(tracing::debug_span!("store", store = self.name, call)).await;
            let labels = [self.name, call];
            self.metrics.store_seconds.with_label_values(&labels).observe(began.elapsed().as_secs_f64());
            if result.as_ref().is_err_and(Failure::is_failure) {
                self.metrics.store_errors.with_label_values(&labels).inc();
            }
            result
        }
        .boxed()
    }
}

impl<S: Documents + ?Sized> Documents for Measured<S> {
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StorageError>> {
        let commit = self.store.commit(batch).inspect_ok(|committed| {
            self.metrics.judged(&committed.judgements);
        });
        self.measure("commit", commit.boxed())
    }

    fn changes(&self, scope: TenantScope, page: Page) -> BoxFuture<'_, Result<Changes, StorageError>> {
        self.measure("changes", self.store.changes(scope, page))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.measure("check", self.store.check())
    }
}

impl<S: Publications + ?Sized> Publications for Measured<S> {
    fn publish(
        &self,
        scope: TenantScope,
        batch: Vec<Publish>,
        now: Millis,
    ) -> Answer<'_, Vec<Option<Published>>> {
        self.measure("publish", self.store.publish(scope, batch, now))
    }
}

impl<S: EventLog + ?Sized> EventLog for Measured<S> {
    fn create(
        &self,
        scope: TenantScope,
        topic: TopicName,
        new: NewTopic,
        now: Millis,
    ) -> Answer<'_, Created> {
        self.measure("create", self.store.create(scope, topic, new, now))
    }

    fn append(
        &self,
        scope: TenantScope,
        topic: TopicName,
        append: Append,
        now: Millis,
    ) -> Answer<'_, Appended> {
        self.measure("append", self.store.append(scope, topic, append, now))
    }

    fn read(&self, scope: TenantScope, topic: TopicName, read: Read, now: Millis) -> Answer<'_, Slice> {
        self.measure("read", self.store.read(scope, topic, read, now))
    }

    fn describe(&self, scope: TenantScope, topic: TopicName, now: Millis) -> Answer<'_, TopicState> {
        self.measure("describe", self.store.describe(scope, topic, now))
    }

    fn delete(&self, scope: TenantScope, topic: TopicName, now: Millis) -> Answer<'_, ()> {
        self.measure("delete", self.store.delete(scope, topic, now))
    }

    fn check(&self) -> Answer<'_, ()> {
        self.measure("check", self.store.check())
    }
}
