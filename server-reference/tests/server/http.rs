//! The server over plain HTTP.

use crate::support::{Running, cards, client, push, set};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use sdk_core::protocol::{
    ClientFrame, ErrorCode, Json, Limits, Outcome, Publication, Publish, PullReply, PullRequest, PushReply,
    PushRequest, Seq, ServerFrame, TopicName, decode, encode,
};
use serde_json::Value;
use server_reference::config::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn push_body(operations: Vec<sdk_core::protocol::Operation>) -> String {
    encode(&PushRequest {
        client: client(1),
        collections: vec![cards(None)],
        operations,
        publications: Vec::new(),
    })
}

fn post(server: &Running, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    Client::new().post(server.http(path)).bearer_auth(server.token("acme", "ada")).body(body)
}

async fn problem(response: Response) -> (u16, String) {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let status = response.status().as_u16();
    let document: Value = response.json().await.unwrap();
    assert_eq!(document["status"], status);
    assert!(document["detail"].is_string() && document["title"].is_string() && document["type"].is_string());
    (status, document["code"].as_str().unwrap().to_owned())
}

async fn text(request: RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.text().await.unwrap()
}

#[tokio::test]
async fn an_operation_sent_over_both_ways_has_one_effect() {
    let server = Running::start().await;
    let operation = || vec![set(1, "a", "x", "1")];
    let reply: PushReply = decode(&text(post(&server, "/v1/push", push_body(operation()))).await).unwrap();
    assert_eq!(reply.judgements[0].outcome, Outcome::Accepted {});

    let mut socket = server.session(1).await;
    socket.send(&push(operation())).await;
    let Some(ServerFrame::Outcomes(outcomes)) = socket.next_answer().await else { panic!() };
    assert_eq!(outcomes.judgements, reply.judgements);

    let request = encode(&PullRequest { client: client(1), collections: vec![cards(None)], rejected: None });
    let pulled: PullReply = decode(&text(post(&server, "/v1/pull", request)).await).unwrap();
    assert_eq!(Some(&pulled.changes[0].to), reply.judgements[0].position.as_ref());
    assert_eq!(pulled.welcome.actor, reply.welcome.actor);
}

#[tokio::test]
async fn a_push_may_hold_operations_and_events_and_an_event_sent_over_both_ways_is_one() {
    let server = Running::start().await;
    let event = r#"{"specversion":"1.0","type":"t","source":"/s","id":"1"}"#;
    let publication = |seq| Publication {
        seq: Seq(seq),
        topic: TopicName::new("orders").unwrap(),
        event: Json::parse(event).unwrap(),
    };
    let body = PushRequest {
        client: client(1),
        collections: vec![cards(None)],
        operations: vec![set(1, "a", "x", "1")],
        publications: vec![publication(2)],
    };
    let reply: PushReply = decode(&text(post(&server, "/v1/push", encode(&body))).await).unwrap();
    let [first, second] = &reply.judgements[..] else { panic!("{:?}", reply.judgements) };
    assert_eq!((first.seq, &first.outcome), (Seq(1), &Outcome::Accepted {}));
    let Outcome::Published { position } = second.outcome else { panic!("{second:?}") };
    assert_eq!((second.seq, position.offset), (Seq(2), 1));

    let mut socket = server.session(1).await;
    socket.send(&ClientFrame::Publish(Publish { publications: vec![publication(2)] })).await;
    let Some(ServerFrame::Outcomes(outcomes)) = socket.next_answer().await else { panic!() };
    assert_eq!(outcomes.judgements, reply.judgements[1..]);
    let read = Client::new().get(server.http("/v1/streams/orders?offset=-1"));
    assert_eq!(text(read.bearer_auth(server.token("acme", "ada"))).await, format!("[{event}]"));
}

#[tokio::test]
async fn a_pull_over_many_collections_stays_within_half_a_frame() {
    let server = Running::start().await;
    let big = format!("\"{}\"", "x".repeat(100_000));
    let collections: Vec<_> = (0..4)
        .map(|n| {
            let collection = sdk_core::protocol::CollectionName::new(&format!("c{n}")).unwrap();
            sdk_core::protocol::Resume { collection, ..cards(None) }
        })
        .collect();
    for (seq, resume) in (1..).zip(&collections) {
        let mut operation = set(seq, "a", "x", &big);
        operation.doc.collection = resume.collection.clone();
        let body = PushRequest {
            client: client(1),
            collections: collections.clone(),
            operations: vec![operation],
            publications: Vec::new(),
        };
        text(post(&server, "/v1/push", encode(&body))).await;
    }
    let (mut missing, mut rounds) = (collections, 0);
    while !missing.is_empty() {
        let request =
            encode(&PullRequest { client: client(1), collections: missing.clone(), rejected: None });
        let reply = text(post(&server, "/v1/pull", request)).await;
        assert!(reply.len() < Limits::default().frame_bytes, "{}", reply.len());
        let reply: PullReply = decode(&reply).unwrap();
        assert_eq!(reply.changes.len(), missing.len());
        for (resume, changes) in missing.iter_mut().zip(&reply.changes) {
            resume.after = Some(changes.to.clone());
        }
        let mut more = reply.changes.iter().map(|changes| changes.more);
        missing.retain(|_| more.next() == Some(true));
        rounds += 1;
    }
    assert!(rounds > 1);
}

#[tokio::test]
async fn problems_have_a_stable_code() {
    let server = Running::start().await;
    let many = (1..=129).map(|seq| set(seq, "a", "x", "1")).collect();
    let cases = [
        ("nonsense".to_owned(), 400, ErrorCode::Malformed),
        ("[".repeat(100), 400, ErrorCode::TooDeep),
        (" ".repeat(Limits::default().frame_bytes + 1), 413, ErrorCode::FrameTooLarge),
        (push_body(many), 413, ErrorCode::TooMany),
    ];
    for (body, status, code) in cases {
        let response = post(&server, "/v1/push", body).send().await.unwrap();
        assert_eq!(problem(response).await, (status, code.as_str().to_owned()));
    }
    let taken = encode(&PullRequest { client: client(1), collections: vec![], rejected: None });
    text(post(&server, "/v1/pull", taken.clone())).await;
    let eve = server.token("acme", "eve");
    let stolen =
        Client::new().post(server.http("/v1/pull")).bearer_auth(eve).body(taken).send().await.unwrap();
    assert_eq!(problem(stolen).await, (403, "client_id_taken".into()));
}

#[tokio::test]
async fn without_a_valid_token_nothing_is_read() {
    let server = Running::start().await;
    let expired = server.issuer.mint("acme", "ada", 0, server_reference::clock::wall()).unwrap();
    let cases = [
        (None, "unauthenticated"),
        (Some("Basic YWRhOmFkYQ==".to_owned()), "unauthenticated"),
        (Some("Bearer nonsense".to_owned()), "unauthenticated"),
        (Some(format!("Bearer {expired}")), "token_expired"),
    ];
    for (authorization, code) in cases {
        let mut request = Client::new().post(server.http("/v1/push")).body(push_body(vec![]));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let response = request.send().await.unwrap();
        assert!(response.headers().contains_key("www-authenticate"));
        assert_eq!(problem(response).await, (401, code.into()));
    }
}

#[tokio::test]
async fn development_tokens_are_for_this_machine_alone() {
    let server = Running::start().await;
    let ask = |host: &str| {
        Client::new()
            .post(server.http("/dev/token"))
            .header("host", host.to_owned())
            .body("{\"subject\":\"ada\"}")
    };
    let reply: Value = serde_json::from_str(&text(ask("localhost:1")).await).unwrap();
    let body = encode(&PullRequest { client: client(1), collections: vec![], rejected: None });
    let token = reply["token"].as_str().unwrap();
    let pulled = text(Client::new().post(server.http("/v1/pull")).bearer_auth(token).body(body)).await;
    let pulled: PullReply = decode(&pulled).unwrap();
    assert_eq!(
        (pulled.welcome.identity.tenant.as_str(), pulled.welcome.identity.subject.as_str()),
        ("dev", "ada")
    );

    let rebound = ask("evil.example").send().await.unwrap();
    assert_eq!(problem(rebound).await, (403, "forbidden".into()));
}

#[tokio::test]
async fn pages_of_allowed_origins_alone_may_read_answers() {
    let server = Running::start().await;
    let preflight = async |origin: &str| {
        let request = Client::new()
            .request(reqwest::Method::OPTIONS, server.http("/v1/push"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let headers = request.send().await.unwrap().headers().clone();
        headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(preflight("http://localhost:5173").await.as_deref(), Some("http://localhost:5173"));
    assert_eq!(preflight("https://evil.example").await, None);
}

#[tokio::test]
async fn static_files_come_with_a_strict_policy_and_the_type_of_wasm() {
    let web = tempfile::tempdir().unwrap();
    std::fs::write(web.path().join("index.html"), "<!doctype html>").unwrap();
    std::fs::write(web.path().join("sdk.wasm"), b"\0asm").unwrap();
    let folder = web.path().to_owned();
    let server = Running::start_with(|config| ServerConfig { web: Some(folder), ..config }).await;
    let page = reqwest::get(server.http("/")).await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'self'") && policy.contains("script-src 'self' 'wasm-unsafe-eval';")
    );
    let wasm = reqwest::get(server.http("/sdk.wasm")).await.unwrap();
    assert_eq!(wasm.headers()["content-type"], "application/wasm");
}

#[tokio::test]
async fn no_path_leaves_the_folder_of_static_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("private"), "private text").unwrap();
    let web = folder.path().join("web");
    std::fs::create_dir(&web).unwrap();
    let server = Running::start_with(|config| ServerConfig { web: Some(web), ..config }).await;
    for path in ["/../private", "/%2e%2e/private", "/..%2fprivate", "//private"] {
        // By hand: a proper client would tidy the path first.
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_server_says_that_it_is_alive_and_that_it_is_ready() {
    let server = Running::start().await;
    for (path, status) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let reply = reqwest::get(server.http(path)).await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        assert_eq!(reply.json::<serde_json::Value>().await.unwrap()["status"], status);
    }
}

#[tokio::test]
async fn a_server_whose_store_does_not_answer_is_alive_and_not_ready() {
    let server = Running::start().await;
    // Somebody else has the right to write, and keeps it.
    let other = rusqlite::Connection::open(server.data.path().join("transactions.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ready = || async { reqwest::get(server.http("/readyz")).await.unwrap().status() };
    assert_eq!(ready().await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reqwest::get(server.http("/healthz")).await.unwrap().status(), StatusCode::OK);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(ready().await, StatusCode::OK);
}
