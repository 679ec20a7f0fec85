//! How topics are read while the WebSocket does not work: the best way that gets through.

use super::backoff::Backoff;
use crate::clock::Millis;

/// Milliseconds before a better way is tried again, after the first time that it failed; twice that after each further.
const CLIMB: u64 = 60_000;
/// How often that doubles.
const DOUBLES: u32 = 4;

/// A way to read, the best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// Requests that are answered at once, again and again.
    Get,
    /// Requests that wait for something to happen.
    LongPoll,
    /// One request whose answer goes on for as long as something happens.
    Sse,
}

/// Where on the ladder reading is.
///
/// What waits may be cut by a proxy that has no patience, while what is answered at once gets through. So a request that
/// waited in vain makes way for the next rung at once; only what fails on the lowest one has to wait.
#[derive(Debug)]
pub struct Ladder {
    rung: Rung,
    falls: u32,
    climb: Millis,
    backoff: Backoff,
    next: Millis,
}

/// At its top.
impl Default for Ladder {
    fn default() -> Self {
        let zero = Millis::default();
        Self { rung: Rung::Sse, falls: 0, climb: zero, backoff: Backoff::new(1_000, 30_000), next: zero }
    }
}

impl Ladder {
    /// How to read now.
    pub fn rung(&mut self, now: Millis) -> Rung {
        if self.climb <= now {
            self.rung = Rung::Sse;
        }
        self.rung
    }

    /// When the next request may start.
    pub fn next(&self) -> Millis {
        self.next
    }

    /// A request was answered.
    pub fn delivered(&mut self, rung: Rung) {
        self.backoff.reset();
        if rung == Rung::Sse {
            self.falls = 0;
        }
    }

    /// A request was not answered, or refused for a while: the next is at least `least` milliseconds away.
    pub fn failed(&mut self, now: Millis, rung: Rung, least: u64, random: &mut fastrand::Rng) {
        let below = match rung {
            Rung::Sse => Rung::LongPoll,
            Rung::LongPoll | Rung::Get => Rung::Get,
        };
        if rung == Rung::Get || least > 0 {
            self.next = self.backoff.fail(now, least, random);
        } else if rung == self.rung {
            self.rung = below;
            self.climb = now.plus(CLIMB << self.falls.min(DOUBLES));
            self.falls = self.falls.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_in_vain_makes_way_at_once_and_is_tried_again_later_and_later() {
        let (mut ladder, mut random) = (Ladder::default(), fastrand::Rng::with_seed(1));
        let mut now = Millis(5);
        for wait in [2, 8, 16, 16].map(|times| times * CLIMB) {
            for rung in [Rung::Sse, Rung::LongPoll] {
                assert_eq!(ladder.rung(now), rung);
                ladder.failed(now, rung, 0, &mut random);
                assert_eq!(ladder.next(), Millis(0));
            }
            ladder.delivered(Rung::Get);
            assert_eq!(ladder.rung(now.plus(wait - 1)), Rung::Get);
            now = now.plus(wait);
        }
        assert_eq!(ladder.rung(now), Rung::Sse);
        ladder.delivered(Rung::Sse);
        ladder.failed(now, Rung::Sse, 0, &mut random);
        assert_eq!(ladder.rung(now.plus(CLIMB - 1)), Rung::LongPoll);
        assert_eq!(ladder.rung(now.plus(CLIMB)), Rung::Sse);
    }

    #[test]
    fn what_is_refused_for_a_while_or_fails_on_the_lowest_rung_waits() {
        let (mut ladder, mut random) = (Ladder::default(), fastrand::Rng::with_seed(1));
        ladder.failed(Millis(0), Rung::Sse, 700, &mut random);
        assert!(ladder.next() >= Millis(700) && ladder.rung(Millis(0)) == Rung::Sse);
        let mut most = Millis(0);
        for _ in 0..20 {
            ladder.failed(Millis(0), Rung::Get, 0, &mut random);
            most = most.max(ladder.next());
        }
        assert!(most > Millis(15_000) && most <= Millis(30_000));
        ladder.delivered(Rung::Get);
        ladder.failed(Millis(0), Rung::Get, 0, &mut random);
        assert!(ladder.next() <= Millis(1_000));
    }
}
