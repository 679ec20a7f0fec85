//! The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a string of structured fields (RFC 9651).

use axum::http::{HeaderMap, HeaderName};

use sdk_core::protocol::IdempotencyKey;

pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The key of a request, or what is wrong with it.
pub(super) fn of(headers: &HeaderMap) -> Result<IdempotencyKey, String> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Err("an Idempotency-Key is required: without one a repetition could not be told".to_owned());
    };
    if values.next().is_some() {
        return Err("one Idempotency-Key is expected".to_owned());
    }
    let text = value.to_str().ok().and_then(string);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        "Idempotency-Key is a string in quotes, of 1 to 128 printable characters of ASCII".to_owned()
    })
}

/// The text of an `sf-string` without parameters.
fn string(field: &str) -> Option<String> {
    let inner = field.trim_matches(' ').strip_prefix('"')?.strip_suffix('"')?;
    let (mut text, mut rest) = (String::new(), inner.chars());
    while let Some(next) = rest.next() {
        match next {
            '\\' => text.push(rest.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            '"' => return None,
            plain => text.push(plain),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key(values: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        of(&headers).ok().map(|key| key.as_str().to_owned())
    }

    #[test]
    fn a_key_is_the_text_within_its_quotes() {
        assert_eq!(key(&[br#""8e03978e-40d5""#]).as_deref(), Some("8e03978e-40d5"));
        assert_eq!(key(&[br#"  "a b"  "#]).as_deref(), Some("a b"));
        assert_eq!(key(&[br#""a\"b\\c""#]).as_deref(), Some(r#"a"b\c"#));
        let longest = format!("\"{}\"", "k".repeat(128));
        assert_eq!(key(&[longest.as_bytes()]).map(|key| key.len()), Some(128));
    }

    #[test]
    fn what_is_no_string_of_structured_fields_is_no_key() {
        let long = format!("\"{}\"", "k".repeat(129));
        for bad in [
            &b""[..],
            b"\"\"",
            b"abc",
            b"\"abc",
            b"abc\"",
            b"\"",
            br#""a"b""#,
            br#""a\b""#,
            br#""a\""#,
            br#""a";p=1"#,
            br#""a", "b""#,
            b":YWJj:",
            b"17",
            b"?1",
            b"\"\xc3\xa4\"",
            b"\"a\tb\"",
            long.as_bytes(),
        ] {
            assert_eq!(key(&[bad]), None, "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(key(&[]), None);
        assert_eq!(key(&[b"\"a\"", b"\"a\""]), None);
    }
}
