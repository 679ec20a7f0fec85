//! Spans as a collector gets them.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{Router, extract::State, routing::post};
use futures::SinkExt;
use reqwest::Client;
use sdk_core::protocol::SUBPROTOCOL;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// Longer than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const CALLER: &str = "00f067aa0ba902b7";

fn parent(trace: &str) -> String {
    format!("00-{trace}-{CALLER}-01")
}

/// A collector: takes OTLP over HTTP and tells of each span.
struct Collector {
    url: String,
    spans: mpsc::Receiver<Value>,
    seen: Vec<Value>,
}

impl Collector {
    async fn start() -> Self {
        let (sender, spans) = mpsc::channel(1_024);
        let take = async |State(sender): State<mpsc::Sender<Value>>, body: String| {
            let request: Value = serde_json::from_str(&body).unwrap();
            for resource in request["resourceSpans"].as_array().unwrap() {
                for scope in resource["scopeSpans"].as_array().unwrap() {
                    for span in scope["spans"].as_array().unwrap() {
                        let mut span = span.clone();
                        span["resource"] = resource["resource"].clone();
                        sender.send(span).await.unwrap();
                    }
                }
            }
            "{}"
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take)).with_state(sender);
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, spans, seen: Vec::new() }
    }

    /// The span of a name in a trace.
    async fn span(&mut self, trace: &str, name: &str) -> Value {
        loop {
            if let Some(span) = self.seen.iter().find(|span| span["traceId"] == trace && span["name"] == name)
            {
                return span.clone();
            }
            let span = timeout(PATIENCE, self.spans.recv()).await;
            let span = span.unwrap_or_else(|_| panic!("no {name} in {trace}: {:#?}", self.seen));
            self.seen.push(span.unwrap());
        }
    }
}

/// The server as an operator runs it, exporting to a collector.
struct Process(Child, String);

impl Process {
    fn start(data: &std::path::Path, collector: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webwaka-server"));
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.env_remove("RUST_LOG").env("OTEL_EXPORTER_OTLP_ENDPOINT", collector);
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json").env("OTEL_BSP_SCHEDULE_DELAY", "50");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Self(child, address)
    }

    fn http(&self, path: &str) -> String {
        format!("http://{}{path}", self.1)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn spans_of_requests_and_frames_are_below_those_of_their_callers() {
    let mut collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let server = Process::start(data.path(), &collector.url);
    let minted =
        Client::new().post(server.http("/dev/token")).body(r#"{"subject":"ada"}"#).send().await.unwrap();
    let minted: Value = minted.json().await.unwrap();
    let token = minted["token"].as_str().unwrap();

    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let put = Client::new().put(server.http("/v1/streams/jobs")).bearer_auth(token);
    let put = put.header("content-type", "application/json").header("traceparent", parent(trace));
    assert_eq!(put.body("[1]").send().await.unwrap().status(), 201);
    let request = collector.span(trace, "PUT /v1/streams/{*topic}").await;
    assert_eq!(request["parentSpanId"], CALLER, "{request:#}");
    assert_eq!(request["kind"], 2, "a server's");
    assert!(request["resource"].to_string().contains("webwaka-server"), "{request:#}");
    let store = collector.span(trace, "store").await;
    assert_eq!(store["parentSpanId"], request["spanId"], "{store:#}");

    let mut upgrade = format!("ws://{}/v1/realtime", server.1).into_client_request().unwrap();
    upgrade.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
    let (mut socket, _) = connect_async(upgrade).await.unwrap();
    let hello = json!({ "hello": { "versions": [1], "token": token, "client": "0".repeat(31) + "1" } });
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let operation = json!({ "seq": 1, "doc": ["cards", "a"], "at": [1, 0], "intents": [{ "put": {} }] });
    let push = json!({ "push": { "traceparent": parent(trace), "operations": [operation] } });
    for frame in [hello, push] {
        socket.send(Message::Text(frame.to_string().into())).await.unwrap();
    }
    let frame = collector.span(trace, "frame push").await;
    assert_eq!(frame["parentSpanId"], CALLER, "{frame:#}");
    let store = collector.span(trace, "store").await;
    assert_eq!(store["parentSpanId"], frame["spanId"], "{store:#}");
    let all = format!("{:?}", collector.seen);
    assert!(!all.contains(token) && !all.contains("eyJ"), "a token is in a span");
}
