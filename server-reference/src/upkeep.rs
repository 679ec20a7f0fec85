//! What a running server does by itself from time to time.

use std::{convert::Infallible, path::PathBuf, time::Duration};

use sdk_core::clock::Millis;
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    clock::wall,
    storage::sqlite::{
        SqliteStore,
        audit::{Office, Pruned, prune_all},
        events::EventStore,
        transactions::TransactionStore,
    },
};

/// Time between two looks for old deletions.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Time between two looks for topics that are over.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Time between two looks for keys that are over.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Time between two looks for records of the audit that are older than they are kept.
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

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

/// Removes the records of the audit that are older than they are kept, behind signed heads, now and then again, for as long as it
/// is polled. A chain that is not what was recorded is left as it is.
pub(crate) async fn prune_audit(data: PathBuf, kept: Duration) -> Infallible {
    loop {
        let (data, now) = (data.clone(), wall());
        let why = format!("kept for {} days", kept.as_secs() / (24 * 60 * 60));
        // It reads whole chains.
        let pruned = spawn_blocking(move || {
            let office = Office { subject: "", justification: &why, approver: "" };
            prune_all(&data, before(now, kept), &office, now)
        });
        match pruned.await {
            Ok(Ok(chains)) => chains.iter().for_each(tell),
            Ok(Err(error)) => tracing::warn!(%error, "the audit could not be pruned; tried again later"),
            Err(error) => tracing::error!(%error, "the audit could not be pruned"),
        }
        sleep(PRUNE_EVERY).await;
    }
}

fn tell(Pruned { chain, tenant, outcome }: &Pruned) {
    match outcome {
        Ok((count, start)) => {
            let start = start.as_ref().map(ToString::to_string).unwrap_or_default();
            tracing::info!(chain, tenant, count, start, "old records of the audit are removed");
        }
        Err(finding) => {
            tracing::error!(chain, tenant, %finding, "the audit is not what was recorded, and is kept")
        }
    }
}

/// The time before which a deletion is older than `age`.
pub fn before(now: Millis, age: Duration) -> Millis {
    Millis(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
}
