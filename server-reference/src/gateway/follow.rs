//! What a session's reader has of each collection it follows, and what to read for it next.

use std::{collections::BTreeMap, sync::Arc};

use sdk_core::protocol::{Changes, CollectionName, Resume, Strategy, StreamPosition};

use crate::storage::Advance;

/// The collections of one session. At most one read is in flight, and a reader that was told `more` gets nothing
/// until it pulls, so a slow reader is never sent more than it asked for.
#[derive(Debug)]
pub(super) struct Following {
    collections: BTreeMap<CollectionName, Followed>,
    reading: Option<Reading>,
    /// The collection that was read last; the next one after it has its turn.
    last: Option<CollectionName>,
}

#[derive(Debug)]
struct Followed {
    strategy: Strategy,
    /// What the reader has.
    cursor: Option<StreamPosition>,
    wanted: Option<Wanted>,
    /// The reader was told that there is more, and has not pulled.
    paused: bool,
    /// The newest position that the hub has told of.
    newest: Option<StreamPosition>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The reader waits for an answer, also if there is nothing new.
    Answer,
    /// Only news are of interest.
    News,
}

#[derive(Debug)]
struct Reading {
    collection: CollectionName,
    wanted: Wanted,
    /// The reader has since said that it stands elsewhere.
    stale: bool,
}

/// A read to make.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NextRead {
    pub(super) collection: CollectionName,
    pub(super) after: Option<StreamPosition>,
}

impl Following {
    pub(super) fn new(resume: Vec<Resume>) -> Self {
        let follow = |Resume { collection, strategy, after }| {
            let wanted = Some(Wanted::Answer);
            (collection, Followed { strategy, cursor: after, wanted, paused: false, newest: None })
        };
        Self { collections: resume.into_iter().map(follow).collect(), reading: None, last: None }
    }

    pub(super) fn strategy(&self, collection: &CollectionName) -> Option<Strategy> {
        self.collections.get(collection).map(|followed| followed.strategy)
    }

    /// The reader asks for what comes after a position. False if it does not follow the collection.
    pub(super) fn pull(&mut self, collection: &CollectionName, after: Option<StreamPosition>) -> bool {
        let Some(followed) = self.collections.get_mut(collection) else { return false };
        followed.cursor = after;
        followed.wanted = Some(Wanted::Answer);
        followed.paused = false;
        if let Some(reading) = self.reading.as_mut().filter(|reading| reading.collection == *collection) {
            reading.stale = true;
        }
        true
    }

    /// The next read, if one is wanted and none is in flight. Collections take turns.
    pub(super) fn next_read(&mut self) -> Option<NextRead> {
        if self.reading.is_some() {
            return None;
        }
        let wanted = |(_, followed): &(&CollectionName, &Followed)| followed.wanted.is_some();
        let later =
            |(name, _): &(&CollectionName, &Followed)| self.last.as_ref().is_none_or(|last| *name > last);
        let collection = self
            .collections
            .iter()
            .filter(wanted)
            .find(later)
            .or_else(|| self.collections.iter().find(wanted))
            .map(|(name, _)| name.clone())?;
        let followed = self.collections.get_mut(&collection)?;
        let wanted = followed.wanted.take()?;
        self.reading = Some(Reading { collection: collection.clone(), wanted, stale: false });
        self.last = Some(collection.clone());
        Some(NextRead { collection, after: followed.cursor.clone() })
    }

    /// Takes the result of the read in flight and returns what of it the reader is to be sent.
    pub(super) fn read(&mut self, changes: Changes) -> Option<Changes> {
        let Reading { collection, wanted, stale } = self.reading.take()?;
        let followed = self.collections.get_mut(&collection)?;
        if stale {
            return None;
        }
        followed.cursor = Some(changes.to.clone());
        followed.paused = changes.more;
        if !changes.more && followed.is_behind() {
            followed.wanted = Some(Wanted::News);
        }
        let news = !changes.documents.is_empty() || !changes.recovered;
        (news || wanted == Wanted::Answer).then_some(changes)
    }

    /// Takes a hint. Returns the frame to send if it follows exactly on what the reader has.
    pub(super) fn advanced(&mut self, advance: &Advance) -> Option<Arc<str>> {
        let reading = self.reading.as_ref().is_some_and(|reading| reading.collection == advance.collection);
        let followed = self.collections.get_mut(&advance.collection)?;
        followed.newest = Some(advance.to.clone());
        if followed.paused || reading || followed.wanted.is_some() || !followed.is_behind() {
            return None;
        }
        if followed.cursor.as_ref() == Some(&advance.from)
            && let Some(frame) = &advance.frame
        {
            followed.cursor = Some(advance.to.clone());
            return Some(frame.clone());
        }
        followed.wanted = Some(Wanted::News);
        None
    }

    /// Hints were lost: every collection may have news.
    pub(super) fn lagged(&mut self) {
        for followed in self.collections.values_mut().filter(|followed| !followed.paused) {
            followed.wanted.get_or_insert(Wanted::News);
        }
    }
}

impl Followed {
    /// Whether the hub has told of more than the reader has.
    fn is_behind(&self) -> bool {
        self.newest.as_ref().is_some_and(|newest| {
            self.cursor.as_ref().is_none_or(|cursor| !cursor.includes(&newest.epoch, newest.offset))
        })
    }
}
