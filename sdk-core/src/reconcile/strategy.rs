//! The built-in strategies. Each is commutative, associative and idempotent for concurrent writes that do not collide,
//! and all but those that ask also for those that do.

use super::{
    causality::Seen,
    effect::Effect,
    field::{self, Fate, Tie},
};
use crate::protocol::{Document, Outcome, Register, Stamp, Strategy};

/// Writes to a document that no unseen deletion stands against.
pub(super) fn write(
    strategy: Strategy,
    document: &mut Document,
    effect: Effect<'_>,
    stamp: Stamp,
    seen: &Seen<'_>,
) -> Outcome {
    match strategy {
        Strategy::FieldLevel => by_field(document, effect, stamp, seen, Tie::Time),
        Strategy::Merge | Strategy::Manual => by_field(document, effect, stamp, seen, Tie::Mine),
        Strategy::LastWriteWins => last_write_wins(document, effect, stamp, seen),
    }
}

/// Each field is a register of its own.
fn by_field(document: &mut Document, effect: Effect<'_>, stamp: Stamp, seen: &Seen<'_>, tie: Tie) -> Outcome {
    for (name, register) in document.fields.iter_mut() {
        if effect.leaves_out(name) {
            field::leave_out(register, stamp, seen, tie);
        }
    }
    let named = effect.fields.len();
    let (mut lost, mut contributes) = (Vec::new(), false);
    for (name, change) in effect.fields {
        contributes |= change.assigns.is_none();
        let register = document.fields.get_or_insert_with(name.clone(), Register::default);
        if field::change(register, change, stamp, seen, tie) == Fate::Lost {
            lost.push(name);
        }
    }
    document.fields.retain(|_, register| !field::is_void(register));
    let superseded = named > 0 && lost.len() == named && !effect.replaces;
    // What was counted or added remains and may show later, so it is a write of the document even if it does not now.
    if !superseded || contributes {
        document.written = Some(newest(document.written, stamp, seen));
    }
    if superseded {
        Outcome::Superseded {}
    } else if lost.is_empty() {
        Outcome::Accepted {}
    } else {
        Outcome::Merged { lost }
    }
}

/// The document is one register, and the later write stays whole.
fn last_write_wins(document: &mut Document, effect: Effect<'_>, stamp: Stamp, seen: &Seen<'_>) -> Outcome {
    if document.written.is_some_and(|other| !seen.stays(&stamp, &other)) {
        return Outcome::Superseded {};
    }
    document.fields.clear();
    for (name, change) in effect.fields {
        if let Some(Some(value)) = change.assigns {
            let register = Register { value: Some(value), stamp: Some(stamp), ..Register::default() };
            document.fields.insert(name, register);
        }
    }
    document.written = Some(stamp);
    Outcome::Accepted {}
}

fn newest(there: Option<Stamp>, new: Stamp, seen: &Seen<'_>) -> Stamp {
    there.filter(|there| !seen.outranks(&new, there)).unwrap_or(new)
}
