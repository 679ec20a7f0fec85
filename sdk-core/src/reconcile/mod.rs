//! Conflict detection and resolution: the same code judges on the server and predicts on the client.
//!
//! Whether two writes conflict at all is decided by what the later one's maker had seen (`Seen`): vector clock,
//! position, and its own earlier operations. Increments and members of sets commute with all but the assignments that
//! saw them. Only between truly concurrent assignments does the collection's [`Strategy`] act: hybrid timestamps
//! break the tie, or, where collisions are conflicts, [`collisions`] finds them and a [`Resolver`] decides.
//!
//! For concurrent operations the order of arrival does not matter: the state that remains is the same (the
//! tests permute histories). What arrives after a deletion that its maker had not seen is superseded; an
//! edit whose maker had seen the deletion brings the document back.

mod causality;
mod conflict;
mod effect;
mod field;
mod strategy;
#[cfg(test)]
mod tests;
mod validate;

pub use conflict::{Clash, Conflict, Resolution, Resolver, collisions};
pub use validate::{overflow, oversize, validate};

use crate::{
    clock::{Dot, Millis, VectorClock},
    protocol::{
        Burial, Choice, Document, Epoch, MAX_SKEW, Offset, Operation, Outcome, Register, Resolves, Stamp,
        Strategy,
    },
};
use causality::Seen;
use effect::Effect;

/// An operation about to be applied.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The operation, already [validated](validate()).
    pub operation: &'a Operation,
    /// Its name in vector clocks.
    pub by: Dot,
    /// The epoch of its collection.
    pub epoch: &'a Epoch,
    /// The revision that the document gets.
    pub rev: Offset,
    /// Unix time of whoever applies it. An operation from further ahead than
    /// [`MAX_SKEW`] counts as made now, so that a wrong clock cannot win for ever.
    pub now: Millis,
    /// How far the tombstones of its collection were pruned; 0 if they never were, and on clients.
    pub horizon: Offset,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The document afterwards.
    pub document: Document,
    /// Accepted, merged or superseded.
    pub outcome: Outcome,
}

/// Applies a write to a document. Pure: equal arguments give equal results, on every machine.
///
/// Where collisions are conflicts the write stays over what it collides with, which is what its maker sees until
/// somebody has decided; a server looks for [`collisions`] first.
pub fn apply(strategy: Strategy, document: &Document, write: &Write<'_>) -> Applied {
    let seen = Seen::of(write);
    let stamp = stamp(document, write, &seen);
    let effect = Effect::of_operation(strategy, write.operation);

    let mut document = document.clone();
    document.rev = write.rev;
    let outcome = if yields(write.operation) {
        Outcome::Superseded {}
    } else if effect.deletes {
        bury(&mut document, stamp, &seen);
        Outcome::Accepted {}
    } else if !strategy.has_conflicts() && seen.misses_deletion(&document) {
        Outcome::Superseded {}
    } else {
        strategy::write(strategy, &mut document, effect, stamp, &seen)
    };
    record(&mut document, write.by);
    Applied { document, outcome }
}

/// Whether the operation leaves the document to others.
fn yields(operation: &Operation) -> bool {
    matches!(operation.resolves, Some(Resolves { choice: Choice::Theirs, .. }))
}

/// The write's timestamp: not from the far future, and later than all it had seen in the document.
fn stamp(document: &Document, write: &Write<'_>, seen: &Seen<'_>) -> Stamp {
    let claimed = write.operation.at;
    let mut at = if claimed.wall > write.now.plus(MAX_SKEW) { (write.now, 0).into() } else { claimed };
    let stamps = document.fields.values().filter_map(|register| register.stamp.as_ref());
    let stamps = stamps.chain(&document.written).chain(document.burial.as_ref().map(|burial| &burial.stamp));
    for earlier in stamps.filter(|earlier| seen.covers(earlier) && !seen.is_from_the_future(earlier)) {
        // Happens only where a client's clock went back or was corrected.
        if at <= earlier.at {
            at = earlier.at.successor();
        }
    }
    Stamp { at, by: write.by, rev: write.rev }
}

fn bury(document: &mut Document, stamp: Stamp, seen: &Seen<'_>) {
    document.fields.clear();
    document.written = None;
    let burial = document.burial.get_or_insert_with(|| Burial { stamp, clock: VectorClock::default() });
    // A deletion stands for those its maker knew of. Otherwise whoever knew one by position only, and then deleted
    // again, would not be taken to know them all.
    let all_known = seen.covers_burial(burial);
    burial.clock.retain(|dot| !all_known && !seen.knows(dot));
    if seen.outranks(&stamp, &burial.stamp) {
        burial.stamp = stamp;
    }
    burial.stamp.rev = stamp.rev;
    if burial.clock.record(stamp.by).is_err() {
        // An empty clock is covered by nobody: from here on only a position tells who has seen the deletions.
        burial.clock = VectorClock::default();
    }
}

/// Makes the write known to the document's clock. A full clock first forgets writers of whom nothing is left
/// in the document, then the one with the smallest id; whoever saw them is recognised by position.
fn record(document: &mut Document, by: Dot) {
    if document.clock.record(by).is_ok() {
        return;
    }
    let Document { clock, fields, written, .. } = document;
    let of_field = |register: &Register, dot: Dot| {
        let assigned = register.stamp.iter().map(|stamp| stamp.by);
        let counted = register.increments.iter().map(|increment| increment.by);
        let added = register.members.iter().map(|member| member.by);
        assigned.chain(counted).chain(added).any(|by| by.actor == dot.actor)
    };
    let left = |dot: Dot| {
        written.is_some_and(|stamp| stamp.by.actor == dot.actor)
            || fields.values().any(|register| of_field(register, dot))
    };
    clock.retain(left);
    if clock.record(by).is_err() {
        let smallest = clock.dots().next();
        clock.retain(|dot| Some(dot) != smallest);
        // One writer has just left.
        let _ = clock.record(by);
    }
}
