//! What a running server does by itself from time to time.

use std::{convert::Infallible, time::Duration};

use sdk_core::clock::Millis;
use tokio::time::sleep;

use crate::{clock::wall, storage::sqlite::SqliteStore};

/// Time between two looks for old deletions.
const EVERY: Duration = Duration::from_secs(60 * 60);

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

/// The time before which a deletion is older than `age`.
pub fn before(now: Millis, age: Duration) -> Millis {
    Millis(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
}
