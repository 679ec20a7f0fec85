//! Vector clocks with dots (Preguiça et al., "Dotted Version Vectors", 2010), bounded.

use crate::protocol::{ActorId, Seq};
use crate::sorted::SortedMap;
use crate::wire::{Bad, Decode, Encode, Reader};

/// Writers that one clock can hold.
pub const MAX_ACTORS: usize = 64;

/// One write: who made it, and its place among that writer's operations. On the wire: `[actor, seq]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// The writer.
    pub actor: ActorId,
    /// The operation.
    pub seq: Seq,
}

impl From<(ActorId, Seq)> for Dot {
    fn from((actor, seq): (ActorId, Seq)) -> Self {
        Self { actor, seq }
    }
}

impl From<Dot> for (ActorId, Seq) {
    fn from(dot: Dot) -> Self {
        (dot.actor, dot.seq)
    }
}

impl Encode for Dot {
    fn write(&self, out: &mut String) {
        <(ActorId, Seq)>::from(*self).write(out);
    }
}

impl Decode for Dot {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        <(ActorId, Seq)>::read(reader).map(Self::from)
    }
}

/// The clock holds [`MAX_ACTORS`] writers already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("vector clock holds {MAX_ACTORS} writers already")]
pub struct ClockFull;

/// For each writer the newest of its operations that is known. Holds at most [`MAX_ACTORS`]; a longer
/// one is refused when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VectorClock(SortedMap<ActorId, Seq>);

impl VectorClock {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the write is known.
    pub fn covers(&self, dot: Dot) -> bool {
        self.0.get(&dot.actor).is_some_and(|seq| *seq >= dot.seq)
    }

    /// Whether everything that `other` knows is known here, too.
    pub fn descends(&self, other: &Self) -> bool {
        other.dots().all(|dot| self.covers(dot))
    }

    /// Makes the write known.
    ///
    /// # Errors
    /// [`ClockFull`] if its writer is new and there is no room; the clock is unchanged.
    pub fn record(&mut self, dot: Dot) -> Result<(), ClockFull> {
        if self.0.len() >= MAX_ACTORS && !self.0.contains_key(&dot.actor) {
            return Err(ClockFull);
        }
        let known = self.0.get_or_insert_with(dot.actor, Default::default);
        *known = dot.seq.max(*known);
        Ok(())
    }

    /// Forgets the writers that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(Dot) -> bool) {
        self.0.retain(|actor, seq| keep(Dot { actor: *actor, seq: *seq }));
    }

    /// The newest known write of each writer, by writer.
    pub fn dots(&self) -> impl Iterator<Item = Dot> + '_ {
        self.0.iter().map(|(actor, seq)| Dot { actor: *actor, seq: *seq })
    }
}

impl Encode for VectorClock {
    fn write(&self, out: &mut String) {
        self.0.write(out);
    }
}

impl Decode for VectorClock {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let entries = SortedMap::read(reader)?;
        if entries.len() > MAX_ACTORS {
            Err(reader.bad("a vector clock holds too many writers"))
        } else {
            Ok(Self(entries))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(entries: &[(u32, u64)]) -> VectorClock {
        let mut clock = VectorClock::default();
        for (actor, seq) in entries {
            clock.record(Dot { actor: ActorId(*actor), seq: Seq(*seq) }).unwrap();
        }
        clock
    }

    #[test]
    fn two_clocks_that_each_know_more_are_concurrent() {
        let (left, right) = (clock(&[(1, 2)]), clock(&[(1, 1), (2, 1)]));
        assert!(!left.descends(&right) && !right.descends(&left));
        assert!(clock(&[(1, 2), (2, 1)]).descends(&left));
    }

    #[test]
    fn an_older_write_of_a_known_writer_takes_nothing_back() {
        let mut seen = clock(&[(1, 5)]);
        seen.record(Dot { actor: ActorId(1), seq: Seq(3) }).unwrap();
        assert_eq!(seen, clock(&[(1, 5)]));
    }

    #[test]
    fn a_full_clock_refuses_a_new_writer_and_keeps_the_old() {
        let mut full = clock(&(0..MAX_ACTORS as u32).map(|actor| (actor, 1)).collect::<Vec<_>>());
        assert_eq!(full.record(Dot { actor: ActorId(9_999), seq: Seq(1) }), Err(ClockFull));
        assert_eq!(full.record(Dot { actor: ActorId(3), seq: Seq(9) }), Ok(()));
        let text = format!("{{{}}}", (0..65).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(","));
        assert!(crate::wire::decode::<VectorClock>(&text).is_err());
    }
}
