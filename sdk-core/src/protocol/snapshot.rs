//! Snapshots: the documents of a collection at one position, in chunks that are known by what is in them.

use std::{borrow::Cow, fmt, str::FromStr};

use sha2::{Digest, Sha256};

use super::ids::{CollectionName, DocumentId};
use super::position::StreamPosition;
use crate::wire::{self, Bad, Decode, Encode, Reader, encode, record, write_text};

/// SHA-256 of a text; written as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// The hash of a text's UTF-8.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits())
    }
}

impl ContentHash {
    fn digits(&self) -> String {
        let digit = |n: u8| char::from_digit(n.into(), 16).unwrap_or('0');
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 lowercase hexadecimal digits")]
pub struct InvalidHash;

impl FromStr for ContentHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 || bytes.iter().any(u8::is_ascii_uppercase) {
            return Err(InvalidHash);
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
            let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(InvalidHash);
            // Two digits of 16 fit a byte.
            *byte = (digit(digits[0])? << 4 | digit(digits[1])?) as u8;
        }
        Ok(Self(hash))
    }
}

impl Encode for ContentHash {
    fn write(&self, out: &mut String) {
        write_text(&self.digits(), out);
    }
}

impl Decode for ContentHash {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let text = reader.string()?;
        text.parse().map_err(|InvalidHash| reader.bad("not a hash"))
    }
}

/// What a snapshot consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Whose documents.
    pub collection: CollectionName,
    /// Where in the collection's history it was taken; what came later is read from here.
    pub position: StreamPosition,
    /// The hash of collection, position and chunks; see [`Self::seal`].
    pub root: ContentHash,
    /// Its chunks, in the order of the ids in them.
    pub chunks: Vec<ChunkRef>,
}

/// One chunk of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkRef {
    /// The hash of its text, which is its name.
    pub hash: ContentHash,
    /// Bytes of its text.
    pub bytes: u64,
    /// Documents in it, at least one.
    pub documents: u64,
    /// The largest id in it.
    pub last: DocumentId,
}

impl Manifest {
    /// A manifest with its root: the hash of the JSON text `[collection, position, chunks]`, without white space and
    /// with the fields in the order of these types.
    pub fn seal(collection: CollectionName, position: StreamPosition, chunks: Vec<ChunkRef>) -> Self {
        let root = ContentHash::of(&encode(&(&collection, &position, &chunks)));
        Self { collection, position, root, chunks }
    }

    /// Whether the root is that of the contents, no chunk is empty, and their ids ascend.
    pub fn is_sound(&self) -> bool {
        let root = ContentHash::of(&encode(&(&self.collection, &self.position, &self.chunks)));
        let ascending = self.chunks.windows(2).all(|pair| pair[0].last < pair[1].last);
        root == self.root && ascending && self.chunks.iter().all(|chunk| chunk.documents > 0)
    }

    /// Documents in all of it.
    pub fn documents(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.documents).sum()
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
}

/// Reads the documents of a chunk's text, in order: each id, and its document as `read` has it; [`Reader::skip`] gives
/// it as text.
///
/// # Errors
/// It is not a chunk, or what `read` and `take` say.
pub fn read_chunk<'a, T>(
    text: &'a str,
    read: &dyn Fn(&mut Reader<'a>) -> Result<T, Bad>,
    take: &mut dyn FnMut(Cow<'a, str>, T) -> Result<(), Bad>,
) -> Result<(), Bad> {
    let mut reader = Reader::new(text);
    reader.object(&mut |reader, name| match name {
        "documents" => reader.array(&mut |reader| {
            let (mut id, mut doc) = (None, None);
            reader.object(&mut |reader, name| {
                match name {
                    "id" if id.is_none() => id = Some(reader.string()?),
                    "doc" if doc.is_none() => doc = Some(read(reader)?),
                    "id" | "doc" => return Err(reader.bad("a name comes twice")),
                    _ => drop(reader.skip()?),
                }
                Ok(())
            })?;
            let (id, doc) = id.zip(doc).ok_or_else(|| reader.bad("a document is missing"))?;
            take(id, doc)
        }),
        _ => reader.skip().map(drop),
    })?;
    reader.end()
}

/// Reads a manifest and checks it.
///
/// # Errors
/// It cannot be read, or is not [sound](Manifest::is_sound).
pub fn read_manifest(text: &str) -> Result<Manifest, Bad> {
    let manifest: Manifest = wire::decode(text)?;
    if manifest.is_sound() {
        Ok(manifest)
    } else {
        Err(Reader::new(text).bad("the root does not fit the contents"))
    }
}

record!(Manifest {
    collection: "collection";
    position: "position";
    root: "root";
    chunks: "chunks";
});

record!(ChunkRef {
    hash: "hash";
    bytes: "bytes";
    documents: "documents";
    last: "last";
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Epoch, Offset};

    #[test]
    fn a_hash_is_sha_256_in_hexadecimal() {
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hash = ContentHash::of("abc");
        assert_eq!(hash.to_string(), digits, "FIPS 180-2, appendix B.1");
        assert_eq!(digits.parse(), Ok(hash));
        let (upper, double_width) = (digits.to_uppercase(), "é".repeat(32));
        for text in ["", &digits[1..], &upper, &double_width] {
            assert_eq!(text.parse::<ContentHash>(), Err(InvalidHash), "{text}");
        }
    }

    #[test]
    fn a_manifest_whose_contents_were_changed_is_refused() {
        let chunk = |last: &str| ChunkRef {
            hash: ContentHash::of(last),
            bytes: 9,
            documents: 2,
            last: DocumentId::new(last).unwrap(),
        };
        let position = StreamPosition { epoch: Epoch::new("e").unwrap(), offset: Offset(7) };
        let collection = CollectionName::new("cards").unwrap();
        let manifest = Manifest::seal(collection.clone(), position.clone(), vec![chunk("b"), chunk("d")]);
        assert_eq!(read_manifest(&encode(&manifest)), Ok(manifest.clone()));
        let mut other = manifest.clone();
        other.position.offset = Offset(8);
        assert!(read_manifest(&encode(&other)).is_err());
        let disorder = Manifest::seal(collection, position, vec![chunk("d"), chunk("b")]);
        assert!(read_manifest(&encode(&disorder)).is_err());
    }

    #[test]
    fn a_chunk_is_read_document_by_document() {
        let text = r#"{"salt":"x","documents":[{"id":"a","doc":{"rev":1}},{"doc":{ "rev":2 },"id":"b\"","later":1}]}"#;
        let mut found = Vec::new();
        read_chunk(text, &Reader::skip, &mut |id, doc| {
            found.push((id.into_owned(), doc));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [("a".to_owned(), r#"{"rev":1}"#), ("b\"".to_owned(), r#"{ "rev":2 }"#)]);
        for bad in
            ["", "{}x", r#"{"documents":[{"id":"a"}]}"#, r#"{"documents":[{"id":"a","id":"b","doc":1}]}"#]
        {
            assert!(read_chunk(bad, &Reader::skip, &mut |_, _| Ok(())).is_err(), "{bad}");
        }
    }
}
