//! What the server holds of a document, and tells its readers.

use super::{
    ids::{DocumentId, FieldName},
    json::Json,
    position::Offset,
};
use crate::clock::{Dot, Hlc, VectorClock};
use crate::sorted::SortedMap;
use crate::wire::{Bad, Decode, Encode, Object, Reader, record};

/// Who wrote something, when, and at which revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// One field: the newest value that was assigned, and what was counted or put into its set since.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Register {
    /// The value assigned; absent if the field was unset, or never assigned.
    pub value: Option<Json>,
    /// The write that made it so; none if the field was never assigned, which ranks below every write.
    pub stamp: Option<Stamp>,
    /// Increments that no assignment has covered, by dot.
    pub increments: Vec<Contribution<i64>>,
    /// Members added to the set that no assignment or removal has covered, by their text and dot.
    pub members: Vec<Contribution<Json>>,
}

/// What one write added to a field without assigning it. On the wire: `[dot, rev, what]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution<T> {
    /// The write.
    pub by: Dot,
    /// The revision of the document that came of it.
    pub rev: Offset,
    /// What it added.
    pub what: T,
}

/// The deletions of a document. They stay with it when it is written anew, so that an edit made without
/// knowing of them is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burial {
    /// The newest deletion.
    pub stamp: Stamp,
    /// Every deletion.
    pub clock: VectorClock,
}

/// The authoritative state of a document, alive or deleted. Equal histories give equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Offset of the newest operation on it.
    pub rev: Offset,
    /// Every operation it has seen.
    pub clock: VectorClock,
    /// Its fields while it is alive.
    pub fields: SortedMap<FieldName, Register>,
    /// Its newest surviving write as a whole; none if it never was, or is deleted.
    pub written: Option<Stamp>,
    /// Its deletions.
    pub burial: Option<Burial>,
}

impl Document {
    /// Whether it exists for its readers.
    pub fn is_alive(&self) -> bool {
        self.written.is_some()
    }

    /// The fields that have a value, each with what it shows.
    pub fn values(&self) -> impl Iterator<Item = (&FieldName, Json)> {
        self.fields.iter().filter_map(|(name, register)| Some((name, register.shown()?)))
    }
}

/// A document with its id, as a change of its collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Which document of the collection.
    pub id: DocumentId,
    /// Its state.
    pub doc: Document,
}

record!(Stamp {
    at: "at";
    by: "by";
    rev: "rev";
});

impl Encode for Register {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        object.field("v", &self.value);
        object.field("s", &self.stamp);
        if !self.increments.is_empty() {
            object.field("inc", &self.increments);
        }
        if !self.members.is_empty() {
            object.field("add", &self.members);
        }
        object.end();
    }
}

/// A `null` is a value like any other; only a missing key means that there is none.
impl Decode for Register {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let (mut value, mut stamp, mut increments, mut members) = (None, None, None, None);
        reader.object(&mut |reader, name| {
            match name {
                "v" if value.is_none() => value = Some(Json::read(reader)?),
                "s" if stamp.is_none() => stamp = Some(Stamp::read(reader)?),
                "inc" if increments.is_none() => increments = Some(Vec::read(reader)?),
                "add" if members.is_none() => members = Some(Vec::read(reader)?),
                "v" | "s" | "inc" | "add" => return Err(reader.bad("a name comes twice")),
                _ => drop(reader.skip()?),
            }
            Ok(())
        })?;
        let (increments, members) = (increments.unwrap_or_default(), members.unwrap_or_default());
        Ok(Self { value, stamp, increments, members })
    }
}

impl<T: Encode> Encode for Contribution<T> {
    fn write(&self, out: &mut String) {
        (self.by, self.rev, &self.what).write(out);
    }
}

impl<T: Decode> Decode for Contribution<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let (by, rev, what) = Decode::read(reader)?;
        Ok(Self { by, rev, what })
    }
}

record!(Burial {
    stamp: "stamp";
    clock: "clock";
});

record!(Document {
    rev: "rev";
    clock: "clock";
    fields: "fields", or_empty;
    written: "written";
    burial: "burial";
});

record!(Changed {
    id: "id";
    doc: "doc";
});
