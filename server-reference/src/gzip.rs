//! Answers that are compressed, for readers that take that.
//!
//! Whoever watches an encrypted connection sees how long an answer is, and from that could learn what is in it, if some of
//! it were of their own choosing. So an answer is lengthened by a number of bytes which they cannot work out, and which
//! hides differences as small as a guess makes. The same again has the same length, and nothing is learnt from asking
//! often.

use std::io::{self, Write};

use axum::http::{HeaderMap, header};
use flate2::{Compression, GzBuilder};

/// Bytes that an answer may be lengthened by, a power of two.
pub(crate) const PADDINGS: u16 = 1024;

/// A gzip file (RFC 1952), lengthened by a part of a number, which depends on all that is in it and on something that only
/// its readers know, or nobody.
pub(crate) fn packed(bytes: &[u8], level: Compression, number: u64) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().extra(padding(number)).write(Vec::new(), level);
    gzip.write_all(bytes)?;
    gzip.finish()
}

/// The extra field of the header: one subfield, of zeros.
fn padding(number: u64) -> Vec<u8> {
    let length = (number % u64::from(PADDINGS)) as u16;
    let mut field = b"WW".to_vec();
    field.extend(length.to_le_bytes());
    field.resize(field.len() + usize::from(length), 0);
    field
}

/// Whether the reader takes gzip (RFC 9110, section 12.5.3). `*` is whatever is not named.
pub(crate) fn is_taken(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut any = false;
    for coding in accepted.flat_map(|value| value.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let taken = weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0));
        match name {
            _ if name.eq_ignore_ascii_case("gzip") => return taken,
            "*" => any = taken,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn gzip_is_for_who_asks_for_it() {
        let takes = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            is_taken(&headers)
        };
        for values in [&["gzip"][..], &["br, GZip;q=0.5"], &["br", "gzip"], &["*"], &["identity, *;q=0.1"]] {
            assert!(takes(values), "{values:?}");
        }
        for values in
            [&[][..], &[""], &["br"], &["gzip;q=0"], &["gzip; q=0.000, *"], &["*;q=0"], &["gzip;q=x"]]
        {
            assert!(!takes(values), "{values:?}");
        }
    }
}
