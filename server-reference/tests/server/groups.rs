//! Consumer groups and dead letters over HTTP.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::Running;

struct Worker<'a> {
    server: &'a Running,
    token: String,
}

impl<'a> Worker<'a> {
    fn of(server: &'a Running) -> Self {
        Self { server, token: server.token("acme", "ada") }
    }

    async fn send(&self, method: Method, path: &str, body: String) -> (u16, Value) {
        let request = Client::new().request(method, self.server.http(path)).bearer_auth(&self.token);
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        if status >= 400 {
            assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
        }
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.send(method, path, body.to_string()).await
    }

    /// The code of a refusal.
    async fn refused(&self, method: Method, path: &str, body: Value) -> (u16, String) {
        let (status, answer) = self.ask(method, path, body).await;
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Method::POST, path, body).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// The topic `t` with events, and the group `g` of it.
    async fn with(&self, events: Value, rules: Value) {
        assert_eq!(self.ask(Method::PUT, "/v1/streams/t", events).await.0, 201);
        let (status, answer) =
            self.ask(Method::PUT, "/v1/groups/g", json!({ "topic": "t", "rules": rules })).await;
        assert_eq!(status, 201, "{answer}");
    }

    async fn claim(&self, events: usize) -> Value {
        self.post("/v1/groups/g/claim", json!({ "worker": "w", "events": events, "wait_ms": 0 })).await
    }
}

fn numbers(claimed: &Value) -> Vec<u64> {
    claimed["events"].as_array().unwrap().iter().map(|event| event["event"]["n"].as_u64().unwrap()).collect()
}

fn event(key: &str, n: u64) -> Value {
    json!({ "subject": key, "n": n })
}

#[tokio::test]
async fn workers_share_a_topic_and_keep_the_order_of_each_key() {
    let server = Running::start().await;
    let ada = Worker::of(&server);
    ada.with(json!([event("a", 1), event("a", 2), event("b", 3)]), json!({})).await;
    let first = ada.claim(10).await;
    assert_eq!((numbers(&first), &first["recovered"]), (vec![1, 3], &json!(true)));
    assert_eq!(first["events"][0]["attempt"], 1);
    let position = &first["events"][0]["position"];
    let acked =
        ada.post("/v1/groups/g/ack", json!({ "lease": first["lease"], "positions": [position] })).await;
    assert_eq!(acked["events"], 1);
    let second = ada.claim(10).await;
    assert_eq!(numbers(&second), [2]);
    let extended = ada.post("/v1/groups/g/extend", json!({ "lease": second["lease"] })).await;
    assert!(extended["until"].as_u64() >= second["until"].as_u64());
    for claimed in [&first, &second] {
        ada.post("/v1/groups/g/ack", json!({ "lease": claimed["lease"] })).await;
    }
    let (_, state) = ada.ask(Method::GET, "/v1/groups/g", Value::Null).await;
    assert_eq!((&state["cursor"], &state["outstanding"]), (&state["tail"], &json!(0)));
    assert_eq!(ada.ask(Method::DELETE, "/v1/groups/g", Value::Null).await.0, 204);
    assert_eq!(ada.refused(Method::GET, "/v1/groups/g", Value::Null).await, (404, "no_such_group".into()));
}

#[tokio::test]
async fn a_worker_that_waits_is_woken_by_an_event_by_an_ack_and_by_a_pause_that_ends() {
    let server = Running::start().await;
    let ada = Worker::of(&server);
    ada.with(json!([]), json!({})).await;
    let wait = || async {
        let asked = ada.post("/v1/groups/g/claim", json!({ "worker": "w" }));
        timeout(Duration::from_secs(15), asked).await.expect("it is woken long before its time is over")
    };
    let add = |body: Value| ada.ask(Method::POST, "/v1/streams/t", body);
    let (claimed, _) = tokio::join!(wait(), add(event("a", 1)));
    assert_eq!(numbers(&claimed), [1]);
    assert_eq!(add(event("a", 2)).await.0, 204);
    let ack = ada.post("/v1/groups/g/ack", json!({ "lease": claimed["lease"] }));
    let (claimed, _) = tokio::join!(wait(), ack);
    assert_eq!(numbers(&claimed), [2]);
    let nack = json!({ "lease": claimed["lease"], "delay_ms": 500, "error": "not yet" });
    let (claimed, _) = tokio::join!(wait(), ada.post("/v1/groups/g/nack", nack));
    assert_eq!((numbers(&claimed), &claimed["events"][0]["attempt"]), (vec![2], &json!(2)));
}

#[tokio::test]
async fn a_worker_that_waits_in_vain_is_told_after_its_time() {
    let server = Running::start().await;
    let ada = Worker::of(&server);
    ada.with(json!([]), json!({})).await;
    let claimed = ada.post("/v1/groups/g/claim", json!({ "worker": "w", "wait_ms": 50 })).await;
    assert_eq!((&claimed["lease"], &claimed["events"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn bytes_of_any_kind_reach_a_worker() {
    let server = Running::start().await;
    let ada = Worker::of(&server);
    let put = Client::new().put(server.http("/v1/streams/t")).bearer_auth(&ada.token);
    let put = put.header("content-type", "application/octet-stream").body(vec![0, 255, 7]);
    assert_eq!(put.send().await.unwrap().status(), 201);
    ada.ask(Method::PUT, "/v1/groups/g", json!({ "topic": "t" })).await;
    assert_eq!(ada.claim(1).await["events"][0]["base64"], "AP8H");
}

#[tokio::test]
async fn topics_and_groups_begin_at_a_time() {
    let server = Running::start().await;
    let ada = Worker::of(&server);
    assert_eq!(ada.ask(Method::PUT, "/v1/streams/t", json!([event("a", 1)])).await.0, 201);
    let all = ada.ask(Method::GET, "/v1/streams/t?since=0", Value::Null).await.1;
    assert_eq!(all.as_array().unwrap().len(), 1);
    for future in ["9000000000000", "2255-03-14T16:00:00Z", "2255-03-14T16%3A00%3A00%2B00%3A00"] {
        let none = ada.ask(Method::GET, &format!("/v1/streams/t?since={future}"), Value::Null).await;
        assert_eq!(none, (200, json!([])), "{future}");
    }
    for (n, (time, expected)) in
        [(json!(0), 1), (json!("2020-01-01T00:00:00Z"), 1), (json!(9_000_000_000_000_u64), 0)]
            .into_iter()
            .enumerate()
    {
        let group = format!("/v1/groups/g{n}");
        let made = ada.ask(Method::PUT, &group, json!({ "topic": "t", "start": { "time": time } })).await;
        assert_eq!(made.0, 201, "{}", made.1);
        let claimed =
            ada.post(&format!("{group}/claim"), json!({ "worker": "w", "events": 9, "wait_ms": 0 })).await;
        assert_eq!(numbers(&claimed).len(), expected);
    }
    for bad in ["", "yesterday", "-1", "1e3"] {
        let answer = ada.refused(Method::GET, &format!("/v1/streams/t?since={bad}"), Value::Null).await;
        assert_eq!(answer, (400, "bad_position".into()), "{bad}");
    }
}

#[tokio::test]
async fn dead_letters_are_read_edited_retried_and_discarded() {
    let server = Running::start().await;
    let ada = Worker::of(&server);
    ada.with(json!([event("a", 1), event("a", 2)]), json!({ "attempts": 1, "poison": "halt" })).await;
    let fail = async || {
        let claimed = ada.claim(1).await;
        ada.post("/v1/groups/g/nack", json!({ "lease": claimed["lease"], "error": "no such account" })).await
    };
    fail().await;
    let letter =
        ada.ask(Method::GET, "/v1/groups/g/dead?limit=10", Value::Null).await.1["letters"][0].clone();
    assert_eq!((&letter["reason"], &letter["topic"]), (&json!("no such account"), &json!("t")));
    assert!(letter.get("event").is_none());
    let path = format!("/v1/groups/g/dead/{}", letter["id"].as_str().unwrap());
    let (_, whole) = ada.ask(Method::GET, &path, Value::Null).await;
    assert_eq!((&whole["event"], &whole["attempts"][0]["worker"]), (&event("a", 1), &json!("w")));
    assert!(ada.claim(1).await["lease"].is_null(), "its key waits");
    assert_eq!(ada.ask(Method::PUT, &path, event("a", 7)).await.0, 200);
    let named = json!({ "letters": [letter["id"]] });
    for _ in 0..2 {
        let retried = ada.post("/v1/groups/g/dead/retry", named.clone()).await;
        assert_eq!(retried["letters"][0]["state"], "retrying");
    }
    assert_eq!(
        ada.refused(Method::PUT, &path, event("a", 8)).await,
        (409, "dead_letter_live".into()),
        "it is out of the operator's hands"
    );
    let claimed = ada.claim(1).await;
    assert_eq!(numbers(&claimed), [7]);
    ada.post("/v1/groups/g/ack", json!({ "lease": claimed["lease"] })).await;
    assert_eq!(ada.post("/v1/groups/g/dead/retry", named).await["letters"][0]["state"], "gone");
    assert_eq!(ada.refused(Method::GET, &path, Value::Null).await, (404, "no_such_dead_letter".into()));
    fail().await;
    let (_, list) = ada.ask(Method::GET, "/v1/groups/g/dead", Value::Null).await;
    let named = json!({ "letters": [list["letters"][0]["id"]] });
    assert_eq!(ada.post("/v1/groups/g/dead/discard", named).await["letters"][0]["state"], "discarded");
    let (_, state) = ada.ask(Method::GET, "/v1/groups/g", Value::Null).await;
    assert_eq!(state["dead_letters"], 0);
    let (_, all) = ada.ask(Method::GET, "/v1/groups", Value::Null).await;
    assert_eq!(all, json!({ "groups": [state], "next": null }));
    assert_eq!(ada.refused(Method::GET, "/v1/groups?limit=0", Value::Null).await, (400, "bad_group".into()));
    let eve = Worker { server: &server, token: server.granted("acme", "eve", json!([{ "topic": "t" }])) };
    assert_eq!(eve.refused(Method::GET, "/v1/groups/g/dead", Value::Null).await, (403, "forbidden".into()));
}

#[tokio::test]
async fn pages_of_dead_letters_follow_one_another() {
    let server = Running::start().await;
    let ada = Worker::of(&server);
    ada.with((0..5).map(|n| json!({ "n": n })).collect(), json!({ "attempts": 1 })).await;
    let claimed = ada.claim(5).await;
    ada.post("/v1/groups/g/nack", json!({ "lease": claimed["lease"] })).await;
    let (mut seen, mut after) = (0, String::new());
    loop {
        let (_, page) = ada.ask(Method::GET, &format!("/v1/groups/g/dead?limit=2{after}"), Value::Null).await;
        seen += page["letters"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen, 5);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let server = Running::start().await;
    let ada = Worker::of(&server);
    ada.with(json!([event("a", 1), event("b", 2)]), json!({})).await;
    let claimed = ada.claim(1).await;
    let lease = &claimed["lease"];
    let tail = ada.ask(Method::GET, "/v1/groups/g", Value::Null).await.1["tail"].as_str().unwrap().to_owned();
    let elsewhere = format!("{}{}", "0000000000000001", &tail[16..]);
    let (make, claim) = (|name: &str| format!("/v1/groups/{name}"), "/v1/groups/g/claim");
    let long = "x".repeat(2_000);
    let cases = [
        (Method::PUT, make("h"), json!({ "topic": "none" }), 404, "no_such_topic"),
        (Method::PUT, make("h"), json!({ "topic": "../t" }), 400, "bad_topic"),
        (Method::PUT, make("h"), json!({ "topic": "__ds/x" }), 400, "bad_topic"),
        (Method::PUT, make("h"), json!({}), 400, "malformed"),
        (Method::PUT, make("h"), json!({ "topic": "t", "more": 1 }), 400, "malformed"),
        (Method::PUT, make("h"), json!({ "topic": "t", "start": "soon" }), 400, "malformed"),
        (Method::PUT, make("h"), json!({ "topic": "t", "start": { "position": "x" } }), 400, "bad_position"),
        (
            Method::PUT,
            make("h"),
            json!({ "topic": "t", "start": { "position": elsewhere } }),
            410,
            "position_lost",
        ),
        (Method::PUT, make("h"), json!({ "topic": "t", "start": { "time": "soon" } }), 400, "bad_group"),
        (Method::PUT, make("h"), json!({ "topic": "t", "rules": { "attempts": 0 } }), 400, "bad_group"),
        (Method::PUT, make("h"), json!({ "topic": "t", "rules": { "lease_ms": 1 } }), 400, "bad_group"),
        (Method::PUT, make("h"), json!({ "topic": "t", "rules": { "lease_ms": 600_001 } }), 400, "bad_group"),
        (
            Method::PUT,
            make("h"),
            json!({ "topic": "t", "rules": { "outstanding": 10_001 } }),
            400,
            "bad_group",
        ),
        (Method::PUT, make("h"), json!({ "topic": "t", "rules": { "key": "subject" } }), 400, "bad_group"),
        (Method::PUT, make("h"), json!({ "topic": "t", "rules": { "poison": "retry" } }), 400, "malformed"),
        (Method::PUT, make("h"), json!({ "topic": "t", "rules": { "attempts": -1 } }), 400, "malformed"),
        (Method::PUT, make("h"), json!({ "topic": "t".repeat(70_000) }), 413, "frame_too_large"),
        (Method::PUT, make("g"), json!({ "topic": "t", "start": "latest" }), 409, "group_exists"),
        (Method::PUT, make("a%2Fb"), json!({ "topic": "t" }), 400, "bad_group"),
        (Method::PUT, make("__ds"), json!({ "topic": "t" }), 400, "bad_group"),
        (Method::PUT, make("a%00"), json!({ "topic": "t" }), 400, "bad_group"),
        (Method::PUT, make(&"x".repeat(129)), json!({ "topic": "t" }), 400, "bad_group"),
        (Method::POST, claim.into(), json!({}), 400, "malformed"),
        (Method::POST, claim.into(), json!({ "worker": "" }), 400, "bad_claim"),
        (Method::POST, claim.into(), json!({ "worker": long }), 400, "bad_claim"),
        (Method::POST, claim.into(), json!({ "worker": "w", "events": 0 }), 400, "bad_claim"),
        (Method::POST, claim.into(), json!({ "worker": "w", "events": 1_001 }), 400, "bad_claim"),
        (Method::POST, "/v1/groups/none/claim".into(), json!({ "worker": "w" }), 404, "no_such_group"),
        (Method::POST, "/v1/groups/g/ack".into(), json!({ "lease": "" }), 409, "fenced"),
        (Method::POST, "/v1/groups/g/ack".into(), json!({ "lease": "1.guess" }), 409, "fenced"),
        (
            Method::POST,
            "/v1/groups/g/ack".into(),
            json!({ "lease": lease, "positions": ["x"] }),
            400,
            "bad_position",
        ),
        (
            Method::POST,
            "/v1/groups/g/ack".into(),
            json!({ "lease": lease, "positions": [tail] }),
            409,
            "fenced",
        ),
        (
            Method::POST,
            "/v1/groups/g/ack".into(),
            json!({ "lease": lease, "positions": [elsewhere] }),
            410,
            "position_lost",
        ),
        (Method::POST, "/v1/groups/g/ack".into(), json!({ "lease": lease, "delay_ms": 1 }), 400, "malformed"),
        (
            Method::POST,
            "/v1/groups/g/nack".into(),
            json!({ "lease": lease, "error": long }),
            400,
            "bad_claim",
        ),
        (
            Method::POST,
            "/v1/groups/g/nack".into(),
            json!({ "lease": lease, "delay_ms": 86_400_001 }),
            400,
            "bad_claim",
        ),
        (Method::POST, "/v1/groups/g/extend".into(), json!({ "lease": 1 }), 400, "malformed"),
        (Method::GET, "/v1/groups/none/dead".into(), Value::Null, 404, "no_such_group"),
        (Method::GET, "/v1/groups/g/dead?limit=0".into(), Value::Null, 400, "bad_claim"),
        (Method::GET, "/v1/groups/g/dead/1.1".into(), Value::Null, 404, "no_such_dead_letter"),
        (Method::GET, "/v1/groups/g/dead/+1.1".into(), Value::Null, 400, "bad_claim"),
        (Method::POST, "/v1/groups/g/dead/retry".into(), json!({ "letters": [] }), 400, "bad_claim"),
        (Method::POST, "/v1/groups/g/dead/discard".into(), json!({ "letters": ["x"] }), 400, "bad_claim"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = ada.refused(method.clone(), &path, body.clone()).await;
        assert_eq!(answer, (status, code.to_owned()), "{method} {path} {body}");
    }
    for (method, path) in [(Method::PUT, make("h")), (Method::POST, claim.into())] {
        let (status, answer) = ada.send(method, &path, "{\"topic\":".into()).await;
        assert_eq!((status, answer["code"].as_str()), (400, Some("malformed")));
    }
    let bob = Worker { server: &server, token: server.token("other", "ada") };
    let stolen = json!({ "lease": lease });
    assert_eq!(bob.refused(Method::POST, "/v1/groups/g/ack", stolen.clone()).await.1, "no_such_group");
    let (_, state) = ada.ask(Method::GET, "/v1/groups/g", Value::Null).await;
    assert_eq!((&state["leased"], &state["outstanding"]), (&json!(1), &json!(1)));
    assert_eq!(ada.post("/v1/groups/g/ack", stolen).await["events"], 1);
}
