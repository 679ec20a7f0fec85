//! The built-in strategies. Each is commutative, associative and idempotent for concurrent writes.

use super::{causality::Seen, effect::Effect};
use crate::protocol::{Document, FieldName, Outcome, Register, Stamp, Strategy};
use crate::sorted::SortedMap;

/// Writes to a document that no unseen deletion stands against.
pub(super) fn write(
    strategy: Strategy,
    document: &mut Document,
    effect: Effect,
    stamp: Stamp,
    seen: &Seen<'_>,
) -> Outcome {
    match strategy {
        Strategy::FieldLevel => field_level(document, effect, stamp, seen),
        Strategy::LastWriteWins => last_write_wins(document, effect, stamp, seen),
    }
}

/// Each field is a register of its own, and the later write of it stays.
fn field_level(document: &mut Document, effect: Effect, stamp: Stamp, seen: &Seen<'_>) -> Outcome {
    if effect.replaces {
        for (name, register) in document.fields.iter_mut() {
            // Only what the writer knew is removed. The stamp stays: this is no write of the field, so a
            // concurrent write of it stands whenever it would have stood without this one.
            if !effect.fields.contains_key(name) && seen.covers(&register.stamp) {
                register.value = None;
            }
        }
    }
    let named = effect.fields.len();
    let mut lost = Vec::new();
    for (name, value) in effect.fields {
        match document.fields.get(&name) {
            Some(other) if !stays(&stamp, &other.stamp, seen) => lost.push(name),
            _ => {
                document.fields.insert(name, Register { value, stamp });
            }
        }
    }
    if named > 0 && lost.len() == named && !effect.replaces {
        return Outcome::Superseded {};
    }
    document.written = Some(newest(document.written, stamp));
    if lost.is_empty() { Outcome::Accepted {} } else { Outcome::Merged { lost } }
}

/// The document is one register, and the later write stays whole.
fn last_write_wins(document: &mut Document, effect: Effect, stamp: Stamp, seen: &Seen<'_>) -> Outcome {
    if document.written.is_some_and(|other| !stays(&stamp, &other, seen)) {
        return Outcome::Superseded {};
    }
    let present = |(name, value): (FieldName, Option<_>)| {
        value.map(|value| (name, Register { value: Some(value), stamp }))
    };
    document.fields = effect.fields.into_iter().filter_map(present).collect::<SortedMap<_, _>>();
    document.written = Some(stamp);
    Outcome::Accepted {}
}

/// Whether a write stays against one that is there already.
fn stays(new: &Stamp, there: &Stamp, seen: &Seen<'_>) -> bool {
    seen.covers(there) || new.rank() > there.rank()
}

fn newest(there: Option<Stamp>, new: Stamp) -> Stamp {
    match there {
        Some(there) if there.rank() > new.rank() => there,
        _ => new,
    }
}
