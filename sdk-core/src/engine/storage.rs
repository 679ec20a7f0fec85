//! What the engine stores, as plain values: a store moves text and need not know what it means.
//!
//! Two failure domains. The *outbox* is small, strictly durable and irreplaceable. The *replica* is a copy of
//! what the server has: large, relaxed, thrown away and fetched again when broken. A batch touches one of them.

use crate::{
    protocol::{CollectionName, DocKey, DocumentId, Seq, StreamPosition},
    transparent,
};

/// One record of the outbox: some operations, packed by the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRecord {
    /// Its key; records are loaded in the order of their keys. At most 2^53 - 1.
    pub key: u64,
    /// JSON text.
    pub text: String,
}

/// One document of the replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDocument {
    /// Its key.
    pub key: DocKey,
    /// JSON text.
    pub text: String,
}

/// Which of a collection's snapshots a segment belongs to. One is in view; another may be under way beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// No snapshot: the collection has no segments, and a store need not look for any.
    pub const NONE: Self = Self(0);

    /// The one after it.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

transparent!(Generation);

/// Many documents of a collection in one record: a chunk of a snapshot as it came. Of one generation, every segment
/// holds ids larger than those of the segment before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Whose documents.
    pub collection: CollectionName,
    /// Which snapshot.
    pub generation: Generation,
    /// The largest id in it: its key.
    pub last: DocumentId,
    /// JSON text.
    pub text: String,
}

/// How much a read takes of a collection's segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// The generation in view.
    pub generation: Generation,
    /// Segments at most, 1 to [`MAX_SEGMENTS`].
    pub segments: usize,
}

impl Scan {
    /// Of a collection that has no segments.
    pub const NONE: Self = Self { generation: Generation::NONE, segments: 1 };
}

/// Segments that one read takes at most.
pub const MAX_SEGMENTS: usize = 64;

/// What a read found. A document that stands alone is newer than one of its id in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// The documents that stand alone, by id in byte order of its UTF-8: the first `limit` in the query's range.
    pub documents: Vec<StoredDocument>,
    /// The texts of the first segments that reach into the query's range, in order. They may hold more than that.
    pub segments: Vec<String>,
}

/// What is written in one atomic commit, to one of the two failure domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Batch {
    /// To the outbox, strictly durable.
    Outbox(OutboxBatch),
    /// To the replica.
    Replica(ReplicaBatch),
}

/// Changes of the outbox. Removals come before insertions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboxBatch {
    /// Keys whose records go; one that is not there is no error.
    pub remove: Vec<u64>,
    /// Records that are added, or replace those with the same key.
    pub put: Vec<OutboxRecord>,
    /// The new metadata, if it changes.
    pub meta: Option<String>,
    /// Submissions that became operations of this batch. Only a store that several pages share keeps submissions;
    /// others have nothing to do here.
    pub adopted: Vec<Adopted>,
}

/// A submission that another page had left in the store. In the very commit that stores its operation a receipt takes
/// its place: it is adopted once, whoever dies when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Its key in the store.
    pub key: String,
    /// The operation it became.
    pub seq: Seq,
}

/// Changes of the replica, in the order of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaBatch {
    /// What is emptied first: documents, segments, cursors and notes.
    pub clear: Clear,
    /// Collections whose documents go; segments stay. With it a snapshot takes the place of what was there.
    pub flip: Vec<CollectionName>,
    /// Generations whose segments go.
    pub drop: Vec<(CollectionName, Generation)>,
    /// Documents that go; one that is not there is no error.
    pub remove: Vec<DocKey>,
    /// Documents that are added or replaced.
    pub put: Vec<StoredDocument>,
    /// Segments that are added or replaced.
    pub stage: Vec<Segment>,
    /// Cursors that are added or replaced.
    pub cursors: Vec<(CollectionName, StreamPosition)>,
    /// Notes on the snapshots of collections, added or replaced: which one is in view, and how far another has come.
    pub notes: Vec<(CollectionName, String)>,
}

/// Which part of the replica is emptied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Clear {
    /// Nothing.
    #[default]
    Nothing,
    /// All that is stored of these collections.
    Collections(Vec<CollectionName>),
    /// All of it. Must succeed also on a replica that cannot be read.
    All,
}

/// What a store holds at the start: all of the outbox, but of the replica the cursors and notes only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// Every record of the outbox, by key.
    pub outbox: Vec<OutboxRecord>,
    /// The outbox's metadata, if any was ever written.
    pub meta: Option<String>,
    /// The cursors; `None` says that the replica could not be read and is to be thrown away.
    pub cursors: Option<Vec<(CollectionName, StreamPosition)>>,
    /// The notes on snapshots; empty where the replica could not be read.
    pub notes: Vec<(CollectionName, String)>,
}

/// What to read from the replica, and what a live query shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Query {
    /// One document.
    One(DocKey),
    /// The first `limit` documents of a collection with `from <= id < to`, by id in byte order.
    Range {
        /// The collection.
        collection: CollectionName,
        /// The smallest id; none for the first.
        from: Option<DocumentId>,
        /// The first id beyond; none for no bound.
        to: Option<DocumentId>,
        /// How many at most, 1 to [`MAX_QUERY`].
        limit: usize,
    },
}

/// Documents that one live query shows at most.
pub const MAX_QUERY: usize = 10_000;

impl Query {
    /// Every document of a collection, up to [`MAX_QUERY`].
    pub fn all(collection: CollectionName) -> Self {
        Self::Range { collection, from: None, to: None, limit: MAX_QUERY }
    }

    /// The collection it reads.
    pub fn collection(&self) -> &CollectionName {
        match self {
            Self::One(key) => &key.collection,
            Self::Range { collection, .. } => collection,
        }
    }

    /// Its bounds and its limit: ids from the first on, and below the second.
    pub fn bounds(&self) -> (Option<&DocumentId>, Option<&DocumentId>, usize) {
        match self {
            Self::One(key) => (Some(&key.id), None, 1),
            Self::Range { from, to, limit, .. } => (from.as_ref(), to.as_ref(), *limit),
        }
    }

    /// Whether a document lies in the query's range.
    pub fn selects(&self, key: &DocKey) -> bool {
        *self.collection() == key.collection && self.selects_id(&key.id)
    }

    /// Whether the document of its collection with this id lies in its range.
    pub(crate) fn selects_id(&self, id: &DocumentId) -> bool {
        match self {
            Self::One(wanted) => wanted.id == *id,
            Self::Range { from, to, .. } => {
                from.as_ref().is_none_or(|from| id >= from) && to.as_ref().is_none_or(|to| id < to)
            }
        }
    }
}

/// Why a store did not do what it was asked. Whatever the reason, nothing of the batch was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no storage here (a private window, a blocked site, a read-only disk).
    #[error("storage is not available: {0}")]
    Denied(String),
    /// The disk or the quota is full.
    #[error("storage is full: {0}")]
    Full(String),
    /// Another client has taken the store over since: nothing can be written here any more.
    #[error("another client has taken over this storage")]
    Fenced,
    /// Another client has this store open.
    #[error("storage is in use by another client")]
    InUse,
    /// What is stored is encrypted, and not with the key that is at hand. Nothing was changed.
    #[error("storage is encrypted with another key")]
    Locked,
    /// The outbox was deleted while it was open. An empty one is in its place, and waits for all that it held.
    #[error("what was stored is gone")]
    Lost,
    /// What is stored cannot be read.
    #[error("storage is corrupt: {0}")]
    Corrupt(String),
    /// Anything else.
    #[error("storage failed: {0}")]
    Failed(String),
}
