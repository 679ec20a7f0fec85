//! What a running server does by itself from time to time.

use std::{convert::Infallible, time::Duration};

use sdk_core::clock::Millis;
use tokio::time::sleep;

use crate::{backend::Upkeep, clock::wall, storage::sqlite::audit::Pruned};

/// Time between two looks for old deletions.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Time between two looks for topics that are over.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Time between two looks for keys that are over.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// Time between two looks for records of the audit that are older than they are kept.
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Forgets deletions that are older than `age`, now and then again, for as long as it is polled.
pub(crate) async fn forget_deletions(stores: &dyn Upkeep, age: Duration) -> Infallible {
    loop {
        match stores.forget_deletions(before(wall(), age)).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "old deletions are forgotten"),
            Err(error) => tracing::warn!(%error, "old deletions could not be forgotten; tried again later"),
        }
        sleep(EVERY).await;
    }
}

/// Removes topics and events whose time is over, now and then again, for as long as it is polled.
pub(crate) async fn tidy_topics(stores: &dyn Upkeep) -> Infallible {
    loop {
        if let Err(error) = stores.tidy_topics(wall()).await {
            tracing::warn!(%error, "topics could not be tidied; tried again later");
        }
        sleep(TIDY_EVERY).await;
    }
}

/// Forgets the keys of transactions that were used longer than `kept` ago, now and then again, for as long as it is polled.
pub(crate) async fn forget_keys(stores: &dyn Upkeep, kept: Duration) -> Infallible {
    loop {
        if let Err(error) = stores.forget_keys(before(wall(), kept)).await {
            tracing::warn!(%error, "old keys of transactions could not be forgotten; tried again later");
        }
        sleep(FORGET_EVERY).await;
    }
}

/// Removes the records of the audit that are older than they are kept, behind signed heads, now and then again, for as long as it
/// is polled. A chain that is not what was recorded is left as it is.
pub(crate) async fn prune_audit(stores: &dyn Upkeep, kept: Duration) -> Infallible {
    loop {
        let (now, why) = (wall(), format!("kept for {} days", kept.as_secs() / (24 * 60 * 60)));
        match stores.prune_audit(before(now, kept), why, now).await {
            Ok(chains) => chains.iter().for_each(tell),
            Err(error) => tracing::warn!(%error, "the audit could not be pruned; tried again later"),
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
