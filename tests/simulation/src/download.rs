//! Parts of snapshots on their way to a client, and what must hold of what it makes of them.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::{
    engine::{
        Fetch, HttpFailure, HttpId, Input,
        storage::{Batch, Clear, Generation, ReplicaBatch},
    },
    protocol::{CollectionName, ContentHash, ErrorCode, Manifest, ProtocolError, decode},
    snapshot::Part,
};
use server_reference::tenant::TenantScope;

use crate::{
    agenda::Time,
    archive::Made,
    client::tenant,
    disk::Copy,
    http::Exchange,
    plan::Fault,
    segments::{Note, note},
    world::{Event, World},
};

/// Milliseconds after which an engine takes a part for lost; what comes then it does not look at.
const PATIENCE: Time = 45_000;
/// Per mille of commits with segments, or with a snapshot that takes its place, around which a process ends.
const SHAKY: u64 = 200;

/// A request for a part on its way.
pub(crate) struct PartRequest {
    /// Whose it is.
    pub(crate) client: usize,
    /// Which life of that client sent it.
    pub(crate) life: u32,
    /// What the client calls it.
    pub(crate) id: HttpId,
    /// What it asks for.
    pub(crate) fetch: Fetch,
}

/// A part that was asked for.
#[derive(Debug, Clone)]
struct Asked {
    collection: CollectionName,
    part: Part,
    at: Time,
}

/// What one process of a client fetches.
#[derive(Debug, Default)]
pub(crate) struct Downloads {
    asked: BTreeMap<HttpId, Asked>,
    /// The manifest that came last of each collection.
    manifests: BTreeMap<CollectionName, Manifest>,
    /// What earlier processes had stored of snapshots that were not whole.
    found: BTreeMap<CollectionName, Note>,
    /// What is stored may have been given up, because the store could not do what it was to.
    doubtful: bool,
    /// Chunks of which a cache on the way has a damaged copy.
    damaged: BTreeSet<ContentHash>,
}

impl Downloads {
    /// A process that finds this in its store.
    pub(crate) fn start(copy: &Copy) -> Self {
        let found = copy.notes.keys().map(|name| (name.clone(), copy.note(name)));
        Self { found: found.collect(), ..Self::default() }
    }

    /// What is stored is given up.
    pub(crate) fn doubt(&mut self) {
        self.doubtful = true;
        self.found.clear();
    }
}

impl World {
    /// A client asks for a part.
    pub(crate) fn fetch(&mut self, index: usize, id: HttpId, fetch: Fetch) {
        self.check_asked(index, &fetch);
        self.tally.parts += 1;
        self.note(format_args!("client {index} fetches {}: {fetch:?}", id.0));
        let (life, at) = (self.clients[index].life, self.agenda.now());
        let asked = Asked { collection: fetch.collection.clone(), part: fetch.part.clone(), at };
        self.clients[index].downloads.asked.insert(id, asked);
        if !self.plan.snapshots {
            let none = ProtocolError::new(ErrorCode::Forbidden, "no such collection");
            let delay = self.latency();
            let refused = Err(HttpFailure::Refused(none));
            return self.agenda.after(delay, Event::Fetched(index, life, id, refused));
        }
        let path = self.network.paths[index];
        if self.part_trouble() || path.up_blocked {
            return self.lose_part(index, life, id);
        }
        let late = if self.part_trouble() { self.up_to(60_000) } else { 0 };
        let delay = self.latency() + late;
        self.agenda.after(delay, Event::FetchPart(Box::new(PartRequest { client: index, life, id, fetch })));
    }

    /// Half of the time nobody ever says that a part is lost.
    fn lose_part(&mut self, index: usize, life: u32, id: HttpId) {
        self.tally.parts_lost += 1;
        if self.random.bool() {
            let delay = self.latency() + self.up_to(5_000);
            self.agenda.after(delay, Event::Fetched(index, life, id, Err(HttpFailure::Unreachable)));
        }
    }

    fn part_trouble(&mut self) -> bool {
        let trouble = if self.healed.is_some() { 0 } else { self.plan.part_trouble };
        self.chance(trouble)
    }

    /// A request for a part reaches the server.
    pub(crate) fn part_request(&mut self, request: PartRequest) {
        let PartRequest { client, life, id, fetch: Fetch { token, collection, part } } = request;
        let Some(archive) = &self.server.archive else {
            return self.lose_part(client, life, id);
        };
        let now = self.server.now(self.agenda.now()).wall;
        match self.server.verifier.verify(&token, now) {
            Err(error) => self.part_reply(client, life, id, Err(ProtocolError::from(&error))),
            Ok(claims) => {
                let task = archive.serve(TenantScope::of(claims), collection, part);
                let exchange = Exchange::part((client, life, id, false), archive.asks(), task);
                self.take_exchange(exchange);
            }
        }
    }

    /// What the database holds while a snapshot of it is made.
    pub(crate) fn enter_snapshot(&mut self, tenant: &str, manifest: Manifest) {
        self.note(format_args!("server makes a snapshot: {manifest:?}"));
        let Some(witness) = &self.server.witness else { return };
        match witness.living(tenant, &manifest.collection) {
            Ok(documents) => {
                self.tally.snapshots += 1;
                self.truth.enter(tenant, Made { manifest, documents });
            }
            Err(error) => self.violate("the database can be read", error.to_string()),
        }
    }

    /// The server's answer sets out; it may be lost, late or damaged.
    pub(crate) fn part_reply(
        &mut self,
        index: usize,
        life: u32,
        id: HttpId,
        result: Result<String, ProtocolError>,
    ) {
        if self.part_trouble() {
            return self.lose_part(index, life, id);
        }
        let asked = self.clients[index].downloads.asked.get(&id).filter(|_| self.clients[index].life == life);
        let asked = asked.cloned();
        let result = match (result, asked) {
            (Ok(text), Some(asked)) => Ok(self.carry(index, &asked, text)),
            (result, _) => result.map_err(HttpFailure::Refused),
        };
        let late = if self.part_trouble() { self.up_to(60_000) } else { 0 };
        let delay = self.latency() + late;
        self.agenda.after(delay, Event::Fetched(index, life, id, result));
    }

    /// What becomes of a part between the server and a client. A damaged chunk may stay so in a cache until it is asked
    /// for past that.
    fn carry(&mut self, index: usize, asked: &Asked, text: String) -> String {
        let (hash, bypass) = match &asked.part {
            Part::Manifest(_) => (None, true),
            Part::Chunk { hash, bypass, .. } => (Some(*hash), *bypass),
        };
        let again = !bypass && hash.is_some_and(|hash| self.clients[index].downloads.damaged.contains(&hash));
        if !self.part_trouble() && !again {
            return text;
        }
        self.tally.parts_damaged += 1;
        if let Some(hash) = hash.filter(|_| self.random.bool()) {
            self.clients[index].downloads.damaged.insert(hash);
        }
        let tenant = tenant(self.clients[index].tenant);
        let made = self.truth.of(&tenant, &asked.collection);
        let others = made.iter().flat_map(|made| &made.manifest.chunks);
        let other = others.map(|chunk| chunk.hash).find(|other| Some(*other) != hash);
        match (self.random.u8(0..3), other) {
            (0, _) => text[..text.len() / 2].to_owned(),
            (1, Some(other)) if hash.is_some() => self.chunk_text(&tenant, &asked.collection, &other, text),
            _ => text.replacen("\"rev\":", "\"rev\":1", 1).replacen("\"offset\":", "\"offset\":1", 1),
        }
    }

    /// The text of another chunk of the collection, if a client has that; or half of this one.
    fn chunk_text(
        &self,
        home: &str,
        collection: &CollectionName,
        hash: &ContentHash,
        text: String,
    ) -> String {
        let neighbours = self.clients.iter().filter(|client| tenant(client.tenant) == home);
        let mut segments = neighbours.flat_map(|client| &client.disk.copy().segments);
        let other = segments.find(|((name, ..), text)| name == collection && ContentHash::of(text) == *hash);
        other.map_or_else(|| text[..text.len() / 2].to_owned(), |(_, text)| text.clone())
    }

    /// A part comes, or does not.
    pub(crate) fn fetched(
        &mut self,
        index: usize,
        life: u32,
        id: HttpId,
        result: Result<String, HttpFailure>,
    ) {
        if self.clients[index].life != life || self.clients[index].engine.is_none() {
            return;
        }
        if self.network.paths[index].down_blocked {
            // Whoever waits for it finds out.
            return;
        }
        let Some(asked) = self.clients[index].downloads.asked.remove(&id) else { return };
        let told = result.as_ref().map_or_else(|failure| format!("{failure:?}"), |text| text.clone());
        self.note(format_args!("client {index} fetched {}: {}", id.0, crate::drive::shown(&told)));
        let in_time = self.agenda.now() < asked.at + PATIENCE;
        if let (Part::Manifest(_), Ok(text), true) = (&asked.part, &result, in_time)
            && let Ok(manifest) = decode::<Manifest>(text)
            && manifest.is_sound()
        {
            self.clients[index].downloads.manifests.insert(asked.collection, manifest);
        }
        self.input(index, Input::Fetched(id, result));
    }

    /// What is stored of a snapshot is not fetched again.
    fn check_asked(&mut self, index: usize, fetch: &Fetch) {
        let Part::Chunk { index: place, hash, .. } = &fetch.part else { return };
        let client = &self.clients[index];
        let Some(manifest) = client.downloads.manifests.get(&fetch.collection) else { return };
        let kept = client.disk.copy().note(&fetch.collection).staging;
        let kept = kept.filter(|kept| kept.root == manifest.root.to_string());
        let same = manifest.chunks.get(*place).is_some_and(|chunk| chunk.hash == *hash);
        let again =
            same && !client.downloads.doubtful && kept.as_ref().is_some_and(|kept| *place < kept.chunks);
        self.claim(!again, "a chunk that is stored is not fetched again", || {
            format!("client {index} asks for {fetch:?} and has {kept:?}")
        });
    }

    /// A commit is asked for; at times a process ends around one that has to do with snapshots.
    pub(crate) fn shake(&mut self, index: usize, batch: &Batch) {
        let Batch::Replica(batch) = batch else { return };
        let matters = !batch.stage.is_empty() || !batch.flip.is_empty();
        let dies = matters && self.plan.faults.contains(&Fault::ClientCrash) && self.chance(SHAKY);
        if dies && self.healed.is_none() {
            let (life, delay) = (self.clients[index].life, self.up_to(2 * self.plan.disk_latency));
            self.agenda.after(delay, Event::Crash(index, life));
        }
    }

    /// What is to be stored of snapshots is of snapshots, and one takes its place in one commit.
    pub(crate) fn check_staged(&mut self, index: usize, batch: &Batch) {
        let Batch::Replica(batch) = batch else { return };
        let home = tenant(self.clients[index].tenant);
        let downloads = &mut self.clients[index].downloads;
        match &batch.clear {
            Clear::Nothing => {}
            Clear::Collections(names) => downloads.found.retain(|name, _| !names.contains(name)),
            Clear::All => downloads.doubtful = false,
        }
        for segment in &batch.stage {
            self.tally.chunks_stored += 1;
            let real = self.truth.has_chunk(&home, &segment.collection, &segment.text, &segment.last);
            self.claim(real, "a chunk that is stored is one that the server has made", || {
                format!("client {index} stores {segment:?}")
            });
        }
        for (name, text) in &batch.notes {
            let copy = self.clients[index].disk.copy();
            let void = match &batch.clear {
                Clear::Nothing => false,
                Clear::Collections(names) => names.contains(name),
                Clear::All => true,
            };
            let before = if void { Note::default() } else { copy.note(name) };
            let turned = note(text).generation != before.generation;
            let whole =
                batch.flip.contains(name) && batch.cursors.iter().any(|(collection, _)| collection == name);
            self.claim(!turned || whole, "a snapshot takes its place in one commit", || {
                format!("client {index} notes {text} of {name} after {before:?}")
            });
        }
    }

    /// A snapshot is in its place: it is what the server held.
    pub(crate) fn check_flipped(&mut self, index: usize, batch: &ReplicaBatch) {
        let home = tenant(self.clients[index].tenant);
        for name in &batch.flip {
            let copy = self.clients[index].disk.copy();
            let cursor = copy.cursors.get(name).cloned();
            let now = copy.note(name);
            let packed = copy.packed(name, Generation(now.generation));
            let alone = batch.put.iter().any(|document| document.key.collection == *name)
                || batch.remove.iter().any(|key| key.collection == *name);
            let fits = |made: &&Made| {
                let position = &made.manifest.position;
                let placed = cursor.as_ref().is_some_and(|cursor| {
                    cursor == position || alone && cursor.includes(&position.epoch, position.offset)
                });
                placed && made.documents == packed
            };
            let made = self.truth.of(&home, name).iter().find(fits);
            let seen = format!("client {index} has {packed:?} of {name} at {cursor:?}");
            let (known, chunks) = (made.is_some(), made.map_or(0, |made| made.manifest.chunks.len()));
            self.claim(known, "a client stores the snapshot that the server made", || seen);
            self.tally.flips += 1;
            self.tally.flips_of_many += u64::from(chunks > 1);
            let found = self.clients[index].downloads.found.get(name);
            let resumed = found.and_then(|found| found.staging.as_ref());
            let resumed = resumed.is_some_and(|kept| kept.generation == now.generation && kept.chunks > 0);
            self.tally.resumed += u64::from(resumed);
        }
        self.tally.superseded +=
            batch.drop.iter().filter(|(name, _)| !batch.flip.contains(name)).count() as u64;
    }
}
