//! What one operation can do to a document.

use super::{ids::FieldName, json::Json};
use crate::sorted::SortedMap;
use crate::wire::tagged;

/// The fields of a document or of a patch.
pub type Fields = SortedMap<FieldName, Json>;

/// Members of the sets that some fields hold.
pub type Members = SortedMap<FieldName, Vec<Json>>;

/// One thing an operation does. On the wire an object with one key, the name of the intent.
///
/// Increments and members commute with one another and with everything but the assignments whose makers had seen
/// them, so two people who count or tag at the same time never conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Intent {
    /// The document shall hold exactly these fields.
    Put(Fields),
    /// These fields shall have these values; others stay.
    Set(Fields),
    /// These fields shall be gone.
    Unset(Vec<FieldName>),
    /// These fields shall count up, or down, by these whole numbers; a field that is missing counts from 0.
    Increment(SortedMap<FieldName, i64>),
    /// The sets in these fields shall have these members; a field that is missing is an empty set.
    Add(Members),
    /// The sets in these fields shall not have these members, as far as the maker knew of them.
    Remove(Members),
    /// The document shall be gone; also against edits made without knowing of this.
    Delete {},
}

tagged!(Intent {
    "put" => Put,
    "set" => Set,
    "unset" => Unset,
    "increment" => Increment,
    "add" => Add,
    "remove" => Remove
} { "delete" => Delete });
