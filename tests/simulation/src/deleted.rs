//! What was deleted stays deleted: a document comes back only by the hand of somebody who knew of its deletions.
//! Held against the database after each commit, without any rule of how documents are written.

use std::collections::BTreeSet;

use sdk_core::protocol::{DocKey, Intent, Operation, StreamPosition};
use server_reference::storage::Batch;

use crate::world::World;

/// An operation in the history of a document.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    client: String,
    actor: u32,
    operation: Operation,
    position: StreamPosition,
}

impl Entry {
    /// An operation that took a place.
    pub(crate) fn new(client: String, actor: u32, operation: Operation, position: StreamPosition) -> Self {
        Self { client, actor, operation, position }
    }

    fn deletes(&self) -> bool {
        matches!(self.operation.intents.last(), Some(Intent::Delete {}))
    }

    /// Whether its maker had seen another operation: it was its own, or in the clock it had, or no later than the
    /// position it had.
    fn saw(&self, other: &Self) -> bool {
        let base = &self.operation.base;
        let own = self.client == other.client && self.operation.seq > other.operation.seq;
        let named = |dot: sdk_core::clock::Dot| dot.actor.0 == other.actor && dot.seq >= other.operation.seq;
        own || base.clock.dots().any(named)
            || base.seen.as_ref().is_some_and(|seen| seen.offset >= other.position.offset)
    }
}

impl World {
    /// After a group of commits.
    pub(crate) fn check_deleted(&mut self, batches: &[Batch]) {
        let touched: BTreeSet<(String, DocKey)> = batches
            .iter()
            .flat_map(|batch| {
                let tenant = batch.scope.tenant().to_string();
                batch.operations.iter().map(move |operation| (tenant.clone(), operation.doc.clone()))
            })
            .collect();
        for (tenant, doc) in touched {
            let Some(history) = self.ledger.histories.get(&(tenant.clone(), doc.clone())) else { continue };
            let Some(last) = history.iter().rposition(Entry::deletes) else { continue };
            let deletions: Vec<&Entry> = history.iter().filter(|entry| entry.deletes()).collect();
            let back = history[last + 1..].iter().any(|entry| knows_all(entry, &deletions));
            let alive = self.server.witness.as_ref().is_some_and(|witness| {
                witness
                    .document(&tenant, &doc)
                    .is_ok_and(|document| document.is_some_and(|one| one.is_alive()))
            });
            let seen = || format!("{tenant} {doc}: {history:?}");
            let seen = if alive && !back { seen() } else { String::new() };
            self.claim(
                !alive || back,
                "a document comes back only by an edit whose maker knew that it was deleted",
                || seen,
            );
        }
    }
}

/// Whether a maker had seen each deletion, or one whose maker had.
fn knows_all(entry: &Entry, deletions: &[&Entry]) -> bool {
    let mut known: Vec<bool> = deletions.iter().map(|deletion| entry.saw(deletion)).collect();
    // A later deletion can only know earlier ones, so one pass from the newest to the oldest is enough.
    for later in (0..deletions.len()).rev() {
        if known[later] {
            for earlier in 0..later {
                known[earlier] |= deletions[later].saw(deletions[earlier]);
            }
        }
    }
    known.into_iter().all(|known| known)
}
