//! What the maker of a write had seen.

use super::Write;
use crate::{
    clock::{Dot, Millis},
    protocol::{ActorId, Base, Burial, Contribution, Document, Epoch, MAX_SKEW, Offset, Register, Stamp},
};

/// Decides which earlier writes a write descends from; it is concurrent with all others.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    base: &'a Base,
    actor: ActorId,
    epoch: &'a Epoch,
    horizon: Offset,
    now: Millis,
}

impl<'a> Seen<'a> {
    pub(super) fn of(write: &Write<'a>) -> Self {
        let Write { operation, by, epoch, horizon, now, .. } = *write;
        Self { base: &operation.base, actor: by.actor, epoch, horizon, now }
    }

    /// Whether the maker knew of the write: made it (the operations of a lane keep their order), had it in the
    /// document's clock, or had read the collection that far.
    pub(super) fn covers(&self, stamp: &Stamp) -> bool {
        self.knows(stamp.by) || self.reaches(stamp.rev)
    }

    /// Whether the maker knew of an increment or a member.
    pub(super) fn covers_contribution<T>(&self, contribution: &Contribution<T>) -> bool {
        self.knows(contribution.by) || self.reaches(contribution.rev)
    }

    /// Whether something was counted or put into a set unseen.
    pub(super) fn misses_contributions(&self, register: &Register) -> bool {
        register.increments.iter().any(|increment| !self.covers_contribution(increment))
            || register.members.iter().any(|member| !self.covers_contribution(member))
    }

    /// Whether the maker knew of every deletion.
    pub(super) fn covers_burial(&self, burial: &Burial) -> bool {
        let by_clock = !burial.clock.is_empty() && burial.clock.dots().all(|dot| self.knows(dot));
        self.reaches(burial.stamp.rev) || by_clock
    }

    /// Whether the document was deleted without the maker's knowledge.
    ///
    /// That also holds for a document of which there is nothing here although its maker had it: then it was deleted,
    /// and the tombstone has been pruned since. Who has read up to the horizon of pruning knows of those deletions.
    pub(super) fn misses_deletion(&self, document: &Document) -> bool {
        let pruned = || {
            self.horizon > Offset(0)
                && !document.is_alive()
                && !self.base.clock.is_empty()
                && !self.reaches(self.horizon)
        };
        document.burial.as_ref().map_or_else(pruned, |burial| !self.covers_burial(burial))
    }

    /// Whether a write is the maker's own or in the clock it had.
    pub(super) fn knows(&self, dot: Dot) -> bool {
        dot.actor == self.actor || self.base.clock.covers(dot)
    }

    /// Whether a write stays against one that is there already: it knew of that, or is later.
    pub(super) fn stays(&self, new: &Stamp, there: &Stamp) -> bool {
        self.covers(there) || self.outranks(new, there)
    }

    /// Whether a write is later than one that is there. One from the future was made by a clock that was wrong, and
    /// counts as older than any that is not: it must not win for ever.
    pub(super) fn outranks(&self, new: &Stamp, there: &Stamp) -> bool {
        self.is_from_the_future(there) || new.rank() > there.rank()
    }

    /// Whether a time lies further ahead than clocks may differ.
    pub(super) fn is_from_the_future(&self, stamp: &Stamp) -> bool {
        stamp.at.wall > self.now.plus(MAX_SKEW)
    }

    fn reaches(&self, rev: Offset) -> bool {
        self.base.seen.as_ref().is_some_and(|seen| seen.includes(self.epoch, rev))
    }
}
