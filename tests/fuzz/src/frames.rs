//! The JSON of the protocol.

use std::{fmt::Debug, str::from_utf8};

use bolero::check;
use sdk_core::{
    clock::{Hlc, Millis, VectorClock},
    protocol::{
        ClientFrame, Document, Json, Manifest, Operation, PullReply, PullRequest, PushReply, PushRequest,
        ServerFrame, StreamPosition, TopicPosition, complete_event, decode, decode_server_frame, encode,
        read_chunk, read_manifest,
    },
    wire::{Decode, Encode, Reader},
};

use crate::within_bounds;

/// What is read is the same when it was written and read again.
fn comes_back<T: Decode + Encode + PartialEq + Debug>(text: &str) -> Option<T> {
    let read = within_bounds(text.len(), || decode::<T>(text)).ok()?;
    let written = encode(&read);
    assert_eq!(decode::<T>(&written).as_ref(), Ok(&read), "{written}");
    assert_eq!(encode(&decode::<T>(&written).expect("it was just read")), written);
    Some(read)
}

#[test]
fn of_clients() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = from_utf8(input) else { return };
        comes_back::<ClientFrame>(text);
        comes_back::<PushRequest>(text);
        comes_back::<PullRequest>(text);
    });
}

#[test]
fn of_servers() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = from_utf8(input) else { return };
        let frame = comes_back::<ServerFrame>(text);
        let known = decode_server_frame(text);
        match frame {
            Some(frame) => assert_eq!(known, Ok(Some(frame))),
            None => assert!(!matches!(known, Ok(Some(_)))),
        }
        comes_back::<PushReply>(text);
        comes_back::<PullReply>(text);
    });
}

#[test]
fn parts() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = from_utf8(input) else { return };
        comes_back::<Operation>(text);
        comes_back::<Document>(text);
        comes_back::<VectorClock>(text);
        comes_back::<Hlc>(text);
        comes_back::<StreamPosition>(text);
        comes_back::<Manifest>(text);
        if let Ok(position) = text.parse::<TopicPosition>() {
            assert_eq!(position.to_string(), text);
        }
        if let Ok(manifest) = within_bounds(text.len(), || read_manifest(text)) {
            assert!(manifest.is_sound());
        }
    });
}

/// Whatever this reader takes for JSON is JSON, and an event that was made whole is one that can be completed no further.
#[test]
fn json() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = from_utf8(input) else { return };
        let Ok(json) = within_bounds(text.len(), || Json::parse(text)) else { return };
        let known: serde_json::Value = match serde_json::from_str(json.as_str()) {
            Ok(known) => known,
            // It holds numbers to what fits its own.
            Err(error) => return assert!(error.to_string().contains("number out of range"), "{error}"),
        };
        assert_eq!(json.as_array().is_some(), known.is_array());
        assert_eq!(Json::parse(json.as_str()).as_ref(), Ok(&json));
        let completed = within_bounds(text.len(), || complete_event(&json, "id", "/source", Millis(1)));
        if let Ok(event) = completed {
            assert_eq!(complete_event(&event, "other", "/other", Millis(2)).as_ref(), Ok(&event));
        }
    });
}

#[test]
fn chunks() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = from_utf8(input) else { return };
        let skip = |reader: &mut Reader<'_>| reader.skip().map(str::to_owned);
        let mut documents = Vec::new();
        let whole = within_bounds(text.len(), || {
            read_chunk(text, &skip, &mut |id, document| {
                documents.push((id.into_owned(), document));
                Ok(())
            })
        });
        if whole.is_ok() {
            documents.iter().for_each(|(_, document)| assert!(text.contains(document)));
        }
    });
}
