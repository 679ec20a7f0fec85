//! What should be, and whether it is. The first claim that does not hold ends a run.

use std::collections::{BTreeMap, BTreeSet};

use bus_simulation::Trace;
use sdk_core::protocol::{LogEpoch, Outcome, Seq, TopicName, TopicPosition};

use crate::{
    ledger::{Ledger, number_of},
    reader::Mark,
    server::name,
    truth::{Known, Truth},
};

/// The books of a run.
pub(crate) struct Books {
    pub(crate) trace: Trace,
    pub(crate) truth: Truth,
    pub(crate) ledger: Ledger,
    /// The readers, by name.
    pub(crate) marks: BTreeMap<String, Mark>,
    violation: Option<String>,
}

impl Books {
    pub(crate) fn new(trace: Trace, truth: Truth) -> Self {
        let (ledger, marks, violation) = (Ledger::default(), BTreeMap::new(), None);
        Self { trace, truth, ledger, marks, violation }
    }

    /// A claim does not hold. Only the first counts; others may follow from it.
    pub(crate) fn violate(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    /// Holds what was found out.
    pub(crate) fn hold(&mut self, found: Result<(), String>) {
        if let Err(what) = found {
            self.violate(what);
        }
    }

    /// The first claim that did not hold.
    pub(crate) fn violation(&self) -> Option<&String> {
        self.violation.as_ref()
    }

    /// The log says that an event is in its topic, there.
    pub(crate) fn published(&mut self, topic: &TopicName, position: TopicPosition, body: &str, now: u64) {
        let found = self.enter(topic, position, body, now);
        self.hold(found);
    }

    fn enter(
        &mut self,
        topic: &TopicName,
        position: TopicPosition,
        body: &str,
        at: u64,
    ) -> Result<(), String> {
        let topic = topic_of(topic)?;
        let number = number_of(body).ok_or("somebody else has published")?;
        let last = self.truth.last(topic);
        if last.deleted && position.epoch > last.epoch {
            self.truth.begun_for_an_event(topic, position.epoch);
        }
        let era = self.truth.last(topic);
        if let Some(known) = era.before(position).filter(|_| position.epoch == era.epoch) {
            let same = known.body == body;
            return if same { Ok(()) } else { Err(format!("{body} is said to be where {} is", known.body)) };
        }
        if position != era.tail().plus(1) {
            return Err(format!("{body} is at {position} and the topic ends at {}", era.tail()));
        }
        if era.events.iter().any(|known| known.number == Some(number)) {
            return Err(format!("event {number} is there twice"));
        }
        let maker = self.ledger.entries[number].maker();
        let of_maker = |known: &Known| self.ledger.entries[known.number?].order();
        let places = era.events.iter().filter_map(of_maker).filter(|(of, _)| *of == maker);
        let newest = places.map(|(_, seq)| seq).max();
        era.events.push(Known { body: body.to_owned(), at, number: Some(number) });
        self.ledger.appended(number, newest)
    }

    /// An application was told how its event ended.
    pub(crate) fn ended(&mut self, number: usize, outcome: &Outcome) {
        let found = self.check_end(number, outcome);
        self.hold(found);
    }

    fn check_end(&self, number: usize, outcome: &Outcome) -> Result<(), String> {
        let closed = self.was_closed(number);
        let Some(position) = self.ledger.ended(number, outcome, closed)? else { return Ok(()) };
        let topic = self.ledger.entries[number].topic;
        let known = self.truth.era(topic, position.epoch).and_then(|era| era.before(position));
        let is = |there: usize| there == number || self.ledger.share_place(there, number);
        let era = self.truth.era(topic, position.epoch);
        if era.is_some_and(|era| era.had(position, |known| known.number.is_some_and(is))) {
            return Ok(());
        }
        match known.and_then(|known| known.number) {
            Some(there) if is(there) => Ok(()),
            there => Err(format!("event {number} is said to be at {position}, where {there:?} is")),
        }
    }

    /// The application has decided about an event that the server refused.
    pub(crate) fn decided(&mut self, number: usize) {
        let closed = self.was_closed(number);
        let found = self.ledger.decided(number, closed);
        self.hold(found);
    }

    /// Whether the topic of an event was closed once.
    fn was_closed(&self, number: usize) -> bool {
        self.truth.eras(self.ledger.entries[number].topic).iter().any(|era| !era.ends.is_empty())
    }

    /// A client has started with these events in its outbox, as texts, and those in its storage, by number.
    pub(crate) fn restarted(&mut self, client: usize, held: &[(Seq, String)], stored: &BTreeSet<usize>) {
        let held = held.iter().filter_map(|(seq, body)| Some((*seq, number_of(body)?))).collect();
        let found = self.ledger.restarted(client, &held, stored);
        self.hold(found);
    }

    /// The event that has a position.
    pub(crate) fn event(&self, topic: usize, position: TopicPosition) -> Option<&Known> {
        self.truth.era(topic, position.epoch)?.before(position)
    }

    /// Events of a history that may be gone.
    pub(crate) fn gone(&self, topic: usize, epoch: LogEpoch) -> Option<u64> {
        self.truth.era(topic, epoch).map(crate::truth::Era::gone)
    }
}

fn topic_of(topic: &TopicName) -> Result<usize, String> {
    (0..100).find(|number| name(*number) == *topic).ok_or_else(|| format!("nobody knows {topic:?}"))
}
