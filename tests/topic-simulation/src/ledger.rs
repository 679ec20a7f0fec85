//! What the clients published, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::protocol::{ErrorCode, Outcome, Seq, TopicPosition};
use serde::Deserialize;

/// An event that an application published.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) client: usize,
    /// The storage under whose number it was made: a client whose storage was put back goes on with another.
    maker: usize,
    pub(crate) topic: usize,
    /// By which a later one may take its place.
    key: Option<u8>,
    /// Its source and id are another's.
    twin: Option<usize>,
    /// It is to have the place of one that the server refused.
    mends: Option<usize>,
    state: State,
    /// Its place among the client's operations, once known.
    seq: Option<Seq>,
    /// It has been in its topic, be it in an earlier history.
    appended: bool,
    /// Several storages had it, or one twice: it goes out whatever one of them has done about it, and when that is.
    shared: bool,
    /// An operator may have sent it, whatever its client does.
    operated: bool,
}

impl Entry {
    /// Its place among its maker's operations, once known.
    fn place(&self) -> Option<(usize, Seq)> {
        Some((self.maker, self.seq?))
    }

    /// The same, if that is the order in which its maker's events are in their topic.
    pub(crate) fn order(&self) -> Option<(usize, Seq)> {
        self.place().filter(|_| !self.shared && !self.operated)
    }

    /// The storage under whose number it was made.
    pub(crate) fn maker(&self) -> usize {
        self.maker
    }

    fn waits(&self) -> bool {
        self.state == State::Taken && !self.appended
    }
}

/// What the application knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was asked for, and there was no answer. The process may have ended meanwhile.
    Asked,
    /// The client has it, durably.
    Taken,
    /// The client did not take it.
    Refused,
    /// A later one of its key has taken its place.
    Replaced,
    /// The server refused it, and the application has decided what to do about it.
    Decided,
    /// The client's storage forgot that it had it. It may have been sent before.
    Forgotten,
}

/// The events of all clients, by number.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
    /// Clients of which a commit was said to have failed and was written, and which crashed before they could mend that:
    /// what was refused then may be there all the same.
    pub(crate) haunted: BTreeSet<usize>,
    /// Storages that were put back or copied, the newest of a client last: the client, and the events that it began with.
    renewed: Vec<(usize, BTreeSet<usize>)>,
}

/// Makers below are storages that clients had from the beginning.
const RENEWED: usize = 1_000;

impl Ledger {
    /// An application is going to publish an event; returns its number.
    pub(crate) fn ask(&mut self, client: usize, topic: usize, key: Option<u8>, twin: Option<usize>) -> usize {
        let (maker, state, seq) = (self.maker(client), State::Asked, None);
        let (appended, shared, operated) = (false, false, false);
        self.entries.push(Entry {
            client,
            maker,
            topic,
            key,
            twin,
            mends: None,
            state,
            seq,
            appended,
            shared,
            operated,
        });
        self.entries.len() - 1
    }

    /// An application is going to put another event in the place of one that was refused; returns its number.
    pub(crate) fn mend(&mut self, client: usize, before: usize) -> usize {
        let number = self.ask(client, self.entries[before].topic, None, None);
        self.entries[number].mends = Some(before);
        number
    }

    /// Under whose number a client makes events now.
    fn maker(&self, client: usize) -> usize {
        let place = self.renewed.iter().rposition(|(of, _)| *of == client);
        place.map_or(client, |place| RENEWED + place)
    }

    /// Whether a maker's storage had an event of another from the beginning.
    fn has_inherited(&self, maker: usize, number: usize) -> bool {
        let renewed = maker.checked_sub(RENEWED).and_then(|place| self.renewed.get(place));
        renewed.is_some_and(|(_, inherited)| inherited.contains(&number))
    }

    /// An event that has been in a topic.
    pub(crate) fn appended_of(&self, topic: usize) -> Option<usize> {
        let there = |entry: &Entry| entry.topic == topic && entry.appended && entry.twin.is_none();
        self.entries.iter().rposition(there)
    }

    /// The client has taken it.
    pub(crate) fn taken(&mut self, number: usize, seq: Seq) -> Result<(), String> {
        let Entry { maker, topic, key, mends, .. } = self.entries[number];
        if let Some(before) = mends {
            self.mended(before, number, seq);
            return Ok(());
        }
        let mut same = self.entries.iter().enumerate().filter(|(other, entry)| {
            *other != number && entry.maker == maker && entry.seq == Some(seq) && entry.state == State::Taken
        });
        if let Some((other, before)) = same.next() {
            if before.topic != topic || key.is_none() || before.key != key {
                return Err(format!("event {number} took the place of {other}, which nobody asked for"));
            }
            if before.appended && !before.shared {
                return Err(format!("event {number} took the place of {other}, which was sent"));
            }
            self.entries[other].state = State::Replaced;
        }
        let entry = &mut self.entries[number];
        (entry.state, entry.seq) = (State::Taken, Some(seq));
        Ok(())
    }

    /// One that was refused by the server is mended: another event has its place.
    fn mended(&mut self, before: usize, number: usize, seq: Seq) {
        self.entries[before].state = State::Decided;
        let (client, shared) = (self.entries[number].client, self.entries[before].shared);
        if let Some((_, inherited)) = self.renewed.iter_mut().rfind(|(of, _)| *of == client)
            && inherited.contains(&before)
        {
            inherited.insert(number);
        }
        let entry = &mut self.entries[number];
        (entry.state, entry.seq, entry.shared) = (State::Taken, Some(seq), shared);
    }

    /// An operator is going to publish it.
    pub(crate) fn operated(&mut self, number: usize) {
        self.entries[number].operated = true;
    }

    /// The client did not take it.
    pub(crate) fn refused(&mut self, number: usize) {
        self.entries[number].state = State::Refused;
    }

    /// The application has decided about one that the server refused; its topic was `closed` once, or not.
    pub(crate) fn decided(&mut self, number: usize, closed: bool) -> Result<(), String> {
        if !closed && !self.is_contested(number) {
            return Err(format!("event {number} is a dead letter: {:?}", self.entries[number]));
        }
        self.entries[number].state = State::Decided;
        Ok(())
    }

    /// One is in the log, for the first time in a history in which the client's newest for the topic is `newest`.
    pub(crate) fn appended(&mut self, number: usize, newest: Option<Seq>) -> Result<(), String> {
        let entry = self.entries[number].clone();
        let haunted = self.haunted.contains(&entry.client);
        match entry.state {
            State::Refused if !haunted && !entry.shared => {
                return Err(format!("event {number} was not taken and is there"));
            }
            State::Replaced if !entry.shared => {
                return Err(format!("event {number} was replaced and is there"));
            }
            _ => {}
        }
        self.entries[number].appended = true;
        let Some((_, seq)) = entry.order() else { return Ok(()) };
        if newest.is_some_and(|newest| newest >= seq) {
            return Err(format!("event {number} at {seq:?} comes after {newest:?} of its lane"));
        }
        let is_before = |(number, other): &(usize, &Entry)| {
            let earlier = other.maker == entry.maker && other.seq.is_some_and(|other| other < seq);
            other.waits() && (earlier || self.has_inherited(entry.maker, *number))
        };
        let mut lane = self.entries.iter().enumerate().filter(|(_, other)| other.topic == entry.topic);
        match lane.find(is_before) {
            Some((other, _)) => Err(format!("event {number} has overtaken {other}")),
            None => Ok(()),
        }
    }

    /// The application was told how it ended; its topic was `closed` once, or not.
    pub(crate) fn ended(
        &self,
        number: usize,
        outcome: &Outcome,
        closed: bool,
    ) -> Result<Option<TopicPosition>, String> {
        let entry = &self.entries[number];
        match outcome {
            Outcome::Published { position } => Ok(Some(*position)),
            Outcome::Rejected(why) if closed && why.code == ErrorCode::TopicClosed => Ok(None),
            Outcome::Rejected(why) if why.code == ErrorCode::EventIdReused && self.is_contested(number) => {
                Ok(None)
            }
            // The handle of one that was replaced hears of the one that has its place.
            Outcome::Rejected(_) if entry.state == State::Replaced => Ok(None),
            outcome => Err(format!("event {number} ended with {outcome:?}: {entry:?}")),
        }
    }

    /// Whether the server may refuse it: its name is another's, or another has it that came first in a later history.
    fn is_contested(&self, number: usize) -> bool {
        let is_twin = |other: &Entry| other.appended && other.twin == Some(number);
        self.entries[number].twin.is_some() || self.entries.iter().any(is_twin)
    }

    /// Whether two are one operation.
    pub(crate) fn share_place(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.entries[one], &self.entries[other]);
        one.place().is_some() && one.place() == other.place()
    }

    /// A client is going to start with storage that is another's or its own of some time ago, and that has these events.
    pub(crate) fn put_back(&mut self, client: usize, held: &BTreeSet<usize>) {
        let maker = self.maker(client);
        for number in 0..self.entries.len() {
            let had = self.entries[number].maker == maker || self.has_inherited(maker, number);
            let share = |one: &usize| *one == number || self.share_place(*one, number);
            let shared = held.iter().any(share);
            let entry = &mut self.entries[number];
            entry.shared |= shared;
            if had && entry.waits() && !held.contains(&number) {
                entry.state = State::Forgotten;
            }
        }
        self.renewed.push((client, held.clone()));
    }

    /// A client has started, and holds these: their places, and which of the events each is.
    pub(crate) fn restarted(
        &mut self,
        client: usize,
        held: &BTreeMap<Seq, usize>,
        stored: &BTreeSet<usize>,
    ) -> Result<(), String> {
        let maker = self.maker(client);
        for (seq, number) in held {
            if self.entries[*number].state == State::Asked {
                self.taken(*number, *seq)?;
            }
        }
        let held: BTreeSet<usize> = held.values().copied().collect();
        if held != *stored {
            return Err(format!("client {client} has {held:?}, and in its storage are {stored:?}"));
        }
        for (number, entry) in self.entries.iter().enumerate() {
            let has = entry.maker == maker || self.has_inherited(maker, number);
            if !has || !entry.waits() || held.contains(&number) {
                continue;
            }
            // One that took its place may be in its topic already, before anybody heard that it was taken.
            let took = |(other, later): (usize, &Entry)| {
                other > number && later.appended && later.key == entry.key && later.topic == entry.topic
            };
            if entry.key.is_none() || !self.entries.iter().enumerate().any(took) {
                return Err(format!("event {number} was taken, and is not there after a restart: {entry:?}"));
            }
        }
        Ok(())
    }

    /// What is true once everything has come to rest.
    pub(crate) fn at_rest(&self) -> Result<(), String> {
        let open = |(_, entry): &(usize, &Entry)| entry.waits();
        let took = |number: usize, entry: &Entry| {
            let after = self.entries.iter().skip(number + 1);
            entry.key.is_some()
                && after.clone().any(|later| {
                    later.appended
                        && later.key == entry.key
                        && later.topic == entry.topic
                        && later.maker == entry.maker
                })
        };
        match self.entries.iter().enumerate().filter(open).find(|(number, entry)| !took(*number, entry)) {
            Some((number, entry)) => Err(format!("event {number} was taken, and is nowhere: {entry:?}")),
            None => Ok(()),
        }
    }
}

/// Which of the events a text is; none if it is somebody else's.
pub(crate) fn number_of(body: &str) -> Option<usize> {
    #[derive(Deserialize)]
    struct Body {
        data: Option<usize>,
    }
    serde_json::from_str::<Body>(body).expect("events are JSON").data
}
