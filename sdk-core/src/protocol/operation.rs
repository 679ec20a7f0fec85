//! What a client asks for.

use super::{
    ids::{ClientId, DocKey, OpId, Seq},
    intent::{Fields, Intent},
    position::StreamPosition,
};
use crate::clock::{Hlc, VectorClock};
use crate::wire::{Bad, Decode, Encode, Reader, encode, record, write_text};

/// One edit of one document. Its id is the client that made it and its `seq`.
///
/// All but `base` is fixed when the operation is made and is what the server binds the id to; `base` may
/// move forward while the operation waits. One that met a conflict was bound to nothing, and is made anew under its
/// `seq` when the conflict is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its place among its client's operations.
    pub seq: Seq,
    /// The client that made it, where that is another than the one whose connection it arrives on: a client takes
    /// another id when a copy of it has used its own, and the copy may hold the same operation.
    pub maker: Option<ClientId>,
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
    /// The conflict that it resolves, where it does.
    pub resolves: Option<Resolves>,
    /// The one that was refused, or could not be sent, and in whose place this one stands: the first, where it was tried again
    /// more than once. If somebody else has applied that one meanwhile, this one has no effect of its own.
    pub replaces: Option<Box<OpId>>,
}

/// What the maker of an operation had seen of the document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// The document's clock, where the document was at hand.
    pub clock: VectorClock,
    /// How far the collection was known; every change up to there counts as seen.
    pub seen: Option<StreamPosition>,
    /// The values that the maker saw: of the fields it writes, or of all where it writes or deletes the document as a
    /// whole. Only where collisions are conflicts; what was left as it was is then no edit.
    pub was: Option<Fields>,
}

/// How an operation that had conflicted was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolves {
    /// What was chosen.
    pub choice: Choice,
    /// Who chose.
    pub by: ResolvedBy,
    /// What the operation did before, where its intents are a merge; for the record.
    pub mine: Vec<Intent>,
    /// What its maker had seen before; for the record.
    pub was: Option<Fields>,
}

/// What was chosen in a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The operation, as it was made.
    Mine,
    /// The document, as it is: the operation has no effect, and there is a record of the choice.
    Theirs,
    /// Something made of both.
    Merged,
}

/// Who decided a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolvedBy {
    /// A person.
    Person,
    /// A function of the application.
    Merger,
}

impl Operation {
    /// The part that the operation's id is bound to, as canonical JSON text: all but the id itself and the base.
    pub fn payload(&self) -> String {
        match &self.resolves {
            None => encode(&(&self.doc, self.at, self.schema, &self.intents)),
            Some(resolves) => encode(&(&self.doc, self.at, self.schema, &self.intents, resolves)),
        }
    }
}

record!(Operation {
    seq: "seq";
    maker: "maker";
    doc: "doc";
    at: "at";
    schema: "schema" or 0;
    intents: "intents";
    base: "base" or Base::default();
    resolves: "resolves";
    replaces: "replaces";
});

record!(Base {
    clock: "clock", or_empty;
    seen: "seen";
    was: "was";
});

record!(Resolves {
    choice: "choice";
    by: "by";
    mine: "mine", or_empty;
    was: "was";
});

/// Enums without values as one word each, written and read.
macro_rules! choices {
    ($($type:ident { $($variant:ident = $word:literal),* })*) => {$(
        impl Encode for $type {
            fn write(&self, out: &mut String) {
                write_text(match self { $(Self::$variant => $word),* }, out);
            }
        }

        impl Decode for $type {
            fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
                match &*reader.string()? {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(reader.bad("not a known word")),
                }
            }
        }
    )*};
}

choices! {
    Choice { Mine = "mine", Theirs = "theirs", Merged = "merged" }
    ResolvedBy { Person = "person", Merger = "merger" }
}
