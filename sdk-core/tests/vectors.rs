//! The golden vectors in `tests/vectors`: what other implementations, the TypeScript one among them, are held
//! to as well. Each file says in `name` what it shows.

use std::{collections::BTreeSet, fs, path::Path};

use sdk_core::protocol::{
    ClientFrame, ErrorCode, ProtocolError, PullReply, PullRequest, PushReply, PushRequest, Retry,
    ServerFrame, decode, decode_server_frame, encode,
};
use sdk_core::wire::{Decode, Encode};
use serde_json::{Value, json};

/// Every vector, with its file's name.
fn vectors() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let mut vectors: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect();
    vectors.sort_by(|(a, _), (b, _)| a.cmp(b));
    vectors
}

/// Decodes as what the vector says it is, and encodes again.
fn through(vector: &Value, text: &str) -> Result<Value, ProtocolError> {
    fn again<T: Encode + Decode>(text: &str) -> Result<String, ProtocolError> {
        decode::<T>(text).map(|value| encode(&value))
    }
    let encoded = match (vector["direction"].as_str(), vector["type"].as_str()) {
        (Some("client"), None) => again::<ClientFrame>(text),
        (Some("server"), None) => match decode_server_frame(text)? {
            Some(frame) => Ok(encode::<ServerFrame>(&frame)),
            None => return Ok(Value::Null),
        },
        (Some("http"), Some("pushRequest")) => again::<PushRequest>(text),
        (Some("http"), Some("pushReply")) => again::<PushReply>(text),
        (Some("http"), Some("pullRequest")) => again::<PullRequest>(text),
        (Some("http"), Some("pullReply")) => again::<PullReply>(text),
        other => panic!("a vector of no known kind: {other:?}"),
    }?;
    Ok(serde_json::from_str(&encoded).unwrap())
}

/// The message of a vector, if it is a well-formed one of a type that Rust decodes.
fn message(vector: &Value) -> Option<&Value> {
    (vector["type"] != "problem").then(|| vector.get("frame").or(vector.get("body"))).flatten()
}

#[test]
fn every_message_survives_decoding_and_encoding() {
    let mut seen = 0;
    for (file, vector) in vectors() {
        let Some(message) = message(&vector) else { continue };
        let expected = vector.get("decodesAs").unwrap_or(message);
        let encoded =
            through(&vector, &message.to_string()).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(encoded, *expected, "{file}");
        seen += 1;
    }
    assert!(seen >= 18, "only {seen} vectors hold a message");
}

#[test]
fn every_frame_and_body_has_a_vector() {
    let vectors = vectors();
    let names = |direction: &str| -> BTreeSet<String> {
        let of = |vector: &Value| match vector["type"].as_str() {
            Some(body) => Some(body.to_owned()),
            None => vector["frame"].as_object()?.keys().next().cloned(),
        };
        vectors.iter().filter(|(_, v)| v["direction"] == direction).filter_map(|(_, v)| of(v)).collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        names("client"),
        set(&[
            "hello",
            "push",
            "publish",
            "pull",
            "subscribe",
            "unsubscribe",
            "enter",
            "leave",
            "send",
            "refresh",
            "pong",
        ])
    );
    assert_eq!(
        names("server"),
        set(&[
            "welcome", "outcomes", "changes", "events", "ended", "room", "message", "sent", "error",
            "slowDown", "goAway", "ping",
        ])
    );
    assert_eq!(names("http"), set(&["pushRequest", "pushReply", "pullRequest", "pullReply", "problem"]));
}

/// `open` names, as JSON pointers (RFC 6901), the objects of a message to which a newer version may add.
#[test]
fn unknown_fields_are_ignored() {
    let mut added = 0;
    for (file, vector) in vectors() {
        let Some(message) = message(&vector) else { continue };
        for pointer in vector["open"].as_array().into_iter().flatten() {
            let pointer = pointer.as_str().unwrap();
            let mut newer = message.clone();
            let object = newer.pointer_mut(pointer).and_then(Value::as_object_mut);
            let object = object.unwrap_or_else(|| panic!("{file}: {pointer} is no object"));
            object.insert("addedInVersionTwo".into(), json!({"deep": [1, "two"]}));
            let encoded = through(&vector, &newer.to_string())
                .unwrap_or_else(|error| panic!("{file}: {pointer}: {error}"));
            assert_eq!(encoded, *message, "{file}: {pointer}");
            added += 1;
        }
    }
    assert!(added >= 50, "only {added} objects were extended");
}

#[test]
fn bad_input_is_refused_with_its_code() {
    let mut seen = 0;
    for (file, vector) in vectors() {
        let (Some(text), Some(code)) = (vector["text"].as_str(), vector["error"].as_str()) else { continue };
        let error = through(&vector, text).expect_err(&file);
        assert_eq!(error.code.as_str(), code, "{file}: {error}");
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} vectors hold bad input");
}

#[test]
fn a_client_ignores_a_frame_of_a_newer_server() {
    let (file, vector) =
        vectors().into_iter().find(|(_, vector)| vector["ignored"] == true).expect("there is such a vector");
    assert_eq!(through(&vector, vector["text"].as_str().unwrap()), Ok(Value::Null), "{file}");
}

#[test]
fn a_problem_document_carries_the_status_of_its_code() {
    let (file, vector) = vectors().into_iter().find(|(_, vector)| vector["type"] == "problem").unwrap();
    let code: ErrorCode = decode(&vector["body"]["code"].to_string()).unwrap();
    assert_eq!(vector["body"]["status"], code.status(), "{file}");
}

#[test]
fn the_table_of_error_codes_is_complete() {
    let (_, table) = vectors().into_iter().find(|(file, _)| file == "error-codes").unwrap();
    let expected: Vec<_> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let retry = match code.retry() {
                Retry::Never => "never",
                Retry::Later => "later",
                Retry::Reauthenticate => "reauthenticate",
            };
            json!({"code": code.as_str(), "status": code.status(), "retry": retry})
        })
        .collect();
    assert_eq!(table["codes"], Value::Array(expected));
}
