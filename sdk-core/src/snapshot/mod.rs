//! A snapshot on its way: which part to ask for next, and whether what came is what was asked for.
//!
//! Chunks are asked for two at a time and handed on in their order, so that how far it has come is one number. A chunk
//! that does not fit its hash is asked for once more past every cache; then the manifest is asked for anew, a bounded
//! number of times.

use crate::{
    protocol::{ChunkRef, CollectionName, ContentHash, Manifest, read_manifest},
    sorted::{SortedMap, SortedSet},
};

/// Chunks on their way or waiting for one before them.
const WINDOW: usize = 2;
/// Manifests that are tried before it is given up.
const ROUNDS: u32 = 4;
/// Requests in a row that may fail before it is given up.
const FAILURES: u32 = 6;

/// A part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The manifest: the one with this root, or the newest.
    Manifest(Option<ContentHash>),
    /// A chunk.
    Chunk {
        /// Its place in the manifest.
        index: usize,
        /// Its name.
        hash: ContentHash,
        /// Whether a cache may have a broken copy.
        bypass: bool,
    },
}

/// What to do after a part did not come, or was not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on; the part, or another in its place, is asked for again.
    Again,
    /// It cannot be had this way.
    GiveUp,
}

/// The snapshot of one collection.
#[derive(Debug)]
pub struct Download {
    collection: CollectionName,
    /// The root to go on with, after a restart.
    resume: Option<ContentHash>,
    manifest: Option<Manifest>,
    asking: bool,
    /// Places of the chunks on their way.
    in_flight: SortedSet<usize>,
    /// Chunks to be asked for again, past caches.
    broken: SortedSet<usize>,
    /// Chunks that came and wait for one before them.
    held: SortedMap<usize, String>,
    /// So many were handed on.
    taken: usize,
    rounds: u32,
    failures: u32,
}

impl Download {
    /// Begins, or goes on with the snapshot of a root.
    pub fn new(collection: CollectionName, resume: Option<ContentHash>) -> Self {
        Self {
            collection,
            resume,
            manifest: None,
            asking: false,
            in_flight: SortedSet::default(),
            broken: SortedSet::default(),
            held: SortedMap::new(),
            taken: 0,
            rounds: 0,
            failures: 0,
        }
    }

    /// The manifest, once it is there.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Documents handed on, and in all.
    pub fn progress(&self) -> (u64, u64) {
        let Some(manifest) = &self.manifest else { return (0, 0) };
        let done = manifest.chunks.iter().take(self.taken).map(|chunk| chunk.documents).sum();
        (done, manifest.documents())
    }

    /// The next part to ask for, if it is time for another.
    pub fn next_part(&mut self) -> Option<Part> {
        let Some(manifest) = &self.manifest else {
            return (!std::mem::replace(&mut self.asking, true)).then_some(Part::Manifest(self.resume));
        };
        let end = manifest.chunks.len().min(self.taken + WINDOW);
        let missing = |index: &usize| !self.in_flight.contains(index) && !self.held.contains_key(index);
        let index = (self.taken..end).find(missing)?;
        self.in_flight.insert(index);
        let bypass = self.broken.contains(&index);
        Some(Part::Chunk { index, hash: manifest.chunks[index].hash, bypass })
    }

    /// The manifest came. If it is sound, tell with [`Self::skip`] what of it is there already.
    pub fn manifest_came(&mut self, text: &str) -> Verdict {
        self.asking = false;
        match read_manifest(text) {
            Ok(manifest) if manifest.collection == self.collection => {
                self.failures = 0;
                self.manifest = Some(manifest);
                Verdict::Again
            }
            _ => self.failed(),
        }
    }

    /// The first chunks of the manifest, so many, are there already.
    pub fn skip(&mut self, chunks: usize) {
        self.taken = chunks;
    }

    /// A chunk came.
    pub fn chunk_came(&mut self, index: usize, text: String) -> Verdict {
        let Some(chunk) = self.arrived(index) else { return Verdict::Again };
        if ContentHash::of(&text) == chunk.hash {
            self.failures = 0;
            self.held.insert(index, text);
            return Verdict::Again;
        }
        if self.broken.insert(index) { Verdict::Again } else { self.start_over() }
    }

    /// A part did not come, for a reason that may pass.
    pub fn lost(&mut self, part: &Part) -> Verdict {
        self.put_back(part);
        self.failed()
    }

    /// The server says that there is no such part.
    pub fn refused(&mut self, part: &Part) -> Verdict {
        self.put_back(part);
        match part {
            Part::Manifest(None) => Verdict::GiveUp,
            Part::Manifest(Some(_)) | Part::Chunk { .. } => self.start_over(),
        }
    }

    /// The next chunk in order, to be stored.
    pub fn take(&mut self) -> Option<(ChunkRef, String)> {
        let text = self.held.remove(&self.taken)?;
        let chunk = self.manifest.as_ref()?.chunks.get(self.taken)?.clone();
        self.taken += 1;
        Some((chunk, text))
    }

    /// Whether every chunk was handed on.
    pub fn is_complete(&self) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| self.taken == manifest.chunks.len())
    }

    fn put_back(&mut self, part: &Part) {
        match part {
            Part::Manifest(_) => self.asking = false,
            Part::Chunk { index, .. } => {
                self.in_flight.remove(index);
            }
        }
    }

    /// The chunk of the manifest at hand that is no longer on its way; none if it was of an earlier manifest.
    fn arrived(&mut self, index: usize) -> Option<ChunkRef> {
        let wanted = self.in_flight.remove(&index);
        self.manifest.as_ref()?.chunks.get(index).filter(|_| wanted).cloned()
    }

    fn failed(&mut self) -> Verdict {
        self.failures += 1;
        if self.failures < FAILURES { Verdict::Again } else { Verdict::GiveUp }
    }

    fn start_over(&mut self) -> Verdict {
        self.rounds += 1;
        self.resume = None;
        self.manifest = None;
        self.in_flight = SortedSet::default();
        self.broken = SortedSet::default();
        self.held.clear();
        self.taken = 0;
        if self.rounds < ROUNDS { Verdict::Again } else { Verdict::GiveUp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{DocumentId, Epoch, Offset, StreamPosition, encode};

    fn cards() -> CollectionName {
        CollectionName::new("cards").unwrap()
    }

    fn manifest(texts: &[&str]) -> Manifest {
        let chunk = |text: &&str| ChunkRef {
            hash: ContentHash::of(text),
            bytes: text.len() as u64,
            documents: 10,
            last: DocumentId::new(text).unwrap(),
        };
        let position = StreamPosition { epoch: Epoch::new("e").unwrap(), offset: Offset(9) };
        Manifest::seal(cards(), position, texts.iter().map(chunk).collect())
    }

    fn started(texts: &[&str]) -> Download {
        let mut download = Download::new(cards(), None);
        assert_eq!(download.next_part(), Some(Part::Manifest(None)));
        assert_eq!(download.next_part(), None, "one at a time");
        assert_eq!(download.manifest_came(&encode(&manifest(texts))), Verdict::Again);
        download
    }

    fn index(part: Option<Part>) -> Option<(usize, bool)> {
        match part {
            Some(Part::Chunk { index, bypass, .. }) => Some((index, bypass)),
            _ => None,
        }
    }

    #[test]
    fn two_chunks_are_on_their_way_and_handed_on_in_order() {
        let mut download = started(&["a", "b", "c"]);
        assert_eq!(index(download.next_part()), Some((0, false)));
        assert_eq!(index(download.next_part()), Some((1, false)));
        assert_eq!(download.next_part(), None);
        download.chunk_came(1, "b".into());
        assert_eq!(download.take(), None, "the first is missing");
        assert_eq!(download.next_part(), None, "what waits counts");
        download.chunk_came(0, "a".into());
        assert_eq!(download.take().unwrap().1, "a");
        assert_eq!(download.take().unwrap().1, "b");
        assert_eq!((download.progress(), download.is_complete()), ((20, 30), false));
        assert_eq!(index(download.next_part()), Some((2, false)));
        download.chunk_came(2, "c".into());
        assert_eq!(download.take().unwrap().1, "c");
        assert!(download.is_complete());
    }

    #[test]
    fn a_corrupted_chunk_is_fetched_again_past_caches_and_then_the_manifest() {
        let mut download = started(&["a", "b"]);
        download.next_part();
        assert_eq!(download.chunk_came(0, "x".into()), Verdict::Again);
        assert_eq!(index(download.next_part()), Some((0, true)));
        assert_eq!(download.chunk_came(0, "x".into()), Verdict::Again);
        assert_eq!(download.next_part(), Some(Part::Manifest(None)));
        for _ in 0..2 {
            download.manifest_came(&encode(&manifest(&["a", "b"])));
            for _ in 0..2 {
                download.next_part();
                download.chunk_came(0, "x".into());
            }
            download.next_part();
        }
        download.manifest_came(&encode(&manifest(&["a", "b"])));
        download.next_part();
        download.chunk_came(0, "x".into());
        download.next_part();
        assert_eq!(download.chunk_came(0, "x".into()), Verdict::GiveUp, "not for ever");
    }

    #[test]
    fn a_root_that_is_gone_is_replaced_by_the_newest_and_no_snapshot_at_all_is_given_up() {
        let root = ContentHash::of("old");
        let mut download = Download::new(cards(), Some(root));
        let asked = download.next_part().unwrap();
        assert_eq!(asked, Part::Manifest(Some(root)));
        assert_eq!(download.refused(&asked), Verdict::Again);
        let asked = download.next_part().unwrap();
        assert_eq!(asked, Part::Manifest(None));
        assert_eq!(download.refused(&asked), Verdict::GiveUp);
    }

    #[test]
    fn what_was_there_before_a_restart_is_not_fetched_again() {
        let mut download = started(&["a", "b", "c"]);
        download.skip(2);
        assert_eq!(index(download.next_part()), Some((2, false)));
        assert_eq!(download.next_part(), None);
    }

    #[test]
    fn a_network_that_lets_nothing_through_is_given_up() {
        let mut download = started(&["a"]);
        for _ in 1..FAILURES {
            let part = download.next_part().unwrap();
            assert_eq!(download.lost(&part), Verdict::Again);
        }
        let part = download.next_part().unwrap();
        assert_eq!(download.lost(&part), Verdict::GiveUp);
    }
}
