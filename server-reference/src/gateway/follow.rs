//! What a session's reader has of each collection it follows, and what to read for it next.

use std::{collections::BTreeMap, sync::Arc};

use sdk_core::protocol::{Changes, CollectionName, Resume, ServerFrame, Strategy, StreamPosition, encode};

use crate::{
    access::{Access, Portion},
    storage::{Advance, history::History},
};

/// The collections of one session. At most one read is in flight, and a reader that was told `more` gets nothing
/// until it pulls, so a slow reader is never sent more than it asked for.
#[derive(Debug)]
pub(super) struct Following {
    collections: BTreeMap<CollectionName, Followed>,
    /// In the order in which the reader named them.
    order: Vec<CollectionName>,
    reading: Option<Reading>,
    /// The collection that was read last; the next one after it has its turn.
    last: Option<CollectionName>,
}

#[derive(Debug)]
struct Followed {
    strategy: Strategy,
    /// What of it the reader may see.
    portion: Portion,
    /// What the reader has.
    has: Option<StreamPosition>,
    /// How far was read for it. Between the two there was nothing that it may see.
    cursor: Option<StreamPosition>,
    wanted: Option<Wanted>,
    /// The reader was told that there is more, and has not pulled.
    paused: bool,
    /// The newest position that the hub has told of, by the server's name of the history.
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
    pub(super) fn new(resume: Vec<Resume>, access: &Access) -> Self {
        let follow = |Resume { collection, strategy, after }| {
            let followed = Followed {
                strategy,
                portion: access.portion(&collection),
                has: after.clone(),
                cursor: after,
                wanted: Some(Wanted::Answer),
                paused: false,
                newest: None,
            };
            (collection, followed)
        };
        let order = resume.iter().map(|resume| resume.collection.clone()).collect();
        Self { collections: resume.into_iter().map(follow).collect(), order, reading: None, last: None }
    }

    /// The reader may see something else from now on. Of a collection of which that is so it has the history of before, so
    /// that what is read next begins anew; hints may have been lost in the others.
    pub(super) fn granted(&mut self, access: &Access) {
        for (name, followed) in &mut self.collections {
            let portion = access.portion(name);
            if portion != followed.portion {
                followed.portion = portion;
                followed.wanted = Some(Wanted::Answer);
                followed.paused = false;
                if let Some(reading) = self.reading.as_mut().filter(|reading| reading.collection == *name) {
                    reading.stale = true;
                }
            }
        }
        self.lagged();
    }

    /// The collections of which the reader may see something.
    pub(super) fn visible(&self) -> Vec<CollectionName> {
        let seen = self.collections.iter().filter(|(_, followed)| followed.portion != Portion::Nothing);
        seen.map(|(name, _)| name.clone()).collect()
    }

    /// A collection as its reader knows it; none if it does not follow it.
    pub(super) fn resume(&self, collection: &CollectionName) -> Option<Resume> {
        let Followed { strategy, has, .. } = self.collections.get(collection)?;
        Some(Resume { collection: collection.clone(), strategy: *strategy, after: has.clone() })
    }

    /// The reader asks for what comes after a position. False if it does not follow the collection.
    pub(super) fn pull(&mut self, collection: &CollectionName, after: Option<StreamPosition>) -> bool {
        let Some(followed) = self.collections.get_mut(collection) else { return false };
        followed.has = after.clone();
        followed.cursor = after;
        followed.wanted = Some(Wanted::Answer);
        followed.paused = false;
        if let Some(reading) = self.reading.as_mut().filter(|reading| reading.collection == *collection) {
            reading.stale = true;
        }
        true
    }

    /// The next read, if one is wanted and none is in flight: first what the reader waits for, in its own order; then
    /// news, for which collections take turns.
    pub(super) fn next_read(&mut self) -> Option<NextRead> {
        if self.reading.is_some() {
            return None;
        }
        let answer = |name: &&CollectionName| self.collections[*name].wanted == Some(Wanted::Answer);
        let wanted = |(_, followed): &(&CollectionName, &Followed)| followed.wanted.is_some();
        let later =
            |(name, _): &(&CollectionName, &Followed)| self.last.as_ref().is_none_or(|last| *name > last);
        let turn = || self.collections.iter().filter(wanted).find(later);
        let first = || self.collections.iter().find(wanted);
        let news = || turn().or_else(first).map(|(name, _)| name);
        let collection = self.order.iter().find(answer).or_else(news)?.clone();
        let followed = self.collections.get_mut(&collection)?;
        let wanted = followed.wanted.take()?;
        self.reading = Some(Reading { collection: collection.clone(), wanted, stale: false });
        self.last = Some(collection.clone());
        Some(NextRead { collection, after: followed.cursor.clone() })
    }

    /// Takes the result of the read in flight and returns what of it the reader is to be sent.
    pub(super) fn read(&mut self, mut changes: Changes) -> Option<Changes> {
        let Reading { collection, wanted, stale } = self.reading.take()?;
        let followed = self.collections.get_mut(&collection)?;
        if stale {
            return None;
        }
        followed.cursor = Some(changes.to.clone());
        let news = !changes.documents.is_empty() || !changes.recovered || wanted == Wanted::Answer;
        followed.paused = news && changes.more;
        if !followed.paused && (changes.more || followed.is_behind()) {
            followed.wanted = Some(Wanted::News);
        }
        if !news {
            return None;
        }
        changes.from = changes.from.and(followed.has.replace(changes.to.clone()));
        Some(changes)
    }

    /// Takes a hint. Returns the frame to send if it follows exactly on what the reader has.
    pub(super) fn advanced(&mut self, advance: &Advance) -> Option<Arc<str>> {
        let reading = self.reading.as_ref().is_some_and(|reading| reading.collection == advance.collection);
        let seen = |followed: &&mut Followed| followed.portion != Portion::Nothing;
        let followed = self.collections.get_mut(&advance.collection).filter(seen)?;
        followed.newest = Some(advance.to.clone());
        if followed.paused || reading || followed.wanted.is_some() || !followed.is_behind() {
            return None;
        }
        let sent = followed.follow(advance);
        if sent.is_none() {
            followed.wanted = Some(Wanted::News);
        }
        sent.flatten()
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
            let known = self.cursor.as_ref();
            known.is_none_or(|known| !self.is_in(newest, known) || known.offset < newest.offset)
        })
    }

    /// Whether a position of the reader's is in the history of one of the server's.
    fn is_in(&self, history: &StreamPosition, position: &StreamPosition) -> bool {
        let history = History { epoch: &history.epoch, portion: &self.portion };
        history.began(&position.epoch).is_some()
    }

    /// Goes on with an advance that follows exactly on what was read. None if it does not, or carries no news; no
    /// frame if there is nothing in it for the reader.
    fn follow(&mut self, advance: &Advance) -> Option<Option<Arc<str>>> {
        let news = advance.news.as_ref()?;
        let cursor = self.cursor.clone()?;
        if cursor.offset != advance.from.offset || !self.is_in(&advance.from, &cursor) {
            return None;
        }
        let to = StreamPosition { offset: advance.to.offset, ..cursor };
        self.cursor = Some(to.clone());
        if to == advance.to && self.has.as_ref() == Some(&advance.from) {
            self.has = Some(to);
            return Some(Some(news.frame.clone()));
        }
        let seen = news.documents.iter().filter(|changed| self.portion.holds(&changed.id));
        let documents: Vec<_> = seen.cloned().collect();
        if documents.is_empty() {
            return Some(None);
        }
        let (collection, from) = (advance.collection.clone(), self.has.replace(to.clone()));
        let changes = Changes { collection, from, to, documents, recovered: true, more: false };
        Some(Some(encode(&ServerFrame::Changes(changes)).into()))
    }
}
