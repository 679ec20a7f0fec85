//! What a field shows: the value assigned to it with the increments and members added since.

use super::{document::Register, ids::MAX_SAFE_INTEGER, json::Json};
use crate::wire::{Reader, decode, encode};

impl Register {
    /// The value for readers; none if the field has none.
    ///
    /// A whole number shows with its increments, an array with its members: those of the value first, then the added
    /// ones in the order of their texts, none twice. What does not fit the value does not show. Without a value
    /// it is a number if anything was counted, else a set if anything was added.
    pub fn shown(&self) -> Option<Json> {
        if self.shows_increments() {
            Some(Json::integer(self.count()))
        } else if self.shows_members() {
            Some(Json::array(&self.all_members()))
        } else {
            self.value.clone()
        }
    }

    /// Whether increments show: there are some, and they fit the value.
    pub fn shows_increments(&self) -> bool {
        !self.increments.is_empty() && self.value.as_ref().is_none_or(|value| value.as_integer().is_some())
    }

    /// Whether added members show: there are some, and they fit the value.
    pub fn shows_members(&self) -> bool {
        let fits = |value: &Json| value.as_array().is_some();
        let free = self.increments.is_empty();
        !self.members.is_empty() && self.value.as_ref().map_or(free, fits)
    }

    /// The number that a counter stands at.
    pub fn count(&self) -> i64 {
        let base = self.value.as_ref().and_then(Json::as_integer).unwrap_or(0);
        self.increments.iter().fold(base, |sum, increment| sum.saturating_add(increment.what))
    }

    /// Whether a counter has left the numbers that JavaScript holds exactly.
    pub fn is_out_of_range(&self) -> bool {
        self.shows_increments() && self.count().unsigned_abs() > MAX_SAFE_INTEGER
    }

    fn all_members(&self) -> Vec<Json> {
        let mut all: Vec<Json> = Vec::new();
        let base = self.value.as_ref().and_then(Json::as_array).unwrap_or_default();
        for member in base.into_iter().chain(self.members.iter().map(|member| member.what.clone())) {
            if !all.contains(&member) {
                all.push(member);
            }
        }
        all
    }
}

impl Json {
    /// A whole number as a value.
    pub fn integer(number: i64) -> Self {
        Self::of(encode(&number))
    }

    /// Values as an array.
    pub fn array(items: &[Self]) -> Self {
        Self::of(encode(items))
    }

    /// The number, if the text is a whole one that JavaScript holds exactly.
    pub fn as_integer(&self) -> Option<i64> {
        decode(self.as_str()).ok().filter(|number: &i64| number.unsigned_abs() <= MAX_SAFE_INTEGER)
    }

    /// The items, if it is an array.
    pub fn as_array(&self) -> Option<Vec<Self>> {
        Reader::new(self.as_str()).peek().filter(|first| *first == b'[')?;
        decode(self.as_str()).ok()
    }
}
