//! What a topic's events are made of.

use bytes::Bytes;
use sdk_core::{protocol::MAX_DEPTH, wire::Reader};

/// Bytes of a content type.
const MAX_CONTENT_TYPE: usize = 128;

/// The media type of a topic's events, as its creator wrote it.
#[derive(Debug, Clone)]
pub struct ContentType(String);

/// How a topic's bytes are cut into events, and shown in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Each JSON value is an event; a batch is an array.
    Json,
    /// Text, whose events follow one another without anything between.
    Text,
    /// Bytes of any kind.
    Binary,
}

/// A body that is not what its content type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not valid JSON in UTF-8, or nested deeper than {MAX_DEPTH} levels")]
pub struct NotJson;

impl ContentType {
    /// What a topic has whose creator named none.
    pub fn octets() -> Self {
        Self("application/octet-stream".into())
    }

    /// What a topic has in which each event is a JSON value.
    pub fn json() -> Self {
        Self("application/json".into())
    }

    /// A content type, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let essence = text.split(';').next()?.trim();
        let (kind, subtype) = essence.split_once('/')?;
        let token = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b))
        };
        let plain = text.len() <= MAX_CONTENT_TYPE && text.bytes().all(|b| matches!(b, b' '..=b'~'));
        (plain && token(kind) && token(subtype)).then(|| Self(text.trim().into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How events of this type are cut and shown.
    pub fn form(&self) -> Form {
        let essence = self.essence();
        if essence.eq_ignore_ascii_case("application/json") {
            Form::Json
        } else if essence.len() > 5 && essence.as_bytes()[..5].eq_ignore_ascii_case(b"text/") {
            Form::Text
        } else {
            Form::Binary
        }
    }

    /// Whether it is JSON of some kind.
    pub fn is_json(&self) -> bool {
        let essence = self.essence().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    }

    /// Whether it is text of some kind.
    pub fn is_text(&self) -> bool {
        self.form() == Form::Text
    }

    /// The events of a body, which are slices of it. The elements of a JSON array are one each; an empty body has none.
    ///
    /// # Errors
    /// [`NotJson`]
    pub fn split(&self, body: Bytes) -> Result<Vec<Bytes>, NotJson> {
        if body.is_empty() {
            return Ok(Vec::new());
        }
        if self.form() != Form::Json {
            return Ok(vec![body]);
        }
        let text = std::str::from_utf8(&body).map_err(|_| NotJson)?;
        let (mut reader, mut events) = (Reader::new(text), Vec::new());
        let mut slice = |reader: &mut Reader<'_>| {
            // What no frame can carry is not taken in the first place.
            let value = reader.skip_within(MAX_DEPTH)?;
            events.push(body.slice_ref(value.as_bytes()));
            Ok(())
        };
        let read = match reader.peek() {
            Some(b'[') => reader.array(&mut slice),
            _ => slice(&mut reader),
        };
        read.and_then(|()| reader.end()).map_err(|_| NotJson)?;
        Ok(events)
    }

    /// Type and subtype, without parameters.
    fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or(&self.0).trim()
    }
}

/// Parameters and case make no difference.
impl PartialEq for ContentType {
    fn eq(&self, other: &Self) -> bool {
        self.essence().eq_ignore_ascii_case(other.essence())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_body_is_cut_into_its_values_as_they_were_written() {
        let json = ContentType::new("Application/JSON; charset=utf-8").unwrap();
        let split = |text: &'static str| -> Result<Vec<String>, NotJson> {
            let events = json.split(Bytes::from_static(text.as_bytes()))?;
            Ok(events.iter().map(|event| String::from_utf8(event.to_vec()).unwrap()).collect())
        };
        assert_eq!(split(" {\"a\" : 1} ").unwrap(), ["{\"a\" : 1}"]);
        assert_eq!(split("[1, [2,3] ,\"x\"]").unwrap(), ["1", "[2,3]", "\"x\""]);
        assert_eq!(split("[[[1]]]").unwrap(), ["[[1]]"]);
        assert!(split("[]").unwrap().is_empty() && split("").unwrap().is_empty());
        let deep = "[".repeat(MAX_DEPTH + 2) + &"]".repeat(MAX_DEPTH + 2);
        assert_eq!(json.split(deep.into()), Err(NotJson), "deeper than a frame can carry");
        for bad in ["{", "[1,]", "1 2", "[1] 2", "nul", "\u{feff}1"] {
            assert_eq!(split(bad), Err(NotJson), "{bad}");
        }
        assert_eq!(json.split(Bytes::from_static(b"\"\xff\"")), Err(NotJson));
    }

    #[test]
    fn content_types_are_compared_without_case_and_parameters() {
        let of = |text| ContentType::new(text).unwrap();
        assert_eq!(of("text/plain"), of("TEXT/Plain; charset=utf-8"));
        assert_ne!(of("text/plain"), of("text/html"));
        assert_eq!(of("text/html").form(), Form::Text);
        assert_eq!(of("application/x-protobuf").form(), Form::Binary);
        for bad in ["", "text", "text/", "/plain", "te xt/plain", "text/pl\u{1}ain", "text/plain\r\nx: y"] {
            assert!(ContentType::new(bad).is_none(), "{bad:?}");
        }
    }
}
