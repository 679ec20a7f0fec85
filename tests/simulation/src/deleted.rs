//! What was deleted stays deleted: a document comes back only by the hand of somebody who knew of its deletions.
//! Held against the database after each commit, without any rule of how documents are written.

use std::collections::BTreeSet;

use sdk_core::{
    clock::Millis,
    protocol::{DocKey, Intent, Operation, StreamPosition},
};
use server_reference::storage::Batch;

use crate::{ledger::Pruning, workload, world::World};

/// An operation in the history of a document.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    client: String,
    actor: u32,
    operation: Operation,
    position: StreamPosition,
    /// How many operations the document had when the server forgot this one.
    forgotten: Option<usize>,
}

impl Entry {
    /// An operation that took a place.
    pub(crate) fn new(client: String, actor: u32, operation: Operation, position: StreamPosition) -> Self {
        Self { client, actor, operation, position, forgotten: None }
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
        // Where somebody decides, he may decide against a deletion.
        let decided = |doc: &DocKey| workload::strategy(&doc.collection).has_conflicts();
        for (tenant, doc) in touched.into_iter().filter(|(_, doc)| !decided(doc)) {
            let Some(history) = self.ledger.histories.get(&(tenant.clone(), doc.clone())) else { continue };
            let Some(last) = history.iter().rposition(Entry::deletes) else { continue };
            let back =
                (last + 1..history.len()).any(|place| knows_all(&history[place], &binding(history, place)));
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

impl World {
    /// The server forgets what was deleted until a short while ago.
    pub(crate) fn prune(&mut self) {
        let age = self.random.choice([0, 5_000, 60_000]).unwrap_or_default();
        let before = Millis(self.server.now(self.agenda.now()).wall.0.saturating_sub(age));
        let (Some(documents), Some(witness)) = (&mut self.server.documents, &self.server.witness) else {
            return;
        };
        let there = witness.documents().unwrap_or_default();
        if let Err(error) = documents.prune(before) {
            return self.violate("a database that is well can be written", format!("{error:?}"));
        }
        let left = witness.documents().unwrap_or_default();
        let order = self.ledger.next_order();
        for (collection, documents) in there {
            let left = left.get(&collection);
            let gone = documents.into_iter().filter(|(id, _)| left.is_none_or(|left| !left.contains_key(id)));
            let gone: Vec<(String, u64)> = gone.collect();
            let horizon = self.ledger.horizons.entry(collection.clone()).or_default();
            *horizon = gone.iter().map(|(_, rev)| *rev).fold(*horizon, u64::max);
            self.tally.pruned += gone.len() as u64;
            let documents: Vec<String> = gone.into_iter().map(|(id, _)| id).collect();
            for id in &documents {
                let (name, id) = (collection.1.parse(), id.parse());
                let (Ok(name), Ok(id)) = (name, id) else { continue };
                let doc = (collection.0.clone(), DocKey { collection: name, id });
                let history = self.ledger.histories.entry(doc).or_default();
                let count = history.len();
                history.iter_mut().for_each(|entry| entry.forgotten = entry.forgotten.or(Some(count)));
            }
            if !documents.is_empty() {
                self.note(format_args!("server forgets {documents:?} of {collection:?}"));
                self.ledger.prunings.push(Pruning { order, collection, documents });
            }
        }
    }
}

/// The deletions that stand against an operation: all that are remembered; and those that the server has forgotten, if
/// its maker had the document as it was before. Whoever did not have it makes a new one.
fn binding(history: &[Entry], place: usize) -> Vec<&Entry> {
    let clock = &history[place].operation.base.clock;
    let named =
        |entry: &Entry| clock.dots().any(|dot| dot.actor.0 == entry.actor && dot.seq >= entry.operation.seq);
    let remembered = |(at, entry): &(usize, &Entry)| {
        entry.forgotten.is_none_or(|count| count > place) || history[..*at].iter().any(named)
    };
    let deletions = history[..place].iter().enumerate().filter(|(_, entry)| entry.deletes());
    deletions.filter(remembered).map(|(_, entry)| entry).collect()
}

/// Whether a maker had seen each deletion, or a later one that stands for it: because its maker had seen it, or because
/// the earlier one is forgotten.
fn knows_all(entry: &Entry, deletions: &[&Entry]) -> bool {
    let mut known: Vec<bool> = deletions.iter().map(|deletion| entry.saw(deletion)).collect();
    // A later deletion can only know earlier ones, so one pass from the newest to the oldest is enough.
    for later in (0..deletions.len()).rev() {
        if known[later] {
            for earlier in 0..later {
                let stands =
                    deletions[earlier].forgotten.is_some() || deletions[later].saw(deletions[earlier]);
                known[earlier] |= stands;
            }
        }
    }
    known.into_iter().all(|known| known)
}
