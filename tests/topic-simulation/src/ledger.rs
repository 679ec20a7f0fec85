//! What the clients published, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::protocol::{Outcome, Seq, TopicPosition};
use serde::Deserialize;

/// An event that an application published.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) client: usize,
    pub(crate) topic: usize,
    /// By which a later one may take its place.
    key: Option<u8>,
    /// Its source and id are another's.
    twin: Option<usize>,
    state: State,
    /// Its place among the client's operations, once known.
    seq: Option<Seq>,
    /// It has been in its topic, be it in an earlier history.
    appended: bool,
}

impl Entry {
    /// Its place among the client's operations, once known.
    pub(crate) fn seq(&self) -> Option<Seq> {
        self.seq
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
}

/// The events of all clients, by number.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) entries: Vec<Entry>,
    /// Clients of which a commit was said to have failed and was written, and which crashed before they could mend that:
    /// what was refused then may be there all the same.
    pub(crate) haunted: BTreeSet<usize>,
}

impl Ledger {
    /// An application is going to publish an event; returns its number.
    pub(crate) fn ask(&mut self, client: usize, topic: usize, key: Option<u8>, twin: Option<usize>) -> usize {
        let (state, seq, appended) = (State::Asked, None, false);
        self.entries.push(Entry { client, topic, key, twin, state, seq, appended });
        self.entries.len() - 1
    }

    /// An event that has been in a topic.
    pub(crate) fn appended_of(&self, topic: usize) -> Option<usize> {
        let there = |entry: &Entry| entry.topic == topic && entry.appended && entry.twin.is_none();
        self.entries.iter().rposition(there)
    }

    /// The client has taken it.
    pub(crate) fn taken(&mut self, number: usize, seq: Seq) -> Result<(), String> {
        let Entry { client, topic, key, .. } = self.entries[number];
        let mut same = self.entries.iter().enumerate().filter(|(other, entry)| {
            *other != number
                && entry.client == client
                && entry.seq == Some(seq)
                && entry.state == State::Taken
        });
        if let Some((other, before)) = same.next() {
            if before.topic != topic || key.is_none() || before.key != key {
                return Err(format!("event {number} took the place of {other}, which nobody asked for"));
            }
            if before.appended {
                return Err(format!("event {number} took the place of {other}, which was sent"));
            }
            self.entries[other].state = State::Replaced;
        }
        let entry = &mut self.entries[number];
        (entry.state, entry.seq) = (State::Taken, Some(seq));
        Ok(())
    }

    /// One that was refused by the server is mended: another event has its place.
    pub(crate) fn mended(&mut self, before: usize, number: usize, seq: Seq) {
        self.entries[before].state = State::Decided;
        let entry = &mut self.entries[number];
        (entry.state, entry.seq) = (State::Taken, Some(seq));
    }

    /// The client did not take it.
    pub(crate) fn refused(&mut self, number: usize) {
        self.entries[number].state = State::Refused;
    }

    /// The application has decided about one that the server refused.
    pub(crate) fn decided(&mut self, number: usize) -> Result<(), String> {
        if !self.is_contested(number) {
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
            State::Refused if !haunted => return Err(format!("event {number} was not taken and is there")),
            State::Replaced => return Err(format!("event {number} was replaced and is there")),
            State::Asked | State::Taken | State::Refused | State::Decided => {}
        }
        self.entries[number].appended = true;
        let Some(seq) = entry.seq else { return Ok(()) };
        if newest.is_some_and(|newest| newest >= seq) {
            return Err(format!("event {number} at {seq:?} comes after {newest:?} of its lane"));
        }
        let lane = |other: &Entry| other.client == entry.client && other.topic == entry.topic;
        let waits = |other: &Entry| other.state == State::Taken && !other.appended;
        let mut before = self.entries.iter().enumerate().filter(|(_, other)| lane(other) && waits(other));
        match before.find(|(_, other)| other.seq.is_some_and(|other| other < seq)) {
            Some((other, _)) => Err(format!("event {number} has overtaken {other}")),
            None => Ok(()),
        }
    }

    /// The application was told how it ended.
    pub(crate) fn ended(&self, number: usize, outcome: &Outcome) -> Result<Option<TopicPosition>, String> {
        let entry = &self.entries[number];
        match outcome {
            Outcome::Published { position } => Ok(Some(*position)),
            Outcome::Rejected(_) if self.is_contested(number) => Ok(None),
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
        one.client == other.client && one.seq.is_some() && one.seq == other.seq
    }

    /// A client has started, and holds these: their places, and which of the events each is.
    pub(crate) fn restarted(&mut self, client: usize, held: &BTreeMap<Seq, usize>) -> Result<(), String> {
        for (seq, number) in held {
            if self.entries[*number].state == State::Asked {
                self.taken(*number, *seq)?;
            }
        }
        let held: BTreeSet<usize> = held.values().copied().collect();
        for (number, entry) in self.entries.iter().enumerate() {
            if entry.client != client
                || entry.state != State::Taken
                || entry.appended
                || held.contains(&number)
            {
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
        let open = |(_, entry): &(usize, &Entry)| entry.state == State::Taken && !entry.appended;
        let took = |number: usize, entry: &Entry| {
            let after = self.entries.iter().skip(number + 1);
            entry.key.is_some()
                && after.clone().any(|later| {
                    later.appended
                        && later.key == entry.key
                        && later.topic == entry.topic
                        && later.client == entry.client
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
