//! What the server holds of a document, and tells its readers.

use super::{
    ids::{DocumentId, FieldName},
    json::Json,
    position::Offset,
};
use crate::clock::{Dot, Hlc, VectorClock};
use crate::sorted::SortedMap;
use crate::wire::{Bad, Decode, Encode, Key, Object, Reader, record};

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

    /// Whether a field is what the newest write made it, and nothing was added to it since.
    fn is_latest(&self, register: &Register) -> bool {
        register.value.is_some()
            && register.stamp.is_some()
            && register.stamp == self.written
            && register.increments.is_empty()
            && register.members.is_empty()
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
        reader.record(&mut [
            ("v", &mut value),
            ("s", &mut stamp),
            ("inc", &mut increments),
            ("add", &mut members),
        ])?;
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

/// Fields that the newest write assigned, and nothing was added to since, are values by name: without stamps of their
/// own a document of several fields takes half the bytes, on the wire and in every store.
impl Encode for Document {
    fn write(&self, out: &mut String) {
        let mut object = Object::new(out);
        object.field("rev", &self.rev);
        object.field("clock", &self.clock);
        object.field("latest", &Part { document: self, latest: true });
        object.field("fields", &Part { document: self, latest: false });
        object.field("written", &self.written);
        object.field("burial", &self.burial);
        object.end();
    }
}

impl Decode for Document {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let Parts { rev, clock, latest: Latest(mut fields), fields: others, written, burial } =
            Parts::read(reader)?;
        if !fields.is_empty() && written.is_none() {
            return Err(reader.bad("latest fields without the write that made them"));
        }
        fields.values_mut().for_each(|register| register.stamp = written);
        for (name, register) in others {
            if fields.insert(name, register).is_some() {
                return Err(reader.bad("a name comes twice"));
            }
        }
        Ok(Self { rev, clock, fields, written, burial })
    }
}

/// The fields that the newest write of a document assigned, or the others.
struct Part<'a> {
    document: &'a Document,
    latest: bool,
}

impl Part<'_> {
    fn fields(&self) -> impl Iterator<Item = (&FieldName, &Register)> {
        self.document.fields.iter().filter(|(_, register)| self.document.is_latest(register) == self.latest)
    }
}

impl Encode for Part<'_> {
    fn write(&self, out: &mut String) {
        let mut separator = '{';
        for (name, register) in self.fields() {
            out.push(separator);
            separator = ',';
            name.write_key(out);
            out.push(':');
            let content: &dyn Encode = if self.latest { &register.value } else { register };
            content.write(out);
        }
        out.push('}');
    }

    fn is_absent(&self) -> bool {
        self.fields().next().is_none()
    }
}

/// A document as it is written.
struct Parts {
    rev: Offset,
    clock: VectorClock,
    latest: Latest,
    fields: SortedMap<FieldName, Register>,
    written: Option<Stamp>,
    burial: Option<Burial>,
}

/// The fields of the newest write, each still without its stamp: it may come after them.
#[derive(Default)]
struct Latest(SortedMap<FieldName, Register>);

impl Decode for Latest {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let mut fields = SortedMap::new();
        reader.object(&mut |reader, name| {
            let name = FieldName::read_key(name).map_err(|problem| reader.bad(problem))?;
            let register = Register { value: Some(Json::read(reader)?), ..Register::default() };
            match fields.insert(name, register) {
                None => Ok(()),
                Some(_) => Err(reader.bad("a name comes twice")),
            }
        })?;
        Ok(Self(fields))
    }
}

record!(in Parts {
    rev: "rev";
    clock: "clock";
    latest: "latest", or_empty;
    fields: "fields", or_empty;
    written: "written";
    burial: "burial";
});

record!(Changed {
    id: "id";
    doc: "doc";
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    const TEXT: &str = r#"{"rev":2,"clock":{"1":2},"latest":{"note":null,"title":"Milk"},"fields":{"done":{"v":false,"s":{"at":[5,0],"by":[1,1],"rev":1}}},"written":{"at":[6,0],"by":[1,2],"rev":2}}"#;

    #[test]
    fn fields_of_the_newest_write_have_its_stamp_and_are_written_without_one() {
        let document: Document = decode(TEXT).unwrap();
        let stamps = document.fields.values().map(|register| register.stamp.unwrap().rev.0);
        assert_eq!(stamps.collect::<Vec<_>>(), [1, 2, 2]);
        assert_eq!(encode(&document), TEXT);
        // However a document came, it is written in one way.
        let other = r#"{"v":"Milk","s":{"at":[6,0],"by":[1,2],"rev":2}},"#;
        let long = TEXT
            .replace(r#","title":"Milk""#, "")
            .replace("\"fields\":{", &format!("\"fields\":{{\"title\":{other}"));
        assert_eq!(encode(&decode::<Document>(&long).unwrap()), TEXT);
    }

    #[test]
    fn a_field_stands_in_one_place() {
        let twice = TEXT.replace("\"done\":{", "\"title\":{");
        assert!(decode::<Document>(&twice).is_err());
    }
}
