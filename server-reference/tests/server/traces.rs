//! Ids of requests, and traces that go on.

use axum::{Router, extract::State, http::HeaderMap, routing::post};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_tungstenite::tungstenite::Message;

use crate::support::Running;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn parent(trace: &str) -> String {
    format!("00-{trace}-00f067aa0ba902b7-01")
}

#[tokio::test]
async fn every_answer_names_its_request_and_so_does_a_problem() {
    let server = Running::start().await;
    let ask = async |id: Option<&str>, path: &str| {
        let request = Client::new().get(server.http(path));
        let answer = id.into_iter().fold(request, |request, id| request.header("x-request-id", id));
        let answer = answer.send().await.unwrap();
        let name = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        (name, answer.json::<Value>().await.unwrap_or_default())
    };
    let (name, problem) = ask(Some("edge-7"), "/v1/groups").await;
    assert_eq!(
        (name.as_str(), &problem["code"], &problem["requestId"]),
        ("edge-7", &"unauthenticated".into(), &"edge-7".into())
    );
    for path in ["/healthz", "/nowhere", "/v1/streams/nothing"] {
        let (first, _) = ask(None, path).await;
        let (second, problem) = ask(Some("{\"not\": \"an id\"}"), path).await;
        assert!(first.len() == 32 && second.len() == 32 && first != second, "{first} {second}");
        if problem.is_object() && problem["code"].is_string() {
            assert_eq!(problem["requestId"], second);
        }
    }
}

/// A webhook that tells which headers it was called with, and is done each time.
async fn hook() -> (String, mpsc::Receiver<HeaderMap>) {
    let (calls, called) = mpsc::channel(16);
    let answer = async |State(calls): State<mpsc::Sender<HeaderMap>>, headers: HeaderMap| {
        calls.send(headers).await.unwrap();
        r#"{"done": true}"#
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", post(answer)).with_state(calls);
    tokio::spawn(async { axum::serve(listener, router).await });
    (url, called)
}

#[tokio::test]
async fn a_webhook_is_called_in_the_trace_of_what_it_is_called_for() {
    let server = Running::start().await;
    let (url, mut called) = hook().await;
    let token = server.token("acme", "ada");
    let put = |path: &str, body: Value| {
        let request = Client::new().put(server.http(&format!("/v1/streams/{path}"))).bearer_auth(&token);
        request.header("content-type", "application/json").body(body.to_string())
    };
    let subscription = json!({ "type": "webhook", "pattern": "jobs/*", "webhook": { "url": url } });
    assert_eq!(put("__ds/subscriptions/s", subscription).send().await.unwrap().status(), 201);

    let first = put("jobs/1", json!([1])).header("traceparent", parent(TRACE)).header("tracestate", "a=1");
    assert_eq!(first.send().await.unwrap().status(), 201);
    let headers = called.recv().await.unwrap();
    let told = headers["traceparent"].to_str().unwrap();
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-01"), "{told}");
    assert_ne!(told, parent(TRACE), "the span is the server's");
    assert_eq!(headers["tracestate"], "a=1");

    // In a frame.
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut session = server.session(1).await;
    let event = json!({ "specversion": "1.0", "id": "1", "source": "test", "type": "test" });
    let publication = json!({ "seq": 1, "topic": "jobs/2", "event": event });
    let frame = json!({ "publish": { "publications": [publication], "traceparent": parent(trace) } });
    session.send_message(Message::Text(frame.to_string().into())).await;
    let headers = called.recv().await.unwrap();
    assert!(headers["traceparent"].to_str().unwrap().starts_with(&format!("00-{trace}-")), "{headers:?}");
    assert!(!headers.contains_key("tracestate"));

    // Of what belongs to no trace, one of its own.
    assert_eq!(put("jobs/3", json!([1])).send().await.unwrap().status(), 201);
    let headers = called.recv().await.unwrap();
    let told = headers["traceparent"].to_str().unwrap();
    assert!(told.len() == 55 && !told.contains(TRACE) && !told.contains(trace), "{told}");
}
