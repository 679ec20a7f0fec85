//! A chunk as it is kept and sent: compressed once, when it is cut.
//!
//! Whoever watches an encrypted connection sees how long an answer is, and from that could learn what is in it, if some of
//! it were of their own choosing. Here that takes somebody who may write documents beside those of others and not read
//! these, who sees the traffic of a reader of all, and has a snapshot made for each guess. So each chunk is lengthened by
//! a number of bytes that only readers could work out, and that hides differences as small as a guess makes. What is asked
//! for once more has the same length again, and nothing is learnt from asking often.

use std::io::{Read, Write};

use flate2::{Compression, GzBuilder, read::GzDecoder};
use sdk_core::protocol::ContentHash;

use crate::storage::StorageError;

/// A gzip file (RFC 1952) that holds the text of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed(pub(super) Vec<u8>);

/// Bytes that a chunk may be lengthened by, a power of two.
const PADDINGS: u16 = 1024;

impl Packed {
    pub(super) fn of(text: &str, hash: &ContentHash) -> Result<Self, StorageError> {
        let mut gzip = GzBuilder::new().extra(padding(hash)).write(Vec::new(), Compression::default());
        gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish()).map(Self).map_err(|error| {
            StorageError::Unavailable(format!("a chunk cannot be compressed: {error}").into())
        })
    }

    /// The text of the chunk.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`]
    pub fn text(&self) -> Result<String, StorageError> {
        let mut text = String::new();
        match GzDecoder::new(&*self.0).read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(source) => Err(StorageError::Corrupt { what: "a chunk", source: Box::new(source) }),
        }
    }
}

/// The extra field of the header: one subfield, of zeros. How many the hash tells, which nobody knows who does not know the
/// chunk and the salt in it.
fn padding(hash: &ContentHash) -> Vec<u8> {
    let digits = hash.to_string();
    let number = digits.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or_default();
    let length = number % PADDINGS;
    let mut field = b"WW".to_vec();
    field.extend(length.to_le_bytes());
    field.resize(field.len() + usize::from(length), 0);
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &str) -> Packed {
        Packed::of(text, &ContentHash::of(text)).unwrap()
    }

    #[test]
    fn what_is_packed_is_shorter_and_the_same_text_again() {
        let text = r#"{"id":"é","doc":{"title":"Milk"}}"#.repeat(1_000);
        let packed = packed(&text);
        assert!(packed.0.len() < text.len() / 4, "{} of {} bytes", packed.0.len(), text.len());
        assert_eq!(packed.text().unwrap(), text);
    }

    #[test]
    fn lengths_say_little_of_texts_that_are_almost_alike() {
        let texts = (0..200).map(|n| format!("{}{n:03}", "guess ".repeat(500)));
        let lengths: Vec<_> = texts.map(|text| packed(&text).0.len()).collect();
        let spread = lengths.iter().max().unwrap() - lengths.iter().min().unwrap();
        assert!(spread > usize::from(PADDINGS) * 3 / 4, "between them {spread} bytes");
        let text = "guess";
        assert_eq!(packed(text), packed(text), "whoever asks twice learns nothing more");
    }

    #[test]
    fn what_was_changed_on_the_disk_is_noticed() {
        let mut packed = packed(&"text ".repeat(100));
        let middle = packed.0.len() - 12;
        packed.0[middle] ^= 1;
        assert!(matches!(packed.text(), Err(StorageError::Corrupt { .. })));
    }
}
