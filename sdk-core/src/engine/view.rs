//! What the application sees: the authoritative documents with the unsettled operations laid over them.

use std::borrow::Cow;

use super::{
    Effect, Engine, QueryId, ReadId,
    kept::{Kept, show},
    rows::{self, Found},
    storage::{Query, Rows, Scan, StoreError},
};
use crate::sorted::SortedMap;
use crate::{
    clock::{Dot, Millis},
    outbox::State,
    protocol::{ActorId, CollectionName, DocKey, Document, DocumentId, Fields, Json, Offset},
    reconcile::{self, Write},
    wire::{Encode, Object, decode},
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
    /// Its fields, as an object.
    #[cfg_attr(feature = "typescript", tsify(type = "Record<string, unknown>"))]
    pub fields: Json,
    /// Whether it shows edits that the server has not judged.
    pub pending: bool,
    /// Whether one of them waits for somebody to decide a conflict.
    pub conflicted: bool,
    /// Unix time of its newest edit, in milliseconds.
    #[cfg_attr(feature = "typescript", tsify(type = "number", optional))]
    pub updated: Option<Millis>,
}

impl ViewDocument {
    /// Its fields by name.
    pub fn values(&self) -> Fields {
        // What is shown was read, or written, with names and values that are acceptable.
        decode(self.fields.as_str()).unwrap_or_default()
    }
}

/// One document of a view, from where it is kept.
struct Shown<'a> {
    id: &'a DocumentId,
    /// The text of an object.
    fields: Cow<'a, str>,
    pending: bool,
    conflicted: bool,
    updated: Option<Millis>,
}

impl From<Shown<'_>> for ViewDocument {
    fn from(shown: Shown<'_>) -> Self {
        let Shown { id, fields, pending, conflicted, updated } = shown;
        Self { id: id.clone(), fields: Json::of(fields.into_owned()), pending, conflicted, updated }
    }
}

/// The documents at hand, and who wants them.
#[derive(Debug, Default)]
pub(super) struct Views {
    cache: SortedMap<DocKey, Cached>,
    queries: SortedMap<QueryId, LiveQuery>,
}

#[derive(Debug)]
struct Cached {
    document: Kept,
    age: Age,
}

/// How a document at hand stands to what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// It is as new.
    Current,
    /// From a history that is void; shown until the new one has been fetched.
    Void,
    /// What is stored was replaced as a whole; shown until that has been read.
    Replaced,
}

#[derive(Debug)]
struct LiveQuery {
    query: Query,
    reading: Option<Reading>,
    loaded: bool,
    dirty: bool,
    /// Where the store has more: the last id up to which it was read. Beyond it nothing is known.
    horizon: Option<DocumentId>,
}

/// A read in flight.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) id: ReadId,
    /// The query, or what is left of it.
    pub(super) query: Query,
    pub(super) scan: Scan,
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

    /// A query that has not been read yet.
    pub(super) fn open(&mut self, id: QueryId, query: Query) {
        let live = LiveQuery { query, reading: None, loaded: false, dirty: true, horizon: None };
        self.queries.insert(id, live);
    }

    /// The query is being read; what an earlier read brings does not count any more.
    fn reads(&mut self, id: QueryId, reading: Reading) {
        if let Some(live) = self.queries.get_mut(&id) {
            live.reading = Some(reading);
        }
    }

    pub(super) fn close(&mut self, id: QueryId, has_lane: impl Fn(&DocKey) -> bool) {
        self.queries.remove(&id);
        let Self { cache, queries } = self;
        cache.retain(|key, _| has_lane(key) || queries.values().any(|live| live.shows(key)));
        cache.values_mut().for_each(|cached| cached.document.detach());
    }

    /// Rows come from the store. Documents at hand are newer.
    pub(super) fn loaded(
        &mut self,
        read: ReadId,
        rows: Rows,
        is_void: impl Fn(&CollectionName) -> bool,
    ) -> Result<(), StoreError> {
        let mine = |reading: &mut Reading| reading.id == read;
        let found = self.queries.iter_mut().find_map(|(id, live)| Some((*id, live.reading.take_if(mine)?)));
        let Some((id, Reading { query, scan, .. })) = found else { return Ok(()) };
        let horizon = self.adopt(&query, scan, rows, is_void(query.collection()))?;
        if let Some(live) = self.queries.get_mut(&id) {
            (live.loaded, live.dirty, live.horizon) = (true, true, horizon);
        }
        Ok(())
    }

    /// Takes what a read has found; if that is `void`, it shows until the new history has been fetched. Returns how far it reached, if the store has more.
    pub(super) fn adopt(
        &mut self,
        query: &Query,
        scan: Scan,
        rows: Rows,
        void: bool,
    ) -> Result<Option<DocumentId>, StoreError> {
        let age = if void { Age::Void } else { Age::Current };
        let Found { mut documents, horizon } = rows::merge(query, scan, rows)?;
        documents.iter_mut().for_each(|(_, document)| document.detach());
        for (key, document) in documents {
            let Err((key, cached)) = self.cache.append(key, Cached { document, age }) else { continue };
            if self.cache.get(&key).is_none_or(|known| known.age == Age::Replaced) {
                self.cache.insert(key, cached);
            }
        }
        let known = |key: &DocKey| horizon.as_ref().is_none_or(|end| key.id <= *end);
        self.drop_aged(Age::Replaced, |key| query.selects(key) && known(key));
        Ok(horizon)
    }

    /// The store could not be read: what is to be shown comes from the server.
    pub(super) fn not_loaded(&mut self) {
        for live in self.queries.values_mut() {
            live.reading = None;
            live.loaded = true;
            live.horizon = None;
        }
    }

    /// The stored state of a collection is about to be replaced: what is read of it meanwhile may be of either.
    pub(super) fn stop_reading(&mut self, collection: &CollectionName) {
        for live in self.queries.values_mut().filter(|live| live.query.collection() == collection) {
            live.reading = None;
        }
    }

    /// What was stored of these collections is emptied. Returns the queries that were being read: what their reads bring
    /// may be from before, and does not count any more. Some wait for a snapshot that will not take its place.
    pub(super) fn cleared(&mut self, gone: impl Fn(&CollectionName) -> bool) -> Vec<(QueryId, Query)> {
        let theirs = self.queries.iter_mut().filter(|(_, live)| gone(live.query.collection()));
        let unread = theirs.filter_map(|(id, live)| {
            (live.reading.take().is_some() || !live.loaded).then(|| (*id, live.query.clone()))
        });
        unread.collect()
    }

    /// The stored state of a collection was replaced. Returns the queries that have to be read again; what they show
    /// stays in view until then.
    pub(super) fn replaced(&mut self, collection: &CollectionName) -> Vec<(QueryId, Query)> {
        let Self { cache, queries } = self;
        cache.retain(|key, cached| {
            if key.collection == *collection {
                cached.age = Age::Replaced;
            }
            key.collection != *collection || queries.values().any(|live| live.shows(key))
        });
        let theirs = queries.iter().filter(|(_, live)| live.query.collection() == collection);
        theirs.map(|(id, live)| (*id, live.query.clone())).collect()
    }

    /// The queries that show less than they may while the store has more, with what is left of each.
    fn short(&self) -> Vec<(QueryId, Query)> {
        let short = |(id, live): (&QueryId, &LiveQuery)| {
            let horizon = live.horizon.as_ref().filter(|_| live.reading.is_none())?;
            let Query::Range { collection, from, to, limit } = &live.query else { return None };
            let first = from.clone().unwrap_or_else(DocumentId::smallest);
            let first = DocKey { collection: collection.clone(), id: first };
            let known = self.cache.range(first..).take_while(|(key, _)| live.shows(key));
            let shown = known.filter(|(_, cached)| cached.document.is_alive()).count();
            // The last one that is known comes again, because a range begins with its first id.
            let limit = limit.checked_sub(shown).filter(|missing| *missing > 0)? + 1;
            let (from, to) = (Some(horizon.clone()), to.clone());
            Some((*id, Query::Range { collection: collection.clone(), from, to, limit }))
        };
        self.queries.iter().filter_map(short).collect()
    }

    /// A document's new authoritative state, kept at hand if somebody looks at it.
    pub(super) fn update(&mut self, key: &DocKey, document: Document, has_lane: bool) {
        if !has_lane && !self.queries.values().any(|live| live.shows(key)) {
            self.cache.remove(key);
            return;
        }
        match self.cache.get_mut(key) {
            Some(known) if known.age == Age::Current && known.document.rev() >= document.rev => return,
            _ => {
                let cached = Cached { document: Kept::Parsed(document.into()), age: Age::Current };
                self.cache.insert(key.clone(), cached)
            }
        };
        self.touch(key);
    }

    /// Marks what is at hand as void; all of it, or of one collection.
    pub(super) fn mark_stale(&mut self, void: impl Fn(&DocKey) -> bool) {
        self.cache.iter_mut().filter(|(key, _)| void(key)).for_each(|(_, cached)| cached.age = Age::Void);
    }

    /// What is still void has no successor.
    pub(super) fn drop_stale(&mut self, void: impl Fn(&DocKey) -> bool) {
        self.drop_aged(Age::Void, void);
    }

    fn drop_aged(&mut self, age: Age, gone: impl Fn(&DocKey) -> bool) {
        let gone: Vec<DocKey> = self
            .cache
            .iter()
            .filter(|(key, cached)| cached.age == age && gone(key))
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

    /// Whether it is known what the document is, or that there is none.
    pub(super) fn is_known(&self, key: &DocKey) -> bool {
        self.cache.contains_key(key) || self.queries.values().any(|live| live.loaded && live.shows(key))
    }

    /// Whether a query that may show the document is being read.
    pub(super) fn is_reading(&self, key: &DocKey) -> bool {
        self.queries.values().any(|live| live.reading.is_some() && live.query.selects(key))
    }

    /// Whether the document is at hand and as new as what is stored.
    pub(super) fn is_current(&self, key: &DocKey) -> bool {
        self.cache.get(key).is_some_and(|cached| cached.age == Age::Current)
    }

    /// The document, if it is at hand.
    pub(super) fn document(&self, key: &DocKey) -> Option<Cow<'_, Document>> {
        self.cache.get(key).map(|cached| cached.document.document())
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
        Some(View { loaded: live.loaded, documents: self.shown(live).map(Into::into).collect() })
    }

    /// The same as its JSON text, in which fields stand as they were stored.
    pub fn view_text(&self, id: QueryId) -> Option<String> {
        let live = self.views.queries.get(&id)?;
        let mut text = r#"{"loaded":"#.to_owned();
        live.loaded.write(&mut text);
        text.push_str(r#","documents":"#);
        let mut separator = '[';
        for document in self.shown(live) {
            text.push(separator);
            separator = ',';
            document.write(&mut text);
        }
        text.push_str(if separator == '[' { "[]}" } else { "]}" });
        Some(text)
    }

    fn shown<'a>(&'a self, live: &'a LiveQuery) -> impl Iterator<Item = Shown<'a>> {
        let (first, limit) = match &live.query {
            Query::One(key) => (key.clone(), 1),
            Query::Range { collection, from, limit, .. } => {
                let id = from.clone().unwrap_or_else(DocumentId::smallest);
                (DocKey { collection: collection.clone(), id }, *limit)
            }
        };
        let selected = move |key: &DocKey| live.query.selects(key);
        let cached =
            self.views.cache.range(first.clone()..).map(|(key, cached)| (key, Some(&cached.document)));
        let lanes = self.outbox.lanes_from(first).map(|key| (key, None));
        let known = merge(
            cached.take_while(move |(key, _)| selected(key)),
            lanes.take_while(move |(key, _)| selected(key)),
        );
        let known = known.filter(|(key, _)| live.shows(key));
        known.filter_map(|(key, kept)| self.project_upon(key, kept)).take(limit)
    }

    /// A document as the application sees it; none if it does not exist.
    pub(super) fn project(&self, key: &DocKey) -> Option<ViewDocument> {
        self.project_upon(key, self.views.cache.get(key).map(|cached| &cached.document)).map(Into::into)
    }

    fn project_upon<'a>(&self, key: &'a DocKey, authoritative: Option<&'a Kept>) -> Option<Shown<'a>> {
        let id = &key.id;
        if !self.outbox.has_lane(key) {
            let (fields, updated) = authoritative?.shown()?;
            return Some(Shown { id, fields, pending: false, conflicted: false, updated: Some(updated) });
        }
        let collection = self.replica.collections.get(&key.collection)?;
        let epoch = &collection.history;
        let mut document = authoritative.map(|kept| kept.document().into_owned()).unwrap_or_default();
        let (mut pending, mut conflicted) = (false, false);
        let mut before: Vec<Dot> = Vec::new();
        for entry in self.outbox.lane(key).filter(|entry| entry.is_visible()) {
            let Some(mut operation) = entry.edit().map(Cow::Borrowed) else { continue };
            if authoritative.is_none() && operation.base.was.is_some() {
                // What was left as it was is no edit, but there is nothing here that shows it.
                operation.to_mut().base.was = None;
            }
            let by = entry.dot(self.ids.meta.actor).unwrap_or(Dot { actor: UNMET, seq: operation.seq });
            // A lane may be known by several names. Whoever made an operation had seen those before it, by whichever.
            for other in before.iter().filter(|other| other.actor != by.actor) {
                let _ = operation.to_mut().base.clock.record(*other);
            }
            before.retain(|other| other.actor != by.actor);
            before.push(by);
            if document.clock.covers(by) {
                continue;
            }
            // Whatever the clock has heard of is believed; only what it refused to hear is from the future.
            let now = operation.at.wall.max(self.clock.newest().wall);
            let operation = operation.as_ref();
            let write = Write { operation, by, epoch, rev: document.rev, now, horizon: Offset(0) };
            document = reconcile::apply(collection.strategy, &document, &write).document;
            pending |= !matches!(entry.state, State::Judged { .. });
            conflicted |= matches!(entry.state, State::Conflicted(_));
        }
        let (fields, updated) = show(&document)?;
        Some(Shown { id, fields: fields.into(), pending, conflicted, updated: Some(updated) })
    }

    /// Reads a query, or what is left of it, unless its collection is just being replaced: it is read then.
    pub(super) fn read(&mut self, id: QueryId, query: Query) {
        if self.replica.is_flipping(query.collection()) {
            return;
        }
        let (read, scan) = (ReadId(self.next_id()), self.replica.scan(&query));
        self.effects.push_back(Effect::Read(read, query.clone(), scan));
        self.views.reads(id, Reading { id: read, query, scan });
    }

    /// Queries that lost a document, or were filled with deleted ones, while the store has more, read on.
    pub(super) fn refill(&mut self) {
        for (id, rest) in self.views.short() {
            self.read(id, rest);
        }
    }
}

/// Stands for this client while the server has not named it; no document of the server bears it.
pub(super) const UNMET: ActorId = ActorId(u32::MAX);

/// The entries of two sequences that ascend by key, ascending; of two with one key, the first.
fn merge<K: Ord, V>(
    ours: impl Iterator<Item = (K, V)>,
    theirs: impl Iterator<Item = (K, V)>,
) -> impl Iterator<Item = (K, V)> {
    let (mut ours, mut theirs) = (ours.peekable(), theirs.peekable());
    std::iter::from_fn(move || match (ours.peek(), theirs.peek()) {
        (Some((one, _)), Some((other, _))) if one == other => {
            theirs.next();
            ours.next()
        }
        (Some((one, _)), Some((other, _))) if other < one => theirs.next(),
        (None, _) => theirs.next(),
        _ => ours.next(),
    })
}

impl Encode for Shown<'_> {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        object.field("id", self.id);
        object.text("fields", &self.fields);
        object.field("pending", &self.pending);
        object.field("conflicted", &self.conflicted);
        object.field("updated", &self.updated);
        object.end();
    }
}
