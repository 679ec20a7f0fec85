//! What the server needs of a store, whichever it is.
//!
//! A store is one change log per (tenant, collection). [`Documents::commit`] judges a batch of operations and makes
//! judgements, documents and the new head durable in one transaction; [`Documents::changes`] reads what is new since
//! a position. Both want a [`TenantScope`], and nothing else can name a tenant. What the scope's access does not cover
//! is neither read nor written, and a collection of which it covers nothing looks like one that is empty for ever.

pub mod attempts;
#[cfg(test)]
pub(crate) mod contract;
pub mod events;
pub mod grants;
pub(crate) mod history;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod refusals;
mod resolution;
pub mod revocations;
pub(crate) mod sql;
pub mod sqlite;
pub mod transactions;

use std::sync::Arc;

use futures::future::BoxFuture;
use sdk_core::{
    clock::Millis,
    protocol::{
        ActorId, Changed, Changes, ClientId, CollectionName, ErrorCode, Judgement, Operation, ProtocolError,
        Resume, Seq, StreamPosition,
    },
};

pub use resolution::ResolutionRecord;

use crate::tenant::TenantScope;

/// Collections that one tenant can have.
pub const MAX_TENANT_COLLECTIONS: u64 = 1_024;
/// Records of resolutions that are kept of one document; the oldest go first.
pub const KEPT_RESOLUTIONS: usize = 32;
/// Documents in one page of changes.
pub const PAGE_DOCUMENTS: usize = 512;

/// The documents of every tenant.
pub trait Documents: Send + Sync + 'static {
    /// Judges a batch and resolves once all of it is durable. Dropping the future does not take the batch back.
    ///
    /// # Errors
    /// Nothing of the batch was acknowledged; where it was stored all the same (the answer got lost), the same batch
    /// again gets the same judgements.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StorageError>>;

    /// Reads one page of changes, of one point in time.
    ///
    /// # Errors
    /// [`StorageError::NoSuchCollection`] or [`StorageError::Unavailable`].
    fn changes(&self, scope: TenantScope, page: Page) -> BoxFuture<'_, Result<Changes, StorageError>>;

    /// Resolves if the store answers at this moment.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>>;
}

/// Operations of one client, to be judged in their order. Without operations it just makes client and collections
/// known.
#[derive(Debug, Clone)]
pub struct Batch {
    /// On whose behalf.
    pub scope: TenantScope,
    /// Which installation.
    pub client: ClientId,
    /// The collections the operations are for, each as the client knows it; a new one is set up with that strategy.
    pub collections: Vec<Resume>,
    /// The operations.
    pub operations: Vec<Operation>,
    /// The dead letters that the client holds, where it has said so: the newest
    /// [`MAX_CLIENT_LETTERS`](refusals::MAX_CLIENT_LETTERS). Others of its letters are over.
    pub holds: Option<Vec<Seq>>,
    /// The server's Unix time.
    pub now: Millis,
}

/// A batch that is durable.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The client's name in vector clocks.
    pub actor: ActorId,
    /// One for each operation, in their order.
    pub judgements: Vec<Judgement>,
    /// One for each dead letter that the client holds and somebody has applied.
    pub applied: Vec<Judgement>,
    /// Whether the store keeps letters of the client.
    pub has_letters: bool,
    /// The collections that have new changes.
    pub advances: Vec<Arc<Advance>>,
}

/// A collection moved on. A hint to its readers: what they miss of it they find by reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// Whose collection.
    pub tenant: Arc<str>,
    /// Which one.
    pub collection: CollectionName,
    /// The head before.
    pub from: StreamPosition,
    /// The head now.
    pub to: StreamPosition,
    /// The changes between the two, where they are few enough to carry along.
    pub news: Option<News>,
}

/// The changes of an advance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The documents, by revision.
    pub documents: Vec<Changed>,
    /// The same as the text of a `changes` frame, for those who see the whole collection from its beginning.
    pub frame: Arc<str>,
}

/// Which changes to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The collection.
    pub collection: CollectionName,
    /// What the reader has.
    pub after: Option<StreamPosition>,
    /// Bytes of documents to read at most; one document is read whatever its size, unless this is 0.
    pub bytes: usize,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The store cannot be written or read at this moment: disk full, input or output failed, it is shutting down.
    /// Nothing was acknowledged.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored cannot be understood. Nothing was written.
    #[error("stored data of {what} cannot be read")]
    Corrupt {
        /// What was to be read.
        what: &'static str,
        /// Why it could not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The client id belongs to another subject. Nothing was written.
    #[error("the client id belongs to another subject")]
    ClientIdTaken,
    /// The collection has another strategy. Nothing of the batch was written.
    #[error("collection {collection} has another strategy")]
    StrategyMismatch {
        /// Which collection.
        collection: CollectionName,
    },
    /// The tenant has [`MAX_TENANT_COLLECTIONS`] already. Nothing of the batch was written.
    #[error("the tenant has {MAX_TENANT_COLLECTIONS} collections already")]
    TooManyCollections,
    /// The collection does not exist for this tenant.
    #[error("no such collection")]
    NoSuchCollection,
}

impl StorageError {
    /// The code that a client is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unavailable(_) => ErrorCode::StorageUnavailable,
            Self::Corrupt { .. } => ErrorCode::Internal,
            Self::ClientIdTaken => ErrorCode::ClientIdTaken,
            Self::StrategyMismatch { .. } => ErrorCode::StrategyMismatch,
            Self::TooManyCollections => ErrorCode::TooMany,
            Self::NoSuchCollection => ErrorCode::Forbidden,
        }
    }
}

/// What a client is told; the source of an error stays in the server's log.
impl From<&StorageError> for ProtocolError {
    fn from(error: &StorageError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
