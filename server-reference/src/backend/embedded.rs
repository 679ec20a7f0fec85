//! One server alone, with everything in its data folder.

use std::{path::PathBuf, sync::Arc};

use futures::future::{BoxFuture, FutureExt};
use sdk_core::clock::Millis;
use tokio::task::spawn_blocking;

use super::{Backend, Listeners, Upkeep};
use crate::{
    config::ServerConfig,
    data::DataFolder,
    metrics::Held,
    random,
    storage::{
        StorageError,
        events::LogError,
        grants::Counted,
        sqlite::{
            SqliteStore,
            audit::{Office, Pruned, prune_all},
            events::{Caps, EventStore},
            transactions::TransactionStore,
        },
    },
};

/// Opens the databases of a data folder.
pub(crate) fn embedded(
    data: &DataFolder,
    config: &ServerConfig,
    listeners: Listeners,
) -> Result<Backend, StorageError> {
    let Listeners { advance, news, transaction } = listeners;
    let documents = Arc::new(SqliteStore::open(
        &data.database(),
        config.limits,
        random::epochs(),
        config.resolvers.clone(),
        Box::new(move |told| advance(told)),
    )?);
    let caps = Caps { topics: config.streams.topics };
    let events = EventStore::open(&data.events(), caps, random::bits(), Box::new(move |told| news(told)))?;
    let events = Arc::new(events);
    let transactions = Arc::new(TransactionStore::open(
        &data.transactions(),
        config.transactions.caps,
        Box::new(move || transaction()),
    )?);
    let upkeep = Databases {
        documents: documents.clone(),
        events: events.clone(),
        transactions: transactions.clone(),
        folder: config.data.clone(),
    };
    Ok(Backend {
        documents: documents.clone(),
        client_letters: documents.clone(),
        revocations: documents.clone(),
        grants: documents.clone(),
        attempts: documents,
        events: events.clone(),
        subscriptions: events.clone(),
        groups: events.clone(),
        letters: events,
        transactions: transactions.clone(),
        outgoing: transactions,
        upkeep: Arc::new(upkeep),
    })
}

struct Databases {
    documents: Arc<SqliteStore>,
    events: Arc<EventStore>,
    transactions: Arc<TransactionStore>,
    folder: PathBuf,
}

impl Upkeep for Databases {
    fn forget_deletions(&self, before: Millis) -> BoxFuture<'_, Result<usize, StorageError>> {
        self.documents.prune(before).boxed()
    }

    fn tidy_topics(&self, now: Millis) -> BoxFuture<'_, Result<(), LogError>> {
        self.events.tidy(now).boxed()
    }

    fn forget_keys(&self, before: Millis) -> BoxFuture<'_, Result<(), StorageError>> {
        self.transactions.forget(before).boxed()
    }

    fn prune_audit(
        &self,
        before: Millis,
        why: String,
        now: Millis,
    ) -> BoxFuture<'_, Result<Vec<Pruned>, StorageError>> {
        let folder = self.folder.clone();
        // It reads whole chains.
        let pruned = spawn_blocking(move || {
            let office = Office { subject: "", justification: &why, approver: "" };
            prune_all(&folder, before, &office, now)
        });
        let failed = |error| StorageError::Unavailable(Box::new(error));
        async move { pruned.await.map_err(failed)? }.boxed()
    }

    fn held(&self) -> BoxFuture<'_, Result<Held, StorageError>> {
        self.events.held().boxed()
    }

    fn client_letter_count(&self) -> BoxFuture<'_, Result<i64, StorageError>> {
        self.documents.client_letter_count().boxed()
    }

    fn grant_count(&self, since: Millis, now: Millis) -> BoxFuture<'_, Result<Counted, StorageError>> {
        self.documents.grant_count(since, now).boxed()
    }
}
