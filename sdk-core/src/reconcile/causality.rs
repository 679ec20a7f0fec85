//! What the maker of a write had seen.

use crate::{
    clock::Dot,
    protocol::{ActorId, Base, Burial, Epoch, Stamp},
};

/// Decides which earlier writes a write descends from; it is concurrent with all others.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    base: &'a Base,
    actor: ActorId,
    epoch: &'a Epoch,
}

impl<'a> Seen<'a> {
    pub(super) fn new(base: &'a Base, actor: ActorId, epoch: &'a Epoch) -> Self {
        Self { base, actor, epoch }
    }

    /// Whether the maker knew of the write: made it (the operations of a lane keep their order), had it in the
    /// document's clock, or had read the collection that far.
    pub(super) fn covers(&self, stamp: &Stamp) -> bool {
        self.knows(stamp.by) || self.reaches(stamp)
    }

    /// Whether the maker knew of every deletion.
    pub(super) fn covers_burial(&self, burial: &Burial) -> bool {
        let by_clock = !burial.clock.is_empty() && burial.clock.dots().all(|dot| self.knows(dot));
        self.reaches(&burial.stamp) || by_clock
    }

    /// Whether a write is the maker's own or in the clock it had.
    pub(super) fn knows(&self, dot: Dot) -> bool {
        dot.actor == self.actor || self.base.clock.covers(dot)
    }

    fn reaches(&self, stamp: &Stamp) -> bool {
        self.base.seen.as_ref().is_some_and(|seen| seen.includes(self.epoch, stamp.rev))
    }
}
