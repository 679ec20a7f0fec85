//! A snapshot in the store: beside the state in view, and in its place.

use super::{
    note::{Note, Staging},
    replica::Replica,
    storage::{Generation, Segment},
};
use crate::protocol::{CollectionName, ContentHash, DocumentId, StreamPosition};

impl Replica {
    /// What of the snapshot with this root is stored already: so many of its first chunks. Of another one nothing is.
    pub(super) fn begin_staging(&mut self, name: &CollectionName, root: ContentHash) -> usize {
        let Some(collection) = self.collections.get_mut(name) else { return 0 };
        let note = &mut collection.note;
        let before = note.staging.as_ref();
        if let Some(staging) = before.filter(|staging| staging.root == root) {
            return staging.chunks;
        }
        let newest = before.map_or(note.generation, |staging| staging.generation.max(note.generation));
        if let Some(staging) = before {
            self.staged.drop_generation(name, staging.generation);
        }
        note.staging = Some(Staging { generation: newest.next(), root, chunks: 0 });
        0
    }

    /// The next chunk of the snapshot with this root.
    pub(super) fn stage(&mut self, name: &CollectionName, root: ContentHash, last: DocumentId, text: String) {
        let Some(collection) = self.collections.get_mut(name) else { return };
        let Some(staging) = collection.note.staging.as_mut().filter(|staging| staging.root == root) else {
            return;
        };
        staging.chunks += 1;
        let generation = staging.generation;
        self.staged.segments.push(Segment { collection: name.clone(), generation, last, text });
        self.staged.notes.insert(name.clone(), collection.note.clone());
    }

    /// The snapshot is whole and takes the place of what is stored of the collection.
    pub(super) fn flip(&mut self, name: &CollectionName, position: StreamPosition, average: usize) {
        let Some(collection) = self.collections.get_mut(name) else { return };
        let Some(staging) = collection.note.staging.take() else { return };
        if collection.note.generation != Generation::NONE {
            self.staged.drop.push((name.clone(), collection.note.generation));
        }
        let note = Note { generation: staging.generation, average, staging: None };
        self.staged.forget_changes(name);
        self.staged.notes.insert(name.clone(), note);
        self.staged.flips.insert(name.clone());
        self.staged.cursors.insert(name.clone(), position.clone());
        collection.received = Some(position);
        // What came after it.
        self.want(name);
    }
}
