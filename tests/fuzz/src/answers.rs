//! What a client makes of answers over HTTP, whoever they are from.

use std::sync::Mutex;

use bolero::check;
use futures::executor::block_on;
use sdk_core::{
    connection::Rung,
    driver::{Each, HEADERS, HttpGet, HttpReply, HttpRequest, Link, Transport, TransportError},
    engine::{Call, CallBody, Effect, Fetch, HttpId, Input, TopicRead, TopicReply},
    protocol::{CollectionName, Start, TopicName, TopicPosition, decode},
    snapshot::Part,
    testing,
    wire::Decode,
};

use crate::within_bounds;

/// Answers everything in the same way, with the body in pieces.
struct Answering {
    reply: HttpReply,
    piece: usize,
}

/// There is none.
enum NoLink {}

impl Link for NoLink {
    fn send(&self, _: String) {
        match *self {}
    }

    async fn receive(&self) -> Option<String> {
        match *self {}
    }

    fn close(&self) {
        match *self {}
    }
}

impl Transport for Answering {
    type Link = NoLink;

    async fn open(&self) -> Result<NoLink, TransportError> {
        Err(TransportError::new("there is no WebSocket"))
    }

    async fn get(&self, _: HttpGet, each: &Each<'_>) -> Result<HttpReply, TransportError> {
        let mut come = Vec::new();
        for piece in self.reply.body.as_bytes().chunks(self.piece) {
            come.extend_from_slice(piece);
            if !each(&mut come) {
                return Err(TransportError::new("no more is wanted"));
            }
        }
        Ok(self.reply.clone())
    }

    async fn post(&self, _: HttpRequest) -> Result<HttpReply, TransportError> {
        Ok(self.reply.clone())
    }
}

/// What is told meanwhile, and what in the end.
type Heard = (Vec<TopicReply>, String);

fn heard(reply: &HttpReply, piece: usize, effect: Effect) -> Heard {
    let told = Mutex::new(Vec::new());
    let tell = |_: HttpId, reply: TopicReply| {
        if reply != TopicReply::default() {
            told.lock().expect("nobody panics").push(reply);
        }
        true
    };
    let transport = Answering { reply: reply.clone(), piece };
    let input: Input = block_on(testing::asked(&transport, effect, &tell)).expect("it asks for something");
    (told.into_inner().expect("nobody panics"), format!("{input:?}"))
}

const STATUSES: [u16; 8] = [200, 204, 301, 400, 403, 410, 429, 503];

/// The first byte is the status, the second says which headers there are; each has a line. The body comes after an empty one.
fn reply(input: &[u8]) -> Option<HttpReply> {
    let [status, which, rest @ ..] = input else { return None };
    let text = std::str::from_utf8(rest).ok()?;
    let (head, body) = text.split_once("\n\n").unwrap_or(("", text));
    let mut lines = head.split('\n');
    let named = HEADERS.iter().enumerate().filter(|(bit, _)| which >> bit & 1 == 1);
    let headers = named.map_while(|(_, name)| Some((*name, lines.next()?.to_owned()))).collect();
    Some(HttpReply {
        status: STATUSES[usize::from(*status) % STATUSES.len()],
        headers,
        body: body.to_owned(),
    })
}

fn read(rung: Rung, start: Start) -> Effect {
    let topic = TopicName::new("topic").expect("it is a name");
    Effect::ReadTopic(HttpId(9), TopicRead { token: "token".to_owned(), topic, start, rung })
}

fn starts() -> [Start; 3] {
    let position = "0000000000000007_0000000000000001".to_owned();
    [Start::Earliest {}, Start::Latest {}, Start::After(position)]
}

/// Events that are told of follow one another, and nothing else moves a position.
fn hold(told: &[TopicReply]) {
    let mut at: Option<TopicPosition> = None;
    for events in told.iter().filter_map(|reply| reply.events.as_ref()) {
        assert!(at.is_none_or(|at| at == events.from), "{at:?} and then {}", events.from);
        let count = events.events.len() as u64;
        assert_eq!(events.from.offset.checked_add(count), Some(events.to.offset));
        at = Some(events.to);
    }
}

/// An answer that goes on says the same however its bytes are cut.
#[test]
fn that_go_on() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let [piece, rest @ ..] = input else { return };
        let Some(reply) = reply(rest) else { return };
        for start in starts() {
            let whole =
                within_bounds(input.len(), || heard(&reply, usize::MAX, read(Rung::Sse, start.clone())));
            hold(&whole.0);
            let cut = heard(&reply, usize::from(*piece).max(1), read(Rung::Sse, start));
            // Of what is broken somewhere, what came before may have been told.
            assert!(cut.0.starts_with(&whole.0) || whole.0.starts_with(&cut.0), "{whole:?} and {cut:?}");
            assert_eq!(whole.1, cut.1);
        }
    });
}

#[test]
fn with_a_page() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Some(reply) = reply(input) else { return };
        for start in starts() {
            within_bounds(input.len(), || heard(&reply, usize::MAX, read(Rung::LongPoll, start)));
        }
        let token = || "token".to_owned();
        let part = Part::Manifest(None);
        let collection = CollectionName::new("cards").expect("it is a name");
        heard(&reply, usize::MAX, Effect::Fetch(HttpId(9), Fetch { token: token(), collection, part }));
        let push = CallBody::Push(asked(PUSH));
        let push = Effect::Http(HttpId(9), Call { token: token(), body: push });
        within_bounds(input.len(), || heard(&reply, usize::MAX, push));
        let pull = CallBody::Pull(asked(PULL));
        let pull = Effect::Http(HttpId(9), Call { token: token(), body: pull });
        within_bounds(input.len(), || heard(&reply, usize::MAX, pull));
        if let Some(wait) = reply.retry_after() {
            assert!(wait.is_multiple_of(1_000) || wait == u64::MAX);
        }
    });
}

/// The body of one of the golden files.
fn asked<T: Decode>(vector: &str) -> T {
    let vector: serde_json::Value = serde_json::from_str(vector).expect("it is JSON");
    decode(&vector["body"].to_string()).expect("it is one")
}

const PUSH: &str = include_str!("../../vectors/http-push-request.json");
const PULL: &str = include_str!("../../vectors/http-pull-request.json");
