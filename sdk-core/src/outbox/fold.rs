//! Two edits by the same person of the same state, as one.

use crate::protocol::{FieldName, Fields, Intent, MAX_INTENTS};
use crate::sorted::SortedMap;

/// The intents that do what `first` and then `then` do; none if they have to stay two operations: behind a deletion,
/// which others must be able to see, and beyond the cap.
pub fn fold(first: &[Intent], then: &[Intent]) -> Option<Vec<Intent>> {
    let mut folded = first.to_vec();
    for intent in then {
        if matches!(folded.last(), Some(Intent::Delete {})) {
            return None;
        }
        match intent {
            Intent::Put(_) | Intent::Delete {} => folded = vec![intent.clone()],
            Intent::Set(fields) => set(&mut folded, fields),
            Intent::Unset(names) => unset(&mut folded, names),
            Intent::Increment(amounts) => increment(&mut folded, amounts)?,
            // Of what is added and removed the order counts, so each stays as it was said.
            Intent::Add(_) | Intent::Remove(_) => folded.push(intent.clone()),
        }
    }
    (folded.len() <= MAX_INTENTS).then_some(folded)
}

/// Where the assignments at the end begin; they are one `put` or `set` and one `unset` at most, of different fields.
fn assignments(folded: &[Intent]) -> usize {
    let other = |intent: &Intent| !matches!(intent, Intent::Set(_) | Intent::Unset(_));
    match folded.iter().rposition(other) {
        Some(at) if matches!(folded[at], Intent::Put(_)) => at,
        Some(at) => at + 1,
        None => 0,
    }
}

fn set(folded: &mut Vec<Intent>, fields: &Fields) {
    let start = assignments(folded);
    let mut taken = false;
    for intent in &mut folded[start..] {
        match intent {
            Intent::Put(all) | Intent::Set(all) if !taken => {
                all.extend(fields.clone());
                taken = true;
            }
            Intent::Set(later) => later.retain(|name, _| !fields.contains_key(name)),
            Intent::Unset(names) => names.retain(|name| !fields.contains_key(name)),
            _ => {}
        }
    }
    if !taken {
        folded.push(Intent::Set(fields.clone()));
    }
    tidy(folded, start);
}

fn unset(folded: &mut Vec<Intent>, names: &[FieldName]) {
    let start = assignments(folded);
    let mut taken = false;
    for intent in &mut folded[start..] {
        match intent {
            Intent::Put(all) | Intent::Set(all) => all.retain(|name, _| !names.contains(name)),
            Intent::Unset(known) if !taken => {
                let new: Vec<FieldName> =
                    names.iter().filter(|name| !known.contains(name)).cloned().collect();
                known.extend(new);
                taken = true;
            }
            _ => {}
        }
    }
    // A put takes away what its maker has seen, and this what nobody here has seen as well.
    if !taken {
        folded.push(Intent::Unset(names.to_vec()));
    }
    tidy(folded, start);
}

/// None if the sum is no number any more.
fn increment(folded: &mut Vec<Intent>, amounts: &SortedMap<FieldName, i64>) -> Option<()> {
    let Some(Intent::Increment(sums)) = folded.last_mut() else {
        folded.push(Intent::Increment(amounts.clone()));
        return Some(());
    };
    for (name, amount) in amounts {
        let sum = sums.get_or_insert_with(name.clone(), || 0);
        *sum = sum.checked_add(*amount)?;
    }
    Some(())
}

/// Drops what says nothing any more.
fn tidy(folded: &mut Vec<Intent>, start: usize) {
    let mut at = 0;
    folded.retain(|intent| {
        at += 1;
        let empty = match intent {
            Intent::Set(fields) => fields.is_empty(),
            Intent::Unset(names) => names.is_empty(),
            _ => false,
        };
        at <= start || !empty
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    fn folded(first: &str, then: &str) -> Option<String> {
        let read = |text: &str| decode::<Vec<Intent>>(text).unwrap();
        fold(&read(first), &read(then)).map(|intents| encode(&intents))
    }

    #[test]
    fn two_edits_become_the_one_that_does_both() {
        let cases = [
            (r#"[{"set":{"a":1}}]"#, r#"[{"set":{"a":2,"b":1}}]"#, r#"[{"set":{"a":2,"b":1}}]"#),
            (r#"[{"set":{"a":1,"b":1}}]"#, r#"[{"unset":["a"]}]"#, r#"[{"set":{"b":1}},{"unset":["a"]}]"#),
            (r#"[{"set":{"a":1}}]"#, r#"[{"unset":["a"]}]"#, r#"[{"unset":["a"]}]"#),
            (r#"[{"unset":["a"]}]"#, r#"[{"set":{"a":1}}]"#, r#"[{"set":{"a":1}}]"#),
            (r#"[{"put":{"a":1}}]"#, r#"[{"set":{"b":2}}]"#, r#"[{"put":{"a":1,"b":2}}]"#),
            (r#"[{"put":{"a":1}}]"#, r#"[{"unset":["a"]}]"#, r#"[{"put":{}},{"unset":["a"]}]"#),
            (r#"[{"put":{}},{"unset":["a"]}]"#, r#"[{"set":{"a":1}}]"#, r#"[{"put":{"a":1}}]"#),
            (r#"[{"set":{"a":1}}]"#, r#"[{"put":{"b":1}}]"#, r#"[{"put":{"b":1}}]"#),
            (r#"[{"put":{"a":1}}]"#, r#"[{"delete":{}}]"#, r#"[{"delete":{}}]"#),
            (
                r#"[{"increment":{"n":1}}]"#,
                r#"[{"increment":{"n":2,"m":1}}]"#,
                r#"[{"increment":{"m":1,"n":3}}]"#,
            ),
            (
                r#"[{"set":{"a":1}},{"increment":{"n":1}}]"#,
                r#"[{"set":{"n":5}}]"#,
                r#"[{"set":{"a":1}},{"increment":{"n":1}},{"set":{"n":5}}]"#,
            ),
            (r#"[{"set":{"a":1}},{"set":{"a":2}}]"#, r#"[{"set":{"a":3}}]"#, r#"[{"set":{"a":3}}]"#),
        ];
        for (first, then, both) in cases {
            assert_eq!(folded(first, then).as_deref(), Some(both), "{first} {then}");
        }
    }

    #[test]
    fn a_deletion_stays_an_operation_of_its_own() {
        assert_eq!(folded(r#"[{"delete":{}}]"#, r#"[{"put":{"a":1}}]"#), None);
    }
}
