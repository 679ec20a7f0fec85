//! Values as JSON text: checked once where they enter, then carried without being parsed again.

use std::fmt;

use crate::wire::{self, Bad, Decode, Encode, Reader};

/// Nesting allowed in one value.
pub const MAX_DEPTH: usize = 32;

/// Why a text is not an acceptable value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON (RFC 8259).
    #[error("value is not JSON")]
    Malformed,
    /// More than [`MAX_DEPTH`] arrays and objects inside one another.
    #[error("value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// One JSON value as its text. Two are equal when their texts are.
#[derive(Clone)]
pub struct Json(Box<str>);

impl Json {
    /// Takes a text that is one JSON value of acceptable depth.
    ///
    /// # Errors
    /// [`JsonError`]
    pub fn parse(text: impl AsRef<str>) -> Result<Self, JsonError> {
        wire::decode(text.as_ref())
            .map_err(|bad: Bad| if bad.is_too_deep() { JsonError::TooDeep } else { JsonError::Malformed })
    }

    /// A text that is known to be acceptable.
    pub(crate) fn of(text: String) -> Self {
        Self(text.into())
    }

    /// The value as JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Json> for String {
    fn from(json: Json) -> Self {
        json.0.into()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Encode for Json {
    fn write(&self, out: &mut String) {
        out.push_str(&self.0);
    }
}

impl Decode for Json {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        reader.skip_within(MAX_DEPTH).map(|text| Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_text() {
        let text = r#"{"a":[1,2.50,"\"]}"]}"#;
        assert_eq!(Json::parse(text).unwrap().as_str(), text);
    }

    #[test]
    fn depth_is_counted_outside_strings_only() {
        let deep = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        assert!(Json::parse(&deep).is_ok());
        assert_eq!(Json::parse(format!("[{deep}]")), Err(JsonError::TooDeep));
        assert!(Json::parse(format!("\"{}\"", "[".repeat(100))).is_ok());
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in ["", "{", "nul", "1 2", "{'a':1}", "[1,]"] {
            assert_eq!(Json::parse(text), Err(JsonError::Malformed), "{text}");
        }
    }
}
