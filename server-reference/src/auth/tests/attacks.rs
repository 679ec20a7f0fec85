//! What is known to have been tried on the verification of tokens (RFC 8725, sections 2 and 3): all of it is refused.

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;

fn encoded(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A token with this text as its header and this as its claims, signed with the shared secret.
fn by_hand(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    format!("{message}.{}", encoded(tag))
}

const HEADER: &str = r#"{"alg":"HS256","kid":"main"}"#;

fn headed(header: &str) -> String {
    by_hand(header, &claims().to_string())
}

#[test]
fn what_is_made_by_hand_here_would_pass_if_nothing_were_wrong_with_it() {
    for header in [
        HEADER,
        r#"{"typ":"JWT","alg":"HS256","kid":"main"}"#,
        r#"{"typ":"at+jwt","alg":"HS256","kid":"main"}"#,
        r#"{"typ":"application/jwt","alg":"HS256","kid":"main","x5t":"AAAA","other":1}"#,
    ] {
        assert_eq!(verifier().verify(&headed(header), NOW).unwrap().subject(), "ada", "{header}");
    }
}

#[test]
fn no_algorithm_is_no_algorithm_however_it_is_spelled() {
    let body = encoded(claims().to_string());
    for spelling in ["none", "None", "NONE", "nOnE", "none ", "", "null", "HS256,none"] {
        let header = encoded(format!(r#"{{"alg":"{spelling}","kid":"main"}}"#));
        for signature in ["", "AA", "e30"] {
            assert_eq!(
                refused(&format!("{header}.{body}.{signature}")),
                AuthError::WrongAlgorithm,
                "{spelling}"
            );
        }
    }
    for alg in ["null", "0", "[\"HS256\"]", "{}"] {
        let token = headed(&format!(r#"{{"alg":{alg},"kid":"main"}}"#));
        assert!(matches!(refused(&token), AuthError::Malformed(_)), "{alg}");
    }
    assert!(matches!(refused(&headed(r#"{"kid":"main"}"#)), AuthError::Malformed(_)));
}

#[test]
fn no_algorithm_but_the_keys_own_is_taken() {
    for alg in
        ["HS384", "HS512", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "hs256", "Hs256", "ES256K"]
    {
        let token = headed(&format!(r#"{{"alg":"{alg}","kid":"main"}}"#));
        assert_eq!(refused(&token), AuthError::WrongAlgorithm, "{alg}");
    }
}

#[test]
fn no_form_of_a_public_key_is_a_shared_secret() {
    let (rsa, ec, ed) = (rsa_pair(), ec_pair(), ed_pair());
    let keys = [
        ("rsa", &rsa, Key::rs256("rsa", rsa.public.as_bytes())),
        ("ec", &ec, Key::es256("ec", ec.public.as_bytes())),
        ("ed", &ed, Key::eddsa("ed", ed.public.as_bytes())),
    ];
    for (id, pair, key) in keys {
        let verifier = Verifier::new("https://id.example", "realtime", [key.unwrap()]);
        let der = pem::parse(&pair.public).unwrap().into_contents();
        let trimmed = pair.public.trim_end().as_bytes();
        for secret in [pair.public.as_bytes(), trimmed, &der, der.as_slice().last_chunk::<32>().unwrap()] {
            let forged = encode(&header(Algorithm::HS256, id), &claims(), &EncodingKey::from_secret(secret));
            assert_eq!(verifier.verify(&forged.unwrap(), NOW), Err(AuthError::WrongAlgorithm), "{id}");
        }
    }
}

#[test]
fn a_key_that_a_token_brings_is_not_looked_at() {
    let jwk = r#"{"kty":"oct","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}"#;
    for member in [
        format!(r#""jwk":{jwk}"#),
        r#""jwk":null"#.into(),
        r#""jku":"https://evil.example/keys""#.into(),
        r#""x5u":"file:///etc/passwd""#.into(),
        r#""x5c":["MIIB"]"#.into(),
    ] {
        let token = headed(&format!(r#"{{"alg":"HS256","kid":"main",{member}}}"#));
        assert_eq!(refused(&token), AuthError::BringsKey, "{member}");
    }
}

#[test]
fn what_would_have_the_rest_read_otherwise_is_refused() {
    for member in [r#""crit":["exp"]"#, r#""crit":[]"#, r#""crit":["b64"],"b64":false"#, r#""crit":null"#] {
        let token = headed(&format!(r#"{{"alg":"HS256","kid":"main",{member}}}"#));
        assert_eq!(refused(&token), AuthError::UnknownExtension, "{member}");
    }
    for member in [
        r#""b64":false"#,
        r#""zip":"DEF""#,
        r#""enc":"A256GCM""#,
        r#""cty":"JWT""#,
        r#""typ":"logout+jwt""#,
        r#""typ":"dpop+jwt""#,
        r#""typ":"secevent+jwt""#,
        r#""typ":"JWE""#,
        r#""typ":"""#,
    ] {
        let token = headed(&format!(r#"{{"alg":"HS256","kid":"main",{member}}}"#));
        assert_eq!(refused(&token), AuthError::WrongType, "{member}");
    }
    // One token within another, as its payload.
    let nested = by_hand(r#"{"alg":"HS256","kid":"main"}"#, &headed(HEADER));
    assert!(matches!(refused(&nested), AuthError::Malformed(_)));
    // Encrypted tokens have five parts.
    assert!(matches!(refused("e30.e30.e30.e30.e30"), AuthError::Malformed(_)));
}

#[test]
fn a_hostile_key_id_finds_nothing() {
    let long = "x".repeat(8 * 1024);
    for kid in [
        "../../../../dev/null",
        "/etc/passwd",
        "main' OR '1'='1",
        "main\\u0000",
        "\\u0000",
        "main ",
        " main",
        "Main",
        "mai\\u006e\\u0301",
        "https://evil.example/keys.json",
        "%6dain",
        "main\\n",
        "",
        &long,
    ] {
        let token = headed(&format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#));
        assert_eq!(refused(&token), AuthError::UnknownKey, "{kid}");
    }
    for kid in ["null", "0", "[\"main\"]", "{}", "true"] {
        let token = headed(&format!(r#"{{"alg":"HS256","kid":{kid}}}"#));
        assert!(matches!(refused(&token), AuthError::Malformed(_)), "{kid}");
    }
    let huge = headed(&format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "x".repeat(64 * 1024)));
    assert_eq!(refused(&huge), AuthError::TooLong);
}

#[test]
fn what_is_said_twice_is_not_said() {
    for header in [
        r#"{"alg":"none","alg":"HS256","kid":"main"}"#,
        r#"{"alg":"HS256","kid":"other","kid":"main"}"#,
        r#"{"alg":"HS256","kid":"main","\u006bid":"main"}"#,
        r#"{"alg":"HS256","kid":"main","typ":"JWT","typ":"JWT"}"#,
    ] {
        assert!(matches!(refused(&headed(header)), AuthError::Malformed(_)), "{header}");
    }
    let text = claims().to_string();
    for twice in [
        r#""tenant":"other""#,
        r#""sub":"root""#,
        r#""exp":99999999999"#,
        r#""access":[],"access":[]"#,
        r#""te\u006eant":"other""#,
        r#""unknown":1,"unknown":2"#,
    ] {
        let both = format!("{},{twice}}}", text.strip_suffix('}').unwrap());
        assert!(matches!(refused(&by_hand(HEADER, &both)), AuthError::Malformed(_)), "{twice}");
    }
}

#[test]
fn a_claim_of_another_type_is_no_claim() {
    for (name, value) in [
        ("exp", json!("9999999999")),
        ("exp", json!(1e300)),
        ("exp", json!(1_000_060.5)),
        ("exp", json!(-1)),
        ("exp", json!(null)),
        ("exp", json!([1_000_060])),
        ("nbf", json!("0")),
        ("nbf", json!(-1)),
        ("iat", json!("0")),
        ("iss", json!(["https://id.example"])),
        ("sub", json!(["ada"])),
        ("tenant", json!({ "acme": true })),
        ("sid", json!(1)),
        ("jti", json!("")),
        ("access", json!("everything")),
        ("access", json!({})),
    ] {
        let token = signed(&with(name, value.clone()));
        assert!(matches!(refused(&token), AuthError::Malformed(_)), "{name}: {value}");
    }
    for aud in [
        json!([]),
        json!(["billing"]),
        json!({ "realtime": true }),
        json!("realtime "),
        json!([["realtime"]]),
    ] {
        let error = refused(&signed(&with("aud", aud.clone())));
        assert!(matches!(error, AuthError::WrongAudience | AuthError::Malformed(_)), "{aud}: {error}");
    }
    for claims in ["[]", "null", "1", "\"text\"", "", "{} {}"] {
        assert!(matches!(refused(&by_hand(HEADER, claims)), AuthError::Malformed(_)), "{claims}");
    }
}

#[test]
fn time_cannot_be_wrapped_around() {
    // Multiplied, this would be a time long ago, or soon.
    for exp in [u64::MAX, u64::MAX / 1000, u64::MAX / 1000 + 1, 1 << 63] {
        let claims = verifier().verify(&signed(&with("exp", json!(exp))), NOW).unwrap();
        assert_eq!(claims.expires(), NOW.plus(MAX_LIFE), "no token outlives the memory of revocations");
    }
    for nbf in [u64::MAX, u64::MAX / 1000 + 1, NOW.0 / 1000 + 31] {
        assert_eq!(refused(&signed(&with("nbf", json!(nbf)))), AuthError::NotYetValid, "{nbf}");
    }
    for iat in [u64::MAX, NOW.0 / 1000 + 31] {
        let error = refused(&signed(&with("iat", json!(iat))));
        assert_eq!(error, AuthError::NotYetValid, "it would be younger than every revocation");
    }
    let old = json!((NOW.0 - MAX_LIFE.min(NOW.0)) / 1000);
    let (mut claims, late) = (with("iat", old), NOW.plus(MAX_LIFE));
    claims["exp"] = json!(late.0);
    assert_eq!(verifier().verify(&signed(&claims), late), Err(AuthError::Expired));
}

#[test]
fn a_token_has_one_form() {
    let good = headed(HEADER);
    assert!(verifier().verify(&good, NOW).is_ok());
    let [head, body, tag] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut variants = vec![
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{head}.{body}.{tag}="),
        format!("{head}=.{body}.{tag}"),
        format!("{head}..{body}.{tag}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{head}.{body}"),
        format!("{head}\r\n.{body}.{tag}"),
        format!("{head}.{body}.{}", &tag[..tag.len() - 1]),
        format!("{head}.{body}.{tag}A"),
        format!("{head}.{body}.{tag}AAAA"),
        String::new(),
        "..".into(),
        "💥.💥.💥".into(),
        "a\0b.c.d".into(),
    ];
    // The last digit has bits that belong to nothing: another digit would decode to the same bytes.
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = digits.iter().position(|digit| *digit == tag.as_bytes()[tag.len() - 1]).unwrap();
    let twin = char::from(digits[last ^ 1]);
    variants.push(format!("{head}.{body}.{}{twin}", &tag[..tag.len() - 1]));
    let standard = |text: &str| text.replace('-', "+").replace('_', "/");
    variants.extend([standard(&good)].into_iter().filter(|variant| *variant != good));
    for variant in variants {
        let error = refused(&variant);
        assert!(matches!(error, AuthError::Malformed(_) | AuthError::WrongSignature), "{variant:?}: {error}");
    }
    assert_eq!(refused(&"a".repeat(16 * 1024 + 1)), AuthError::TooLong);
    assert_eq!(refused(&format!("{good}{}", ".".repeat(1024 * 1024))), AuthError::TooLong);
    let deep = format!("{}{}", r#"{"a":"#.repeat(1_000), "1");
    assert!(matches!(refused(&by_hand(HEADER, &deep)), AuthError::Malformed(_)));
}

#[test]
fn a_signature_of_zeros_or_out_of_range_is_none() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
    let public = pem::encode(&Pem::new("PUBLIC KEY", public.as_ref()));
    let key = Key::es256("ec", public.as_bytes()).unwrap();
    let verifier = Verifier::new("https://id.example", "realtime", [key]);
    let message = format!("{}.{}", encoded(r#"{"alg":"ES256","kid":"ec"}"#), encoded(claims().to_string()));
    let good = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    let good = good.as_ref();
    let token = |signature: &[u8]| format!("{message}.{}", encoded(signature));
    assert!(verifier.verify(&token(good), NOW).is_ok());
    let order: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let bad: [Vec<u8>; 8] = [
        vec![0; 64],
        vec![0xff; 64],
        [&order[..], &order[..]].concat(),
        [&good[..32], &[0; 32][..]].concat(),
        [&[0; 32][..], &good[32..]].concat(),
        [&good[..32], &order[..]].concat(),
        good[..63].to_vec(),
        // The form of X.509, which JWS does not have.
        [&[0x30, 0x44, 0x02, 0x20][..], &good[..32], &[0x02, 0x20], &good[32..]].concat(),
    ];
    for signature in bad {
        assert_eq!(verifier.verify(&token(&signature), NOW), Err(AuthError::WrongSignature));
    }
}

#[test]
fn a_signature_of_ed25519_cannot_be_bent() {
    let pair = Ed25519KeyPair::generate().unwrap();
    let public = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).unwrap();
    let key = Key::eddsa("ed", pem::encode(&Pem::new("PUBLIC KEY", public.as_ref())).as_bytes()).unwrap();
    let verifier = Verifier::new("https://id.example", "realtime", [key]);
    let message = format!("{}.{}", encoded(r#"{"alg":"EdDSA","kid":"ed"}"#), encoded(claims().to_string()));
    let good = pair.sign(message.as_bytes());
    let good = good.as_ref();
    let token = |signature: &[u8]| format!("{message}.{}", encoded(signature));
    assert_eq!(verifier.verify(&token(good), NOW).unwrap().subject(), "ada");
    // The second half and the order of the group: by the equation alone it would be as good.
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let (mut bent, mut carry) = (good.to_vec(), 0);
    for (byte, more) in bent[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    let mut identity = [0; 64];
    identity[0] = 1;
    let mut flipped = good.to_vec();
    flipped[31] ^= 0x80;
    for signature in [&bent[..], &identity, &[0; 64], &flipped, &good[..63], &[good, &[0]].concat()] {
        assert_eq!(verifier.verify(&token(signature), NOW), Err(AuthError::WrongSignature));
    }
}

#[test]
fn a_point_by_which_anybody_can_sign_is_no_key() {
    // The identity, with the prefix that X.509 has for Ed25519.
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    for first in [0, 1] {
        let mut point = [0; 32];
        point[0] = first;
        let text = pem::encode(&Pem::new("PUBLIC KEY", [&prefix[..], &point].concat()));
        assert!(matches!(Key::eddsa("ed", text.as_bytes()), Err(KeyError::BadPublicKey { .. })));
    }
}
