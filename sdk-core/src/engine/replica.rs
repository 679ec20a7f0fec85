//! The copy of the server's documents: how far each collection is known, and what waits to be stored.

use super::{
    note::Note,
    storage::{Clear, Generation, Query, ReplicaBatch, Scan, Segment, StoredDocument},
};
use crate::sorted::{SortedMap, SortedSet};
use crate::{
    clock::Millis,
    connection::Backoff,
    protocol::{
        Changes, CollectionName, DocKey, Document, Epoch, Resume, Strategy, StreamPosition, decode, encode,
    },
};

/// Documents that may wait for the store; beyond that, changes are pulled again later.
const STAGED_DOCUMENTS: usize = 4_096;

/// One followed collection.
#[derive(Debug)]
pub(super) struct Collection {
    pub(super) strategy: Strategy,
    /// What has arrived.
    pub(super) received: Option<StreamPosition>,
    /// What the server was told in this link's hello.
    greeted: Option<StreamPosition>,
    /// More came over HTTP between the hello and the welcome, and the hello is not answered yet.
    outrun: bool,
    /// What is stored and shown.
    pub(super) applied: Option<StreamPosition>,
    /// The history of the documents in view. It outlives `applied`, as they do: an edit still knows what its maker had
    /// read, also while that is fetched again.
    pub(super) history: Epoch,
    /// What is stored may lack a document that has changed since: it comes in a later page. Until the last page is
    /// stored, older documents stay in view, and judged operations lie over them.
    pub(super) partial: bool,
    /// The server has more, or something was missed.
    wants_pull: bool,
    pulling: bool,
    freshness: Freshness,
    /// What is stored of its snapshots.
    pub(super) note: Note,
}

/// How a collection compares with what the server has, as far as that is known on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freshness {
    Unknown,
    /// All that there was has arrived.
    Arrived,
    /// And is stored and shown.
    Shown,
}

/// What the changes of a frame came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// They wait to be stored, or were known already.
    Taken,
    /// What was known is void; they begin anew.
    Anew,
}

/// Something to be stored in one commit.
#[derive(Debug, Default)]
pub(super) struct Staged {
    clear: Clear,
    pub(super) documents: SortedMap<DocKey, Document>,
    pub(super) cursors: SortedMap<CollectionName, StreamPosition>,
    /// Collections whose last page is in this commit.
    pub(super) complete: SortedSet<CollectionName>,
    /// Collections whose snapshot takes the place of what was there.
    pub(super) flips: SortedSet<CollectionName>,
    /// Generations that are not needed any more.
    pub(super) drop: Vec<(CollectionName, Generation)>,
    pub(super) segments: Vec<Segment>,
    pub(super) notes: SortedMap<CollectionName, Note>,
}

/// Every followed collection, and the commits of their changes.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) collections: SortedMap<CollectionName, Collection>,
    /// Their names as the application has them, the most important first.
    order: Vec<CollectionName>,
    pub(super) staged: Staged,
    in_flight: Option<Staged>,
    backoff: Backoff,
    retry_at: Millis,
}

impl Replica {
    /// With `cursors` of `None` the stored replica is unreadable and is emptied first.
    pub(super) fn restore(
        followed: &[(CollectionName, Strategy)],
        cursors: Option<Vec<(CollectionName, StreamPosition)>>,
        notes: &[(CollectionName, String)],
    ) -> Self {
        let collection = |strategy| Collection {
            strategy,
            received: None,
            greeted: None,
            outrun: false,
            applied: None,
            history: Epoch::unread(),
            // A former life may have ended between two pages.
            partial: true,
            wants_pull: false,
            pulling: false,
            freshness: Freshness::Unknown,
            note: Note::default(),
        };
        let collections =
            followed.iter().map(|(name, strategy)| (name.clone(), collection(*strategy))).collect();
        let mut replica = Self {
            collections,
            order: followed.iter().map(|(name, _)| name.clone()).collect(),
            staged: Staged::default(),
            in_flight: None,
            backoff: Backoff::new(500, 60_000),
            retry_at: Millis::default(),
        };
        match cursors {
            None => replica.discard(),
            Some(cursors) => {
                for (name, position) in cursors {
                    if let Some(collection) = replica.collections.get_mut(&name) {
                        collection.received = Some(position.clone());
                        collection.history = position.epoch.clone();
                        collection.applied = Some(position);
                    }
                }
                replica.read_notes(notes);
            }
        }
        replica
    }

    /// With a note that cannot be read nobody knows where the documents are.
    fn read_notes(&mut self, notes: &[(CollectionName, String)]) {
        for (name, text) in notes {
            let Some(collection) = self.collections.get_mut(name) else { continue };
            match decode(text) {
                Ok(note) => collection.note = note,
                Err(_) => return self.discard(),
            }
        }
    }

    /// Whether what is stored of a collection is just being replaced.
    pub(super) fn is_flipping(&self, name: &CollectionName) -> bool {
        let mut staged = self.in_flight.iter().chain([&self.staged]);
        staged.any(|staged| staged.flips.contains(name))
    }

    /// Segments that wait for the store.
    pub(super) fn staged_segments(&self) -> usize {
        self.in_flight.iter().chain([&self.staged]).map(|staged| staged.segments.len()).sum()
    }

    /// The collection waits for a snapshot: nothing of it is pulled, and nothing that waits for the store makes it whole.
    pub(super) fn rest(&mut self, name: &CollectionName) {
        if let Some(collection) = self.collections.get_mut(name) {
            collection.pulling = false;
            collection.wants_pull = false;
            collection.partial = true;
        }
        for staged in self.in_flight.iter_mut().chain([&mut self.staged]) {
            staged.complete.remove(name);
        }
    }

    /// Whether what is stored of a collection is void and about to be emptied: what is read of it means nothing.
    pub(super) fn is_emptying(&self, name: &CollectionName) -> bool {
        self.in_flight.iter().chain([&self.staged]).any(|staged| staged.empties(name))
    }

    /// How many segments a read of a query takes.
    pub(super) fn scan(&self, query: &Query) -> Scan {
        self.collections.get(query.collection()).map_or(Scan::NONE, |collection| collection.note.scan(query))
    }

    /// What is known of each collection, to be told to the server, the most important first.
    pub(super) fn resume(&self) -> Vec<Resume> {
        let known = |name: &CollectionName| Some(self.collections.get(name)?.resume(name));
        self.order.iter().filter_map(known).collect()
    }

    /// The same for a hello. Until the welcome, what comes over HTTP may lead further.
    pub(super) fn greet(&mut self) -> Vec<Resume> {
        for collection in self.collections.values_mut() {
            (collection.greeted, collection.outrun) = (collection.received.clone(), false);
        }
        self.resume()
    }

    /// The welcome has come; next are the answers to the hello.
    pub(super) fn welcomed(&mut self) {
        for collection in self.collections.values_mut() {
            collection.outrun = collection.greeted != collection.received;
        }
    }

    /// Whether changes say that what the hello told is void, while more has come since: to begin anew would be to go back.
    /// The server is asked again, about that.
    pub(super) fn has_outrun(&mut self, changes: &Changes) -> bool {
        let Some(collection) = self.collections.get_mut(&changes.collection) else { return false };
        let outrun = std::mem::take(&mut collection.outrun) && !changes.recovered && changes.from.is_none();
        if outrun {
            collection.freshness = Freshness::Unknown;
            collection.wants_pull = true;
        }
        outrun
    }

    /// Takes changes from the server. Those that do not follow on what is known are not taken, but pulled.
    pub(super) fn receive(&mut self, changes: Changes) -> Arrival {
        let Some(collection) = self.collections.get_mut(&changes.collection) else { return Arrival::Taken };
        collection.pulling = false;
        let mut arrival = Arrival::Taken;
        if !changes.recovered && changes.from.is_none() {
            collection.begin_anew();
            self.staged.forget(&changes.collection);
            if let Some(staged) = &mut self.in_flight {
                staged.complete.remove(&changes.collection);
            }
            arrival = Arrival::Anew;
        }
        if !collection.follows(&changes) || changes.more {
            collection.freshness = Freshness::Unknown;
        } else if collection.freshness == Freshness::Unknown {
            collection.freshness = Freshness::Arrived;
        }
        if !collection.follows(&changes) {
            collection.wants_pull = true;
            return arrival;
        }
        let known = collection.received.as_ref();
        let known = known.filter(|have| have.includes(&changes.to.epoch, changes.to.offset));
        // That there is no more is news to who did not know it.
        let completes = collection.partial && !changes.more;
        if known.is_some_and(|have| !completes || *have != changes.to) {
            collection.shows_all();
            // The server sends nothing of the collection before it is asked for what comes after this page.
            collection.wants_pull |= changes.more;
            return arrival;
        }
        if self.staged.documents.len() >= STAGED_DOCUMENTS {
            collection.freshness = Freshness::Unknown;
            collection.wants_pull = true;
            return arrival;
        }
        collection.received = Some(changes.to.clone());
        collection.wants_pull = changes.more;
        let name = changes.collection;
        if changes.more {
            self.staged.complete.remove(&name);
        } else {
            self.staged.complete.insert(name.clone());
            // Pages did what a snapshot was to do.
            if let Some(staging) = collection.note.staging.take() {
                self.staged.drop_generation(&name, staging.generation);
                self.staged.notes.insert(name.clone(), collection.note.clone());
            }
        }
        for changed in changes.documents {
            self.staged.documents.insert(DocKey { collection: name.clone(), id: changed.id }, changed.doc);
        }
        self.staged.cursors.insert(name, changes.to);
        arrival
    }

    /// An operation was judged in this epoch. If another one is known, the server tells which of the two is void.
    pub(super) fn hear_of(&mut self, name: &CollectionName, epoch: &Epoch) {
        if let Some(collection) = self.collections.get_mut(name) {
            collection.wants_pull |= collection.received.as_ref().is_some_and(|have| have.epoch != *epoch);
        }
    }

    /// The next commit, unless one is under way.
    pub(super) fn flush(&mut self, now: Millis) -> Option<ReplicaBatch> {
        if self.in_flight.is_some() || self.retry_at > now || self.staged.is_empty() {
            return None;
        }
        let staged = std::mem::take(&mut self.staged);
        let mut batch = ReplicaBatch { clear: staged.clear.clone(), ..ReplicaBatch::default() };
        for (key, document) in &staged.documents {
            // Where there are segments a deletion is stored: a segment may hold the document.
            let has_segments = self.collections.get(&key.collection).is_some_and(Collection::has_segments);
            if document.is_alive() || has_segments || staged.flips.contains(&key.collection) {
                batch.put.push(StoredDocument { key: key.clone(), text: encode(document) });
            } else {
                batch.remove.push(key.clone());
            }
        }
        batch.flip = staged.flips.iter().cloned().collect();
        batch.drop.clone_from(&staged.drop);
        batch.stage.clone_from(&staged.segments);
        batch.notes = staged.notes.iter().map(|(name, note)| (name.clone(), encode(note))).collect();
        batch.cursors =
            staged.cursors.iter().map(|(name, position)| (name.clone(), position.clone())).collect();
        self.in_flight = Some(staged);
        Some(batch)
    }

    /// The commit is durable.
    pub(super) fn confirm(&mut self) -> Staged {
        self.backoff.reset();
        let mut stored = self.in_flight.take().unwrap_or_default();
        for (name, position) in &stored.cursors {
            if let Some(collection) = self.collections.get_mut(name) {
                collection.applied = Some(position.clone());
                collection.history = position.epoch.clone();
                let was = std::mem::replace(&mut collection.partial, !stored.complete.contains(name));
                if !was {
                    // Of what was whole nothing older is in view.
                    stored.complete.remove(name);
                }
                collection.shows_all();
            }
        }
        // One that has begun anew meanwhile has no snapshot in view, whatever is in the store until it is emptied.
        for name in stored.flips.iter().filter(|name| !self.staged.empties(name)) {
            if let (Some(collection), Some(note)) = (self.collections.get_mut(name), stored.notes.get(name)) {
                collection.note = note.clone();
            }
        }
        if stored.clear == Clear::All {
            self.collections
                .values_mut()
                .for_each(|collection| collection.wants_pull |= collection.received.is_none());
        }
        stored
    }

    /// The commit failed, or what is stored cannot be read: the replica is emptied and fetched anew, after a while.
    pub(super) fn fail(&mut self, now: Millis, random: &mut fastrand::Rng) {
        self.retry_at = self.backoff.fail(now, 100, random);
        self.discard();
    }

    fn discard(&mut self) {
        self.in_flight = None;
        self.staged = Staged { clear: Clear::All, ..Staged::default() };
        self.collections.values_mut().for_each(Collection::begin_anew);
    }

    /// A new session: what was asked for before will not be answered.
    pub(super) fn link_changed(&mut self) {
        for collection in self.collections.values_mut() {
            collection.pulling = false;
            collection.wants_pull = false;
        }
    }

    /// What the server has is not known any more.
    pub(super) fn fall_behind(&mut self) {
        self.collections.values_mut().for_each(|collection| collection.freshness = Freshness::Unknown);
    }

    /// Whether all that the server had when it was asked is stored and shown.
    pub(super) fn is_caught_up(&self) -> bool {
        self.collections.values().all(|collection| collection.freshness == Freshness::Shown)
    }

    /// The pull to send now: one at a time, of the most important collection of which something is missing. None while
    /// something waits to be stored, so that a fast server meets a slow store.
    pub(super) fn take_pull(&mut self) -> Option<Resume> {
        if self.is_storing() || self.pulls() > 0 {
            return None;
        }
        let collections = &self.collections;
        let wants = |name: &&CollectionName| collections.get(*name).is_some_and(|each| each.wants_pull);
        let name = self.order.iter().find(wants)?;
        let collection = self.collections.get_mut(name)?;
        collection.wants_pull = false;
        collection.pulling = true;
        Some(collection.resume(name))
    }

    /// Something of the collection is missing.
    pub(super) fn want(&mut self, name: &CollectionName) {
        if let Some(collection) = self.collections.get_mut(name) {
            collection.wants_pull = true;
        }
    }

    /// Whether something waits to be stored.
    pub(super) fn is_storing(&self) -> bool {
        self.in_flight.is_some() || !self.staged.is_empty()
    }

    /// Pulls that have no answer yet.
    pub(super) fn pulls(&self) -> usize {
        self.collections.values().filter(|collection| collection.pulling).count()
    }

    /// Whether there is more to pull.
    pub(super) fn wants_pull(&self) -> bool {
        self.collections.values().any(|collection| collection.wants_pull)
    }

    /// When a failed commit is tried again.
    pub(super) fn timeout(&self) -> Option<Millis> {
        (self.in_flight.is_none() && !self.staged.is_empty()).then_some(self.retry_at)
    }
}

impl Collection {
    fn resume(&self, name: &CollectionName) -> Resume {
        Resume { collection: name.clone(), strategy: self.strategy, after: self.received.clone() }
    }

    fn has_segments(&self) -> bool {
        self.note.generation != Generation::NONE
    }

    fn begin_anew(&mut self) {
        self.note = Note::default();
        self.received = None;
        self.applied = None;
        self.partial = true;
        self.wants_pull = false;
        self.freshness = Freshness::Unknown;
    }

    /// Notes if nothing waits to be stored of what has arrived.
    fn shows_all(&mut self) {
        if self.freshness == Freshness::Arrived && self.applied == self.received {
            self.freshness = Freshness::Shown;
        }
    }

    /// Whether nothing is missing between what is known and the changes.
    fn follows(&self, changes: &Changes) -> bool {
        match (&changes.from, &self.received) {
            (None, None) => true,
            (None, Some(have)) => have.epoch == changes.to.epoch,
            (Some(from), Some(have)) => have.includes(&from.epoch, from.offset),
            (Some(_), None) => false,
        }
    }
}

impl Staged {
    fn is_empty(&self) -> bool {
        self.clear == Clear::Nothing && self.cursors.is_empty() && self.notes.is_empty()
    }

    /// Whether what is stored of a collection is emptied first.
    pub(super) fn empties(&self, name: &CollectionName) -> bool {
        match &self.clear {
            Clear::Nothing => false,
            Clear::Collections(names) => names.contains(name),
            Clear::All => true,
        }
    }

    /// Drops a generation, with what waits of it.
    pub(super) fn drop_generation(&mut self, name: &CollectionName, generation: Generation) {
        self.segments.retain(|segment| segment.collection != *name || segment.generation != generation);
        self.drop.push((name.clone(), generation));
    }

    /// Drops the changes that wait of a collection.
    pub(super) fn forget_changes(&mut self, name: &CollectionName) {
        self.documents.retain(|key, _| key.collection != *name);
        self.cursors.remove(name);
        self.complete.remove(name);
    }

    /// Drops what waits of a collection, and empties what is stored of it.
    fn forget(&mut self, name: &CollectionName) {
        self.forget_changes(name);
        self.flips.remove(name);
        self.drop.retain(|(collection, _)| collection != name);
        self.segments.retain(|segment| segment.collection != *name);
        self.notes.remove(name);
        match &mut self.clear {
            Clear::All => {}
            Clear::Collections(names) => names.push(name.clone()),
            Clear::Nothing => self.clear = Clear::Collections(vec![name.clone()]),
        }
    }
}
