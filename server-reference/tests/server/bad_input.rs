//! What a client may get wrong with topics and groups: over HTTP each is a problem document with the code that the
//! protocol's page has for it, over the WebSocket the end of a subscription or a refused publication with the same code.

use reqwest::{Client, Method, RequestBuilder};
use sdk_core::protocol::{
    ClientFrame, Ended, Json, Outcome, Outcomes, Publication, Publish, Seq, ServerFrame, Start, Subscribe,
    TopicName,
};
use serde_json::{Value, json};
use server_reference::{config::ServerConfig, streams::StreamsConfig};

use crate::support::{Running, Socket};

const PROTOCOL: &str = include_str!("../../../docs/protocol.md");

struct Caller<'a> {
    server: &'a Running,
    token: String,
}

impl Caller<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = Client::new().request(method, self.server.http(path)).bearer_auth(&self.token);
        request.header("content-type", "application/json")
    }

    async fn json(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.request(method, path).body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default()
    }

    /// Sends what is refused, and compares status and code with what is expected and with the protocol's page.
    async fn refused(&self, what: &str, request: RequestBuilder, status: u16, code: &str) {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{what}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{what}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{what}");
        let row = format!("| `{code}` | {status} |");
        assert!(PROTOCOL.contains(&row), "{what}: the page has no row {row}");
    }
}

async fn server() -> Running {
    let streams = StreamsConfig { event_bytes: 1_000, ..StreamsConfig::default() };
    Running::start_with(|config| ServerConfig { streams, ..config }).await
}

/// A position in a topic that was made anew since.
async fn another_epoch(ada: &Caller<'_>, topic: &str) -> String {
    let path = format!("/v1/streams/{topic}");
    let made = ada.request(Method::PUT, &path).body("[1,2]").send().await.unwrap();
    let position = made.headers()["stream-next-offset"].to_str().unwrap().to_owned();
    ada.json(Method::DELETE, &path, Value::Null).await;
    ada.json(Method::PUT, &path, json!([1, 2])).await;
    position
}

#[tokio::test]
async fn every_kind_of_bad_input_is_refused_over_http_with_the_code_that_the_protocol_has_for_it() {
    let server = server().await;
    let ada = Caller { server: &server, token: server.token("acme", "ada") };
    let elsewhere = another_epoch(&ada, "t").await;
    let produce = |epoch: u64, sequence: u64| {
        let request = ada.request(Method::POST, "/v1/streams/t").body("[3]");
        let request = request.header("producer-id", "p").header("producer-epoch", epoch);
        request.header("producer-seq", sequence)
    };
    assert!(produce(4, 0).send().await.unwrap().status().is_success());
    ada.json(Method::PUT, "/v1/groups/g", json!({ "topic": "t" })).await;
    let claim = json!({ "worker": "w", "events": 1, "wait_ms": 0 });
    let held = ada.json(Method::POST, "/v1/groups/g/claim", claim.clone()).await;
    let other = ada.json(Method::POST, "/v1/groups/g/claim", claim).await;
    let get = |path: &str| ada.request(Method::GET, &format!("/v1/streams/{path}"));
    let add = |body: Vec<u8>| ada.request(Method::POST, "/v1/streams/t").body(body);
    let say = |path: &str, body: Value| ada.request(Method::POST, path).body(body.to_string());
    let stolen = json!({ "lease": held["lease"], "positions": [other["events"][0]["position"]] });
    let over = json!({ "lease": "1.guessed" });
    let large = format!("[\"{}\"]", "x".repeat(1_000)).into_bytes();
    for (what, request, status, code) in [
        ("unknown topic, read", get("none"), 404, "no_such_topic"),
        ("unknown topic, appended to", say("/v1/streams/none", json!([1])), 404, "no_such_topic"),
        ("a name that is none", get("a//b"), 400, "bad_topic"),
        ("bad offset", get("t?offset=soon"), 400, "bad_position"),
        (
            "bad offset of a form that was handed out",
            get(&format!("t?offset={elsewhere}0")),
            400,
            "bad_position",
        ),
        (
            "an offset from another epoch",
            get(&format!("t?offset={elsewhere}&within=epoch")),
            410,
            "position_lost",
        ),
        ("an oversize event", add(large), 413, "event_too_large"),
        ("invalid UTF-8", add(b"\"\xff\"".to_vec()), 400, "bad_event"),
        ("invalid JSON", add(b"{\"n\":".to_vec()), 400, "bad_event"),
        ("a producer's gap", produce(4, 2), 409, "producer_gap"),
        ("a producer's stale epoch", produce(3, 0), 403, "stale_producer"),
        ("a producer's new epoch that does not begin", produce(5, 1), 400, "producer_epoch_start"),
        ("an ack of another's lease", say("/v1/groups/g/ack", stolen), 409, "fenced"),
        ("an ack under no lease", say("/v1/groups/g/ack", over), 409, "fenced"),
        (
            "another content type",
            ada.request(Method::POST, "/v1/streams/t").header("content-type", "text/plain").body("x"),
            400,
            "bad_header",
        ),
        ("a dead letter that is none", ada.request(Method::GET, "/v1/dead/1.1"), 404, "no_such_dead_letter"),
        ("no id of a dead letter", ada.request(Method::GET, "/v1/dead/1"), 400, "bad_claim"),
        ("no dead letters", say("/v1/dead/retry", json!({ "letters": [] })), 400, "bad_claim"),
        (
            "rules that no topic has",
            ada.request(Method::PUT, "/v1/streams/u").header("stream-redelivery", "poison=ask"),
            400,
            "bad_header",
        ),
        (
            "rules that make no sense",
            ada.request(Method::PUT, "/v1/streams/u").header("stream-redelivery", "attempts=51"),
            400,
            "bad_header",
        ),
        (
            "a rule twice",
            ada.request(Method::PUT, "/v1/streams/u").header("stream-redelivery", "attempts=1, attempts=2"),
            400,
            "bad_header",
        ),
    ] {
        ada.refused(what, request, status, code).await;
    }
    // Names of groups that try to be something else.
    for name in
        ["a%2Fb", "..", "%2e%2e", "__ds", "a%00", "a%0D%0Ax", "%C3%A4", &"x".repeat(129), "a%252Fb", "%20"]
    {
        let make =
            ada.request(Method::PUT, &format!("/v1/groups/{name}")).body(json!({ "topic": "t" }).to_string());
        match name {
            // Such a path names no group at all, before it is sent.
            ".." | "%2e%2e" => assert_eq!(make.send().await.unwrap().status().as_u16(), 404, "{name}"),
            _ => ada.refused(name, make, 400, "bad_group").await,
        }
    }
    let bob = Caller { server: &server, token: server.token("other", "ada") };
    let theirs =
        bob.request(Method::POST, "/v1/groups/g/ack").body(json!({ "lease": held["lease"] }).to_string());
    bob.refused("a group of another tenant", theirs, 404, "no_such_group").await;
    // Nothing of it has changed anything.
    let state = ada.json(Method::GET, "/v1/groups/g", Value::Null).await;
    assert_eq!((&state["leased"], &state["outstanding"]), (&json!(2), &json!(2)));
    assert_eq!(ada.json(Method::GET, "/v1/streams/t?offset=-1", Value::Null).await, json!([1, 2, 3]));
    assert_eq!(
        ada.json(Method::POST, "/v1/groups/g/ack", json!({ "lease": held["lease"] })).await["events"],
        1
    );
}

#[tokio::test]
async fn what_is_bad_in_the_socket_ends_its_subscription_or_is_refused_and_the_session_goes_on() {
    let server = server().await;
    let ada = Caller { server: &server, token: server.token("acme", "ada") };
    let elsewhere = another_epoch(&ada, "t").await;
    let mut socket = server.session(1).await;
    for (sub, (topic, start, code)) in [
        ("none", Start::Earliest {}, "no_such_topic"),
        ("a//b", Start::Earliest {}, "bad_topic"),
        ("t", Start::After("soon".into()), "bad_position"),
    ]
    .into_iter()
    .enumerate()
    {
        let sub = sub as u64;
        socket.send(&ClientFrame::Subscribe(Subscribe { sub, topic: topic.into(), start })).await;
        let Some(ServerFrame::Ended(Ended { reason: Some(reason), .. })) = socket.next_answer().await else {
            panic!("{topic}: it ends")
        };
        assert_eq!(reason.code, code, "{topic}");
        assert!(PROTOCOL.contains(&format!("| `{code}` |")), "{code}");
    }
    // What cannot be continued is never continued silently.
    let start = Start::After(elsewhere);
    socket.send(&ClientFrame::Subscribe(Subscribe { sub: 9, topic: "t".into(), start })).await;
    let Some(ServerFrame::Events(events)) = socket.next_answer().await else { panic!("events") };
    assert!(!events.recovered);

    let event = |n: u32, size: usize| {
        let data = "x".repeat(size);
        json!({ "specversion": "1.0", "type": "t", "source": "/", "id": n.to_string(), "data": data })
            .to_string()
    };
    let most = sdk_core::protocol::Limits::default().operation_bytes;
    for (seq, (topic, event, code)) in [
        ("t", event(1, most), "event_too_large"),
        ("t", r#"{"specversion":"1.0"}"#.to_owned(), "bad_event"),
        (
            "t",
            r#"{"specversion":"1.0","type":"t","source":"/","id":"1","time":"soon"}"#.to_owned(),
            "bad_event",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(refused(&mut socket, seq as u64 + 1, topic, &event).await, code);
        assert!(PROTOCOL.contains(&format!("| `{code}` |")), "{code}");
    }
    socket.send(&ClientFrame::Publish(publish(9, "t", &event(2, 1)))).await;
    let Some(ServerFrame::Outcomes(Outcomes { judgements })) = outcome(&mut socket).await else { panic!() };
    assert!(matches!(judgements[0].outcome, Outcome::Published { .. }), "{judgements:?}");
}

fn publish(seq: u64, topic: &str, event: &str) -> Publish {
    let (topic, event) = (TopicName::new(topic).unwrap(), Json::parse(event).unwrap());
    Publish { publications: vec![Publication { seq: Seq(seq), topic, event }] }
}

/// The next frame that is about what was published.
async fn outcome(socket: &mut Socket) -> Option<ServerFrame> {
    loop {
        match socket.next_answer().await {
            Some(ServerFrame::Events(_)) => {}
            other => return other,
        }
    }
}

async fn refused(socket: &mut Socket, seq: u64, topic: &str, event: &str) -> String {
    socket.send(&ClientFrame::Publish(publish(seq, topic, event))).await;
    match outcome(socket).await {
        Some(ServerFrame::Outcomes(Outcomes { judgements })) => match &judgements[0].outcome {
            Outcome::Rejected(why) => why.code.to_string(),
            other => panic!("not refused but {other:?}"),
        },
        other => panic!("no outcome but {other:?}"),
    }
}
