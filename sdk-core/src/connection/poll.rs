//! Plain HTTP in place of the WebSocket: one request at a time.

use super::backoff::Backoff;
use crate::clock::Millis;

/// Milliseconds after which a request counts as lost, whatever its transport says.
const PATIENCE: u64 = 30_000;

/// The state of the HTTP fallback.
#[derive(Debug)]
pub struct Poll {
    interval: u64,
    backoff: Backoff,
    in_flight: Option<Millis>,
    next: Millis,
    works: bool,
}

impl Poll {
    /// Asks every `interval` milliseconds while there is nothing to send.
    pub fn new(interval: u64) -> Self {
        let next = Millis::default();
        Self { interval, backoff: Backoff::new(1_000, 30_000), in_flight: None, next, works: false }
    }

    /// Whether the last request was answered.
    pub fn works(&self) -> bool {
        self.works
    }

    /// Whether a request may start now. What is waiting to be sent need not wait for the interval, unless
    /// requests fail.
    pub fn is_due(&self, now: Millis, urgent: bool) -> bool {
        self.in_flight.is_none() && (self.next <= now || (urgent && self.backoff.failures() == 0))
    }

    /// Whether one is under way.
    pub fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// One has started.
    pub fn started(&mut self, now: Millis) {
        self.in_flight = Some(now);
    }

    /// It was answered. With `again`, the next may follow at once.
    pub fn succeeded(&mut self, now: Millis, again: bool) {
        self.backoff.reset();
        self.in_flight = None;
        self.works = true;
        self.next = if again { now } else { now.plus(self.interval) };
    }

    /// It was not, or refused. The next try is at least `least` milliseconds away.
    pub fn failed(&mut self, now: Millis, least: u64, works: bool, random: &mut fastrand::Rng) {
        self.in_flight = None;
        self.works = works;
        self.next = self.backoff.fail(now, least, random);
    }

    /// The WebSocket works; nothing is polled any more.
    pub fn stop(&mut self) {
        *self = Self::new(self.interval);
    }

    /// Something hints that a try may succeed now.
    pub fn hurry(&mut self, now: Millis) {
        self.next = now.min(self.next);
    }

    /// Whether the request under way has to be given up.
    pub fn is_lost(&self, now: Millis) -> bool {
        self.in_flight.is_some_and(|since| since.plus(PATIENCE) <= now)
    }

    /// When something is to be done.
    pub fn timeout(&self) -> Millis {
        self.in_flight.map_or(self.next, |since| since.plus(PATIENCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_does_not_wait_for_the_interval_unless_requests_fail() {
        let mut poll = Poll::new(3_000);
        poll.started(Millis(0));
        assert!(!poll.is_due(Millis(10), true), "one at a time");
        poll.succeeded(Millis(10), false);
        assert!(poll.is_due(Millis(20), true) && !poll.is_due(Millis(20), false));
        poll.failed(Millis(20), 500, false, &mut fastrand::Rng::with_seed(1));
        assert!(!poll.is_due(Millis(519), true));
    }

    #[test]
    fn a_request_that_never_ends_is_given_up() {
        let mut poll = Poll::new(3_000);
        poll.started(Millis(5));
        assert!(!poll.is_lost(Millis(30_000)) && poll.is_lost(Millis(30_005)));
        assert_eq!(poll.timeout(), Millis(30_005));
    }
}
