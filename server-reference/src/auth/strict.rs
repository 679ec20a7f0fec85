//! What is looked at of a token before its signature is: its form, and what its header asks for.
//!
//! A header is the word of whoever sent it. It says which key to look up and nothing else: one that brings a key, says
//! where one is, or demands that the rest be read in another way is refused before anything of it is used.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};

use super::AuthError;

/// Bytes of a token.
pub(super) const MAX_TOKEN: usize = 16 * 1024;
/// Bytes of a key's id.
const MAX_KEY_ID: usize = 256;
/// Members of a header that bring a key or say where one is (RFC 8725, section 3.10).
const KEYS: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];
/// Members that have the rest read in another way: encrypted, compressed, unencoded, or as another token.
const FORMS: [&str; 4] = ["enc", "zip", "b64", "epk"];

/// What a header says that is of use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) key: Option<String>,
    pub(super) algorithm: Algorithm,
}

/// The members of a JSON object that has each once.
struct Members(serde_json::Map<String, serde_json::Value>);

/// The header of a token that has the form of one.
pub(super) fn head(token: &str) -> Result<Head, AuthError> {
    if token.len() > MAX_TOKEN {
        return Err(AuthError::TooLong);
    }
    let mut parts = token.split('.');
    let (Some(head), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        // Five parts are an encrypted token, which nobody issues to us.
        return Err(malformed("it has not three parts"));
    };
    let read = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("a part is not base64url"));
    let Members(head) =
        serde_json::from_slice(&read(head)?).map_err(|error| malformed(&error.to_string()))?;
    let Members(_) = serde_json::from_slice(&read(claims)?).map_err(|error| malformed(&error.to_string()))?;
    if head.contains_key("crit") {
        return Err(AuthError::UnknownExtension);
    }
    if KEYS.iter().any(|name| head.contains_key(*name)) {
        return Err(AuthError::BringsKey);
    }
    if FORMS.iter().any(|name| head.contains_key(*name)) {
        return Err(AuthError::WrongType);
    }
    let text = |name: &str| match head.get(name) {
        None => Ok(None),
        Some(serde_json::Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(malformed(&format!("{name} is not text"))),
    };
    // A token for another use may have the right issuer and audience (RFC 8725, section 3.11).
    let kind = text("typ")?.map(|kind| kind.strip_prefix("application/").unwrap_or(kind));
    if kind.is_some_and(|kind| !["jwt", "at+jwt"].iter().any(|known| kind.eq_ignore_ascii_case(known)))
        || text("cty")?.is_some()
    {
        return Err(AuthError::WrongType);
    }
    let key = text("kid")?.map(str::to_owned);
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY_ID) {
        return Err(AuthError::UnknownKey);
    }
    let algorithm = text("alg")?.ok_or_else(|| malformed("it names no algorithm"))?;
    let algorithm = algorithm.parse().map_err(|_| AuthError::WrongAlgorithm)?;
    Ok(Head { key, algorithm })
}

fn malformed(problem: &str) -> AuthError {
    AuthError::Malformed(problem.to_owned())
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = serde_json::Map::new();
                while let Some((name, value)) = map.next_entry::<String, serde_json::Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member is there twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}
