//! Tokens that must not pass, and the few that may.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{self, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pem::Pem;
use sdk_core::{clock::Millis, protocol::ErrorCode, protocol::ProtocolError};
use serde_json::{Value, json};

use super::*;

mod attacks;
mod documents;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: Millis = Millis(1_000_000_000);

fn verifier() -> Verifier {
    Verifier::new("https://id.example", "realtime", [Key::hs256("main", SECRET).unwrap()])
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": "realtime", "sub": "ada", "tenant": "acme",
        "nbf": NOW.0 / 1000, "exp": NOW.0 / 1000 + 60,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn header(algorithm: Algorithm, kid: &str) -> Header {
    Header { kid: Some(kid.into()), ..Header::new(algorithm) }
}

fn signed(claims: &Value) -> String {
    encode(&header(Algorithm::HS256, "main"), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn refused(token: &str) -> AuthError {
    verifier().verify(token, NOW).unwrap_err()
}

/// A private and a public key in PEM.
struct Pair {
    private: String,
    public: String,
}

fn rsa_pair() -> Pair {
    let pair = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private = AsDer::<Pkcs8V1Der>::as_der(&pair).unwrap();
    let public = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
    Pair::new(private.as_ref(), public.as_ref())
}

fn ec_pair() -> Pair {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let private = pair.to_pkcs8v1().unwrap();
    let public = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
    Pair::new(private.as_ref(), public.as_ref())
}

fn ed_pair() -> Pair {
    let pair = Ed25519KeyPair::generate().unwrap();
    let private = pair.to_pkcs8v1().unwrap();
    let public = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
    Pair::new(private.as_ref(), public.as_ref())
}

impl Pair {
    fn new(private: &[u8], public: &[u8]) -> Self {
        let text = |tag, der: &[u8]| pem::encode(&Pem::new(tag, der));
        Self { private: text("PRIVATE KEY", private), public: text("PUBLIC KEY", public) }
    }
}

#[test]
fn a_good_token_gives_tenant_subject_and_end() {
    let claims = verifier().verify(&signed(&claims()), NOW).unwrap();
    assert_eq!((claims.tenant(), claims.subject()), ("acme", "ada"));
    assert_eq!(claims.expires(), NOW.plus(60_000));
}

#[test]
fn a_token_counts_only_within_its_time() {
    let token = signed(&claims());
    assert_eq!(verifier().verify(&token, NOW.plus(60_000)), Err(AuthError::Expired));
    assert!(verifier().verify(&token, NOW.plus(59_999)).is_ok());
    let early = signed(&with("nbf", json!(NOW.0 / 1000 + 31)));
    assert_eq!(refused(&early), AuthError::NotYetValid);
}

#[test]
fn a_token_that_was_verified_before_counts_only_within_its_time() {
    let (verifier, token) = (verifier(), signed(&claims()));
    assert_eq!(verifier.verify(&token, NOW), verifier.verify(&token, NOW.plus(59_999)));
    assert_eq!(verifier.verify(&token, NOW.plus(60_000)), Err(AuthError::Expired));
    assert_eq!(verifier.verify(&token, Millis(NOW.0 - 30_001)), Err(AuthError::NotYetValid));
    let mut other = token.clone();
    other.pop();
    assert!(verifier.verify(&other, NOW).is_err(), "no other token is taken for it");
}

#[test]
fn issuer_and_audience_must_be_ours() {
    assert_eq!(refused(&signed(&with("iss", json!("https://evil.example")))), AuthError::WrongIssuer);
    assert_eq!(refused(&signed(&with("aud", json!("billing")))), AuthError::WrongAudience);
    assert!(verifier().verify(&signed(&with("aud", json!(["billing", "realtime"]))), NOW).is_ok());
}

#[test]
fn every_claim_is_required_and_has_its_type() {
    for name in ["iss", "aud", "sub", "tenant", "nbf", "exp"] {
        assert!(verifier().verify(&signed(&without(name)), NOW).is_err(), "{name}");
        assert!(verifier().verify(&signed(&with(name, json!({}))), NOW).is_err(), "{name}");
    }
    for name in ["nbf", "exp"] {
        let text = (NOW.0 / 1000 + 5).to_string();
        assert!(verifier().verify(&signed(&with(name, json!(text))), NOW).is_err(), "{name} as text");
    }
    for name in ["sub", "tenant"] {
        for bad in ["".to_owned(), "a\u{0}b".to_owned(), "x".repeat(129)] {
            assert!(matches!(refused(&signed(&with(name, json!(bad)))), AuthError::Malformed(_)));
        }
    }
}

#[test]
fn a_signature_must_be_the_keys_own() {
    let other = EncodingKey::from_secret(b"another secret of at least 32 bytes");
    let forged = encode(&header(Algorithm::HS256, "main"), &claims(), &other).unwrap();
    assert_eq!(refused(&forged), AuthError::WrongSignature);
    let [head, body, _] =
        signed(&claims()).split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
    assert!(verifier().verify(&format!("{head}.{body}."), NOW).is_err());
}

#[test]
fn the_algorithm_is_the_keys_and_not_the_headers() {
    // {"alg":"none","kid":"main"} and the claims, unsigned.
    let body = signed(&claims()).split('.').nth(1).unwrap().to_owned();
    assert!(verifier().verify(&format!("eyJhbGciOiJub25lIiwia2lkIjoibWFpbiJ9.{body}."), NOW).is_err());
    let longer =
        encode(&header(Algorithm::HS512, "main"), &claims(), &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(refused(&longer), AuthError::WrongAlgorithm);
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let pair = rsa_pair();
    let key = Key::rs256("rsa", pair.public.as_bytes()).unwrap();
    let verifier = Verifier::new("https://id.example", "realtime", [key]);
    let secret = EncodingKey::from_secret(pair.public.as_bytes());
    let forged = encode(&header(Algorithm::HS256, "rsa"), &claims(), &secret).unwrap();
    assert_eq!(verifier.verify(&forged, NOW), Err(AuthError::WrongAlgorithm));
    let private = EncodingKey::from_rsa_pem(pair.private.as_bytes()).unwrap();
    let honest = encode(&header(Algorithm::RS256, "rsa"), &claims(), &private).unwrap();
    assert_eq!(verifier.verify(&honest, NOW).unwrap().tenant(), "acme");
}

#[test]
fn the_key_id_only_looks_a_key_up() {
    let pair = ec_pair();
    let keys = [Key::hs256("main", SECRET).unwrap(), Key::es256("ec", pair.public.as_bytes()).unwrap()];
    let both = Verifier::new("https://id.example", "realtime", keys);
    let private = EncodingKey::from_ec_pem(pair.private.as_bytes()).unwrap();
    let token = |kid: &str| encode(&header(Algorithm::ES256, kid), &claims(), &private).unwrap();
    assert!(both.verify(&token("ec"), NOW).is_ok());
    assert_eq!(both.verify(&token("main"), NOW), Err(AuthError::WrongAlgorithm));
    for kid in ["other", "", "../../etc/passwd", "https://evil.example/keys"] {
        assert_eq!(both.verify(&token(kid), NOW), Err(AuthError::UnknownKey), "{kid}");
    }
    let nameless = encode(&Header::new(Algorithm::ES256), &claims(), &private).unwrap();
    assert_eq!(both.verify(&nameless, NOW), Err(AuthError::UnknownKey));
    let single = [Key::es256("ec", pair.public.as_bytes()).unwrap()];
    assert!(Verifier::new("https://id.example", "realtime", single).verify(&nameless, NOW).is_ok());
}

#[test]
fn a_demand_that_is_not_understood_is_refused() {
    let header = Header { crit: Some(vec!["exp".into()]), ..header(Algorithm::HS256, "main") };
    let token = encode(&header, &claims(), &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(refused(&token), AuthError::UnknownExtension);
}

#[test]
fn a_client_learns_only_whether_a_new_token_would_help() {
    let code = |error: AuthError| ProtocolError::from(&error).code;
    assert_eq!(code(AuthError::Expired), ErrorCode::TokenExpired);
    for error in [AuthError::UnknownKey, AuthError::WrongSignature, AuthError::WrongAudience] {
        assert_eq!(ProtocolError::from(&error), ProtocolError::from(&AuthError::WrongIssuer));
        assert_eq!(code(error), ErrorCode::Unauthenticated);
    }
}

#[test]
fn a_file_of_keys_gives_each_key_its_algorithm() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let (rsa, ec) = (rsa_pair(), ec_pair());
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    std::fs::write(folder.path().join("rsa.pem"), &rsa.public).unwrap();
    std::fs::write(folder.path().join("ec.pem"), &ec.public).unwrap();
    let read = |keys: Value| {
        let text = json!({ "issuer": "https://id.example", "audience": "realtime", "keys": keys });
        std::fs::write(&file, text.to_string()).unwrap();
        KeyFile::read(&file)
    };
    let good = json!([
        { "id": "main", "algorithm": "HS256", "secretFile": "secret" },
        { "id": "rsa", "algorithm": "RS256", "publicKeyFile": "rsa.pem" },
        { "id": "ec", "algorithm": "ES256", "publicKeyFile": "ec.pem" },
    ]);
    let KeyFile { issuer, audience, keys, .. } = read(good).unwrap();
    assert!(Verifier::new(&issuer, &audience, keys).verify(&signed(&claims()), NOW).is_ok());

    let bad = [
        json!([]),
        json!([{ "id": "a", "algorithm": "none", "secretFile": "secret" }]),
        json!([{ "id": "a", "algorithm": "HS256", "publicKeyFile": "rsa.pem" }]),
        json!([{ "id": "a", "algorithm": "RS256", "secretFile": "secret" }]),
        json!([{ "id": "a", "algorithm": "ES256", "publicKeyFile": "rsa.pem" }]),
        json!([{ "id": "a", "algorithm": "HS256", "secretEnv": "WEBWAKA_NO_SUCH_SECRET" }]),
        json!([{ "id": "a", "algorithm": "HS256", "secretFile": "missing" }]),
        json!([
            { "id": "a", "algorithm": "HS256", "secretFile": "secret" },
            { "id": "a", "algorithm": "RS256", "publicKeyFile": "rsa.pem" },
        ]),
    ];
    for keys in bad {
        assert!(read(keys.clone()).is_err(), "{keys}");
    }
    std::fs::write(folder.path().join("secret"), "short").unwrap();
    let short = read(json!([{ "id": "a", "algorithm": "HS256", "secretFile": "secret" }]));
    assert!(matches!(short, Err(KeyError::ShortSecret { .. })));
}
