//! What the server needs of a store of critical transactions, whichever it is.
//!
//! A transaction runs at most once under its key: [`Transactions::run`] commits its effect, its answer and the events it
//! causes together, so that there is never one without the others. Keys belong to a subject of a tenant. Every method
//! about somebody's data wants a [`TenantScope`], and nothing else can name a tenant.

use std::sync::Arc;

use futures::future::BoxFuture;
use sdk_core::{
    clock::Millis,
    protocol::{IdempotencyKey, Json, TopicName, TransactionName},
};

use super::{StorageError, events::CloudEvent};
use crate::{
    tenant::TenantScope,
    transactions::handler::{Handler, Limit, Query, Refusal},
};

/// Events of one topic in one [`Parcel`].
pub const PARCEL: usize = 128;
/// Parcels that are taken along at one time.
pub const PARCELS: usize = 32;

/// The critical transactions of every tenant.
pub trait Transactions: Send + Sync + 'static {
    /// Runs a handler, or finds that it has run under this key, and resolves once that is durable. Dropping the future does not
    /// take the call back.
    ///
    /// # Errors
    /// [`NotRun`]: nothing of the call was stored.
    fn run(&self, scope: TenantScope, run: Run, now: Millis) -> BoxFuture<'_, Result<Ran, NotRun>>;

    /// Answers a question from the records of one point in time.
    ///
    /// # Errors
    /// [`NotRun`]
    fn ask(&self, scope: TenantScope, ask: Ask, now: Millis) -> BoxFuture<'_, Result<Verdict, NotRun>>;

    /// Records that somebody (nobody by name, if they are many) tried to have a transaction in a way that there is not; durable when
    /// it resolves.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    fn misused(
        &self,
        scope: TenantScope,
        by: String,
        how: String,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>>;

    /// Resolves if the store answers at this moment.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>>;
}

/// The events that transactions have caused and that are not in their topics yet.
pub trait Outgoing: Send + Sync + 'static {
    /// Events to be appended now, [`PARCELS`] topics of them at most, of each the oldest. Topics take turns, so that none
    /// waits for ever behind busy ones.
    ///
    /// # Errors
    /// [`StorageError`]
    fn waiting(&self, now: Millis) -> BoxFuture<'_, Result<Vec<Parcel>, StorageError>>;

    /// Notes what became of parcels; durable when it resolves.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; nothing was noted, and they are given out again.
    fn settle(&self, fates: Vec<(ParcelId, Fate)>) -> BoxFuture<'_, Result<(), StorageError>>;

    /// How much waits.
    ///
    /// # Errors
    /// [`StorageError`]
    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, StorageError>>;
}

/// A call of a transaction.
#[derive(Clone)]
pub struct Run {
    /// Which transaction.
    pub name: TransactionName,
    /// What makes a repetition known as one.
    pub key: IdempotencyKey,
    /// What it is to do.
    pub body: Json,
    /// What does it.
    pub handler: Arc<dyn Handler>,
}

/// A question.
#[derive(Clone)]
pub struct Ask {
    /// About what.
    pub parameters: Json,
    /// What answers.
    pub query: Arc<dyn Query>,
}

/// A call that was decided, and that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The decision.
    pub verdict: Verdict,
    /// Whether it was made by an earlier call.
    pub replayed: bool,
}

/// What a handler has decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done, and this is the answer.
    Done(Json),
    /// It is not, for this reason, and nothing was changed.
    Refused(Refusal),
}

/// Why a call was not decided. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotRun {
    /// The key was used for another call: another transaction, or another body.
    #[error("the key was used for another call before")]
    KeyReused,
    /// The tenant has as many keys as are kept.
    #[error("the tenant has used as many keys as are kept")]
    TooManyKeys,
    /// It wants more than there may be.
    #[error(transparent)]
    Limit(#[from] Limit),
    /// The handler panicked.
    #[error("the handler failed")]
    Panicked,
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A way of having a transaction that there is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Misuse {
    /// In a frame.
    Socket,
    /// In a push over HTTP.
    Push,
}

impl Misuse {
    /// The words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "in a frame",
            Self::Push => "in a push",
        }
    }
}

/// Events for one topic of one tenant, in the order of commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// To settle it by.
    pub id: ParcelId,
    /// Whose topic.
    pub tenant: Arc<str>,
    /// Which one.
    pub topic: TopicName,
    /// The events. One that is given out again is the same, so that a log knows it by its name.
    pub events: Vec<CloudEvent>,
}

/// Which events were given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParcelId {
    /// The topic's place.
    pub lane: i64,
    /// The newest of its events.
    pub newest: i64,
}

/// What became of a parcel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its events are in their topic.
    Appended,
    /// The topic does not take them: they wait until then, and those behind them.
    Until(Millis),
}

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Events, of all tenants.
    pub events: u64,
    /// When the oldest was caused.
    pub oldest: Option<Millis>,
}
