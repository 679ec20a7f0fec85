//! Which stores a server keeps its data in: everything behind the seams of [`storage`](crate::storage), opened together.

mod embedded;

use std::sync::Arc;

use futures::future::BoxFuture;
use sdk_core::clock::Millis;

pub(crate) use embedded::embedded;

use crate::{
    metrics::Held,
    snapshot::Exports,
    storage::{
        Advance, StorageError,
        attempts::AttemptLog,
        events::{DeadLetters, EventLog, GroupStore, LogError, News, SubscriptionStore},
        grants::{Counted, Grants},
        refusals::ClientLetters,
        revocations::Revocations,
        sqlite::audit::Pruned,
        transactions::{Outgoing, Transactions},
    },
};

/// The stores of one server.
pub(crate) struct Backend {
    pub(crate) documents: Arc<dyn Exports>,
    pub(crate) client_letters: Arc<dyn ClientLetters>,
    pub(crate) revocations: Arc<dyn Revocations>,
    pub(crate) grants: Arc<dyn Grants>,
    pub(crate) attempts: Arc<dyn AttemptLog>,
    pub(crate) events: Arc<dyn EventLog>,
    pub(crate) subscriptions: Arc<dyn SubscriptionStore>,
    pub(crate) groups: Arc<dyn GroupStore>,
    pub(crate) letters: Arc<dyn DeadLetters>,
    pub(crate) transactions: Arc<dyn Transactions>,
    pub(crate) outgoing: Arc<dyn Outgoing>,
    pub(crate) upkeep: Arc<dyn Upkeep>,
}

type OnAdvance = Arc<dyn Fn(&Arc<Advance>) + Send + Sync>;

/// Whom stores tell of what they have committed. It is called before that is acknowledged, often by a thread that nobody else can
/// use meanwhile, and never waits.
#[derive(Clone)]
pub(crate) struct Listeners {
    /// A collection moved on.
    pub(crate) advance: OnAdvance,
    /// A topic moved on or ended.
    pub(crate) news: Arc<dyn Fn(News) + Send + Sync>,
    /// Transactions were committed, and may have events to be appended.
    pub(crate) transaction: Arc<dyn Fn() + Send + Sync>,
}

/// What stores need done from time to time, and what there is to know of what they hold.
pub(crate) trait Upkeep: Send + Sync + 'static {
    /// Removes what is left of documents that were deleted at or before a Unix time, and returns of how many.
    fn forget_deletions(&self, before: Millis) -> BoxFuture<'_, Result<usize, StorageError>>;

    /// Removes topics and events whose time is over.
    fn tidy_topics(&self, now: Millis) -> BoxFuture<'_, Result<(), LogError>>;

    /// Forgets the keys of transactions that were used at or before a Unix time.
    fn forget_keys(&self, before: Millis) -> BoxFuture<'_, Result<(), StorageError>>;

    /// Removes the records of the audit from before a Unix time, behind signed heads. The removal is recorded with the reason.
    fn prune_audit(
        &self,
        before: Millis,
        why: String,
        now: Millis,
    ) -> BoxFuture<'_, Result<Vec<Pruned>, StorageError>>;

    /// What consumer groups and subscriptions hold, of all tenants.
    fn held(&self) -> BoxFuture<'_, Result<Held, StorageError>>;

    /// How many dead letters of clients there are, of all tenants.
    fn client_letter_count(&self) -> BoxFuture<'_, Result<i64, StorageError>>;

    /// How many access grants there are, of all tenants, and how many have come to their end since some time.
    fn grant_count(&self, since: Millis, now: Millis) -> BoxFuture<'_, Result<Counted, StorageError>>;
}
