//! Snapshots instead of pages: fetched over HTTP beside the state in view, then put in its place at once.

use super::{Effect, Engine, Event, HttpFailure, HttpId};
use crate::{
    clock::Millis,
    connection::Backoff,
    protocol::{Changes, CollectionName, Retry},
    routing::LinkState,
    snapshot::{Download, Part, Verdict},
    sorted::{SortedMap, SortedSet},
};

/// Parts on their way at one time, of all collections.
const REQUESTS: usize = 2;
/// Milliseconds after which a request counts as lost, whatever its transport says.
const PATIENCE: u64 = 30_000;
/// Segments that may wait for the store.
const STAGED: usize = 4;

/// The snapshots that are being fetched.
#[derive(Debug)]
pub(super) struct Fetches {
    downloads: SortedMap<CollectionName, Download>,
    /// Collections of which there is no snapshot to be had; they are pulled page by page.
    paged: SortedSet<CollectionName>,
    requests: SortedMap<HttpId, Request>,
    backoff: Backoff,
    /// Until then nothing is asked for.
    retry_at: Option<Millis>,
}

#[derive(Debug)]
struct Request {
    collection: CollectionName,
    part: Part,
    since: Millis,
}

/// A part of a snapshot to be fetched, with the token to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The bearer token.
    pub token: String,
    /// Whose snapshot.
    pub collection: CollectionName,
    /// Which part of it.
    pub part: Part,
}

/// Without the token, which must not reach a log.
impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { token: _, collection, part } = self;
        f.debug_struct("Fetch").field("collection", collection).field("part", part).finish_non_exhaustive()
    }
}

/// A snapshot that is being fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify), serde(rename_all = "camelCase"))]
pub struct Syncing {
    /// Of this collection.
    #[cfg_attr(feature = "typescript", tsify(type = "string"))]
    pub collection: CollectionName,
    /// Documents that are here.
    #[cfg_attr(feature = "typescript", tsify(type = "number"))]
    pub done: u64,
    /// Documents in all; 0 until that is known.
    #[cfg_attr(feature = "typescript", tsify(type = "number"))]
    pub total: u64,
}

crate::record!(out Syncing {
    collection: "collection";
    done: "done";
    total: "total";
});

impl Default for Fetches {
    fn default() -> Self {
        Self {
            downloads: SortedMap::new(),
            paged: SortedSet::default(),
            requests: SortedMap::new(),
            backoff: Backoff::new(500, 15_000),
            retry_at: None,
        }
    }
}

impl Engine {
    /// Whether changes are left aside because all of the collection is fetched as a snapshot: they are the first of
    /// several pages from nothing.
    pub(super) fn takes_snapshot(&mut self, changes: &Changes) -> bool {
        let name = &changes.collection;
        if self.fetches.downloads.contains_key(name) {
            self.replica.rest(name);
            return true;
        }
        let Some(collection) = self.replica.collections.get_mut(name) else { return false };
        let knew = collection.received.is_some();
        let from_nothing = changes.from.is_none() && (!changes.recovered || !knew);
        if !from_nothing || !changes.more || self.fetches.paged.contains(name) {
            return false;
        }
        let resume = collection.note.staging.as_ref().map(|staging| staging.root);
        self.replica.rest(name);
        self.fetches.downloads.insert(name.clone(), Download::new(name.clone(), resume));
        if !changes.recovered {
            let epoch = &changes.to.epoch;
            self.forget_positions(|collection, position| collection == name && position.epoch != *epoch);
            if knew {
                self.emit(Event::NotRecovered(name.clone()));
            }
        }
        true
    }

    /// Whether a collection waits for its snapshot.
    pub(super) fn is_fetching(&self, name: &CollectionName) -> bool {
        self.fetches.downloads.contains_key(name)
    }

    /// Whether a part of a snapshot is to come by this request.
    pub(super) fn is_fetched_by(&self, id: HttpId) -> bool {
        self.fetches.requests.contains_key(&id)
    }

    /// The first snapshot under way.
    pub(super) fn syncing(&self) -> Option<Syncing> {
        let mut names = self.config.collections.iter().map(|(name, _)| name);
        names.find_map(|name| {
            let (done, total) = self.fetches.downloads.get(name)?.progress();
            Some(Syncing { collection: name.clone(), done, total })
        })
    }

    /// Hands what came to the store.
    pub(super) fn stage_fetched(&mut self) {
        for name in self.fetches.downloads.keys().cloned().collect::<Vec<_>>() {
            self.stage_chunks(&name);
        }
    }

    /// Asks for more: in the order in which the application named its collections.
    pub(super) fn advance_fetches(&mut self, now: Millis) {
        let lost = |request: &&HttpId| self.fetches.requests[*request].since.plus(PATIENCE) <= now;
        for id in self.fetches.requests.keys().filter(lost).copied().collect::<Vec<_>>() {
            self.fetched(now, id, Err(HttpFailure::Unreachable));
        }
        self.fetches.retry_at.take_if(|at| *at <= now);
        for at in 0..self.config.collections.len() {
            let name = self.config.collections[at].0.clone();
            // A flip that waits for the store writes what is noted of the collection's snapshots.
            while self.may_fetch(now) && !self.replica.is_flipping(&name) {
                let Some(download) = self.fetches.downloads.get_mut(&name) else { break };
                let Some(part) = download.next_part() else { break };
                let Some(token) = self.token.get().map(str::to_owned) else { break };
                let id = HttpId(self.next_id());
                let request = Request { collection: name.clone(), part: part.clone(), since: now };
                self.fetches.requests.insert(id, request);
                self.effects.push_back(Effect::Fetch(id, Fetch { token, collection: name.clone(), part }));
            }
        }
    }

    fn may_fetch(&mut self, now: Millis) -> bool {
        self.has_room() && self.fetches.retry_at.is_none() && self.has_token(now)
    }

    /// Whether more would be asked for if it were time and a token were here.
    fn has_room(&self) -> bool {
        let room = self.fetches.requests.len() < REQUESTS && self.replica.staged_segments() < STAGED;
        room && !self.fetches.downloads.is_empty() && self.link_state() != LinkState::Down
    }

    /// Hands chunks to the store, and after the last one has the snapshot take the place of what was there.
    fn stage_chunks(&mut self, name: &CollectionName) {
        let Some(download) = self.fetches.downloads.get_mut(name) else { return };
        let Some(root) = download.manifest().map(|manifest| manifest.root) else { return };
        while let Some((chunk, text)) = download.take() {
            self.replica.stage(name, root, chunk.last, text);
        }
        if download.is_complete()
            && let Some(manifest) = download.manifest()
        {
            let chunks = manifest.chunks.len().max(1);
            let average = usize::try_from(manifest.documents()).unwrap_or(usize::MAX) / chunks;
            let position = manifest.position.clone();
            self.fetches.downloads.remove(name);
            self.replica.flip(name, position, average);
            self.views.stop_reading(name);
        }
    }

    /// A part of a snapshot came, or did not.
    pub(super) fn fetched(&mut self, now: Millis, id: HttpId, result: Result<String, HttpFailure>) {
        let Some(Request { collection: name, part, .. }) = self.fetches.requests.remove(&id) else { return };
        let Some(download) = self.fetches.downloads.get_mut(&name) else { return };
        let (verdict, wait) = match (result, &part) {
            (Ok(text), Part::Manifest(_)) => {
                let verdict = download.manifest_came(&text);
                if let Some(manifest) = download.manifest() {
                    download.skip(self.replica.begin_staging(&name, manifest.root));
                }
                (verdict, None)
            }
            (Ok(text), Part::Chunk { index, .. }) => (download.chunk_came(*index, text), None),
            (Err(HttpFailure::Unreachable), _) => (download.lost(&part), Some(0)),
            (Err(HttpFailure::Refused(error)), _) => match error.code.retry() {
                Retry::Later => (download.lost(&part), Some(error.retry_after.unwrap_or(0))),
                Retry::Never => (download.refused(&part), None),
                Retry::Reauthenticate => {
                    self.token.refused(now, &mut self.random);
                    (download.lost(&part), None)
                }
            },
        };
        match wait {
            Some(least) => {
                let at = self.fetches.backoff.fail(now, least, &mut self.random);
                // Requests that are under way at one time are told different waits.
                self.fetches.retry_at = self.fetches.retry_at.max(Some(at));
            }
            None => self.fetches.backoff.reset(),
        }
        if verdict == Verdict::GiveUp {
            self.fetches.downloads.remove(&name);
            self.fetches.paged.insert(name.clone());
            self.replica.want(&name);
        }
    }

    /// What was staged is gone with the replica.
    pub(super) fn abandon_fetches(&mut self) {
        self.fetches.downloads.clear();
        self.fetches.requests.clear();
    }

    pub(super) fn fetches_timeout(&self) -> Option<Millis> {
        let lost = self.fetches.requests.values().map(|request| request.since.plus(PATIENCE)).min();
        let again = self.fetches.retry_at.max(self.token.timeout()).filter(|_| self.has_room());
        lost.into_iter().chain(again).min()
    }
}
