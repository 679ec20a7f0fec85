//! What the application sees: the authoritative documents with the unsettled operations laid over them.

use super::{
    Effect, Engine, QueryId, ReadId,
    storage::{Query, StoreError, StoredDocument},
};
use crate::sorted::SortedMap;
use crate::{
    clock::{Dot, Millis},
    outbox::State,
    protocol::{ActorId, DocKey, Document, DocumentId, FieldName, Json, Offset},
    reconcile::{self, Write},
    wire::{self, record},
};

/// Live queries at one time.
pub const MAX_QUERIES: usize = 1_024;

/// What a live query shows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify), serde(rename_all = "camelCase"))]
pub struct View {
    /// Whether the store has been read; until then only what is pending shows.
    pub loaded: bool,
    /// The documents that exist, by id.
    pub documents: Vec<ViewDocument>,
}

/// One document of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify), serde(rename_all = "camelCase"))]
pub struct ViewDocument {
    /// Its id.
    #[cfg_attr(feature = "typescript", tsify(type = "string"))]
    pub id: DocumentId,
    /// Its fields.
    #[cfg_attr(feature = "typescript", tsify(type = "Record<string, unknown>"))]
    pub fields: SortedMap<FieldName, Json>,
    /// Whether it shows edits that the server has not judged.
    pub pending: bool,
    /// Unix time of its newest edit, in milliseconds.
    #[cfg_attr(feature = "typescript", tsify(type = "number", optional))]
    pub updated: Option<Millis>,
}

/// The documents at hand, and who wants them.
#[derive(Debug, Default)]
pub(super) struct Views {
    cache: SortedMap<DocKey, Cached>,
    queries: SortedMap<QueryId, LiveQuery>,
}

#[derive(Debug)]
struct Cached {
    document: Document,
    /// From a history that is void; shown until the new one has been fetched.
    stale: bool,
}

#[derive(Debug)]
struct LiveQuery {
    query: Query,
    reading: Option<ReadId>,
    loaded: bool,
    dirty: bool,
    /// Where the store had more than the limit: the last document read. Beyond it nothing is known.
    horizon: Option<DocumentId>,
}

impl LiveQuery {
    fn shows(&self, key: &DocKey) -> bool {
        self.query.selects(key) && self.horizon.as_ref().is_none_or(|horizon| key.id <= *horizon)
    }
}

impl Views {
    /// Whether another query may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.queries.len() < MAX_QUERIES
    }

    pub(super) fn open(&mut self, id: QueryId, query: Query, read: ReadId) {
        let live = LiveQuery { query, reading: Some(read), loaded: false, dirty: true, horizon: None };
        self.queries.insert(id, live);
    }

    pub(super) fn close(&mut self, id: QueryId, has_lane: impl Fn(&DocKey) -> bool) {
        self.queries.remove(&id);
        let Self { cache, queries } = self;
        cache.retain(|key, _| has_lane(key) || queries.values().any(|live| live.shows(key)));
    }

    /// Documents come from the store. Those at hand are newer.
    pub(super) fn loaded(&mut self, read: ReadId, documents: Vec<StoredDocument>) -> Result<(), StoreError> {
        let Some(live) = self.queries.values_mut().find(|live| live.reading == Some(read)) else {
            return Ok(());
        };
        live.reading = None;
        live.loaded = true;
        live.dirty = true;
        let limit = if let Query::Range { limit, .. } = &live.query { *limit } else { usize::MAX };
        let last = documents.last().map(|stored| stored.key.id.clone());
        live.horizon = last.filter(|_| documents.len() >= limit);
        for StoredDocument { key, text } in documents {
            let document =
                wire::decode(&text).map_err(|error| StoreError::Corrupt(format!("{key}: {error}")))?;
            self.cache.get_or_insert_with(key, || Cached { document, stale: false });
        }
        Ok(())
    }

    /// The store could not be read: what is to be shown comes from the server.
    pub(super) fn not_loaded(&mut self) {
        for live in self.queries.values_mut() {
            live.reading = None;
            live.loaded = true;
            live.horizon = None;
        }
    }

    /// A document's new authoritative state, kept at hand if somebody looks at it.
    pub(super) fn update(&mut self, key: &DocKey, document: Document, has_lane: bool) {
        if !has_lane && !self.queries.values().any(|live| live.shows(key)) {
            self.cache.remove(key);
            return;
        }
        match self.cache.get_mut(key) {
            Some(known) if !known.stale && known.document.rev >= document.rev => return,
            _ => self.cache.insert(key.clone(), Cached { document, stale: false }),
        };
        self.touch(key);
    }

    /// Marks what is at hand as void; all of it, or of one collection.
    pub(super) fn mark_stale(&mut self, void: impl Fn(&DocKey) -> bool) {
        self.cache.iter_mut().filter(|(key, _)| void(key)).for_each(|(_, cached)| cached.stale = true);
    }

    /// What is still void has no successor.
    pub(super) fn drop_stale(&mut self, void: impl Fn(&DocKey) -> bool) {
        let gone: Vec<DocKey> = self
            .cache
            .iter()
            .filter(|(key, cached)| cached.stale && void(key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.cache.remove(&key);
            self.touch(&key);
        }
    }

    /// Something about a document has changed for its viewers.
    pub(super) fn touch(&mut self, key: &DocKey) {
        self.queries.values_mut().filter(|live| live.query.selects(key)).for_each(|live| live.dirty = true);
    }

    /// A lane is empty; its document stays only if somebody looks at it.
    pub(super) fn release(&mut self, key: &DocKey) {
        if !self.queries.values().any(|live| live.shows(key)) {
            self.cache.remove(key);
        }
    }

    /// The document, if it is at hand.
    pub(super) fn document(&self, key: &DocKey) -> Option<&Document> {
        self.cache.get(key).map(|cached| &cached.document)
    }

    /// The queries that show something else than before.
    pub(super) fn take_dirty(&mut self) -> Vec<QueryId> {
        let dirty = self.queries.iter_mut().filter(|(_, live)| live.dirty);
        dirty
            .map(|(id, live)| {
                live.dirty = false;
                *id
            })
            .collect()
    }
}

impl Engine {
    /// What a live query shows now; none if there is no such query.
    pub fn view(&self, id: QueryId) -> Option<View> {
        let live = self.views.queries.get(&id)?;
        let (first, limit) = match &live.query {
            Query::One(key) => (key.clone(), 1),
            Query::Range { collection, from, limit, .. } => {
                let id = from.clone().unwrap_or_else(DocumentId::smallest);
                (DocKey { collection: collection.clone(), id }, *limit)
            }
        };
        let selected = |key: &&DocKey| live.query.selects(key);
        let cached = self.views.cache.range(first.clone()..).map(|(key, _)| key).take_while(selected);
        let keys = merge(cached, self.outbox.lanes_from(&first).take_while(selected));
        let shown = keys.filter(|key| live.shows(key));
        let documents = shown.filter_map(|key| self.project(key)).take(limit).collect();
        Some(View { loaded: live.loaded, documents })
    }

    /// A document as the application sees it; none if it does not exist.
    fn project(&self, key: &DocKey) -> Option<ViewDocument> {
        let authoritative = self.views.document(key);
        if !self.outbox.has_lane(key) {
            return Some(show(key, authoritative?, false))
                .filter(|_| authoritative.is_some_and(Document::is_alive));
        }
        let collection = self.replica.collections.get(&key.collection)?;
        let epoch = &collection.history;
        let actor = self.ids.meta.actor.unwrap_or(UNMET);
        let mut document = authoritative.cloned().unwrap_or_default();
        let mut pending = false;
        for entry in self.outbox.lane(key).filter(|entry| entry.is_visible()) {
            let operation = &entry.operation;
            let by = Dot { actor, seq: operation.seq };
            if document.clock.covers(by) {
                continue;
            }
            // Whatever the clock has heard of is believed; only what it refused to hear is from the future.
            let now = operation.at.wall.max(self.clock.newest().wall);
            let write = Write { operation, by, epoch, rev: document.rev, now, horizon: Offset(0) };
            document = reconcile::apply(collection.strategy, &document, &write).document;
            pending |= !matches!(entry.state, State::Judged { .. });
        }
        document.is_alive().then(|| show(key, &document, pending))
    }

    /// Queries that lost a document while the store has more read again.
    pub(super) fn refill(&mut self, removed: &[DocKey]) {
        let short = |live: &LiveQuery| {
            live.horizon.is_some() && live.reading.is_none() && removed.iter().any(|key| live.shows(key))
        };
        let ids: Vec<QueryId> =
            self.views.queries.iter().filter(|(_, live)| short(live)).map(|(id, _)| *id).collect();
        for id in ids {
            let read = ReadId(self.next_id());
            if let Some(live) = self.views.queries.get_mut(&id) {
                live.reading = Some(read);
                let query = live.query.clone();
                self.effects.push_back(Effect::Read(read, query));
            }
        }
    }
}

/// Stands for this client while the server has not named it; no document of the server bears it.
const UNMET: ActorId = ActorId(u32::MAX);

/// The members of two ascending sequences, ascending, each once.
fn merge<T: Ord>(ours: impl Iterator<Item = T>, theirs: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let (mut ours, mut theirs) = (ours.peekable(), theirs.peekable());
    std::iter::from_fn(move || match (ours.peek(), theirs.peek()) {
        (Some(one), Some(other)) if one == other => {
            theirs.next();
            ours.next()
        }
        (Some(one), Some(other)) if other < one => theirs.next(),
        (None, _) => theirs.next(),
        _ => ours.next(),
    })
}

fn show(key: &DocKey, document: &Document, pending: bool) -> ViewDocument {
    let fields = document.values().map(|(name, value)| (name.clone(), value)).collect();
    let updated = document.written.map(|stamp| stamp.at.wall);
    ViewDocument { id: key.id.clone(), fields, pending, updated }
}

record!(out View {
    loaded: "loaded";
    documents: "documents";
});

record!(out ViewDocument {
    id: "id";
    fields: "fields";
    pending: "pending";
    updated: "updated";
});
