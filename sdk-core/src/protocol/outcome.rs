//! What became of an operation.

use super::{
    error::ErrorCode,
    ids::{ActorId, FieldName, Seq},
    position::StreamPosition,
    topic::TopicPosition,
};
use crate::clock::Millis;
use crate::wire::{Bad, Decode, Empty, Encode, Object, Reader, record};

/// What became of an operation that the server has looked at. All but [`Conflicted`](Self::Conflicted) is final: it
/// never changes afterwards, and a repeated operation gets the same.
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
    /// Appended to its topic, and there is one of it.
    Published {
        /// Its place there.
        #[cfg_attr(feature = "typescript", tsify(type = "string"))]
        position: TopicPosition,
    },
    /// Not applied and never will be.
    Rejected(Rejection),
    /// Not applied, and not judged either: a concurrent write collides with it, and somebody has to decide. Nothing
    /// was written; the operation's id is free for the same operation once more, or for the one that resolves it.
    Conflicted(Collision),
}

/// Why an operation will never be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify))]
pub struct Rejection {
    /// The stable reason.
    pub code: ErrorCode,
    /// The reason in words, for people only.
    pub message: String,
}

/// What an operation collides with.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify))]
pub struct Collision {
    /// The fields that both wrote; none where the operation only waits behind an earlier one of its document.
    #[cfg_attr(feature = "typescript", tsify(type = "string[]"))]
    pub fields: Vec<FieldName>,
    /// The newest write that it collides with, where that is known.
    #[cfg_attr(feature = "typescript", tsify(optional))]
    pub theirs: Option<Author>,
}

/// Who wrote something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify))]
pub struct Author {
    /// The person or program.
    pub subject: String,
    /// Unix time in milliseconds.
    #[cfg_attr(feature = "typescript", tsify(type = "number"))]
    pub at: Millis,
}

/// The judgement of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Which operation.
    pub seq: Seq,
    /// What became of it.
    pub outcome: Outcome,
    /// Where the effect stands in its collection; absent if it was rejected, or is an event. Of a conflict, how far the collection
    /// was when it was found.
    pub position: Option<StreamPosition>,
    /// In whose name it was judged, where that is another than the client's of the connection: a copy of the client had
    /// sent it before, or the client itself under a former id. Documents know it by that one.
    pub by: Option<ActorId>,
    /// Which event it is of, where an operator has published that, by its [name](super::EventName::text). Copies of a client
    /// may each hold one of this `seq`, and it is about one of them.
    pub event: Option<String>,
}

record!(Rejection {
    code: "code";
    message: "message";
});

record!(Collision {
    fields: "fields" or Vec::new();
    theirs: "theirs";
});

record!(Author {
    subject: "subject";
    at: "at";
});

record!(Judgement {
    seq: "seq";
    outcome: "outcome";
    position: "position";
    by: "by";
    event: "event";
});

/// The content of [`Outcome::Merged`].
struct Lost {
    lost: Vec<FieldName>,
}

record!(Lost { lost: "lost"; });

/// The content of [`Outcome::Published`].
struct Place {
    position: TopicPosition,
}

record!(Place { position: "position"; });

impl Encode for Outcome {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        match self {
            Self::Accepted {} => object.field("accepted", &Empty {}),
            Self::Merged { lost } => object.field("merged", &Lost { lost: lost.clone() }),
            Self::Superseded {} => object.field("superseded", &Empty {}),
            Self::Published { position } => object.field("published", &Place { position: *position }),
            Self::Rejected(rejection) => object.field("rejected", rejection),
            Self::Conflicted(collision) => object.field("conflicted", collision),
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
                "published" => Place::read(reader).map(|Place { position }| Self::Published { position }),
                "rejected" => Rejection::read(reader).map(Self::Rejected),
                "conflicted" => Collision::read(reader).map(Self::Conflicted),
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
