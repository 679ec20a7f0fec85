//! Sessions made from `docs/asyncapi.yaml`, with right frames and wrong ones, against a server: what it says is described, and
//! it closes as is described.
//!
//! `WEBWAKA_API_SESSIONS` is how many there are, `WEBWAKA_API_SEED` makes others.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use jsonschema::Validator;
use sdk_core::protocol::ServerFrame;
use serde_json::{Value, json};
use server_reference::gateway::CLIENT_FRAMES;
use tokio::time::timeout;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::{
    description::{Description, wrong},
    frames::frames,
    generate::Generator,
    requests::number,
};
use crate::support::{PATIENCE, Running};

/// Sessions where nothing else was said.
const SESSIONS: usize = 150;
/// Frames of one session at most.
const FRAMES: usize = 12;
const NAMES: [(&str, &[&str]); 6] = [
    ("collection", &["cards", "notes"]),
    ("topic", &["t1", "t2"]),
    ("room", &["r1", "r2"]),
    ("user", &["ada", "bob"]),
    ("strategy", &["fieldLevel"]),
    ("client", &["00000000000000000000000000000001", "00000000000000000000000000000002"]),
];

/// How a session ended.
struct End {
    code: u16,
    reason: String,
}

/// Whether what a server says is described. Ends with the answer to `fence`, if that comes, or with the connection.
async fn listen(
    socket: &mut (impl StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin),
    described: &Validator,
    sent: &[String],
) -> Option<End> {
    loop {
        let message = timeout(PATIENCE, socket.next()).await;
        let message = message.unwrap_or_else(|_| panic!("the server says nothing after {sent:#?}"));
        match message {
            Some(Ok(Message::Text(text))) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                let wrong = wrong(described, &frame);
                assert_eq!(
                    wrong, None,
                    "docs/asyncapi.yaml does not describe {text}, which came after {sent:#?}"
                );
                if frame["ended"]["sub"] == FENCE {
                    return None;
                }
            }
            Some(Ok(Message::Close(Some(close)))) => {
                return Some(End { code: close.code.into(), reason: close.reason.to_string() });
            }
            Some(Ok(Message::Close(None))) | Some(Err(_)) | None => {
                panic!("the connection ended without a word, as after a panic, after {sent:#?}")
            }
            Some(Ok(_)) => {}
        }
    }
}

/// A subscription that ends at once, so that its end tells that all before it was dealt with.
const FENCE: u64 = 9_007_199_254_740_000;

#[tokio::test]
async fn whatever_is_said_is_answered_as_described() {
    let socket = Description::of_socket();
    let closes = socket.root["channels"]["session"]["x-close-codes"].as_object().unwrap();
    let described = socket.validator(&frames(&socket, &ServerFrame::NAMES), true);
    let seed = number("WEBWAKA_API_SEED", 1) as u64;
    let server = Running::start().await;
    let mut generator = Generator::new(&socket, seed);
    for (name, values) in NAMES {
        values.iter().for_each(|value| generator.known.note(name, *value));
    }
    let fence =
        json!({ "subscribe": { "sub": FENCE, "topic": "..", "start": { "latest": {} } } }).to_string();
    let (mut open, mut refused) = (0, 0);
    for session in 0..number("WEBWAKA_API_SESSIONS", SESSIONS) {
        let (mut connection, _) = connect_async(server.request()).await.unwrap();
        let mut sent = vec![format!("(seed {seed}, session {session})")];
        for place in 0..generator.below(FRAMES) + 2 {
            let name = if place == 0 { &"hello" } else { generator.one(&CLIENT_FRAMES[1..]) };
            let mut frame = generator.valid(&socket.root["components"]["messages"][*name]["payload"], "", 0);
            if let Some(token) = frame.pointer_mut(&format!("/{name}/token")) {
                let subject = if generator.chance(75) { "ada" } else { "bob" };
                *token = server.token("acme", subject).into();
            }
            if place == 0 {
                frame["hello"]["versions"] = json!([1]);
            }
            if generator.chance(if place == 0 { 10 } else { 15 }) {
                generator.spoil(&mut frame);
            }
            let text = frame.to_string();
            sent.push(text.clone());
            let message =
                if generator.chance(1) { Message::Binary(text.into()) } else { Message::Text(text.into()) };
            // One that was closed on is told why by what it reads.
            if connection.send(message).await.is_err() {
                break;
            }
        }
        let _ = connection.send(Message::Text(fence.clone().into())).await;
        match listen(&mut connection, &described, &sent).await {
            None => open += 1,
            Some(End { code, reason }) => {
                let known = closes.contains_key(&code.to_string());
                assert!(
                    known,
                    "channels.session.x-close-codes lacks {code} ({reason}), with which this ended: {sent:#?}"
                );
                assert_ne!(code, 1011, "{reason}: a fault of the server's, after {sent:#?}");
                refused += 1;
            }
        }
        let _ = timeout(Duration::from_secs(1), connection.close(None)).await;
    }
    println!("{open} sessions went on to their end, {refused} were closed");
    assert!(open > 0 && refused > 0);
}
