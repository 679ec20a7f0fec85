//! What one operation does, all told: its intents one after the other.

use std::collections::BTreeMap;

use sdk_core::protocol::Intent;
use serde_json::value::RawValue;

/// What happens to one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// It gets a value, or none. What the same operation counts or adds afterwards is in it.
    Assign(Option<String>),
    /// It counts.
    Count(i64),
    /// Members come or go, each as the operation last says.
    Members(Vec<(String, bool)>),
    /// Nothing: its maker left it as it was.
    Nothing,
}

/// An operation's effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The document goes.
    pub(crate) deletes: bool,
    /// Fields that are not named go.
    pub(crate) replaces: bool,
    /// The named ones.
    pub(crate) changes: BTreeMap<String, Change>,
}

/// The effect of intents.
pub(crate) fn fold(intents: &[Intent]) -> Effect {
    let mut effect = Effect::default();
    for intent in intents {
        if matches!(intent, Intent::Put(_) | Intent::Delete {}) {
            effect.replaces = true;
            effect.changes.clear();
        }
        effect.deletes = matches!(intent, Intent::Delete {});
        match intent {
            Intent::Put(fields) | Intent::Set(fields) => {
                for (name, value) in fields {
                    effect.assign(name.as_str(), Some(value.as_str().to_owned()));
                }
            }
            Intent::Unset(names) => names.iter().for_each(|name| effect.assign(name.as_str(), None)),
            Intent::Increment(amounts) => {
                for (name, amount) in amounts {
                    effect.count(name.as_str(), *amount);
                }
            }
            Intent::Add(members) | Intent::Remove(members) => {
                let present = matches!(intent, Intent::Add(_));
                for (name, members) in members {
                    for member in members {
                        effect.member(name.as_str(), member.as_str(), present);
                    }
                }
            }
            _ => {}
        }
    }
    effect
}

impl Effect {
    fn assign(&mut self, name: &str, value: Option<String>) {
        self.changes.insert(name.to_owned(), Change::Assign(value));
    }

    fn before(&mut self, name: &str) -> Option<Change> {
        let named = self.changes.remove(name);
        named.or_else(|| self.replaces.then_some(Change::Assign(None)))
    }

    fn count(&mut self, name: &str, amount: i64) {
        let after = match self.before(name) {
            Some(Change::Assign(value)) => {
                let before = value.as_deref().map_or(0, |text| number(text).unwrap_or_default());
                Change::Assign(Some((before + amount).to_string()))
            }
            Some(Change::Count(before)) => Change::Count(before + amount),
            _ => Change::Count(amount),
        };
        self.changes.insert(name.to_owned(), after);
    }

    fn member(&mut self, name: &str, member: &str, present: bool) {
        let after = match self.before(name) {
            Some(Change::Assign(value)) => {
                let unset = value.is_none();
                let mut items = value.as_deref().and_then(items).unwrap_or_default();
                if !present {
                    items.retain(|other| other != member);
                } else if !items.iter().any(|other| other == member) {
                    items.push(member.to_owned());
                }
                Change::Assign((!unset || present).then(|| array(&items)))
            }
            Some(Change::Members(mut members)) => {
                members.retain(|(other, _)| other != member);
                members.push((member.to_owned(), present));
                Change::Members(members)
            }
            _ => Change::Members(vec![(member.to_owned(), present)]),
        };
        self.changes.insert(name.to_owned(), after);
    }
}

/// A whole number, if a text is one.
pub(super) fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// The items of an array as texts, if a text is one.
pub(super) fn items(text: &str) -> Option<Vec<String>> {
    let items: Vec<Box<RawValue>> = serde_json::from_str(text).ok()?;
    Some(items.iter().map(|item| item.get().to_owned()).collect())
}

/// Texts as an array.
pub(super) fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}
