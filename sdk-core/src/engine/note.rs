//! What the store keeps, beside a collection's documents, of its snapshots.

use super::storage::{Generation, MAX_SEGMENTS, Query, Scan};
use crate::{protocol::ContentHash, wire::record};

/// Which snapshot is in view, and how far another has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Note {
    /// The generation in view.
    pub(super) generation: Generation,
    /// Documents of a segment on average.
    pub(super) average: usize,
    /// The snapshot that is being fetched.
    pub(super) staging: Option<Staging>,
}

/// A snapshot beside the state in view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staging {
    /// Its generation.
    pub(super) generation: Generation,
    /// The root of its manifest.
    pub(super) root: ContentHash,
    /// Its first chunks, so many, are in the store.
    pub(super) chunks: usize,
}

impl Note {
    /// How many segments a read needs, most likely, to show what a query asks for.
    pub(super) fn scan(&self, query: &Query) -> Scan {
        if self.generation == Generation::NONE {
            return Scan::NONE;
        }
        let (.., limit) = query.bounds();
        let segments = match query {
            Query::One(_) => 1,
            // The first reaches into the range from before it, the last is seldom needed whole.
            Query::Range { .. } => limit / self.average.max(1) + 2,
        };
        Scan { generation: self.generation, segments: segments.clamp(1, MAX_SEGMENTS) }
    }
}

record!(Note {
    generation: "generation";
    average: "average";
    staging: "staging";
});

record!(Staging {
    generation: "generation";
    root: "root";
    chunks: "chunks";
});
