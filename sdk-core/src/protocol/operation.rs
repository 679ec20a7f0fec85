//! What a client asks for.

use serde::{Deserialize, Serialize};

use super::{
    ids::{DocKey, FieldName, Seq},
    json::Json,
    position::StreamPosition,
};
use crate::clock::{Hlc, VectorClock};
use crate::sorted::SortedMap;

/// The fields of a document or of a patch.
pub type Fields = SortedMap<FieldName, Json>;

/// One edit of one document. Its id is the client of the connection it arrives on and its `seq`.
///
/// All but `base` is fixed when the operation is made and is what the server binds the id to; `base` may
/// move forward while the operation waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its place among its client's operations.
    pub seq: Seq,
    /// The document it edits, whose operations keep their order.
    pub doc: DocKey,
    /// When it was made.
    pub at: Hlc,
    /// Version of the application's schema that it was written for.
    #[serde(default)]
    pub schema: u32,
    /// What it does, in order; 1 to [`MAX_INTENTS`](super::MAX_INTENTS).
    pub intents: Vec<Intent>,
    /// What its maker had seen.
    #[serde(default)]
    pub base: Base,
}

/// One thing an operation does. On the wire an object with one key, the name of the intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Intent {
    /// The document shall hold exactly these fields.
    Put(Fields),
    /// These fields shall have these values; others stay.
    Set(Fields),
    /// These fields shall be gone.
    Unset(Vec<FieldName>),
    /// The document shall be gone; also against edits made without knowing of this.
    Delete {},
}

/// What the maker of an operation had seen of the document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Base {
    /// The document's clock, where the document was at hand.
    #[serde(default, skip_serializing_if = "VectorClock::is_empty")]
    pub clock: VectorClock,
    /// How far the collection was known; every change up to there counts as seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<StreamPosition>,
}

/// What became of an operation that the server has judged. It never changes afterwards, and a repeated
/// operation gets the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Outcome {
    /// Applied whole.
    Accepted {},
    /// Applied but for these fields, where a concurrent write was later.
    Merged {
        /// The fields that kept the other value.
        #[cfg_attr(feature = "typescript", tsify(type = "string[]"))]
        lost: Vec<FieldName>,
    },
    /// Not applied: concurrent writes were later, or deleted the document.
    Superseded {},
    /// Not applied and never will be.
    Rejected(Rejection),
}

/// Why an operation will never be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify))]
pub struct Rejection {
    /// The stable reason.
    pub code: super::ErrorCode,
    /// The reason in words, for people only.
    pub message: String,
}

/// The judgement of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Which operation.
    pub seq: Seq,
    /// What became of it.
    pub outcome: Outcome,
    /// Where the effect stands in its collection; absent if it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<StreamPosition>,
}
