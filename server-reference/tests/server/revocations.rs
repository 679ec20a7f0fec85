//! Taking tokens back, over every transport.

use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Client, RequestBuilder, StatusCode};
use sdk_core::protocol::{ClientFrame, ErrorCode, Hello, PullRequest, ServerFrame, encode};
use serde_json::{Value, json};
use server_reference::{clock::wall, dev::DevIssuer};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Running, Socket, cards, client};

const SECRET: [u8; 32] = [9; 32];

async fn start() -> Running {
    Running::start_with(|mut config| {
        config.identity = DevIssuer::from_secret(SECRET).into();
        config
    })
    .await
}

/// A token of the tenant `acme` with more claims.
fn token(subject: &str, more: Value) -> String {
    let now = wall().0 / 1000;
    let mut claims = json!({
        "iss": "webwaka-dev", "aud": "webwaka-realtime", "tenant": "acme", "sub": subject,
        "nbf": now - 100, "iat": now - 100, "exp": now + 600,
    });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let header = Header { kid: Some("dev".into()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&SECRET)).unwrap()
}

fn admin() -> String {
    token("root", json!({ "access": [{ "subject": "*", "may": "admin" }] }))
}

async fn revoke(server: &Running, by: &str, what: Value) -> (StatusCode, Value) {
    let request = Client::new().post(server.http("/v1/admin/revocations")).bearer_auth(by);
    let answer = request.body(what.to_string()).send().await.unwrap();
    (answer.status(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

async fn session(server: &Running, token: String, number: u8) -> Socket {
    let mut socket = server.socket().await;
    let hello =
        Hello { versions: vec![1], token, client: client(number), resume: vec![cards(None)], rejected: None };
    socket.send(&ClientFrame::Hello(hello)).await;
    assert!(matches!(socket.next().await, Some(ServerFrame::Welcome(_))));
    assert!(matches!(socket.next().await, Some(ServerFrame::Changes(_))));
    socket
}

fn pull(server: &Running, token: &str, number: u8) -> RequestBuilder {
    let body = PullRequest { client: client(number), collections: vec![cards(None)], rejected: None };
    Client::new().post(server.http("/v1/pull")).bearer_auth(token).body(encode(&body))
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

/// The error and the close with which a session ends.
async fn ended(mut socket: Socket) -> (ErrorCode, u16, String) {
    let mut code = None;
    for message in socket.rest().await {
        match message.unwrap() {
            Message::Text(text) => {
                if let Ok(ServerFrame::Error(error)) = sdk_core::protocol::decode(&text) {
                    code = Some(error.code);
                }
            }
            Message::Close(Some(close)) => {
                return (code.unwrap(), close.code.into(), close.reason.to_string());
            }
            _ => {}
        }
    }
    panic!("the session ended without a close");
}

#[tokio::test]
async fn everything_that_is_open_by_a_subjects_tokens_ends_at_once() {
    let server = start().await;
    let (old, bystander) = (token("ada", json!({})), token("bob", json!({})));
    let make = Client::new().put(server.http("/v1/streams/feed")).bearer_auth(&old);
    assert_eq!(status(make.header("content-type", "application/json")).await, StatusCode::CREATED);
    let read = |token: &str, live: &str| {
        let url = server.http(&format!("/v1/streams/feed?offset=-1&live={live}"));
        let client = Client::builder().no_proxy().build().unwrap();
        client.get(url).bearer_auth(token)
    };
    let socket = session(&server, old.clone(), 1).await;
    let mut other = session(&server, bystander.clone(), 2).await;
    let mut events = read(&old, "sse").send().await.unwrap();
    assert!(events.chunk().await.unwrap().is_some());
    let poll = tokio::spawn(read(&old, "long-poll").send());
    let group = Client::new().put(server.http("/v1/groups/workers")).bearer_auth(&old);
    let made = group.header("content-type", "application/json").body(r#"{"topic":"feed"}"#);
    assert!(status(made).await.is_success());
    let claim = Client::new().post(server.http("/v1/groups/workers/claim")).bearer_auth(&old);
    let claim = tokio::spawn(claim.body(r#"{"worker":"w"}"#).send());
    assert!(status(pull(&server, &old, 1)).await.is_success());

    let (code, answer) = revoke(&server, &admin(), json!({ "subject": "ada" })).await;
    assert_eq!((code, &answer["subject"], &answer["by"]), (StatusCode::OK, &json!("ada"), &json!("root")));
    assert_eq!(ended(socket).await, (ErrorCode::Unauthenticated, 1008, "unauthenticated".into()));
    while events.chunk().await.unwrap().is_some() {}
    // A poll that came to its own end would have nothing to tell, and be no error.
    assert_eq!(poll.await.unwrap().unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(claim.await.unwrap().unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(status(pull(&server, &old, 1)).await, StatusCode::UNAUTHORIZED);

    let mut again = server.socket().await;
    let hello = Hello { versions: vec![1], token: old, client: client(1), resume: vec![], rejected: None };
    again.send(&ClientFrame::Hello(hello)).await;
    let Some(ServerFrame::Error(error)) = again.next().await else { panic!() };
    assert_eq!(error.code, ErrorCode::Unauthenticated);

    // Others go on, and so does she by a token that was issued since.
    assert!(status(pull(&server, &bystander, 2)).await.is_success());
    other.send(&crate::support::push(vec![crate::support::set(1, "x", "y", "1")])).await;
    assert!(matches!(other.next_answer().await, Some(ServerFrame::Outcomes(_))));
    let new = token("ada", json!({ "iat": wall().0 / 1000 + 1 }));
    session(&server, new, 1).await;
}

#[tokio::test]
async fn a_session_or_one_token_is_taken_back_and_nothing_else_of_the_subject() {
    let server = start().await;
    let phone = token("ada", json!({ "sid": "phone", "jti": "1" }));
    let (laptop, later) = (token("ada", json!({ "sid": "laptop", "jti": "2" })), wall().0 / 1000 + 20);
    let (first, second) =
        (session(&server, phone.clone(), 1).await, session(&server, laptop.clone(), 2).await);
    assert_eq!(revoke(&server, &admin(), json!({ "session": "phone" })).await.0, StatusCode::OK);
    assert_eq!(ended(first).await.0, ErrorCode::Unauthenticated);
    let renewed = token("ada", json!({ "sid": "phone", "jti": "3", "iat": later }));
    assert_eq!(status(pull(&server, &renewed, 1)).await, StatusCode::UNAUTHORIZED, "the session is over");
    assert!(status(pull(&server, &laptop, 2)).await.is_success());
    assert_eq!(revoke(&server, &admin(), json!({ "token": "2" })).await.0, StatusCode::OK);
    assert_eq!(ended(second).await.0, ErrorCode::Unauthenticated);
    assert!(
        status(pull(&server, &token("ada", json!({ "sid": "laptop", "jti": "4" })), 2)).await.is_success()
    );
    // The same names in another tenant are somebody else's.
    let elsewhere = token("ada", json!({ "tenant": "other", "sid": "phone", "jti": "2" }));
    assert!(status(pull(&server, &elsewhere, 9)).await.is_success());
}

#[tokio::test]
async fn a_subscription_ends_with_the_token_that_it_was_made_by() {
    let server = start().await;
    let (ada, bob) = (token("ada", json!({ "sid": "s" })), token("bob", json!({})));
    let path = server.http("/v1/streams/__ds/subscriptions/hook");
    let setup =
        json!({ "type": "webhook", "pattern": "feed/*", "webhook": { "url": "http://127.0.0.1:1/" } });
    let make = |by: &str| {
        let request = Client::new().put(&path).bearer_auth(by);
        request.header("content-type", "application/json").body(setup.to_string())
    };
    assert_eq!(status(make(&ada)).await, StatusCode::CREATED);
    assert_eq!(status(make(&ada)).await, StatusCode::OK);
    assert_eq!(revoke(&server, &admin(), json!({ "session": "s" })).await.0, StatusCode::OK);
    let show = || Client::new().get(&path).bearer_auth(&bob);
    assert_eq!(status(show()).await, StatusCode::NOT_FOUND);
    assert_eq!(status(make(&bob)).await, StatusCode::CREATED, "its name is free");
    assert_eq!(status(show()).await, StatusCode::OK);
}

#[tokio::test]
async fn who_may_take_tokens_back_is_said_in_the_token_and_requests_that_make_no_sense_do_nothing() {
    let server = start().await;
    for nobody in [
        token("ada", json!({})),
        token("ada", json!({ "access": [{ "subject": "*" }, { "collection": "*", "may": "admin" }] })),
        token("ada", json!({ "access": [{ "subject": "team/*", "may": "admin" }] })),
    ] {
        let (status, answer) = revoke(&server, &nobody, json!({ "subject": "bob" })).await;
        assert_eq!((status, &answer["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
        let none = revoke(&server, &nobody, json!({ "session": "s" })).await;
        assert_eq!(none.0, StatusCode::FORBIDDEN);
    }
    let future = wall().0 + 60_000;
    for bad in [
        json!({}),
        json!({ "subject": "" }),
        json!({ "subject": "a\u{0}" }),
        json!({ "subject": "x".repeat(129) }),
        json!({ "subject": "bob", "session": "s" }),
        json!({ "subject": "bob", "tenant": "other" }),
        json!({ "subject": "bob", "before": future }),
        json!({ "subject": "bob", "before": "now" }),
        json!({ "session": "s", "before": 1 }),
        json!([]),
    ] {
        let (status, answer) = revoke(&server, &admin(), bad.clone()).await;
        assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("malformed")), "{bad}");
    }
    let before = wall().0 - 50_000;
    let asked = json!({ "subject": "bob", "before": before });
    let first = revoke(&server, &admin(), asked.clone()).await;
    assert_eq!(revoke(&server, &admin(), asked).await, first, "a repetition has no second effect");
    revoke(&server, &admin(), json!({ "token": "t:1 ä" })).await;
    let list = async |query: &str| -> Value {
        let request = Client::new().get(server.http(&format!("/v1/admin/revocations{query}")));
        let answer = request.bearer_auth(admin()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    };
    let page = list("?limit=1").await;
    assert_eq!((&page["revocations"][0]["before"], &page["next"]), (&json!(before), &json!("subject:bob")));
    let rest = list("?limit=5&after=subject%3Abob").await;
    assert_eq!((&rest["revocations"][0]["token"], &rest["next"]), (&json!("t:1 ä"), &Value::Null));
}

/// What is promised of everything that is open, and of what is asked for then.
const PROMISE: Duration = Duration::from_secs(2);

/// One request of each family of routes, which a token is looked at for.
const FAMILIES: &[(&str, &str)] = &[
    ("POST", "/v1/push"),
    ("POST", "/v1/pull"),
    ("POST", "/v1/tickets"),
    ("GET", "/v1/snapshots/cards"),
    ("GET", "/v1/streams/feed?offset=-1"),
    ("POST", "/v1/streams/feed"),
    ("GET", "/v1/streams/__ds/subscriptions/s"),
    ("GET", "/v1/groups"),
    ("POST", "/v1/groups/workers/claim"),
    ("GET", "/v1/groups/workers/dead"),
    ("GET", "/v1/dead"),
    ("POST", "/v1/transactions/ledger.transfer"),
    ("GET", "/v1/admin/revocations"),
    ("GET", "/v1/admin/grants"),
];

#[tokio::test]
async fn whatever_is_open_ends_and_every_request_is_refused_within_two_seconds_by_each_kind() {
    for (kind, name) in [("subject", "ada"), ("session", "phone"), ("token", "t1")] {
        let server = start().await;
        let ada = token("ada", json!({ "sid": "phone", "jti": "t1" }));
        let make = |path: &str, body: &str| {
            let request = Client::new().put(server.http(path)).bearer_auth(&ada);
            status(request.header("content-type", "application/json").body(body.to_owned()))
        };
        assert!(make("/v1/streams/feed", "[]").await.is_success());
        assert!(make("/v1/groups/workers", r#"{"topic":"feed"}"#).await.is_success());
        let socket = session(&server, ada.clone(), 1).await;
        let read = |live: &str| {
            let url = server.http(&format!("/v1/streams/feed?offset=-1&live={live}"));
            Client::builder().no_proxy().build().unwrap().get(url).bearer_auth(&ada)
        };
        let mut events = read("sse").send().await.unwrap();
        assert!(events.chunk().await.unwrap().is_some());
        let poll = read("long-poll");
        let claim = Client::new().post(server.http("/v1/groups/workers/claim")).bearer_auth(&ada);
        let claim = claim.body(r#"{"worker":"w","events":1,"wait_ms":20000}"#);

        // Each says when it has ended; what is asked for is asked for again until it is refused.
        let waiting = |request: RequestBuilder| {
            tokio::spawn(async move {
                let answer = request.send().await.unwrap();
                (answer.status(), Instant::now())
            })
        };
        let (poll, claim) = (waiting(poll), waiting(claim));
        let socket = tokio::spawn(async move { (ended(socket).await.0, Instant::now()) });
        let events = tokio::spawn(async move {
            while events.chunk().await.unwrap().is_some() {}
            Instant::now()
        });
        let asked = Instant::now();
        assert_eq!(revoke(&server, &admin(), json!({ kind: name })).await.0, StatusCode::OK);
        // Every request from here on is refused, whenever it is sent.
        let mut took = vec![("requests", asked.elapsed())];
        for (method, path) in FAMILIES {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let request = Client::new().request(method, server.http(path)).bearer_auth(&ada).body("{}");
            assert_eq!(status(request).await, StatusCode::UNAUTHORIZED, "{kind}: {path}");
        }
        let (code, at) = socket.await.unwrap();
        assert_eq!(code, ErrorCode::Unauthenticated);
        took.push(("websocket", at - asked));
        took.push(("server-sent events", events.await.unwrap() - asked));
        for (what, waiting) in [("long-poll", poll), ("claim", claim)] {
            let (status, at) = waiting.await.unwrap();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{kind}: {what}");
            took.push((what, at - asked));
        }
        println!("taken back by {kind}: {took:?}");
        assert!(took.iter().all(|(_, took)| *took < PROMISE), "{kind}: {took:?}");
    }
}
