//! A chunk as it is kept and sent: compressed once, when it is cut.
//!
//! Its length says little (`gzip`): to guess at what is in it takes somebody who may write documents beside those
//! of others and not read these, who sees the traffic of a reader of all, and has a snapshot made for each guess.

use std::io::Read;

use flate2::{Compression, read::GzDecoder};
use sdk_core::protocol::ContentHash;

use crate::{gzip, storage::StorageError};

/// A gzip file (RFC 1952) that holds the text of one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed(pub(super) Vec<u8>);

impl Packed {
    pub(super) fn of(text: &str, hash: &ContentHash) -> Result<Self, StorageError> {
        let packed = gzip::packed(text.as_bytes(), Compression::default(), number(hash));
        let failed =
            |error| StorageError::Unavailable(format!("a chunk cannot be compressed: {error}").into());
        packed.map(Self).map_err(failed)
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

/// The first of its digits. Nobody knows them who does not know the chunk and the salt in it.
fn number(hash: &ContentHash) -> u64 {
    let digits = hash.to_string();
    digits.get(..4).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
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
        assert!(spread > usize::from(gzip::PADDINGS) * 3 / 4, "between them {spread} bytes");
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
