//! Which events keep their order.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::storage::events::{ContentType, Form, Rules};

/// The lane of an event: a number made of its key, none if it has no key. Two keys that happen to share a number keep
/// their order as one does, which holds more than was asked for.
pub(super) fn lane(rules: &Rules, content_type: &ContentType, event: &[u8]) -> Option<i64> {
    let pointer = rules.key.as_deref()?;
    if content_type.form() != Form::Json {
        return None;
    }
    let event: Value = serde_json::from_slice(event).ok()?;
    let text = match event.pointer(pointer)? {
        Value::Null => return None,
        // A string and a number that look alike are two keys.
        key => key.to_string(),
    };
    let hash = digest(&SHA256, text.as_bytes());
    let first: [u8; 8] = hash.as_ref().get(..8)?.try_into().ok()?;
    Some(i64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: Option<&str>, event: &str) -> Option<i64> {
        let rules = Rules { key: key.map(str::to_owned), ..Rules::default() };
        lane(&rules, &ContentType::new("application/json").unwrap(), event.as_bytes())
    }

    #[test]
    fn events_of_one_key_share_a_lane_and_what_has_none_is_in_none() {
        let ada = of(Some("/subject"), r#"{"subject":"ada","id":"1"}"#);
        assert!(ada.is_some());
        assert_eq!(ada, of(Some("/subject"), r#"{"id":"2", "subject" : "ada"}"#));
        assert_ne!(ada, of(Some("/subject"), r#"{"subject":"bob"}"#));
        assert_ne!(of(Some("/subject"), r#"{"subject":1}"#), of(Some("/subject"), r#"{"subject":"1"}"#));
        assert_eq!(
            of(Some("/data/id"), r#"{"data":{"id":7}}"#),
            of(Some("/data/id"), r#"{"data":{"id":7},"x":1}"#)
        );
        for event in [r#"{"id":1}"#, r#"{"subject":null}"#, "3", "[]"] {
            assert_eq!(of(Some("/subject"), event), None, "{event}");
        }
        assert_eq!(of(None, r#"{"subject":"ada"}"#), None);
        let text = ContentType::new("text/plain").unwrap();
        assert_eq!(lane(&Rules::default(), &text, br#"{"subject":"ada"}"#), None);
    }
}
