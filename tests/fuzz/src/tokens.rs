//! Tokens, and the keys that they are believed by.

use std::{fs, str::from_utf8};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bolero::check;
use sdk_core::clock::Millis;
use serde_json::Value;
use server_reference::auth::{Key, KeyFile, Verifier};

use crate::within_bounds;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";
const NOW: Millis = Millis(1_000_000_000_000);

fn verifier() -> Verifier {
    let key = Key::hs256("main", SECRET).expect("it is long enough");
    Verifier::new("https://id.example", "realtime", [key])
}

/// A header and claims, signed.
fn signed(header: &str, claims: &str, secret: &[u8]) -> String {
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A text as a whole token is believed only if whoever has the secret signed just that.
#[test]
fn as_they_come() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(token) = from_utf8(input) else { return };
        if within_bounds(input.len(), || verifier().verify(token, NOW)).is_err() {
            return;
        }
        let (text, signature) = token.rsplit_once('.').expect("it has three parts");
        let tag = URL_SAFE_NO_PAD.decode(signature).expect("it was believed");
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        assert!(hmac::verify(&key, text.as_bytes(), &tag).is_ok(), "{token}");
    });
}

/// The first line is a header, the rest are claims. What says too little or too much is not believed although it is signed;
/// and what somebody else has signed is never.
#[test]
fn well_signed() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = from_utf8(input) else { return };
        let (header, claims) = text.split_once('\n').unwrap_or((text, ""));
        assert!(verifier().verify(&signed(header, claims, OTHER), NOW).is_err());
        let unsigned = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        assert!(verifier().verify(&format!("{unsigned}."), NOW).is_err());
        let token = signed(header, claims, SECRET);
        let Ok(verified) = within_bounds(token.len(), || verifier().verify(&token, NOW)) else { return };
        let [header, claims] = [header, claims].map(|part| {
            let part: Value = serde_json::from_str(part).expect("it was believed");
            part
        });
        assert_eq!(header["alg"], "HS256");
        assert!(header["kid"].is_null() || header["kid"] == "main");
        for name in ["crit", "jwk", "jku", "x5u", "x5c", "enc", "zip", "b64", "epk", "cty"] {
            assert!(header.get(name).is_none());
        }
        assert_eq!((&claims["iss"], &claims["aud"]), (&"https://id.example".into(), &"realtime".into()));
        assert_eq!(
            (&claims["tenant"], &claims["sub"]),
            (&verified.tenant().into(), &verified.subject().into())
        );
        let (exp, nbf) =
            (claims["exp"].as_u64().expect("a number"), claims["nbf"].as_u64().expect("a number"));
        assert!(exp.saturating_mul(1_000) > NOW.0 && nbf.saturating_mul(1_000) <= NOW.0 + 30_000);
        assert!(verified.expires() > NOW && verified.expires().0 <= exp.saturating_mul(1_000));
    });
}

/// A document of keys. Whatever is in it, a secret that was published is no key, and nothing that is signed by nobody counts.
#[test]
fn documents_of_keys() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(keys) = within_bounds(input.len(), || Key::of_set(input)) else { return };
        assert!(!keys.is_empty() && keys.len() <= 64);
        let verifier = Verifier::new("https://id.example", "realtime", keys);
        let claims = r#"{"iss":"https://id.example","aud":"realtime","sub":"ada","tenant":"acme","nbf":1,"exp":9000000000}"#;
        for algorithm in ["HS256", "none", "RS256", "ES256", "EdDSA"] {
            let header = format!(r#"{{"alg":"{algorithm}"}}"#);
            for secret in [SECRET, input] {
                assert!(verifier.verify(&signed(&header, claims, secret), NOW).is_err());
            }
        }
    });
}

/// An operator's file of keys.
#[test]
fn files_of_keys() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    fs::write(folder.path().join("secret"), SECRET).expect("there is room for a secret");
    let path = folder.path().join("keys.json");
    check!().with_iterations(0).for_each(|input: &[u8]| {
        fs::write(&path, input).expect("there is room for a file");
        let Ok(file) = within_bounds(input.len(), || KeyFile::read(&path)) else { return };
        assert!(!file.issuer.is_empty() && !file.audience.is_empty());
        assert!(!file.keys.is_empty() || file.source.is_some());
    });
}
