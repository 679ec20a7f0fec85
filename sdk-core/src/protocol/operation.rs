//! What a client asks for.

use super::{
    ids::{DocKey, FieldName, Seq},
    json::Json,
    position::StreamPosition,
};
use crate::clock::{Hlc, VectorClock};
use crate::sorted::SortedMap;
use crate::wire::{Bad, Decode, Empty, Encode, Object, Reader, record, tagged};

/// The fields of a document or of a patch.
pub type Fields = SortedMap<FieldName, Json>;

/// One edit of one document. Its id is the client of the connection it arrives on and its `seq`.
///
/// All but `base` is fixed when the operation is made and is what the server binds the id to; `base` may
/// move forward while the operation waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its place among its client's operations.
    pub seq: Seq,
    /// The document it edits, whose operations keep their order.
    pub doc: DocKey,
    /// When it was made.
    pub at: Hlc,
    /// Version of the application's schema that it was written for.
    pub schema: u32,
    /// What it does, in order; 1 to [`MAX_INTENTS`](super::MAX_INTENTS).
    pub intents: Vec<Intent>,
    /// What its maker had seen.
    pub base: Base,
}

/// One thing an operation does. On the wire an object with one key, the name of the intent.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// The document's clock, where the document was at hand.
    pub clock: VectorClock,
    /// How far the collection was known; every change up to there counts as seen.
    pub seen: Option<StreamPosition>,
}

/// What became of an operation that the server has judged. It never changes afterwards, and a repeated
/// operation gets the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify), serde(rename_all = "camelCase"))]
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify))]
pub struct Rejection {
    /// The stable reason.
    pub code: super::ErrorCode,
    /// The reason in words, for people only.
    pub message: String,
}

/// The judgement of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Which operation.
    pub seq: Seq,
    /// What became of it.
    pub outcome: Outcome,
    /// Where the effect stands in its collection; absent if it was rejected.
    pub position: Option<StreamPosition>,
}

record!(Operation {
    seq: "seq";
    doc: "doc";
    at: "at";
    schema: "schema" or 0;
    intents: "intents";
    base: "base" or Base::default();
});

tagged!(Intent { "put" => Put, "set" => Set, "unset" => Unset } { "delete" => Delete });

record!(Base {
    clock: "clock", or_empty;
    seen: "seen";
});

record!(Rejection {
    code: "code";
    message: "message";
});

record!(Judgement {
    seq: "seq";
    outcome: "outcome";
    position: "position";
});

/// The content of [`Outcome::Merged`].
struct Lost {
    lost: Vec<FieldName>,
}

record!(Lost { lost: "lost"; });

impl Encode for Outcome {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        match self {
            Self::Accepted {} => object.field("accepted", &Empty {}),
            Self::Merged { lost } => object.field("merged", &Lost { lost: lost.clone() }),
            Self::Superseded {} => object.field("superseded", &Empty {}),
            Self::Rejected(rejection) => object.field("rejected", rejection),
        }
        object.end();
    }
}

impl Decode for Outcome {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let mut found = None;
        reader.object(&mut |reader, name| {
            let outcome = match name {
                "accepted" => Empty::read(reader).map(|_| Self::Accepted {}),
                "merged" => Lost::read(reader).map(|Lost { lost }| Self::Merged { lost }),
                "superseded" => Empty::read(reader).map(|_| Self::Superseded {}),
                "rejected" => Rejection::read(reader).map(Self::Rejected),
                _ => Err(reader.bad("not a known outcome")),
            };
            match found.replace(outcome?) {
                None => Ok(()),
                Some(_) => Err(reader.bad("one outcome was expected")),
            }
        })?;
        found.ok_or_else(|| reader.bad("one outcome was expected"))
    }
}
