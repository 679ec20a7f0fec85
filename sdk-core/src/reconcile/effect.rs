//! The intents of one operation, folded into one effect.

use crate::protocol::{FieldName, Fields, Intent, Json, MAX_SAFE_INTEGER, Operation, Strategy};
use crate::sorted::SortedMap;

/// What an operation does all told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Effect<'a> {
    /// The document goes.
    pub(super) deletes: bool,
    /// Fields that are not named go.
    pub(super) replaces: bool,
    /// What happens to each named field.
    pub(super) fields: SortedMap<FieldName, Change>,
    /// Whether it counts what is no number or beyond all numbers, or adds to what is no set, by its own account.
    pub(super) contradicts: bool,
    /// What its maker saw of the document, where that matters.
    was: Option<&'a Fields>,
}

/// What happens to one field: an assignment, or increments and members, which leave others' as they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// The value it gets; none inside unsets it. What the operation counts or adds afterwards is in the value already.
    pub(super) assigns: Option<Option<Json>>,
    /// What is counted.
    pub(super) increment: Option<i64>,
    /// Members that shall be in the set, or not.
    pub(super) members: Vec<(Json, bool)>,
}

impl<'a> Effect<'a> {
    /// What an operation does in a collection of this strategy. Where collisions are conflicts, what a maker left as
    /// it was is no edit.
    pub(super) fn of_operation(strategy: Strategy, operation: &'a Operation) -> Self {
        let mut effect = Self::of(&operation.intents);
        effect.was = operation.base.was.as_ref().filter(|_| strategy.has_conflicts());
        if let Some(was) = effect.was {
            for (name, change) in effect.fields.iter_mut() {
                if matches!(&change.assigns, Some(Some(value)) if was.get(name) == Some(value)) {
                    *change = Change::default();
                }
            }
        }
        effect
    }

    /// Whether a field goes because the document is to hold others only. One that its maker did not see is not meant.
    pub(super) fn leaves_out(&self, name: &FieldName) -> bool {
        self.replaces && !self.fields.contains_key(name) && self.was.is_none_or(|was| was.contains_key(name))
    }

    pub(super) fn of(intents: &[Intent]) -> Self {
        let mut effect = Self::default();
        for intent in intents {
            effect.deletes = false;
            effect.then(intent);
        }
        effect
    }

    fn then(&mut self, intent: &Intent) {
        match intent {
            Intent::Delete {} => self.restart(true),
            Intent::Put(fields) => {
                self.restart(false);
                self.set(fields);
            }
            Intent::Set(fields) => self.set(fields),
            Intent::Unset(names) => names.iter().for_each(|name| self.assign(name, None)),
            Intent::Increment(amounts) => {
                for (name, amount) in amounts {
                    let fits = self.change(name).count(*amount);
                    self.contradicts |= !fits;
                }
            }
            Intent::Add(members) => self.members(members, true),
            Intent::Remove(members) => self.members(members, false),
        }
    }

    fn restart(&mut self, deletes: bool) {
        (self.deletes, self.replaces) = (deletes, true);
        self.fields.clear();
    }

    fn set(&mut self, fields: &Fields) {
        fields.iter().for_each(|(name, value)| self.assign(name, Some(value.clone())));
    }

    fn assign(&mut self, name: &FieldName, value: Option<Json>) {
        self.fields.insert(name.clone(), Change { assigns: Some(value), ..Change::default() });
    }

    fn members(&mut self, members: &SortedMap<FieldName, Vec<Json>>, present: bool) {
        for (name, members) in members {
            let fits = self.change(name).mark(members, present);
            self.contradicts |= !fits;
        }
    }

    fn change(&mut self, name: &FieldName) -> &mut Change {
        // After a put or a deletion every field has a value or none by this operation alone.
        let assigns = self.replaces.then_some(None);
        self.fields.get_or_insert_with(name.clone(), || Change { assigns, ..Change::default() })
    }
}

impl Change {
    /// Counts; whether that makes sense here.
    fn count(&mut self, amount: i64) -> bool {
        let before = match &self.assigns {
            Some(Some(value)) => value.as_integer(),
            Some(None) => Some(0),
            None if self.members.is_empty() => self.increment.or(Some(0)),
            None => None,
        };
        let sum = before.and_then(|before| before.checked_add(amount));
        let Some(sum) = sum.filter(|sum| sum.unsigned_abs() <= MAX_SAFE_INTEGER) else { return false };
        match &mut self.assigns {
            Some(value) => *value = Some(Json::integer(sum)),
            None => self.increment = Some(sum),
        }
        true
    }

    /// Adds or removes members; whether that makes sense here.
    fn mark(&mut self, members: &[Json], present: bool) -> bool {
        if let Some(value) = &mut self.assigns {
            let Some(mut all) = value.as_ref().map_or(Some(Vec::new()), Json::as_array) else { return false };
            for member in members {
                let is_there = all.contains(member);
                if present && !is_there {
                    all.push(member.clone());
                } else if !present {
                    all.retain(|other| other != member);
                }
            }
            if value.is_some() || present {
                *value = Some(Json::array(&all));
            }
            return true;
        }
        for member in members {
            self.members.retain(|(other, _)| other != member);
            self.members.push((member.clone(), present));
        }
        self.increment.is_none()
    }
}
