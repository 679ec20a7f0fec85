//! Applications that read topics, and what each must be given.

use std::sync::Arc;

use futures::StreamExt;
use sdk_core::{
    client::{Delivery, TopicError, TopicEvents},
    protocol::{LogEpoch, Start, TopicName, TopicPosition},
};

use crate::{books::Books, client::Handle, server::name, sim::Sim, truth::Era};

/// Milliseconds that an application does something else, at most, when it has come to the end of a topic.
const AWAY: u64 = 20_000;

/// How a reader remembers where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// The client keeps it.
    Durable,
    /// The application keeps it, and loses nothing.
    Own,
}

/// A reader of one topic.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) topic: usize,
    pub(crate) memory: Memory,
    /// Whether it began with the earliest event there is; otherwise with what was yet to come.
    earliest: bool,
    /// The newest that it was given.
    at: Option<TopicPosition>,
    /// What it is done with.
    done: Option<TopicPosition>,
    /// Since when it waits for the next.
    pub(crate) waits: Option<u64>,
    /// It was told that there will be no next.
    over: bool,
    /// From where it was told to go back.
    back: Option<TopicPosition>,
}

impl Mark {
    pub(crate) fn new(topic: usize, memory: Memory, earliest: bool) -> Self {
        Self { topic, memory, earliest, at: None, done: None, waits: None, over: false, back: None }
    }

    /// Whether it has waited since before a moment, though there were so many events in the history of an epoch.
    pub(crate) fn waits_in_vain(&self, since: u64, epoch: LogEpoch, events: u64) -> bool {
        let is_behind = |at: TopicPosition| at.epoch != epoch || at.offset < events;
        let is_behind = self.at.map_or(self.earliest && events > 0, is_behind);
        is_behind && self.waits.is_some_and(|waits| waits < since)
    }

    /// Whether it has been given what it is to be given of a topic with this end, which is `closed` or not.
    pub(crate) fn is_done(&self, tail: TopicPosition, closed: bool) -> bool {
        let there = self.at.map_or(!self.earliest || tail.offset == 0, |at| at == tail);
        there && (self.over || !closed)
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> Option<TopicPosition> {
        self.at
    }

    fn start(&self) -> Start {
        match (self.memory, self.done, self.earliest) {
            (Memory::Own, Some(done), _) => Start::from(done),
            (.., true) => Start::Earliest {},
            (.., false) => Start::Latest {},
        }
    }
}

impl Books {
    /// A reader is opened, be it for the first time; `stored` is what its client's store has of it, if the process is new.
    fn opened(&mut self, reader: &str, stored: Option<Option<TopicPosition>>) -> Start {
        let mark = self.marks.get_mut(reader).expect("readers are known");
        if let (Memory::Durable, Some(stored)) = (mark.memory, stored) {
            mark.done = stored;
        }
        (mark.at, mark.waits) = (mark.done, None);
        mark.start()
    }

    /// The application asks for the next, and is done with what it had.
    fn done(&mut self, reader: &str, now: u64) {
        let mark = self.marks.get_mut(reader).expect("readers are known");
        (mark.done, mark.waits) = (mark.at, Some(now));
    }

    /// The application was given something.
    fn given(&mut self, reader: &str, delivery: &Delivery) {
        let mark = self.marks.get_mut(reader).expect("readers are known");
        (mark.waits, mark.over) = (None, false);
        let found = match delivery {
            Delivery::Event(event) => self.given_event(reader, event.position, event.data.as_str()),
            Delivery::Gap { position, missed } => self.given_gap(reader, *position, *missed),
        };
        self.hold(found.map_err(|what| format!("reader {reader}: {what}")));
    }

    fn given_event(&mut self, reader: &str, position: TopicPosition, body: &str) -> Result<(), String> {
        let Mark { topic, at, earliest, .. } = self.marks[reader].clone();
        let known = self.event(topic, position).map(|known| known.body.clone());
        let era = self.truth.era(topic, position.epoch);
        let was_there = era.is_some_and(|era| era.had(position, |known| known.body == body));
        if known.as_deref() != Some(body) && !was_there {
            return Err(format!("{body} at {position}, where {known:?} is"));
        }
        let gone = self.gone(topic, position.epoch).unwrap_or_default();
        match at {
            Some(at) if at.plus(1) == position => {}
            None if !earliest || position.offset <= gone + 1 => {}
            at => return Err(format!("the event at {position} comes after {at:?}")),
        }
        self.marks.get_mut(reader).expect("readers are known").at = Some(position);
        Ok(())
    }

    fn given_gap(&mut self, reader: &str, to: TopicPosition, missed: Option<u64>) -> Result<(), String> {
        let Mark { topic, at, .. } = self.marks[reader].clone();
        let gone = self.gone(topic, to.epoch).ok_or_else(|| format!("nobody knows the epoch of {to}"))?;
        // It is told once more if it begins again before its client has stored that it went back.
        let from = at.max(self.marks[reader].back);
        if missed.is_none() && at > Some(to) && from.is_some_and(|from| self.goes_back(topic, from, to)) {
            let mark = self.marks.get_mut(reader).expect("readers are known");
            (mark.at, mark.back) = (Some(to), from);
            return Ok(());
        }
        if to.offset > gone {
            return Err(format!("a gap up to {to}, where {gone} may be gone"));
        }
        match at {
            Some(at) if at.epoch == to.epoch => {
                // Of a topic that has lost its end and has trimmed what came since, nobody knows how much is missing.
                let unknown = missed.is_none()
                    && self.truth.era(topic, at.epoch).is_some_and(|era| era.has_lost(at.offset));
                if to.offset <= at.offset || !(unknown || missed == Some(to.offset - at.offset)) {
                    return Err(format!("a gap from {at} to {to} of {missed:?}"));
                }
            }
            Some(at) if at.epoch > to.epoch || self.truth.is_last(topic, at.epoch) => {
                return Err(format!("a gap from {at} back to {to}"));
            }
            Some(_) | None => {}
        }
        self.marks.get_mut(reader).expect("readers are known").at = Some(to);
        Ok(())
    }

    /// Whether a reader may have to go back from one position to another, within an epoch.
    fn goes_back(&self, topic: usize, from: TopicPosition, to: TopicPosition) -> bool {
        let era = self.truth.era(topic, from.epoch).filter(|era| era.epoch == to.epoch);
        era.is_some_and(|era| era.goes_back(from.offset, to.offset))
    }

    /// The application was told that nothing will come any more.
    fn over(&mut self, reader: &str) {
        let mark = self.marks.get_mut(reader).expect("readers are known");
        (mark.waits, mark.over) = (None, true);
        let Mark { topic, at, earliest, .. } = *mark;
        let ends = |era: &Era| match at {
            Some(at) => at.epoch == era.epoch && era.ends.contains(&at.offset),
            None => !era.ends.is_empty() && (!earliest || era.ends.contains(&0)),
        };
        if !self.truth.eras(topic).iter().any(ends) {
            self.violate(format!("reader {reader} has come to an end at {at:?}"));
        }
    }

    /// The application was told that there is no such topic.
    fn missing(&mut self, reader: &str) {
        let mark = self.marks.get_mut(reader).expect("readers are known");
        mark.waits = None;
        let topic = mark.topic;
        if !self.truth.eras(topic).iter().any(|era| era.deleted) {
            self.violate(format!("reader {reader} is told that there is no topic {topic}"));
        }
    }

    /// A client's store is to have this of a reader.
    pub(crate) fn stored(&mut self, reader: &str, topic: &TopicName, position: TopicPosition) {
        let Some(mark) = self.marks.get(reader).filter(|mark| name(mark.topic) == *topic) else {
            return self.violate(format!("nobody knows the reader {reader} of {topic:?}"));
        };
        // Who begins with what is yet to come stands somewhere before anything has come.
        let beyond = match mark.done {
            // It may be on its way to the store when the reader is told to go back.
            Some(done) => position > done && mark.back.is_none_or(|back| position > back),
            None => mark.earliest && position.offset > 0 && mark.at.is_none_or(|at| position > at),
        };
        if beyond {
            let done = mark.done;
            self.violate(format!("the store has {reader} at {position}, and it is done with {done:?}"));
        }
    }
}

/// The reader of one client that has a name there: copies of a client know theirs by the same.
pub(crate) fn of_client(client: usize, name: &str) -> String {
    format!("{client}-{name}")
}

/// Reads until the process ends; from time to time it ends the subscription and begins another.
pub(crate) async fn run(
    sim: Arc<Sim>,
    client: Handle,
    number: usize,
    name: String,
    stored: Option<TopicPosition>,
    pace: u64,
) {
    let reader = of_client(number, &name);
    let (topic, memory) = {
        let books = sim.books();
        let mark = &books.marks[&reader];
        (client.topic(crate::server::name(mark.topic).as_str()).expect("it is a name"), mark.memory)
    };
    let mut stored = Some(stored);
    loop {
        let start = sim.books().opened(&reader, stored.take());
        let events = match memory {
            Memory::Durable => topic.subscribe_durable(&name, start),
            Memory::Own => topic.subscribe(start),
        };
        let most = if sim.chance(500) { usize::MAX } else { sim.random(|random| random.usize(1..60)) };
        match read(&sim, &reader, events, most, pace).await {
            Left::Enough => {}
            // Who comes back may find that the topic is another one.
            Left::TopicOver => sim.wait(AWAY).await,
            Left::ProcessOver => return,
        }
        sim.note(format_args!("reader {reader} begins once more"));
    }
}

/// Why an application reads no further.
enum Left {
    /// It has read as much as it wanted.
    Enough,
    /// There is no more of the topic.
    TopicOver,
    /// There is no more of anything.
    ProcessOver,
}

/// Takes so many at most.
async fn read<P: sdk_core::driver::Platform>(
    sim: &Sim,
    reader: &str,
    mut events: TopicEvents<P>,
    most: usize,
    pace: u64,
) -> Left {
    for _ in 0..most {
        let now = sim.now();
        sim.books().done(reader, now);
        let next = events.next().await;
        sim.note(format_args!("reader {reader} has {next:?}"));
        match next {
            Some(Ok(delivery)) => sim.books().given(reader, &delivery),
            Some(Err(TopicError::Closed)) => return Left::ProcessOver,
            None => {
                sim.books().over(reader);
                return Left::TopicOver;
            }
            Some(Err(TopicError::Refused(why))) if why.code == "no_such_topic" => {
                sim.books().missing(reader);
                return Left::TopicOver;
            }
            other => {
                sim.violate(format!("reader {reader} ended with {other:?}"));
                return Left::ProcessOver;
            }
        }
        if sim.now() < sim.plan.busy && sim.chance(200) {
            sim.wait(pace).await;
        }
    }
    Left::Enough
}
