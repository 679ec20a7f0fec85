//! Hybrid logical clocks (Kulkarni, Demirbas et al., "Logical Physical Clocks", 2014).

use super::Millis;
use crate::wire::{Bad, Decode, Encode, Reader};

/// A timestamp near wall time that still grows from cause to effect. On the wire: `[millis, counter]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc {
    /// Unix milliseconds, of the newest wall clock this timestamp has heard of.
    pub wall: Millis,
    /// Tells apart events within one millisecond, and while a wall clock lags.
    pub counter: u32,
}

impl Hlc {
    /// The smallest timestamp later than this one.
    pub fn successor(self) -> Self {
        self.later(1)
    }

    fn later(self, steps: u32) -> Self {
        match self.counter.checked_add(steps) {
            Some(counter) => Self { counter, ..self },
            None => Self { wall: self.wall.plus(1), counter: 0 },
        }
    }
}

impl From<(Millis, u32)> for Hlc {
    fn from((wall, counter): (Millis, u32)) -> Self {
        Self { wall, counter }
    }
}

impl From<Hlc> for (Millis, u32) {
    fn from(at: Hlc) -> Self {
        (at.wall, at.counter)
    }
}

impl Encode for Hlc {
    fn write(&self, out: &mut String) {
        <(Millis, u32)>::from(*self).write(out);
    }
}

impl Decode for Hlc {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        <(Millis, u32)>::read(reader).map(Self::from)
    }
}

/// Hands out timestamps, each later than all it handed out or heard of.
#[derive(Debug, Clone, Copy, Default)]
pub struct HybridClock {
    newest: Hlc,
    steps: u32,
}

impl HybridClock {
    /// A clock that goes on after `newest`, and after each later timestamp that it hears of, by so many `steps`: where
    /// those are chance, copies of a clock that a wall clock lags behind do not hand out the same timestamps.
    pub fn resume(newest: Hlc, steps: u32) -> Self {
        Self { newest: newest.later(steps), steps }
    }

    /// The newest timestamp handed out or heard of.
    pub fn newest(&self) -> Hlc {
        self.newest
    }

    /// A timestamp for an event that happens now.
    pub fn tick(&mut self, wall: Millis) -> Hlc {
        let now = Hlc { wall, counter: 0 };
        self.newest = if now > self.newest { now } else { self.newest.successor() };
        self.newest
    }

    /// Hears of a timestamp made elsewhere: later events of this clock are later than it, too. One
    /// that lies further than `skew` milliseconds ahead of `wall` is not believed.
    pub fn observe(&mut self, at: Hlc, wall: Millis, skew: u64) {
        if at.wall <= wall.plus(skew) && at > self.newest {
            self.newest = at.later(self.steps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_grow_while_the_wall_clock_stands_still_or_steps_back() {
        let mut clock = HybridClock::default();
        let stamps = [100, 100, 40, 100, 101].map(|wall| clock.tick(Millis(wall)));
        assert!(stamps.is_sorted_by(|a, b| a < b), "{stamps:?}");
        assert_eq!(stamps[4], Hlc { wall: Millis(101), counter: 0 });
    }

    #[test]
    fn an_effect_is_later_than_its_cause() {
        let mut clock = HybridClock::default();
        let heard = Hlc { wall: Millis(500), counter: 7 };
        clock.observe(heard, Millis(450), 60);
        assert!(clock.tick(Millis(451)) > heard);
    }

    #[test]
    fn a_timestamp_from_the_far_future_is_not_believed() {
        let mut clock = HybridClock::default();
        clock.observe(Hlc { wall: Millis(9_000), counter: 0 }, Millis(100), 60);
        assert_eq!(clock.tick(Millis(101)).wall, Millis(101));
    }

    #[test]
    fn copies_of_a_clock_that_runs_ahead_go_apart() {
        let newest = Hlc { wall: Millis(9_000), counter: u32::MAX - 7 };
        let mut stamps: Vec<Hlc> =
            [3, 5, 9].map(|steps| HybridClock::resume(newest, steps).tick(Millis(1))).into();
        assert!(stamps.iter().all(|stamp| *stamp > newest), "{stamps:?}");
        stamps.dedup();
        assert_eq!(stamps.len(), 3);
    }

    #[test]
    fn copies_of_a_clock_that_hear_of_one_timestamp_go_apart() {
        let heard = Hlc { wall: Millis(9_000), counter: 1 };
        let made = [3, 5].map(|steps| {
            let mut clock = HybridClock::resume(Hlc::default(), steps);
            clock.observe(heard, Millis(8_999), 60);
            clock.tick(Millis(8_999))
        });
        assert!(made.iter().all(|stamp| *stamp > heard) && made[0] != made[1], "{made:?}");
    }

    #[test]
    fn the_counter_carries_into_the_wall_part() {
        let full = Hlc { wall: Millis(5), counter: u32::MAX };
        assert!(full.successor() > full);
    }
}
