//! What the server holds of a document, and tells its readers.

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    ids::{DocumentId, FieldName},
    json::Json,
    position::Offset,
};
use crate::clock::{Dot, Hlc, VectorClock};
use crate::sorted::SortedMap;

/// Who wrote something, when, and at which revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// When; the server has corrected it where the writer's clock was wrong.
    pub at: Hlc,
    /// The write.
    pub by: Dot,
    /// The revision of the document that came of it.
    pub rev: Offset,
}

impl Stamp {
    /// The order in which concurrent writes win: by time, then by writer.
    pub fn rank(&self) -> (Hlc, Dot) {
        (self.at, self.by)
    }
}

/// One field: its newest value, or the fact that it was unset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The value; absent if the field was unset.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub value: Option<Json>,
    /// The write that made it so.
    #[serde(rename = "s")]
    pub stamp: Stamp,
}

/// A `null` is a value like any other; only a missing key means that there is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// The deletions of a document. They stay with it when it is written anew, so that an edit made without
/// knowing of them is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burial {
    /// The newest deletion.
    pub stamp: Stamp,
    /// Every deletion.
    pub clock: VectorClock,
}

/// The authoritative state of a document, alive or deleted. Equal histories give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Document {
    /// Offset of the newest operation on it.
    pub rev: Offset,
    /// Every operation it has seen.
    pub clock: VectorClock,
    /// Its fields while it is alive.
    #[serde(default, skip_serializing_if = "SortedMap::is_empty")]
    pub fields: SortedMap<FieldName, Register>,
    /// Its newest surviving write as a whole; none if it never was, or is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Stamp>,
    /// Its deletions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burial: Option<Burial>,
}

impl Document {
    /// Whether it exists for its readers.
    pub fn is_alive(&self) -> bool {
        self.written.is_some()
    }

    /// The fields that have a value.
    pub fn values(&self) -> impl Iterator<Item = (&FieldName, &Json)> {
        self.fields.iter().filter_map(|(name, register)| Some((name, register.value.as_ref()?)))
    }
}

/// A document with its id, as a change of its collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Which document of the collection.
    pub id: DocumentId,
    /// Its state.
    pub doc: Document,
}
