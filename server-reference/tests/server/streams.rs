//! Topics over HTTP, beyond what the conformance suite of the protocol looks at.

use std::{io::Read, time::Duration};

use flate2::read::GzDecoder;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use server_reference::{
    config::ServerConfig,
    streams::{Code, StreamsConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, timeout},
};

use crate::support::Running;

struct Topics<'a> {
    server: &'a Running,
    token: String,
}

impl<'a> Topics<'a> {
    fn of(server: &'a Running, tenant: &str) -> Self {
        Self { server, token: server.token(tenant, "ada") }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.server.http(&format!("/v1/streams/{path}"));
        // Answers are to be seen as they come.
        Client::builder().no_gzip().build().unwrap().request(method, url).bearer_auth(&self.token)
    }

    async fn make(&self, topic: &str, content_type: &str) {
        let request = self.request(Method::PUT, topic).header("content-type", content_type);
        assert_eq!(request.send().await.unwrap().status(), 201);
    }

    fn post(&self, topic: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, topic).header("content-type", "application/json").body(body)
    }

    async fn add(&self, topic: &str, body: &'static str) -> String {
        let answer = self.post(topic, body).send().await.unwrap();
        assert_eq!(answer.status(), 204);
        header(&answer, "stream-next-offset")
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers()[name].to_str().unwrap().to_owned()
}

/// The code of a problem document whose status is that of the answer.
async fn code(request: RequestBuilder) -> String {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{}", answer.status());
    let status = answer.status().as_u16();
    let document: Value = answer.json().await.unwrap();
    assert_eq!(document["status"], status);
    let code = document["code"].as_str().unwrap().to_owned();
    if let Some(known) = Code::ALL.iter().find(|known| known.as_str() == code) {
        assert_eq!(known.status(), status, "{code}");
    }
    code
}

#[tokio::test]
async fn bad_input_is_refused_with_its_documented_code() {
    let server = Running::start_with(|config| ServerConfig {
        streams: StreamsConfig {
            event_bytes: 100,
            append_bytes: 1_000,
            append_events: 5,
            topics: 3,
            ..config.streams
        },
        ..config
    })
    .await;
    let topics = Topics::of(&server, "acme");
    topics.make("t", "application/json").await;
    let put = |topic: &str| topics.request(Method::PUT, topic);
    let produced = |epoch: &str, sequence: &str| {
        let headers = [("producer-id", "p"), ("producer-epoch", epoch), ("producer-seq", sequence)];
        headers.iter().fold(topics.post("t", "1"), |post, (name, value)| post.header(*name, *value))
    };
    assert_eq!(code(topics.get("absent")).await, "no_such_topic");
    assert_eq!(code(topics.get("t?offset=12")).await, "bad_position");
    let elsewhere = "t?offset=000000000000000a_0000000000000001";
    assert_eq!(code(topics.get(elsewhere)).await, "position_lost");
    assert_eq!(code(topics.get(&format!("{elsewhere}&live=sse"))).await, "position_lost");
    assert_eq!(code(topics.get("t?live=sse")).await, "bad_position");
    assert_eq!(code(topics.get("t?offset=-1&live=socket")).await, "bad_header");
    assert_eq!(code(put("u").header("stream-ttl", "1e3")).await, "bad_header");
    assert_eq!(code(put("u").header("stream-retention", "age=1, age=2")).await, "bad_header");
    assert_eq!(code(put("u").header("content-type", "nonsense")).await, "bad_header");
    assert_eq!(code(put("t")).await, "topic_exists");
    assert_eq!(code(topics.post("t", "{")).await, "bad_event");
    assert_eq!(code(topics.post("t", &b"\"\xff\""[..])).await, "bad_event");
    assert_eq!(code(topics.post("t", "")).await, "bad_event");
    assert_eq!(code(topics.post("t", format!("\"{}\"", "x".repeat(100)))).await, "event_too_large");
    assert_eq!(code(topics.post("t", "[1,2,3,4,5,6]")).await, "event_too_large");
    assert_eq!(code(topics.post("t", " ".repeat(1_001))).await, "event_too_large");
    assert_eq!(
        code(topics.request(Method::POST, "t").header("content-type", "text/plain").body("x")).await,
        "content_type_mismatch"
    );
    assert_eq!(code(produced("0", "1")).await, "producer_gap");
    assert_eq!(code(produced("x", "0")).await, "bad_header");
    assert_eq!(produced("1", "0").send().await.unwrap().status(), 200);
    assert_eq!(code(produced("0", "1")).await, "stale_producer");
    assert_eq!(code(produced("2", "1")).await, "producer_epoch_start");
    assert_eq!(topics.post("t", "1").header("stream-seq", "b").send().await.unwrap().status(), 204);
    assert_eq!(code(topics.post("t", "1").header("stream-seq", "a")).await, "sequence_regression");
    let fork = |from: &str| put("f").header("stream-forked-from", from);
    assert_eq!(code(fork("/v1/streams/absent")).await, "no_such_topic");
    assert_eq!(code(fork("/somewhere/t")).await, "bad_header");
    assert_eq!(code(fork("/v1/streams/../t")).await, "bad_topic");
    assert_eq!(
        code(fork("/v1/streams/t").header("stream-fork-offset", "ffffffffffffffff_0000000000000000")).await,
        "bad_fork"
    );
    topics.make("u", "text/plain").await;
    topics.make("v", "text/plain").await;
    assert_eq!(code(put("w")).await, "too_many_topics");
    assert_eq!(topics.post("t", "").header("stream-closed", "true").send().await.unwrap().status(), 204);
    assert_eq!(code(topics.post("t", "1")).await, "topic_closed");
    let nobody = Client::new().get(server.http("/v1/streams/t"));
    assert_eq!(code(nobody).await, "unauthenticated");
}

#[tokio::test]
async fn no_name_reaches_beyond_the_topics_of_its_tenant() {
    let server = Running::start().await;
    let topics = Topics::of(&server, "acme");
    for name in [
        "a%2F..%2Fb",
        "%2e%2e%2fx",
        "__ds/x",
        "__ds%2Fjwks.json",
        "a%00",
        "a%0d%0ax",
        "a%20b",
        "%ff",
        "a//b",
        "a/",
    ] {
        // Sent as it stands: a client that tidies URLs would hide what is asked.
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "PUT /v1/streams/{name} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            topics.token
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{name}: {answer}");
    }
    topics.make("shared/name", "application/json").await;
    topics.add("shared/name", "1").await;
    let others = Topics::of(&server, "other");
    assert_eq!(code(others.get("shared/name")).await, "no_such_topic");
    let fork = others.request(Method::PUT, "f").header("stream-forked-from", "/v1/streams/shared/name");
    assert_eq!(code(fork).await, "no_such_topic");
}

#[tokio::test]
async fn a_claim_grants_topics_for_reading_or_writing() {
    let server = Running::start().await;
    let topics = Topics::of(&server, "acme");
    topics.make("news/eu", "application/json").await;
    topics.make("secret", "application/json").await;
    let token = server.granted("acme", "eve", json!([{ "topic": "news/*", "may": "read" }]));
    let eve = Topics { server: &server, token };
    assert_eq!(eve.get("news/eu").send().await.unwrap().status(), 200);
    assert_eq!(code(eve.post("news/eu", "1")).await, "forbidden");
    assert_eq!(code(eve.request(Method::DELETE, "news/eu")).await, "forbidden");
    for name in ["secret", "absent"] {
        assert_eq!(code(eve.get(name)).await, "no_such_topic");
        assert_eq!(code(eve.request(Method::PUT, name)).await, "forbidden");
    }
}

#[tokio::test]
async fn a_reader_below_the_retained_head_is_told_where_it_begins() {
    let server = Running::start().await;
    let topics = Topics::of(&server, "acme");
    let put = topics.request(Method::PUT, "t").header("content-type", "application/json");
    let put = put.header("stream-retention", "events=2, age=60");
    assert_eq!(put.send().await.unwrap().status(), 201);
    let first = topics.add("t", "1").await;
    topics.add("t", "[2,3,4]").await;
    let answer = topics.get(&format!("t?offset={first}")).send().await.unwrap();
    assert_eq!(answer.status(), 410);
    let earliest = header(&answer, "stream-earliest-offset");
    let rest = topics.get(&format!("t?offset={earliest}")).send().await.unwrap();
    assert_eq!(rest.text().await.unwrap(), "[3,4]");
    let head = topics.request(Method::HEAD, "t").send().await.unwrap();
    assert_eq!(header(&head, "stream-retention"), "age=60, events=2");
    assert_eq!(header(&head, "stream-earliest-offset"), earliest);
}

#[tokio::test]
async fn readers_that_wait_are_capped_and_make_room_when_they_leave() {
    let server = Running::start_with(|config| ServerConfig {
        streams: StreamsConfig { live: 1, ..config.streams },
        ..config
    })
    .await;
    let topics = Topics::of(&server, "acme");
    topics.make("t", "application/json").await;
    let waiting = topics.get("t?offset=now&live=sse").send().await.unwrap();
    assert_eq!(code(topics.get("t?offset=now&live=long-poll")).await, "overloaded");
    assert_eq!(topics.get("t").send().await.unwrap().status(), 200, "who does not wait is not counted");
    drop(waiting);
    eventually(async || topics.get("t?offset=now&live=sse").send().await.unwrap().status() == 200).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_loses_its_place() {
    let server = Running::start_with(|config| ServerConfig {
        streams: StreamsConfig { live: 1, ..config.streams },
        write_deadline: Duration::from_secs(2),
        ..config
    })
    .await;
    let topics = Topics::of(&server, "acme");
    topics.make("t", "application/json").await;
    let big = format!("\"{}\"", "x".repeat(900_000));
    for _ in 0..20 {
        assert_eq!(topics.post("t", big.clone()).send().await.unwrap().status(), 204);
    }
    // With a small buffer, since the system would otherwise read ahead for it.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut slow = socket.connect(server.address).await.unwrap();
    let head = format!(
        "GET /v1/streams/t?offset=-1&live=sse HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        topics.token
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    slow.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    assert_eq!(code(topics.get("t?offset=now&live=sse")).await, "overloaded");
    eventually(async || topics.get("t?offset=now&live=sse").send().await.unwrap().status() == 200).await;
    // Nor does its connection stay: what lay in its buffers is all it can read.
    if cfg!(target_os = "linux") {
        let mut read = 0;
        let mut chunk = vec![0; 65_536];
        sleep(Duration::from_secs(6)).await;
        let end = loop {
            match timeout(Duration::from_secs(10), slow.read(&mut chunk)).await.expect("it ends") {
                Ok(0) => break "closed",
                Err(_) => break "reset",
                Ok(count) => read += count,
            }
        };
        assert!(end == "reset" && read < 900_000 * 20, "{end} after {read} bytes");
    }
}

#[tokio::test]
async fn events_of_many_pages_come_one_after_the_other() {
    let server = Running::start().await;
    let topics = Topics::of(&server, "acme");
    topics.make("t", "application/json").await;
    for n in 0..10 {
        let body = format!("[{n},\"{}\"]", "x".repeat(200_000));
        assert_eq!(topics.post("t", body).send().await.unwrap().status(), 204);
    }
    assert_eq!(topics.post("t", "").header("stream-closed", "true").send().await.unwrap().status(), 204);
    let answer = topics.get("t?offset=-1&live=sse").send().await.unwrap();
    let text = timeout(Duration::from_secs(10), answer.text()).await.expect("it does not wait").unwrap();
    let events = text.lines().filter_map(|line| line.strip_prefix("data:["));
    let events: Vec<Value> =
        events.flat_map(|line| serde_json::from_str::<Vec<Value>>(&format!("[{line}")).unwrap()).collect();
    let numbers: Vec<u64> = events.iter().filter_map(Value::as_u64).collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_connection_of_events_ends_with_its_time() {
    let server = Running::start_with(|config| ServerConfig {
        streams: StreamsConfig { events_lifetime: Duration::from_millis(300), ..config.streams },
        ..config
    })
    .await;
    let topics = Topics::of(&server, "acme");
    topics.make("t", "application/json").await;
    let answer = topics.get("t?offset=now&live=sse").send().await.unwrap();
    let text = timeout(Duration::from_secs(10), answer.text()).await.expect("it ends").unwrap();
    assert!(text.contains("\"upToDate\":true"), "{text}");
}

#[tokio::test]
async fn a_connection_of_events_ends_with_its_token() {
    let server = Running::start().await;
    Topics::of(&server, "acme").make("t", "application/json").await;
    let token = server.issuer.mint("acme", "ada", 1, server_reference::clock::wall()).unwrap();
    let answer = Topics { server: &server, token }.get("t?offset=now&live=sse").send().await.unwrap();
    timeout(Duration::from_secs(10), answer.text()).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn a_reader_of_a_topic_that_is_deleted_is_told() {
    let server = Running::start().await;
    let topics = Topics::of(&server, "acme");
    topics.make("t", "application/json").await;
    let waiting = topics.get("t?offset=now&live=long-poll").send();
    let deleted = async {
        sleep(Duration::from_millis(200)).await;
        assert_eq!(topics.request(Method::DELETE, "t").send().await.unwrap().status(), 204);
    };
    let (answer, ()) = tokio::join!(waiting, deleted);
    assert_eq!(answer.unwrap().status(), 404);
}

/// Waits for something that takes a moment.
async fn eventually(holds: impl AsyncFn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < end, "it never happened");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_page_is_compressed_for_who_takes_that_and_an_answer_that_goes_on_is_not() {
    let server = Running::start().await;
    let topics = Topics::of(&server, "acme");
    topics.make("t", "application/json").await;
    let events: Vec<Value> =
        (0..500).map(|n| json!({ "n": n, "note": "the driver comes at nine" })).collect();
    let sent = serde_json::to_string(&events).unwrap();
    assert_eq!(topics.post("t", sent.clone()).send().await.unwrap().status(), 204);

    let get = |path: &str, takes: &'static str| topics.get(path).header("accept-encoding", takes);
    let mut tags = vec![];
    for path in ["t?offset=-1", "t?offset=-1&live=long-poll"] {
        let plain = get(path, "br").send().await.unwrap();
        let packed = get(path, "gzip, br").send().await.unwrap();
        for name in ["stream-start-offset", "stream-next-offset", "stream-up-to-date", "content-type"] {
            assert_eq!(header(&plain, name), header(&packed, name));
        }
        assert!(plain.headers().get("content-encoding").is_none());
        assert_eq!(header(&packed, "content-encoding"), "gzip");
        tags.extend([&plain, &packed].map(|answer| answer.headers().get("etag").cloned()));
        let packed = packed.bytes().await.unwrap();
        assert!(packed.len() < sent.len() / 4, "{} of {} bytes", packed.len(), sent.len());
        let mut text = String::new();
        GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
        assert_eq!([text, plain.text().await.unwrap()], [sent.clone(), sent.clone()]);
        let again = get(path, "gzip").send().await.unwrap().bytes().await.unwrap();
        assert_eq!(again.len(), packed.len(), "to ask again tells nothing more");
    }
    let [Some(plain), Some(packed), None, None] = &tags[..] else { panic!("{tags:?}") };
    assert_ne!(plain, packed);
    for (takes, tag, status) in [("gzip", packed, 304), ("br", plain, 304), ("br", packed, 200)] {
        let answer = get("t?offset=-1", takes).header("if-none-match", tag).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["etag"]),
            (status, if status == 304 { tag } else { plain })
        );
        assert_eq!(header(&answer, "vary"), "authorization, accept-encoding");
    }

    let small = get("t?offset=now", "gzip").send().await.unwrap();
    assert!(small.headers().get("content-encoding").is_none(), "nothing is gained");
    let mut goes_on = get("t?offset=-1&live=sse", "gzip").send().await.unwrap();
    assert!(goes_on.headers().get("content-encoding").is_none());
    assert!(goes_on.chunk().await.unwrap().unwrap().starts_with(b"event: data\n"));
}
