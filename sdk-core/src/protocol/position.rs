//! The one cursor: the same over WebSocket and HTTP.

use super::ids::Epoch;
use crate::wire::{record, transparent};

/// How far into one epoch of a collection; a document's revision is the offset of its newest change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The offset that the next change gets.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Everything up to and including `offset` in `epoch` is known. Offsets of two epochs do not compare.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamPosition {
    /// The history that the offset counts in.
    pub epoch: Epoch,
    /// The newest offset included.
    pub offset: Offset,
}

impl StreamPosition {
    /// Whether a change that got `offset` in `epoch` is included.
    pub fn includes(&self, epoch: &Epoch, offset: Offset) -> bool {
        self.epoch == *epoch && offset <= self.offset
    }
}

transparent!(Offset);

record!(StreamPosition {
    epoch: "epoch";
    offset: "offset";
});
