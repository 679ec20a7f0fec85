//! Names of topics, and what their events are made of.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use serde_json::value::RawValue;

/// Bytes of a topic's name.
const MAX_NAME: usize = 256;
/// Bytes of a content type.
const MAX_CONTENT_TYPE: usize = 128;
/// The first segment of what is no topic: the control interface of the Durable Streams protocol.
pub const RESERVED: &str = "__ds";

/// A topic of a tenant: 1 to 256 bytes, segments of `A-Z a-z 0-9 - _ . ~ : @` with `/` between them. No segment is
/// empty, `.` or `..`, and the first is not `__ds`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// A text that cannot name a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no name of a topic: 1 to {MAX_NAME} bytes, segments of letters, digits and - _ . ~ : @, with / between them"
)]
pub struct InvalidTopic;

impl TopicName {
    /// The name, if it is one.
    ///
    /// # Errors
    /// [`InvalidTopic`]
    pub fn new(text: &str) -> Result<Self, InvalidTopic> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~:@".contains(&b);
        let segment = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
        let free = text.split('/').next() != Some(RESERVED);
        if text.len() <= MAX_NAME && free && text.split('/').all(segment) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTopic)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

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
#[error("the body is not valid JSON in UTF-8")]
pub struct NotJson;

impl ContentType {
    /// What a topic has whose creator named none.
    pub fn octets() -> Self {
        Self("application/octet-stream".into())
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
        let slice = |value: &RawValue| body.slice_ref(value.get().as_bytes());
        if text.trim_start().starts_with('[') {
            let values: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| NotJson)?;
            Ok(values.into_iter().map(slice).collect())
        } else {
            let value: &RawValue = serde_json::from_str(text).map_err(|_| NotJson)?;
            Ok(vec![slice(value)])
        }
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
    fn a_name_that_could_reach_elsewhere_is_no_topic() {
        for good in ["orders", "orders/eu/1", "A-z_0.9~x:y@z", "a/.hidden", &"x".repeat(MAX_NAME)] {
            assert!(TopicName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/.",
            "__ds",
            "__ds/jwks.json",
            "a b",
            "a%2fb",
            "ä",
            "a\0",
            "a\n",
            "a?b",
            "a#b",
            "a\\b",
            "a*",
            &"x".repeat(MAX_NAME + 1),
        ] {
            assert_eq!(TopicName::new(bad), Err(InvalidTopic), "{bad}");
        }
    }

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
