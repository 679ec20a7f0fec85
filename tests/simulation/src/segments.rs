//! What a client's store holds of a collection in segments and beside them, put together without the engine.

use std::collections::BTreeMap;

use sdk_core::{
    engine::storage::Generation,
    protocol::{CollectionName, Document, decode, read_chunk},
    wire::Reader,
};
use serde::Deserialize;

use crate::disk::Copy;

/// What a client notes of a collection's snapshots, read without the engine's own types.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Note {
    /// The generation in view.
    pub(crate) generation: u64,
    /// The one that is fetched.
    pub(crate) staging: Option<Staging>,
}

/// A snapshot of which the first chunks are stored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Staging {
    /// Its generation.
    pub(crate) generation: u64,
    /// The root of its manifest.
    pub(crate) root: String,
    /// How many of them.
    pub(crate) chunks: usize,
}

/// Reads a note.
pub(crate) fn note(text: &str) -> Note {
    serde_json::from_str(text).expect("the engine writes notes that can be read")
}

impl Copy {
    /// What is noted of a collection's snapshots.
    pub(crate) fn note(&self, name: &CollectionName) -> Note {
        self.notes.get(name).map(|text| note(text)).unwrap_or_default()
    }

    /// The documents in the segments of a generation, by id.
    pub(crate) fn packed(&self, name: &CollectionName, generation: Generation) -> BTreeMap<String, String> {
        let mut documents = BTreeMap::new();
        for ((of, number, _), text) in &self.segments {
            if of == name && *number == generation {
                // What cannot be read is not there; that shows where it is missing.
                let _ = read_chunk(text, &Reader::skip, &mut |id, doc| {
                    documents.insert(id.into_owned(), doc.to_owned());
                    Ok(())
                });
            }
        }
        documents
    }

    /// The living documents of a collection as a reader would find them, by id.
    pub(crate) fn living(&self, name: &CollectionName) -> BTreeMap<String, String> {
        let mut documents = self.packed(name, Generation(self.note(name).generation));
        for (key, text) in self.documents.iter().filter(|(key, _)| key.collection == *name) {
            documents.insert(key.id.to_string(), text.clone());
        }
        documents.retain(|_, text| decode::<Document>(text).is_ok_and(|document| document.is_alive()));
        documents
    }

    /// The generations of which segments are stored and that are not in view.
    pub(crate) fn leftovers(&self, name: &CollectionName) -> Vec<u64> {
        let shown = self.note(name).generation;
        let theirs = self.segments.keys().filter(|(of, ..)| of == name);
        theirs.map(|(_, generation, _)| generation.0).filter(|generation| *generation != shown).collect()
    }
}
