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

/// One field: its newest value, or the fact that it was unset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The value; absent if the field was unset.
    pub value: Option<Json>,
    /// The write that made it so.
    pub stamp: Stamp,
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

    /// The fields that have a value.
    pub fn values(&self) -> impl Iterator<Item = (&FieldName, &Json)> {
        self.fields.iter().filter_map(|(name, register)| Some((name, register.value.as_ref()?)))
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
        object.end();
    }
}

/// A `null` is a value like any other; only a missing key means that there is none.
impl Decode for Register {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let (mut value, mut stamp) = (None, None);
        reader.object(&mut |reader, name| {
            match name {
                "v" if value.is_none() => value = Some(Json::read(reader)?),
                "s" if stamp.is_none() => stamp = Some(Stamp::read(reader)?),
                "v" | "s" => return Err(reader.bad("a name comes twice")),
                _ => drop(reader.skip()?),
            }
            Ok(())
        })?;
        Ok(Self { value, stamp: stamp.ok_or_else(|| reader.bad("the field s is missing"))? })
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
