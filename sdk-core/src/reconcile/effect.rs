//! The intents of one operation, folded into one effect.

use crate::protocol::{FieldName, Intent, Json};
use crate::sorted::SortedMap;

/// What an operation does all told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// The document goes.
    pub(super) deletes: bool,
    /// Fields that are not named go.
    pub(super) replaces: bool,
    /// Each named field with its value; none unsets it.
    pub(super) fields: SortedMap<FieldName, Option<Json>>,
}

impl Effect {
    pub(super) fn of(intents: &[Intent]) -> Self {
        let mut effect = Self::default();
        for intent in intents {
            effect.then(intent);
        }
        effect
    }

    fn then(&mut self, intent: &Intent) {
        match intent {
            Intent::Delete {} => *self = Self { deletes: true, replaces: true, fields: SortedMap::new() },
            Intent::Put(fields) => {
                *self = Self { deletes: false, replaces: true, fields: SortedMap::new() };
                self.set(fields);
            }
            Intent::Set(fields) => self.set(fields),
            Intent::Unset(names) => {
                self.deletes = false;
                self.fields.extend(names.iter().map(|name| (name.clone(), None)));
            }
        }
    }

    fn set(&mut self, fields: &SortedMap<FieldName, Json>) {
        self.deletes = false;
        self.fields.extend(fields.iter().map(|(name, value)| (name.clone(), Some(value.clone()))));
    }
}
