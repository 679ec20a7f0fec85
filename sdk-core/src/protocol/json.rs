//! Values as JSON text: checked once where they enter, then carried without being parsed again.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

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
pub struct Json(Box<RawValue>);

impl Json {
    /// Takes a text that is one JSON value of acceptable depth.
    pub fn parse(text: String) -> Result<Self, JsonError> {
        check_depth(&text)?;
        RawValue::from_string(text).map(Self).map_err(|_| JsonError::Malformed)
    }

    /// The value as JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

/// Refuses a text whose arrays and objects nest deeper than [`MAX_DEPTH`], without recursion.
fn check_depth(text: &str) -> Result<(), JsonError> {
    within_depth(text, MAX_DEPTH)
}

/// Whether a frame nests no deeper than its own structure plus one value at the limit.
pub(super) fn within_depth(text: &str, most: usize) -> Result<(), JsonError> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > most {
                    return Err(JsonError::TooDeep);
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
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

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        check_depth(raw.get()).map_err(serde::de::Error::custom)?;
        Ok(Self(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_text() {
        let text = r#"{"a":[1,2.50,"\"]}"]}"#;
        assert_eq!(Json::parse(text.into()).unwrap().as_str(), text);
    }

    #[test]
    fn depth_is_counted_outside_strings_only() {
        let deep = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
        assert!(Json::parse(deep.clone()).is_ok());
        assert_eq!(Json::parse(format!("[{deep}]")), Err(JsonError::TooDeep));
        assert!(Json::parse(format!("\"{}\"", "[".repeat(100))).is_ok());
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in ["", "{", "nul", "1 2", "{'a':1}", "[1,]"] {
            assert_eq!(Json::parse(text.into()), Err(JsonError::Malformed), "{text}");
        }
    }
}
