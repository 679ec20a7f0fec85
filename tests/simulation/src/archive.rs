//! Snapshots at the server: its own code makes, keeps and serves them. What it read to make one is read once more
//! without that code, so that there is something to hold the clients' copies against.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sdk_core::protocol::{CollectionName, ContentHash, DocumentId, Manifest, ProtocolError, encode};
use sdk_core::snapshot::Part;
use server_reference::{
    snapshot::{Sizes, Snapshots, store::SnapshotStore},
    storage::StorageError,
    tenant::TenantScope,
};

use crate::http::{Asks, Store};

/// How the server cuts its snapshots, and when it makes another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cuts {
    /// How large chunks are.
    pub(crate) sizes: Sizes,
    /// Bytes that may have come after a snapshot that is still handed out.
    pub(crate) tail: usize,
}

/// What a crash leaves of the snapshots. They may be thrown away at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// All of them.
    Everything,
    /// A file that cannot be read.
    Rubbish,
    /// Nothing.
    Nothing,
}

/// The snapshots of a running server.
pub(crate) struct Archive {
    snapshots: Arc<Snapshots>,
    asks: Asks,
}

impl Archive {
    /// Opens what is there, in the server's `life`.
    pub(crate) fn open(database: &Path, life: u32, cuts: Cuts) -> Result<Self, StorageError> {
        let mut salts = 0;
        let new_salt = move || {
            salts += 1;
            format!("salt{life}x{salts}")
        };
        let store = SnapshotStore::open(&beside(database), Box::new(new_salt))?;
        let asks = Asks::default();
        let documents = Arc::new(Store::new(Arc::clone(&asks)));
        let snapshots = Arc::new(Snapshots::with_sizes(documents, store, cuts.sizes, cuts.tail));
        Ok(Self { snapshots, asks })
    }

    /// Where what is asked of the database meanwhile is to be found.
    pub(crate) fn asks(&self) -> Asks {
        Arc::clone(&self.asks)
    }

    /// Answers a request for a part, as the routes of the server do.
    pub(crate) fn serve(
        &self,
        scope: TenantScope,
        collection: CollectionName,
        part: Part,
    ) -> impl Future<Output = Result<String, ProtocolError>> + 'static {
        let snapshots = Arc::clone(&self.snapshots);
        async move {
            let text = match part {
                Part::Manifest(root) => {
                    snapshots.manifest(&scope, &collection, root).await.map(|manifest| encode(&manifest))
                }
                Part::Chunk { hash, .. } => {
                    snapshots.chunk(&scope, &collection, &hash).and_then(|chunk| chunk.text())
                }
            };
            text.map_err(|error| ProtocolError::from(&error))
        }
    }
}

/// What goes from the snapshots of one database to those of its successor.
pub(crate) fn crash(before: &Path, after: &Path, left: Left) {
    let (before, after) = (beside(before), beside(after));
    for suffix in ["", "-wal", "-shm"] {
        let name = |path: &PathBuf| PathBuf::from(format!("{}{suffix}", path.display()));
        if left == Left::Everything && suffix != "-shm" && name(&before).exists() {
            fs::copy(name(&before), name(&after)).expect("the snapshots can be copied");
        }
        // Closing the database may have removed some of them.
        let _ = fs::remove_file(name(&before));
    }
    if left == Left::Rubbish {
        fs::write(&after, "this was a database once").expect("a file can be written");
    }
}

fn beside(database: &Path) -> PathBuf {
    database.with_extension("snapshots")
}

/// A snapshot as it was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// The server's answer.
    pub(crate) manifest: Manifest,
    /// What the database held then: the text of each living document.
    pub(crate) documents: BTreeMap<String, String>,
}

/// Every snapshot that was ever made, by tenant and collection.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    made: BTreeMap<(String, CollectionName), Vec<Made>>,
    chunks: BTreeSet<(String, CollectionName, ContentHash, DocumentId)>,
}

impl Truth {
    /// A snapshot was made of what the database holds.
    pub(crate) fn enter(&mut self, tenant: &str, made: Made) {
        let name = made.manifest.collection.clone();
        for chunk in &made.manifest.chunks {
            self.chunks.insert((tenant.to_owned(), name.clone(), chunk.hash, chunk.last.clone()));
        }
        self.made.entry((tenant.to_owned(), name)).or_default().push(made);
    }

    /// The snapshots of a collection.
    pub(crate) fn of(&self, tenant: &str, collection: &CollectionName) -> &[Made] {
        self.made.get(&(tenant.to_owned(), collection.clone())).map_or(&[], Vec::as_slice)
    }

    /// Whether there ever was a chunk with this text and this last id.
    pub(crate) fn has_chunk(
        &self,
        tenant: &str,
        collection: &CollectionName,
        text: &str,
        last: &DocumentId,
    ) -> bool {
        let key = (tenant.to_owned(), collection.clone(), ContentHash::of(text), last.clone());
        self.chunks.contains(&key)
    }
}
