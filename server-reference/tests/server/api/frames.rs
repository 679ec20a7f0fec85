//! Frames, held to `docs/asyncapi.yaml`, without a server.

use std::{collections::BTreeSet, fs, path::Path};

use sdk_core::protocol::{ClientFrame, MAX_SAFE_INTEGER, ServerFrame, decode, encode};
use serde_json::{Map, Value};
use server_reference::gateway::CLIENT_FRAMES;

use super::{
    description::{Description, wrong},
    generate::Generator,
};

/// Generated frames of each kind.
const EACH: usize = 400;
const SEED: u64 = 7;

/// What is wrong with these no schema can say.
const BEYOND_SCHEMAS: [&str; 6] = [
    "bad-duplicate-field.json",
    "bad-empty.json",
    "bad-frame-too-deep.json",
    "bad-not-json.json",
    "bad-trailing.json",
    "bad-value-too-deep.json",
];

/// The schema of all frames from one side.
pub(super) fn frames(socket: &Description, names: &[&str]) -> Value {
    let messages = &socket.root["components"]["messages"];
    let payload = |name: &&str| {
        let message = messages.get(*name);
        message.unwrap_or_else(|| panic!("docs/asyncapi.yaml lacks the frame {name}"))["payload"].clone()
    };
    serde_json::json!({ "oneOf": names.iter().map(payload).collect::<Vec<_>>() })
}

#[test]
fn every_kind_of_frame_is_described_and_there_is_no_other() {
    let socket = Description::of_socket();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let has: BTreeSet<String> =
        CLIENT_FRAMES.iter().chain(&ServerFrame::NAMES).map(|name| (*name).to_owned()).collect();
    assert_eq!(
        names(&socket.root["components"]["messages"]),
        has,
        "components.messages of docs/asyncapi.yaml"
    );
    assert_eq!(names(&socket.root["channels"]["session"]["messages"]), has, "channels.session.messages");
}

#[test]
fn golden_frames_fit_the_description_and_bad_ones_do_not() {
    let socket = Description::of_socket();
    let sides =
        [("client", frames(&socket, &CLIENT_FRAMES)), ("server", frames(&socket, &ServerFrame::NAMES))];
    let mut seen = BTreeSet::new();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    for file in fs::read_dir(vectors).unwrap().map(|file| file.unwrap()) {
        let name = file.file_name().into_string().unwrap();
        let vector: Value = serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap();
        let Some((_, schema)) = sides.iter().find(|(side, _)| vector["direction"] == *side) else { continue };
        if let Some(frame) = vector.get("frame") {
            // What a newer version has is not described, and is no reason to refuse.
            let strict = vector.get("decodesAs").is_none();
            let found = wrong(&socket.validator(schema, strict), frame);
            assert_eq!(found, None, "tests/vectors/{name}: docs/asyncapi.yaml does not describe this");
            seen.extend(frame.as_object().unwrap().keys().cloned());
        } else if vector.get("error").is_some() && !BEYOND_SCHEMAS.contains(&&*name) {
            let frame = serde_json::from_str(vector["text"].as_str().unwrap()).unwrap();
            assert!(wrong(&socket.validator(schema, false), &frame).is_some(), "tests/vectors/{name}");
        }
    }
    let all: BTreeSet<String> =
        CLIENT_FRAMES.iter().chain(&ServerFrame::NAMES).map(|name| (*name).to_owned()).collect();
    assert_eq!(seen, all, "tests/vectors has a frame of each kind");
}

/// Reads a frame, and writes it again.
fn reread(name: &str, text: &str) -> Result<String, String> {
    if CLIENT_FRAMES.contains(&name) {
        decode::<ClientFrame>(text).map(|frame| encode(&frame)).map_err(|error| error.to_string())
    } else {
        decode::<ServerFrame>(text).map(|frame| encode(&frame)).map_err(|error| error.to_string())
    }
}

#[test]
fn what_is_described_can_be_read_and_what_can_be_read_is_described() {
    let socket = Description::of_socket();
    let mut generator = Generator::new(&socket, SEED);
    let (mut spoiled, mut refused) = (0, 0);
    for name in CLIENT_FRAMES.iter().chain(&ServerFrame::NAMES) {
        let schema = &socket.root["components"]["messages"][name]["payload"];
        let (open, closed) = (socket.validator(schema, false), socket.validator(schema, true));
        for _ in 0..EACH {
            let frame = generator.valid(schema, "", 0);
            let text = frame.to_string();
            assert_eq!(wrong(&closed, &frame), None, "the generator of these tests: {text}");
            let again = reread(name, &text).unwrap_or_else(|error| {
                panic!("docs/asyncapi.yaml allows what cannot be read, {error}: {text}")
            });
            let again: Value = serde_json::from_str(&again).unwrap();
            assert_eq!(
                wrong(&closed, &again),
                None,
                "docs/asyncapi.yaml does not describe what is written: {again}"
            );

            let mut frame = frame;
            generator.spoil(&mut frame);
            let text = frame.to_string();
            spoiled += 1;
            match (reread(name, &text), wrong(&open, &frame)) {
                (Ok(_), None) => {}
                (Ok(again), Some(why)) => {
                    let same = reread(name, &again) == Ok(again.clone());
                    assert!(
                        same && is_read_all_the_same(&frame),
                        "docs/asyncapi.yaml refuses what can be read ({why}): {text}"
                    );
                }
                (Err(_), _) => refused += 1,
            }
        }
    }
    assert!(refused * 4 > spoiled, "{refused} of {spoiled} were refused");
}

/// Null is read as nothing where nothing has to be, a number that JavaScript does not hold is judged with what it is in, and of no
/// fields at all nobody asks which write made them.
fn is_read_all_the_same(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => {
            number.as_i64().is_none_or(|number| number.unsigned_abs() > MAX_SAFE_INTEGER)
        }
        Value::Object(members) => {
            let none = |fields: &Value| fields.as_object().is_some_and(Map::is_empty);
            members.get("latest").is_some_and(none) || members.values().any(is_read_all_the_same)
        }
        Value::Array(items) => items.iter().any(is_read_all_the_same),
        _ => false,
    }
}
