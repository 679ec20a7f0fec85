//! Snapshots: a collection's documents at one position, in chunks that any HTTP cache may keep.
//!
//! A snapshot is cut (module `cut`) from one read transaction, so it is of one point in time however many commits there are
//! meanwhile, and [kept](store) in a database of its own, which may be thrown away. It serves every reader until what
//! came after it is more than one page, or the history does not go on from it; then the next reader has a new one made.
//! Chunks whose documents are the same are the same chunk from one snapshot to the next.

mod cut;
mod packed;
mod routes;
pub mod store;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use futures::future::BoxFuture;
use sdk_core::protocol::{CollectionName, ContentHash, DocumentId, Manifest, StreamPosition};
use tokio::sync::Mutex as Turn;

pub use cut::Sizes;
pub use packed::Packed;
pub(crate) use routes::routes;

use crate::{
    access::Portion,
    storage::{Documents, Page, StorageError},
    tenant::TenantScope,
};
use cut::Cutter;
use store::{SnapshotStore, Spot};

/// A store whose collections can be read whole.
pub trait Exports: Documents {
    /// Hands every living document of a collection to `to`, by id in byte order, all of one point in time, and ends
    /// with the position of it.
    ///
    /// # Errors
    /// [`StorageError::NoSuchCollection`], also if the scope does not cover the whole collection;
    /// [`StorageError::Unavailable`]; or what `to` says.
    fn export(
        &self,
        scope: TenantScope,
        collection: CollectionName,
        to: Box<dyn Export>,
    ) -> BoxFuture<'_, Result<Manifest, StorageError>>;
}

/// Takes the documents of a collection.
pub trait Export: Send {
    /// Takes the next one, with its state as text.
    ///
    /// # Errors
    /// It could not be kept; the export ends.
    fn document(&mut self, id: &DocumentId, state: &str) -> Result<(), StorageError>;

    /// There are no more.
    ///
    /// # Errors
    /// They could not be kept.
    fn finish(self: Box<Self>, at: StreamPosition) -> Result<Manifest, StorageError>;
}

/// The snapshots of every tenant.
pub struct Snapshots {
    documents: Arc<dyn Exports>,
    store: Arc<Mutex<SnapshotStore>>,
    sizes: Sizes,
    /// Bytes of documents that may have come after a snapshot while it is still handed out.
    tail: usize,
    /// Who makes a snapshot holds its turn; whoever wants the same one waits and finds it made.
    turns: Mutex<HashMap<Spot, Weak<Turn<()>>>>,
}

impl Snapshots {
    /// Snapshots of a store, kept in another.
    pub fn new(documents: Arc<dyn Exports>, store: SnapshotStore) -> Self {
        Self::with_sizes(documents, store, Sizes::default(), TAIL)
    }

    /// The same with chunks of these sizes, and another one made as soon as what came after it has more than `tail`
    /// bytes.
    pub fn with_sizes(documents: Arc<dyn Exports>, store: SnapshotStore, sizes: Sizes, tail: usize) -> Self {
        Self { documents, store: Arc::new(Mutex::new(store)), sizes, tail, turns: Mutex::default() }
    }

    /// The manifest of a collection: one that is fresh enough, made now if need be; or the one with this root.
    ///
    /// # Errors
    /// [`StorageError::NoSuchCollection`] if there is no such collection or root, or the scope does not cover it whole.
    pub async fn manifest(
        &self,
        scope: &TenantScope,
        collection: &CollectionName,
        root: Option<ContentHash>,
    ) -> Result<Manifest, StorageError> {
        let spot = spot(scope, collection)?;
        if let Some(root) = root {
            return lock(&self.store).manifest(&spot, &root)?.ok_or(StorageError::NoSuchCollection);
        }
        let turn = self.turn(&spot);
        let _held = turn.lock().await;
        let newest = lock(&self.store).newest(&spot)?;
        if let Some(manifest) = newest
            && self.is_fresh(scope, &manifest).await?
        {
            return Ok(manifest);
        }
        let cutter = Cutter::new(lock(&self.store).salt(&spot)?, self.sizes);
        let recorder = Recorder { store: self.store.clone(), spot, cutter, chunks: Vec::new() };
        self.documents.export(scope.clone(), collection.clone(), Box::new(recorder)).await
    }

    /// A chunk.
    ///
    /// # Errors
    /// [`StorageError::NoSuchCollection`] if the collection has no such chunk, or the scope does not cover it whole.
    pub fn chunk(
        &self,
        scope: &TenantScope,
        collection: &CollectionName,
        hash: &ContentHash,
    ) -> Result<Packed, StorageError> {
        let spot = spot(scope, collection)?;
        lock(&self.store).chunk(&spot, hash)?.ok_or(StorageError::NoSuchCollection)
    }

    /// Whether a reader of the snapshot goes on from it, and needs no more than a page to be up to date.
    async fn is_fresh(&self, scope: &TenantScope, manifest: &Manifest) -> Result<bool, StorageError> {
        let (collection, after) = (manifest.collection.clone(), Some(manifest.position.clone()));
        let page = Page { collection, after, bytes: self.tail };
        let tail = self.documents.changes(scope.clone(), page).await?;
        Ok(tail.recovered && !tail.more)
    }

    fn turn(&self, spot: &Spot) -> Arc<Turn<()>> {
        let mut turns = lock(&self.turns);
        // Bounded by the requests under way: whose turn is over leaves nothing behind.
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(spot).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::new(()));
        turns.insert(spot.clone(), Arc::downgrade(&turn));
        turn
    }
}

/// Bytes of documents that may have come after a snapshot while it is still handed out, unless it is said otherwise.
const TAIL: usize = 256 * 1024;

/// Where the snapshots of a collection are. Who may not see all of it may see none of them.
fn spot(scope: &TenantScope, collection: &CollectionName) -> Result<Spot, StorageError> {
    match scope.access().portion(collection) {
        Portion::Whole => Ok(Spot { tenant: scope.tenant().clone(), collection: collection.clone() }),
        Portion::Nothing | Portion::Under(_) => Err(StorageError::NoSuchCollection),
    }
}

/// Cuts an export into chunks and keeps each as soon as it is whole.
struct Recorder {
    store: Arc<Mutex<SnapshotStore>>,
    spot: Spot,
    cutter: Cutter,
    chunks: Vec<sdk_core::protocol::ChunkRef>,
}

impl Recorder {
    fn keep(&mut self, cut: Option<cut::Cut>) -> Result<(), StorageError> {
        let Some(cut) = cut else { return Ok(()) };
        let packed = Packed::of(&cut.text, &cut.chunk.hash)?;
        lock(&self.store).add_chunk(&self.spot, &cut.chunk.hash, &packed)?;
        self.chunks.push(cut.chunk);
        Ok(())
    }
}

impl Export for Recorder {
    fn document(&mut self, id: &DocumentId, state: &str) -> Result<(), StorageError> {
        let cut = self.cutter.add(id, state);
        self.keep(cut)
    }

    fn finish(mut self: Box<Self>, at: StreamPosition) -> Result<Manifest, StorageError> {
        let rest = self.cutter.finish();
        self.keep(rest)?;
        let manifest = Manifest::seal(self.spot.collection.clone(), at, self.chunks);
        lock(&self.store).add_manifest(&self.spot, &manifest)?;
        Ok(manifest)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is changed by calls that leave it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
