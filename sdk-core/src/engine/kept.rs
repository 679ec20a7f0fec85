//! A document at hand: the text that was stored, until something needs more than what it shows.
//!
//! Most documents are only shown, and what they show stands in their text as it is. So a text is walked through once,
//! when it comes from the store, and its fields are copied out whenever it is shown. It becomes a [`Document`] when an
//! operation is laid over it, or asks for its clock.

use std::{borrow::Cow, ops::Range, sync::Arc};

use crate::{
    clock::{MAX_ACTORS, Millis},
    protocol::{Document, FieldName, Json, MAX_DEPTH, Offset},
    wire::{self, Bad, Decode, Key, Reader},
};

/// A document at hand. Whatever is wrong with its text is known by now.
#[derive(Debug)]
pub(super) enum Kept {
    /// It shows its fields as they stand in its text.
    Stored(Stored),
    /// As what it is: its fields have to be worked out, or it is deleted.
    Parsed(Box<Document>),
}

#[derive(Debug)]
pub(super) struct Stored {
    /// What was read in one piece: other documents stand in it, too.
    text: Arc<str>,
    rev: Offset,
    updated: Millis,
    /// Where in the text it is.
    document: Range<usize>,
    /// Where in the text its fields are.
    fields: Range<usize>,
}

impl Kept {
    /// Walks through a text that is a document.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn of(text: &Arc<str>) -> Result<Self, Bad> {
        let mut reader = Reader::new(text);
        let kept = Self::read(&mut reader, text)?;
        reader.end().map(|()| kept)
    }

    /// Walks through a document within a text, which the reader reads.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn read(reader: &mut Reader<'_>, text: &Arc<str>) -> Result<Self, Bad> {
        let start = reader.place();
        let mut ahead = reader.clone();
        let Some((rev, fields, updated)) = as_written(&mut ahead) else {
            return Document::read(reader).map(|document| Self::Parsed(Box::new(document)));
        };
        *reader = ahead;
        let (text, document) = (Arc::clone(text), span(reader, start));
        Ok(Self::Stored(Stored { text, rev, updated, document, fields }))
    }

    /// Lets go of a text of which other documents that are at hand make up less than half.
    pub(super) fn detach(&mut self) {
        if let Self::Stored(Stored { text, document, fields, .. }) = self
            && Arc::strong_count(text) * document.len() * 2 < text.len()
            && let Some(own) = text.get(document.clone())
        {
            *text = own.into();
            *fields = fields.start - document.start..fields.end - document.start;
            *document = 0..text.len();
        }
    }

    /// Its revision.
    pub(super) fn rev(&self) -> Offset {
        match self {
            Self::Stored(stored) => stored.rev,
            Self::Parsed(document) => document.rev,
        }
    }

    /// Whether it exists for its readers.
    pub(super) fn is_alive(&self) -> bool {
        match self {
            Self::Stored(_) => true,
            Self::Parsed(document) => document.is_alive(),
        }
    }

    /// What it is.
    pub(super) fn document(&self) -> Cow<'_, Document> {
        match self {
            // It was walked through, and a text that passed is read without fail.
            Self::Stored(Stored { text, document, .. }) => {
                let text = text.get(document.clone()).unwrap_or_default();
                Cow::Owned(wire::decode(text).unwrap_or_default())
            }
            Self::Parsed(document) => Cow::Borrowed(document),
        }
    }

    /// The fields that it shows, as the text of an object, and when it was written; none if it does not exist.
    pub(super) fn shown(&self) -> Option<(Cow<'_, str>, Millis)> {
        match self {
            Self::Stored(Stored { text, fields, updated, .. }) => {
                Some((text.get(fields.clone())?.into(), *updated))
            }
            Self::Parsed(document) => show(document).map(|(fields, updated)| (fields.into(), updated)),
        }
    }
}

/// From a place up to where the reader is.
fn span(reader: &Reader<'_>, start: usize) -> Range<usize> {
    start..start + reader.since(start).len()
}

/// Passes over a document to which only its newest write has made its fields, as we write it byte for byte: most are, and
/// of ten thousand each token counts. None if it is another one, or wrong.
fn as_written(reader: &mut Reader<'_>) -> Option<(Offset, Range<usize>, Millis)> {
    /// Digits that 32 bits hold for certain, and those that JavaScript does.
    const SMALL: usize = 9;
    const EXACT: usize = 15;
    let expect = |reader: &mut Reader<'_>, text| reader.literal(text).then_some(());
    expect(reader, r#"{"rev":"#)?;
    let rev = Offset(reader.digits(EXACT)?);
    let (mut separator, mut actors, mut newest) = (r#","clock":{""#, 0, None);
    while reader.literal(separator) {
        separator = ",\"";
        let actor = reader.digits(SMALL)?;
        if newest.replace(actor).is_some_and(|before| before >= actor) || actors == MAX_ACTORS {
            return None;
        }
        actors += 1;
        expect(reader, "\":")?;
        reader.digits(EXACT)?;
    }
    expect(reader, r#"},"latest":"#)?;
    let from = reader.place();
    let (mut separator, mut last) = ("{", "");
    while reader.literal(separator) {
        separator = ",";
        let name = reader.unescaped().filter(|name| *name > last && FieldName::is_valid(name))?;
        last = name;
        expect(reader, ":")?;
        if reader.unescaped().is_none() {
            reader.skip_within(MAX_DEPTH).ok()?;
        }
    }
    expect(reader, "}")?;
    let fields = span(reader, from);
    expect(reader, r#","written":{"at":["#)?;
    let updated = Millis(reader.digits(EXACT)?);
    expect(reader, ",")?;
    reader.digits(SMALL)?;
    expect(reader, r#"],"by":["#)?;
    reader.digits(SMALL)?;
    expect(reader, ",")?;
    reader.digits(EXACT)?;
    expect(reader, r#"],"rev":"#)?;
    reader.digits(EXACT)?;
    expect(reader, "}}")?;
    Some((rev, fields, updated))
}

/// The fields that a document shows, as the text of an object, and when it was written; none if it does not exist.
pub(super) fn show(document: &Document) -> Option<(String, Millis)> {
    document.written.map(|stamp| (object(document.values()), stamp.at.wall))
}

/// The text of an object of values by name.
fn object<'a>(fields: impl Iterator<Item = (&'a FieldName, Json)>) -> String {
    let mut text = String::new();
    let mut separator = '{';
    for (name, value) in fields {
        text.push(separator);
        separator = ',';
        name.write_key(&mut text);
        text.push(':');
        text.push_str(value.as_str());
    }
    text.push_str(if separator == '{' { "{}" } else { "}" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Fields;

    const PLAIN: &str = r#"{"rev":2,"clock":{"1":2},"latest":{"a":[1,"\ud800"],"title":"Milk"},"written":{"at":[6,0],"by":[1,2],"rev":2}}"#;

    fn kept(text: &str) -> Result<Kept, Bad> {
        Kept::of(&text.into())
    }

    #[test]
    fn a_stored_text_shows_what_the_document_in_it_shows() {
        let burial = r#","burial":{"stamp":{"at":[1,0],"by":[1,1],"rev":1},"clock":{"1":1}}}"#;
        let counter =
            r#""fields":{"done":{"v":1,"s":{"at":[5,0],"by":[1,1],"rev":1},"inc":[[[1,2],2,4]]}},"written""#;
        let texts = [
            PLAIN.to_owned(),
            PLAIN.replace(r#","title""#, r#", "title" "#),
            PLAIN.trim_end_matches('}').to_owned() + "}" + burial,
            PLAIN.replace(r#""written""#, counter),
            PLAIN.replace("\"a\"", "\"z\""),
            r#"{"rev":2,"clock":{}}"#.to_owned(),
        ];
        for (index, text) in texts.iter().enumerate() {
            let (kept, document) = (kept(text).unwrap(), wire::decode::<Document>(text).unwrap());
            assert_eq!(matches!(kept, Kept::Stored(_)), index == 0, "{text}");
            let read = |text: &str| wire::decode::<Fields>(text).unwrap();
            let shown = kept.shown().map(|(fields, at)| (read(&fields), at));
            assert_eq!(shown, show(&document).map(|(fields, at)| (read(&fields), at)), "{text}");
            assert_eq!((kept.rev(), kept.is_alive()), (document.rev, document.is_alive()));
            assert_eq!(*kept.document(), document);
        }
    }

    #[test]
    fn what_passes_is_read_without_fail_and_nothing_else_is_refused() {
        let others = ["", "\"", "{", "}", ",", ":", "[", "0", "-", "\\", "\u{1}", "é", "null", "\"a\":1,"];
        for (at, byte) in PLAIN.char_indices() {
            for with in others {
                for end in [at, at + byte.len_utf8()] {
                    let text = [&PLAIN[..at], with, &PLAIN[end..]].concat();
                    let document = wire::decode::<Document>(&text);
                    match (kept(&text), document) {
                        (Ok(kept), Ok(document)) => assert_eq!(*kept.document(), document, "{text}"),
                        (kept, document) => assert!(kept.is_err() && document.is_err(), "{text}"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_document_that_is_left_alone_lets_go_of_the_text_it_came_in() {
        let text: Arc<str> = [" ", PLAIN, &" ".repeat(PLAIN.len())].concat().into();
        let read = || Kept::read(&mut Reader::new(&text), &text).unwrap();
        let seen = |kept: &Kept| (kept.document().into_owned(), kept.shown().unwrap().0.into_owned());
        let (mut one, other) = (read(), read());
        let before = seen(&one);
        one.detach();
        assert_eq!(Arc::strong_count(&text), 3, "two documents make up most of it");
        drop((text, other));
        one.detach();
        assert_eq!(seen(&one), before);
        let Kept::Stored(Stored { text, .. }) = one else { panic!("it was as we write it") };
        assert_eq!(*text, *PLAIN);
    }
}
