//! What is going to happen, and when. Of two things at one time the one that was planned first happens first.

use std::collections::BTreeMap;

/// Simulated milliseconds since the run began.
pub(crate) type Time = u64;

/// Future events in the order in which they happen.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    now: Time,
    planned: u64,
    entries: BTreeMap<(Time, u64), E>,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self { now: 0, planned: 0, entries: BTreeMap::new() }
    }
}

impl<E> Agenda<E> {
    /// The simulated time.
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// Plans an event for a time, or for now if that is past.
    pub(crate) fn at(&mut self, time: Time, event: E) {
        self.planned += 1;
        self.entries.insert((time.max(self.now), self.planned), event);
    }

    /// Plans an event for later.
    pub(crate) fn after(&mut self, delay: u64, event: E) {
        self.at(self.now + delay, event);
    }

    /// Goes to the next event.
    pub(crate) fn next(&mut self) -> Option<E> {
        let ((time, _), event) = self.entries.pop_first()?;
        self.now = time;
        Some(event)
    }
}
