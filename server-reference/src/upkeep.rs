//! What a running server does by itself from time to time.

use std::{convert::Infallible, time::Duration};

use sdk_core::clock::Millis;
use tokio::time::sleep;

use crate::{
    clock::wall,
    storage::sqlite::{SqliteStore, events::EventStore, transactions::TransactionStore},
};

/// Time between two looks for old deletions.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Time between two looks for topics that are over.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Time between two looks for keys that are over.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Forgets deletions that are older than `age`, now and then again, for as long as it is polled.
pub(crate) async fn forget_deletions(store: &SqliteStore, age: Duration) -> Infallible {
    loop {
        match store.prune(before(wall(), age)).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old deletions are forgotten"),
            Err(error) => tracing::warn!(%error, "old deletions could not be forgotten; tried again later"),
        }
        sleep(EVERY).await;
    }
}

/// Removes topics and events whose time is over, now and then again, for as long as it is polled.
pub(crate) async fn tidy_topics(events: &EventStore) -> Infallible {
    loop {
        if let Err(error) = events.tidy(wall()).await {
            tracing::warn!(%error, "topics could not be tidied; tried again later");
        }
        sleep(TIDY_EVERY).await;
    }
}

/// Forgets the keys of transactions that were used longer than `kept` ago, now and then again, for as long as it is polled.
pub(crate) async fn forget_keys(transactions: &TransactionStore, kept: Duration) -> Infallible {
    loop {
        if let Err(error) = transactions.forget(before(wall(), kept)).await {
            tracing::warn!(%error, "old keys of transactions could not be forgotten; tried again later");
        }
        sleep(FORGET_EVERY).await;
    }
}

/// The time before which a deletion is older than `age`.
pub fn before(now: Millis, age: Duration) -> Millis {
    Millis(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
}
