//! Nothing secret is in the log.
//!
//! A test starts this program anew, which logs as the server does, drives the whole server with secrets everywhere, and
//! names those that it was given. The test then looks for all of them in what was logged.

#[path = "server/support.rs"]
#[allow(dead_code)]
mod support;

use std::process::{Command, Stdio};

use axum::{Router, routing::post};
use reqwest::{Client, Method};
use sdk_core::{
    protocol::Json,
    reconcile::{Conflict, Resolution},
};
use serde_json::{Value, json};
use server_reference::{
    config::ServerConfig,
    resolvers::Resolvers,
    trace::{self, LogForm},
    transactions::{
        Handlers, TransactionsConfig,
        handler::{Call, Fault, Handler, Records, Refusal},
    },
};
use support::{Running, Socket};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

/// Part of each secret that the test makes up.
const SECRET: &str = "zecret";
/// What stands before a secret that the server has made up.
const MADE: &str = "made: ";
/// The form of the log, for the program that is started anew.
const FORM: &str = "WEBWAKA_TEST_LOG_FORM";

#[test]
fn no_secret_is_in_the_log_as_text() {
    let log = driven("text");
    assert!(log.contains("request{request=") && log.contains("session{connection="), "{log}");
}

#[test]
fn no_secret_is_in_the_log_as_json() {
    let log = driven("json");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let spans = lines.iter().flat_map(|line| line["spans"].as_array().into_iter().flatten());
    let named = |name: &str, tenant: &str| {
        spans
            .clone()
            .any(|span| span["name"] == name && span["tenant"] == tenant && span["request"].is_string())
    };
    assert!(named("request", "acme") && named("session", "acme"), "{log}");
}

/// What is logged while everything is done.
fn driven(form: &str) -> String {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "everything", "--ignored", "--nocapture"]).stdin(Stdio::null());
    // Whatever anybody asks for.
    let output =
        program.env(FORM, form).env("RUST_LOG", "trace").env_remove("RUST_BACKTRACE").output().unwrap();
    let (said, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{said}\n{log}");
    let made: Vec<&str> =
        said.lines().filter_map(|line| line.split_once(MADE)).map(|(_, made)| made).collect();
    assert!(made.len() >= 6, "{said}");
    for secret in made.into_iter().chain([SECRET, "eyJ"]) {
        let telling: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(telling.is_empty(), "{telling:#?}");
    }
    // That the log was silent would prove nothing.
    for told in [
        "token refused",
        "tokens revoked",
        "session open",
        "session closed",
        "a panic",
        "a handler panicked",
        "a resolver panicked",
        "a critical transaction was misplaced",
        "answered",
    ] {
        assert!(log.contains(told), "{told} is missing: {log}");
    }
    log
}

/// Panics with what it was given.
struct Panics;

impl Handler for Panics {
    fn run(&self, call: Call<'_>, _: &mut dyn Records) -> Result<Json, Fault> {
        panic!("{}", call.body.as_str())
    }
}

/// Refuses with what it was given.
struct Refuses;

impl Handler for Refuses {
    fn run(&self, call: Call<'_>, _: &mut dyn Records) -> Result<Json, Fault> {
        Err(Fault::Refused(Refusal { code: "no".into(), message: call.body.as_str().into() }))
    }
}

fn made(secret: &str) {
    println!("{MADE}{secret}");
}

struct Driver {
    server: Running,
    token: String,
}

impl Driver {
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token);
        self.ask_as(&bearer, method, path, headers, body).await
    }

    async fn ask_as(
        &self,
        authorization: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Value) {
        let mut request = Client::new().request(method, self.server.http(path));
        for (name, value) in [("authorization", authorization), ("cookie", "id=zecret-cookie")]
            .iter()
            .chain(headers)
            .filter(|(_, value)| !value.is_empty())
        {
            request = request.header(*name, *value);
        }
        let answer = request.body(body.to_owned()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    async fn socket(&self, query: &str) -> Option<Socket> {
        let address = format!("ws://{}/v1/realtime{query}", self.server.address);
        let mut request = address.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "webwaka.realtime.v1".parse().unwrap());
        Socket::connect(request).await.ok()
    }

    fn hello(&self, token: &str, client: &str) -> String {
        let letters = json!({ "collection": "letters", "strategy": "merge" });
        let hello = json!({ "versions": [1], "token": token, "client": client, "resume": [letters] });
        json!({ "hello": hello }).to_string()
    }

    /// Sends frames, and waits until the session has ended or `answers` frames have come.
    async fn say(&self, query: &str, frames: &[String], answers: usize) {
        let Some(mut socket) = self.socket(query).await else { return };
        for frame in frames {
            socket.send_message(Message::Text(frame.as_str().into())).await;
        }
        for _ in 0..answers {
            if socket.next().await.is_none() {
                return;
            }
        }
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// Started by the tests above.
#[tokio::test]
#[ignore = "is what the tests of this file start"]
async fn everything() {
    let form =
        if std::env::var(FORM).is_ok_and(|form| form == "json") { LogForm::Json } else { LogForm::Text };
    let _logging = trace::start(form).unwrap();
    let handlers = Handlers::default().transaction("test.panics", Panics).unwrap();
    let handlers = handlers.transaction("test.refuses", Refuses).unwrap();
    let transactions = TransactionsConfig { handlers, ..TransactionsConfig::default() };
    let panics = |conflict: &Conflict| -> Resolution { panic!("{conflict:?}") };
    let resolvers = Resolvers::default().with("letters".parse().unwrap(), panics);
    let server = Running::start_with(|config| ServerConfig { transactions, resolvers, ..config }).await;
    let token = server.token("acme", "ada");
    made(&token);
    let driver = Driver { server, token };
    tokens(&driver).await;
    requests(&driver).await;
    topics(&driver).await;
    webhooks(&driver).await;
    sessions(&driver).await;
    revoked(&driver).await;
    driver.server.stop().await.unwrap().unwrap();
}

async fn tokens(driver: &Driver) {
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ6ZWNyZXQifQ.";
    let cut = &driver.token[..driver.token.len() - 4];
    let other =
        server_reference::dev::DevIssuer::load_or_create(tempfile::tempdir().unwrap().path()).unwrap();
    let foreign = other.mint("acme", "ada", 60, server_reference::clock::wall()).unwrap();
    made(&foreign);
    let expired = driver.server.issuer.mint("acme", "ada", 0, sdk_core::clock::Millis(1_000)).unwrap();
    made(&expired);
    for token in ["zecret", "a.zecret.b", unsigned, cut, &foreign, &expired, ""] {
        let bearer = format!("Bearer {token}");
        let (status, _) = driver.ask_as(&bearer, Method::GET, "/v1/groups", &[], "").await;
        assert_eq!(status, 401);
        let client = "0".repeat(31) + "9";
        driver.say("", &[driver.hello(token, &client)], 2).await;
    }
    for authorization in ["Basic emVjcmV0OnplY3JldA==", "zecret", "Bearer"] {
        let asked = driver.ask_as(authorization, Method::POST, "/v1/push", &[], "zecret").await;
        assert_eq!(asked.0, 401);
    }
    for query in ["?ticket=zecret", "?token=zecret", "?access_token=zecret&ticket="] {
        assert!(driver.socket(query).await.is_none() || !query.contains("ticket"));
        driver.ask_as("", Method::GET, &format!("/v1/streams/t{query}"), &[], "").await;
    }
}

async fn requests(driver: &Driver) {
    let client = "0".repeat(31) + "1";
    let operation =
        json!({ "seq": 1, "doc": ["cards", "a"], "at": [1, 0], "intents": [{ "put": { "a": "zecret" } }] });
    let cards = json!([{ "collection": "cards", "strategy": "fieldLevel" }]);
    let body = json!({ "client": client, "collections": cards, "operations": [operation] });
    assert_eq!(driver.ask(Method::POST, "/v1/push", &[JSON], &body.to_string()).await.0, 200);
    let other =
        json!({ "seq": 1, "doc": ["cards", "a"], "at": [2, 0], "intents": [{ "put": { "b": "zecret" } }] });
    let body = json!({ "client": client, "collections": cards, "operations": [other] });
    driver.ask(Method::POST, "/v1/push", &[JSON], &body.to_string()).await;
    let pull = json!({ "client": client, "collections": cards });
    assert_eq!(driver.ask(Method::POST, "/v1/pull", &[JSON], &pull.to_string()).await.0, 200);
    assert_eq!(driver.ask(Method::GET, "/v1/snapshots/cards?zecret=zecret", &[], "").await.0, 200);
    for body in
        ["zecret", "{\"client\":\"zecret\"}", &"[".repeat(100), "{\"transaction\":{\"a\":\"zecret\"}}"]
    {
        let (status, _) = driver.ask(Method::POST, "/v1/push", &[JSON], body).await;
        assert!((400..500).contains(&status), "{body}: {status}");
        driver.ask(Method::POST, "/v1/pull", &[JSON], body).await;
        driver.ask(Method::POST, "/v1/admin/revocations", &[JSON], body).await;
        driver.ask(Method::PUT, "/v1/groups/g", &[JSON], body).await;
    }
    for (name, body, status) in [
        ("test.panics", r#""zecret""#, 500),
        ("test.refuses", r#""zecret""#, 409),
        ("test.refuses", "zecret", 400),
        ("no.such?zecret=zecret", r#""zecret""#, 404),
    ] {
        let key = format!("\"zecret-{name}{status}\"");
        let path = format!("/v1/transactions/{name}");
        let (answered, problem) =
            driver.ask(Method::POST, &path, &[("idempotency-key", &key), JSON], body).await;
        assert_eq!(answered, status, "{problem}");
    }
    let headers = [("x-request-id", "zecret id"), ("traceparent", "zecret"), ("tracestate", "zecret=zecret")];
    assert_eq!(driver.ask(Method::GET, "/nowhere/zecret?zecret=zecret", &headers, "").await.0, 404);
    assert_eq!(driver.ask(Method::GET, "/v1/streams/nothing?offset=zecret", &headers, "").await.0, 400);
}

async fn topics(driver: &Driver) {
    assert_eq!(
        driver.ask(Method::PUT, "/v1/streams/t", &[JSON], r#"[{"a":"zecret"},{"a":"zecret"}]"#).await.0,
        201
    );
    assert_eq!(driver.ask(Method::POST, "/v1/streams/t", &[JSON], r#"{"a":"zecret"}"#).await.0, 204);
    let event = |id: &str| json!({ "specversion": "1.0", "id": id, "source": "zecret", "type": "t", "data": "zecret" });
    let structured = [("content-type", "application/cloudevents+json")];
    let published =
        driver.ask(Method::POST, "/v1/streams/t", &structured, &event("zecret").to_string()).await;
    assert_eq!(published.0, 204);
    for (headers, body) in [
        (&[JSON][..], "zecret"),
        (&structured, "{\"specversion\":\"zecret\"}"),
        (&[("content-type", "zecret/zecret")], "zecret"),
        (
            &[("ce-specversion", "1.0"), ("ce-id", "%zecret"), ("ce-type", "zecret"), ("ce-source", "")],
            "zecret",
        ),
        (&[JSON, ("producer-id", "zecret"), ("producer-epoch", "zecret"), ("producer-seq", "0")], "1"),
        (&[JSON, ("stream-ttl", "zecret"), ("stream-seq", "zecret")], "1"),
    ] {
        driver.ask(Method::POST, "/v1/streams/t", headers, body).await;
        driver.ask(Method::PUT, "/v1/streams/u", headers, body).await;
    }
    let (_, ticket) = driver.ask(Method::POST, "/v1/tickets", &[], "").await;
    let ticket = ticket["ticket"].as_str().unwrap();
    made(ticket);
    let live = driver.server.http(&format!("/v1/streams/t?offset=-1&live=sse&ticket={ticket}"));
    let mut events = Client::new().get(live).send().await.unwrap();
    assert!(String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()).contains(SECRET));
    drop(events);
    let group = json!({ "topic": "t", "rules": { "attempts": 1 } });
    driver.ask(Method::PUT, "/v1/groups/g", &[JSON], &group.to_string()).await;
    let claim = json!({ "worker": "zecret", "events": 10, "wait_ms": 0 });
    let (status, claimed) = driver.ask(Method::POST, "/v1/groups/g/claim", &[JSON], &claim.to_string()).await;
    assert_eq!(status, 200, "{claimed}");
    let lease = claimed["lease"].as_str().unwrap();
    made(lease);
    let position = &claimed["events"][0]["position"];
    let failed = json!({ "lease": lease, "positions": [position], "error": "zecret" });
    driver.ask(Method::POST, "/v1/groups/g/nack", &[JSON], &failed.to_string()).await;
    driver
        .ask(
            Method::POST,
            "/v1/groups/g/ack",
            &[JSON],
            &json!({ "lease": "zecret", "positions": [position] }).to_string(),
        )
        .await;
    driver.ask(Method::GET, "/v1/groups/g/dead", &[], "").await;
    driver.ask(Method::GET, "/v1/dead?limit=zecret", &[], "").await;
}

async fn webhooks(driver: &Driver) {
    let (called, mut calls) = tokio::sync::mpsc::channel::<String>(16);
    let answer = async move |body: String| {
        called.send(body).await.unwrap();
        r#"{"done": "zecret"}"#
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?zecret=zecret", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, Router::new().route("/hook", post(answer))).await });
    let setup = |pattern: &str, url: &str| {
        json!({ "type": "webhook", "pattern": pattern, "webhook": { "url": url } }).to_string()
    };
    let path = "/v1/streams/__ds/subscriptions";
    let made_up = driver.ask(Method::PUT, &format!("{path}/s"), &[JSON], &setup("jobs/*", &url)).await;
    assert_eq!(made_up.0, 201);
    driver
        .ask(Method::PUT, &format!("{path}/bad"), &[JSON], &setup("jobs/*", "https://zecret@10.0.0.1/"))
        .await;
    driver.ask(Method::PUT, "/v1/streams/jobs/1", &[JSON], r#"["zecret"]"#).await;
    let call: Value = serde_json::from_str(&calls.recv().await.unwrap()).unwrap();
    let token = call["callback_token"].as_str().unwrap();
    made(token);
    let body = json!({ "wake_id": "zecret", "generation": 1, "acks": [], "done": true }).to_string();
    for token in [token, "zecret"] {
        let bearer = format!("Bearer {token}");
        driver.ask_as(&bearer, Method::POST, &format!("{path}/s/callback"), &[JSON], &body).await;
    }
}

async fn sessions(driver: &Driver) {
    let client = |number: u8| format!("{number:032x}");
    let put = |seq: u64, at: u64, text: &str| {
        let operation = json!({ "seq": seq, "doc": ["letters", "a"], "at": [at, 0], "intents": [{ "set": { "t": text } }] });
        json!({ "push": { "operations": [operation] } }).to_string()
    };
    let token = &driver.token;
    driver.say("", &[driver.hello(token, &client(2)), put(1, 1, "zecret one")], 3).await;
    // Concurrent with the first, so that the resolver is asked.
    driver.say("", &[driver.hello(token, &client(3)), put(1, 2, "zecret two")], 3).await;
    let (_, ticket) = driver.ask(Method::POST, "/v1/tickets", &[], "").await;
    let ticket = ticket["ticket"].as_str().unwrap();
    made(ticket);
    driver.say(&format!("?ticket={ticket}"), &[driver.hello("", &client(4))], 1).await;
    let event =
        json!({ "specversion": "1.0", "id": "zecret", "source": "zecret", "type": "t", "data": "zecret" });
    let publish = |seq: u64, event: &Value| {
        json!({ "publish": { "publications": [{ "seq": seq, "topic": "t", "event": event }] } }).to_string()
    };
    let traced = r#"{"enter":{"room":"r","state":"zecret","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","tracestate":"zecret=zecret"}}"#;
    driver
        .say(
            "",
            &[
                driver.hello(token, &client(5)),
                publish(1, &event),
                publish(2, &json!("zecret")),
                traced.to_owned(),
                r#"{"send":{"id":1,"to":{"room":"r"},"data":"zecret"}}"#.to_owned(),
                r#"{"send":{"id":2,"to":{"user":"ben"},"data":"zecret"}}"#.to_owned(),
                r#"{"subscribe":{"sub":1,"topic":"t","start":{"earliest":{}}}}"#.to_owned(),
                json!({ "refresh": { "token": "zecret" } }).to_string(),
            ],
            usize::MAX,
        )
        .await;
    for bad in [
        "zecret",
        r#"{"zecret":{}}"#,
        r#"{"push":{"operations":["zecret"]}}"#,
        r#"{"transaction":{"name":"zecret","body":"zecret"}}"#,
        r#"{"hello":{"versions":[1],"token":"zecret","client":"zecret"}}"#,
    ] {
        driver.say("", &[driver.hello(token, &client(6)), bad.to_owned()], usize::MAX).await;
        driver.say("", &[bad.to_owned()], usize::MAX).await;
    }
    let mut binary = driver.socket("").await.unwrap();
    binary.send_message(Message::Binary(SECRET.into())).await;
    while binary.next().await.is_some() {}
}

async fn revoked(driver: &Driver) {
    let admin = driver.server.granted("acme", "root", json!([{ "subject": "*", "may": "admin" }]));
    made(&admin);
    let bearer = format!("Bearer {admin}");
    let body = r#"{"subject":"ada"}"#;
    let (status, _) = driver.ask_as(&bearer, Method::POST, "/v1/admin/revocations", &[JSON], body).await;
    assert_eq!(status, 200);
}
