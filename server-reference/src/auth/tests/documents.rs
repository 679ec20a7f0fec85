//! Documents of keys, and what becomes of tokens when they change.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;

use super::{super::jwks::keys, *};

/// A pair, its key as a document has it, and what signs with it.
fn member(algorithm: Algorithm, id: &str) -> (EncodingKey, Value) {
    let private = match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(rsa_pair().private.as_bytes()),
        Algorithm::ES256 => EncodingKey::from_ec_pem(ec_pair().private.as_bytes()),
        _ => EncodingKey::from_ed_pem(ed_pair().private.as_bytes()),
    };
    let private = private.unwrap();
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap()).unwrap();
    jwk["kid"] = json!(id);
    jwk["use"] = json!("sig");
    (private, jwk)
}

fn token(algorithm: Algorithm, id: &str, private: &EncodingKey) -> String {
    encode(&header(algorithm, id), &claims(), private).unwrap()
}

fn document(members: &[&Value]) -> Vec<u8> {
    json!({ "keys": members }).to_string().into_bytes()
}

fn ids(document: &[u8]) -> Result<Vec<String>, BadKeys> {
    keys(document).map(|keys| keys.into_iter().map(|key| key.id).collect())
}

#[test]
fn each_kind_of_key_verifies_what_it_signed() {
    let kinds = [(Algorithm::RS256, "r"), (Algorithm::ES256, "e"), (Algorithm::EdDSA, "d")];
    let made = kinds.map(|(algorithm, id)| (algorithm, id, member(algorithm, id)));
    let members: Vec<&Value> = made.iter().map(|(_, _, (_, member))| member).collect();
    let verifier = Verifier::new("https://id.example", "realtime", keys(&document(&members)).unwrap());
    for (algorithm, id, (private, _)) in &made {
        assert_eq!(verifier.verify(&token(*algorithm, id, private), NOW).unwrap().subject(), "ada", "{id}");
        for (_, other, _) in made.iter().filter(|(_, other, _)| other != id) {
            assert_eq!(
                verifier.verify(&token(*algorithm, other, private), NOW),
                Err(AuthError::WrongAlgorithm)
            );
        }
    }
}

#[test]
fn a_key_that_does_not_say_all_that_its_use_depends_on_is_left_out() {
    let (_, good) = member(Algorithm::ES256, "good");
    let (_, rsa) = member(Algorithm::RS256, "rsa");
    let (_, ed) = member(Algorithm::EdDSA, "ed");
    let altered = |of: &Value, name: &str, value: Value| {
        let mut altered = of.clone();
        altered["kid"] = json!("other");
        altered[name] = value;
        altered
    };
    let without = |of: &Value, name: &str| {
        let mut altered = of.clone();
        altered["kid"] = json!("other");
        altered.as_object_mut().unwrap().remove(name);
        altered
    };
    let encoded = |bytes: &[u8]| json!(URL_SAFE_NO_PAD.encode(bytes));
    let mut one = [0; 32];
    one[0] = 1;
    let bad = [
        without(&good, "alg"),
        without(&good, "kid"),
        without(&good, "x"),
        without(&rsa, "n"),
        altered(&good, "kid", json!("")),
        altered(&good, "kid", json!(7)),
        altered(&good, "kid", json!("x".repeat(257))),
        altered(&good, "alg", json!("RS256")),
        altered(&good, "alg", json!("HS256")),
        altered(&good, "alg", json!("none")),
        altered(&good, "crv", json!("P-384")),
        altered(&good, "kty", json!("RSA")),
        altered(&good, "use", json!("enc")),
        altered(&good, "use", json!(1)),
        altered(&good, "key_ops", json!(["sign"])),
        altered(&good, "key_ops", json!("verify")),
        altered(&good, "d", json!("AAAA")),
        altered(&good, "x", encoded(&[1; 31])),
        altered(&good, "x", json!("not base64!")),
        altered(&rsa, "alg", json!("RS512")),
        altered(&rsa, "alg", json!("PS256")),
        altered(&rsa, "n", encoded(&[0xff; 128])),
        altered(&rsa, "n", encoded(&[0xff; 2048])),
        altered(&rsa, "e", encoded(&[1])),
        altered(&rsa, "e", encoded(&[2])),
        altered(&rsa, "e", encoded(&[1; 9])),
        altered(&ed, "x", encoded(&[0; 32])),
        altered(&ed, "x", encoded(&one)),
        altered(&ed, "crv", json!("X25519")),
        json!({ "kty": "oct", "alg": "HS256", "kid": "other", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "kid": "other", "pub": "AAAA" }),
        json!({}),
    ];
    for member in bad {
        assert_eq!(ids(&document(&[&member, &good])), Ok(vec!["good".into()]), "{member}");
        assert_eq!(ids(&document(&[&member])), Err(BadKeys::Empty), "{member}");
    }
    assert_eq!(ids(&document(&[&altered(&good, "key_ops", json!(["verify"]))])), Ok(vec!["other".into()]));
}

#[test]
fn a_document_has_bounds_and_says_each_thing_once() {
    let (_, good) = member(Algorithm::EdDSA, "a");
    assert_eq!(ids(&document(&[&good, &good])), Err(BadKeys::Ambiguous));
    let many: Vec<Value> = (0..65).map(|_| good.clone()).collect();
    assert_eq!(ids(&document(&many.iter().collect::<Vec<_>>())), Err(BadKeys::TooMany));
    assert_eq!(ids(&vec![b' '; 256 * 1024 + 1]), Err(BadKeys::TooLong));
    for text in ["", "[]", "{}", "null", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, "<html>"] {
        assert!(matches!(ids(text.as_bytes()), Err(BadKeys::Malformed(_))), "{text}");
    }
}

#[test]
fn keys_come_by_https_or_from_this_machine() {
    for good in [
        "https://id.example/keys",
        "http://127.0.0.1:1/k",
        "http://[::1]/k",
        "http://localhost/k",
        "https://10.0.0.1/",
    ] {
        assert!(Source::url(good, Pace::default()).is_ok(), "{good}");
    }
    for bad in [
        "http://id.example/keys",
        "http://10.0.0.1/",
        "http://localhost.evil.example/",
        "http://127.0.0.1.evil.example/",
        "https://user:secret@id.example/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "",
    ] {
        assert!(matches!(Source::url(bad, Pace::default()), Err(SourceError::Url)), "{bad}");
    }
}

/// A document that is served, and can be changed.
struct Issuer {
    address: String,
    served: Arc<std::sync::Mutex<Result<Vec<u8>, u16>>>,
    reads: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(first: Vec<u8>) -> Self {
        let served = Arc::new(std::sync::Mutex::new(Ok(first)));
        let reads = Arc::new(AtomicUsize::new(0));
        let (answer, count) = (served.clone(), reads.clone());
        let handler = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let served = answer.lock().unwrap().clone();
            async move {
                match served {
                    Ok(bytes) => (axum::http::StatusCode::OK, bytes),
                    Err(status) => (axum::http::StatusCode::from_u16(status).unwrap(), Vec::new()),
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = axum::Router::new().route("/keys", axum::routing::get(handler));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, served, reads }
    }

    fn serve(&self, what: Result<Vec<u8>, u16>) {
        *self.served.lock().unwrap() = what;
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    fn verifier(&self, pace: Pace) -> Arc<Verifier> {
        let source = Source::url(&self.address, pace).unwrap();
        let verifier = Verifier::new("https://id.example", "realtime", []).with_source(Some(source));
        let verifier = Arc::new(verifier);
        let fresh = verifier.clone();
        tokio::spawn(async move { fresh.keep_fresh().await });
        verifier
    }
}

/// Often enough for a test to see it; nothing depends on how soon.
fn quick() -> Pace {
    let pause = Duration::from_millis(20);
    Pace { pause, refresh: pause, keep: Duration::from_secs(600) }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(patience.await.is_ok(), "{what}");
}

#[tokio::test]
async fn a_new_key_is_found_when_a_token_names_it() {
    let ((old, first), (new, second)) = (member(Algorithm::EdDSA, "1"), member(Algorithm::EdDSA, "2"));
    let issuer = Issuer::start(document(&[&first])).await;
    // By age it would not be read again within this test.
    let pace = Pace { pause: Duration::from_millis(1), refresh: Duration::from_secs(3_600), ..quick() };
    let verifier = issuer.verifier(pace);
    assert!(verifier.verify_renewed(&token(Algorithm::EdDSA, "1", &old), NOW).await.is_ok());
    issuer.serve(Ok(document(&[&first, &second])));
    let later = token(Algorithm::EdDSA, "2", &new);
    tokio::time::sleep(pace.pause * 2).await;
    assert!(verifier.verify_renewed(&later, NOW).await.is_ok());
}

#[tokio::test]
async fn whoever_sends_tokens_cannot_make_us_ask_more_often() {
    let (private, first) = member(Algorithm::EdDSA, "1");
    let issuer = Issuer::start(document(&[&first])).await;
    let hour = Duration::from_secs(3_600);
    let verifier = issuer.verifier(Pace { pause: hour, refresh: hour, keep: hour });
    assert!(verifier.verify_renewed(&token(Algorithm::EdDSA, "1", &private), NOW).await.is_ok());
    let asked = (0..200).map(|n| {
        let (verifier, token) = (verifier.clone(), token(Algorithm::EdDSA, &format!("k{n}"), &private));
        tokio::spawn(async move { verifier.verify_renewed(&token, NOW).await })
    });
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer.unwrap(), Err(AuthError::UnknownKey));
    }
    assert_eq!(issuer.reads(), 1);
}

#[tokio::test]
async fn a_key_that_is_removed_verifies_nothing_more_not_even_what_was_verified_before() {
    let ((one, first), (two, second)) = (member(Algorithm::EdDSA, "1"), member(Algorithm::ES256, "2"));
    let issuer = Issuer::start(document(&[&first, &second])).await;
    let verifier = issuer.verifier(quick());
    let (gone, stays) = (token(Algorithm::EdDSA, "1", &one), token(Algorithm::ES256, "2", &two));
    let claims = verifier.verify_renewed(&gone, NOW).await.unwrap();
    assert!(verifier.verify(&stays, NOW).is_ok());
    let scope = crate::tenant::TenantScope::of(claims);
    issuer.serve(Ok(document(&[&second])));
    // What is open by it is told.
    assert_eq!(verifier.withdrawn(&scope).await, AuthError::KeyRemoved);
    assert!(matches!(verifier.verify(&gone, NOW), Err(AuthError::KeyRemoved | AuthError::UnknownKey)));
    assert!(verifier.verify(&stays, NOW).is_ok());
    // Another key under the same name is another key.
    let (_, other) = member(Algorithm::EdDSA, "1");
    issuer.serve(Ok(document(&[&other, &second])));
    let reads = issuer.reads();
    until("it was read again", || issuer.reads() > reads + 1).await;
    assert!(verifier.verify(&gone, NOW).is_err());
}

#[tokio::test]
async fn the_last_good_document_counts_while_there_is_none_and_not_for_ever() {
    let (private, first) = member(Algorithm::RS256, "1");
    let issuer = Issuer::start(document(&[&first])).await;
    let patient = issuer.verifier(quick());
    let hasty = issuer.verifier(Pace { keep: Duration::from_millis(100), ..quick() });
    let token = token(Algorithm::RS256, "1", &private);
    for verifier in [&patient, &hasty] {
        assert!(verifier.verify_renewed(&token, NOW).await.is_ok());
    }
    for broken in
        [Err(500), Err(302), Ok(b"<html>".to_vec()), Ok(document(&[])), Ok(vec![b' '; 256 * 1024 + 1])]
    {
        issuer.serve(broken);
        let reads = issuer.reads();
        until("it was asked again", || issuer.reads() > reads + 3).await;
        assert!(patient.verify(&token, NOW).is_ok());
    }
    until("it is too old", || hasty.verify(&token, NOW).is_err()).await;
    let unknown = hasty.verify_renewed(&token, NOW).await.unwrap_err();
    assert!(matches!(unknown, AuthError::NoKeys | AuthError::KeyRemoved), "{unknown}");
    let problem = ProtocolError::from(&AuthError::NoKeys);
    assert_eq!(problem.code, ErrorCode::Overloaded, "a new token would not help");
    issuer.serve(Ok(document(&[&first])));
    until("it is there again", || hasty.verify(&token, NOW).is_ok()).await;
}

#[tokio::test]
async fn a_file_is_read_anew_and_the_operators_own_keys_go_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    let ((one, first), (two, second)) = (member(Algorithm::EdDSA, "main"), member(Algorithm::EdDSA, "2"));
    std::fs::write(&file, document(&[&first])).unwrap();
    let own = Key::hs256("main", SECRET).unwrap();
    let source = Source::file(file.clone(), quick());
    let verifier = Arc::new(Verifier::new("https://id.example", "realtime", [own]).with_source(Some(source)));
    let fresh = verifier.clone();
    tokio::spawn(async move { fresh.keep_fresh().await });
    let second_token = token(Algorithm::EdDSA, "2", &two);
    assert!(verifier.verify(&signed(&claims()), NOW).is_ok(), "what needs no document does not wait for it");
    std::fs::write(&file, document(&[&first, &second])).unwrap();
    until("the file was read", || verifier.verify(&second_token, NOW).is_ok()).await;
    assert_eq!(verifier.verify(&token(Algorithm::EdDSA, "main", &one), NOW), Err(AuthError::WrongAlgorithm));
    // A document may come and go: a token that names no key has no key.
    let nameless =
        encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(verifier.verify(&nameless, NOW), Err(AuthError::UnknownKey));
}

#[test]
fn the_file_of_keys_says_where_the_document_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let read = |jwks: Value| {
        let text = json!({ "issuer": "https://id.example", "audience": "realtime", "jwks": jwks });
        std::fs::write(&file, text.to_string()).unwrap();
        KeyFile::read(&file)
    };
    let good =
        read(json!({ "url": "https://id.example/keys", "refreshSeconds": 60, "keepSeconds": 3600 })).unwrap();
    assert!(good.source.is_some() && good.keys.is_empty());
    assert!(read(json!({ "file": "jwks.json" })).unwrap().source.is_some());
    for bad in [
        json!({}),
        json!({ "url": "https://id.example/keys", "file": "jwks.json" }),
        json!({ "url": "http://id.example/keys" }),
        json!({ "url": "https://id.example/keys", "refreshSeconds": 1 }),
        json!({ "url": "https://id.example/keys", "refreshSeconds": 600, "keepSeconds": 60 }),
        json!({ "url": "https://id.example/keys", "insecure": true }),
    ] {
        assert!(read(bad.clone()).is_err(), "{bad}");
    }
}
