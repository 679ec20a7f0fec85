//! A document of public keys (RFC 7517, section 5).
//!
//! A key is taken if it says all that its use depends on: `kid`, `alg`, and a `kty` and `crv` that go with it. What is not
//! taken is left out and told of: a set is also for others, and one strange key must not lock everybody out. A symmetric or a
//! private key in a document that anybody may read is no secret, and is never taken.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::Key;

/// Bytes of a document.
pub(super) const MAX_DOCUMENT: usize = 256 * 1024;
/// Keys of a document.
pub(super) const MAX_KEYS: usize = 64;
/// Bytes of a key's id.
const MAX_ID: usize = 256;
/// Bytes of an RSA modulus: 2048 to 8192 bits (RFC 7518, section 3.3; more would make each verification slow).
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// Points of small order on edwards25519, also in forms that are not canonical, without the bit for the sign of x. By a
/// key that is one, signatures can be made without knowing any secret.
const SMALL_ORDER: [[u8; 32]; 7] = [
    with_ends(0, 0, 0),
    with_ends(1, 0, 0),
    hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    with_ends(0xec, 0xff, 0x7f),
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
];

/// Why a document is not one of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// Too many bytes.
    #[error("the document has more than {MAX_DOCUMENT} bytes")]
    TooLong,
    /// Not a JSON object with an array `keys`.
    #[error("the document is no set of keys: {0}")]
    Malformed(String),
    /// Too many keys.
    #[error("the document has more than {MAX_KEYS} keys")]
    TooMany,
    /// An id that says nothing.
    #[error("two keys of the document have one kid")]
    Ambiguous,
    /// None of the keys can be used.
    #[error("no key of the document can be used")]
    Empty,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Map<String, Value>>,
}

/// The keys of a document that can be used.
pub(super) fn keys(document: &[u8]) -> Result<Vec<Key>, BadKeys> {
    if document.len() > MAX_DOCUMENT {
        return Err(BadKeys::TooLong);
    }
    let Document { keys } =
        serde_json::from_slice(document).map_err(|error| BadKeys::Malformed(error.to_string()))?;
    if keys.len() > MAX_KEYS {
        return Err(BadKeys::TooMany);
    }
    let mut taken = Vec::new();
    let mut ids = HashSet::new();
    for (number, member) in keys.iter().enumerate() {
        match key(member) {
            Ok(key) if ids.insert(key.id.clone()) => taken.push(key),
            Ok(_) => return Err(BadKeys::Ambiguous),
            Err(problem) => tracing::warn!(number, problem, "a key of the document is left out"),
        }
    }
    if taken.is_empty() { Err(BadKeys::Empty) } else { Ok(taken) }
}

fn key(member: &Map<String, Value>) -> Result<Key, &'static str> {
    let text = |name| member.get(name).and_then(Value::as_str);
    let bytes = |name| text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    if ["d", "k", "p", "q", "dp", "dq", "qi", "oth"].iter().any(|name| member.contains_key(*name)) {
        return Err("it is a secret, and was published");
    }
    let id = text("kid").filter(|id| !id.is_empty() && id.len() <= MAX_ID).ok_or("it has no kid")?;
    if member.contains_key("use") && text("use") != Some("sig") {
        return Err("it is not for signatures");
    }
    let verifies =
        |names: &Value| names.as_array().is_some_and(|names| names.iter().any(|name| name == "verify"));
    if member.get("key_ops").is_some_and(|names| !verifies(names)) {
        return Err("it is not to verify with");
    }
    let alg = text("alg").ok_or("it has no alg")?;
    let (algorithm, decoding) = match (alg, text("kty"), text("crv")) {
        ("RS256", Some("RSA"), _) => {
            let (modulus, exponent) = (bytes("n").ok_or("it has no n")?, bytes("e").ok_or("it has no e")?);
            // An even or tiny exponent is no RSA at all.
            let odd = exponent.last().is_some_and(|last| last % 2 == 1) && exponent != [1];
            if !MODULUS.contains(&modulus.len()) || exponent.len() > 4 || !odd {
                return Err("its modulus or exponent has a size that is not safe");
            }
            (Algorithm::RS256, DecodingKey::from_rsa_raw_components(&modulus, &exponent))
        }
        ("ES256", Some("EC"), Some("P-256")) => {
            let (x, y) = (bytes("x").ok_or("it has no x")?, bytes("y").ok_or("it has no y")?);
            if x.len() != 32 || y.len() != 32 {
                return Err("it is no point of P-256");
            }
            (Algorithm::ES256, DecodingKey::from_ec_der(&[&[4], &x[..], &y[..]].concat()))
        }
        ("EdDSA", Some("OKP"), Some("Ed25519")) => {
            let x = bytes("x").ok_or("it has no x")?;
            if !is_safe_point(&x) {
                return Err("it is no safe point of Ed25519");
            }
            (Algorithm::EdDSA, DecodingKey::from_ed_der(&x))
        }
        _ => return Err("its alg, kty and crv are not RS256, ES256 or EdDSA with what belongs to it"),
    };
    Ok(Key { id: id.into(), algorithm, decoding })
}

/// Whether bytes can be a public key of Ed25519 that nobody can sign by who has no secret.
pub(super) fn is_safe_point(bytes: &[u8]) -> bool {
    let Ok(mut point) = <[u8; 32]>::try_from(bytes) else { return false };
    point[31] &= 0x7f;
    !SMALL_ORDER.contains(&point)
}

const fn with_ends(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut point = [between; 32];
    point[0] = first;
    point[31] = last;
    point
}

const fn hex(text: &str) -> [u8; 32] {
    const fn digit(byte: u8) -> u8 {
        if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 }
    }
    let (text, mut point, mut at) = (text.as_bytes(), [0; 32], 0);
    while at < 32 {
        point[at] = digit(text[2 * at]) << 4 | digit(text[2 * at + 1]);
        at += 1;
    }
    point
}
