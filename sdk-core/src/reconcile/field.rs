//! One field of a document: its value, and what was counted or put into its set since.

use super::{causality::Seen, effect::Change};
use crate::protocol::{Contribution, Json, Register, Stamp};

/// Increments, and members likewise, that a field keeps apart. Beyond that the oldest become part of the value, as if
/// they had been there when it was assigned: an assignment that comes later covers them, whether or not its maker
/// had seen them.
pub(super) const MAX_CONTRIBUTIONS: usize = 32;

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The field shows it.
    Shows,
    /// A later value stays, or one that it does not fit.
    Lost,
}

/// Who wins where two assignments of one field are concurrent and have different values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    /// The later one.
    Time,
    /// The new one: whoever applies it has been asked, or shows what it would look like.
    Mine,
}

/// Applies the change to the field.
pub(super) fn change(
    register: &mut Register,
    change: Change,
    stamp: Stamp,
    seen: &Seen<'_>,
    tie: Tie,
) -> Fate {
    if let Some(value) = change.assigns {
        return assign(register, value, stamp, seen, tie);
    }
    if let Some(what) = change.increment {
        let new = Contribution { by: stamp.by, rev: stamp.rev, what };
        let at = register.increments.partition_point(|there| there.by < new.by);
        register.increments.insert(at, new);
        fold_increments(register);
        return if register.shows_increments() { Fate::Shows } else { Fate::Lost };
    }
    let adds = change.members.iter().any(|(_, present)| *present);
    for (member, present) in change.members {
        register.members.retain(|there| there.what != member || !seen.covers_contribution(there));
        if present {
            let new = Contribution { by: stamp.by, rev: stamp.rev, what: member };
            let rank =
                |there: &Contribution<Json>| (there.what.as_str(), there.by) < (new.what.as_str(), new.by);
            let at = register.members.partition_point(rank);
            register.members.insert(at, new);
        } else if register.stamp.is_none_or(|stamp| seen.covers(&stamp)) {
            take_out(register, &member);
        }
    }
    fold_members(register);
    if !adds || register.shows_members() { Fate::Shows } else { Fate::Lost }
}

/// Takes away what the writer of a whole document knew of and did not name. Where time decides the stamp stays: this
/// is no write of the field, so a concurrent write of it stands whenever it would have stood without this one. Where
/// somebody is asked it is one, so that the concurrent write is seen to collide.
pub(super) fn leave_out(register: &mut Register, stamp: Stamp, seen: &Seen<'_>, tie: Tie) {
    // What was counted or added unseen is not taken away, and that alone makes no collision.
    let takes = register.value.is_some()
        || register.increments.iter().any(|increment| seen.covers_contribution(increment))
        || register.members.iter().any(|member| seen.covers_contribution(member));
    // Of two that leave it out and do not know of one another the later has done so, in whichever order they come.
    let gone = register.value.is_none() && register.stamp.is_some_and(|stamp| !seen.covers(&stamp));
    if tie == Tie::Mine && (takes || gone) {
        assign(register, None, stamp, seen, tie);
        return;
    }
    cover(register, seen);
    if register.stamp.is_none_or(|stamp| seen.covers(&stamp)) {
        register.value = None;
    }
}

/// Whether nothing is left that could matter to a later write.
pub(super) fn is_void(register: &Register) -> bool {
    *register == Register::default()
}

fn assign(register: &mut Register, value: Option<Json>, stamp: Stamp, seen: &Seen<'_>, tie: Tie) -> Fate {
    // Also an assignment that loses says what the field was for its maker.
    cover(register, seen);
    let Some(there) = register.stamp else {
        (register.value, register.stamp) = (value, Some(stamp));
        return Fate::Shows;
    };
    let differs = register.value != value;
    if seen.covers(&there) || seen.outranks(&stamp, &there) || (tie == Tie::Mine && differs) {
        (register.value, register.stamp) = (value, Some(stamp));
        return Fate::Shows;
    }
    if tie == Tie::Mine { Fate::Shows } else { Fate::Lost }
}

/// An assignment counts anew: what its maker knew of is in it.
fn cover(register: &mut Register, seen: &Seen<'_>) {
    register.increments.retain(|increment| !seen.covers_contribution(increment));
    register.members.retain(|member| !seen.covers_contribution(member));
}

fn take_out(register: &mut Register, member: &Json) {
    let Some(mut all) = register.value.as_ref().and_then(Json::as_array) else { return };
    let before = all.len();
    all.retain(|other| other != member);
    if all.len() < before {
        register.value = Some(Json::array(&all));
    }
}

fn fold_increments(register: &mut Register) {
    while register.increments.len() > MAX_CONTRIBUTIONS {
        let Some(oldest) = oldest(&register.increments) else { return };
        let amount = register.increments.remove(oldest).what;
        if let Some(before) = register.value.as_ref().map_or(Some(0), Json::as_integer) {
            register.value = Some(Json::integer(before.saturating_add(amount)));
        }
    }
}

fn fold_members(register: &mut Register) {
    while register.members.len() > MAX_CONTRIBUTIONS {
        let Some(oldest) = oldest(&register.members) else { return };
        let member = register.members.remove(oldest).what;
        if let Some(mut all) = register.value.as_ref().map_or(Some(Vec::new()), Json::as_array) {
            if !all.contains(&member) {
                all.push(member);
            }
            register.value = Some(Json::array(&all));
        }
    }
}

fn oldest<T>(contributions: &[Contribution<T>]) -> Option<usize> {
    (0..contributions.len()).min_by_key(|index| (contributions[*index].rev, contributions[*index].by))
}
