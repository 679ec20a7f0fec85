//! Subscriptions, beyond what the conformance suite of the protocol looks at.

use std::time::Duration;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::Running;

struct Worker<'a> {
    server: &'a Running,
    token: String,
}

impl Worker<'_> {
    async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.ask_as(&self.token, method, path, body).await
    }

    async fn ask_as(&self, token: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = Client::new().request(method, self.server.http(&format!("/v1/streams/{path}")));
        let request = request.bearer_auth(token).header("content-type", "application/json");
        let answer: Response = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    async fn put(&self, path: &str, body: Value) -> u16 {
        self.ask(Method::PUT, path, body).await.0
    }

    async fn claim(&self, id: &str, worker: &str) -> (u16, Value) {
        self.ask(Method::POST, &format!("__ds/subscriptions/{id}/claim"), json!({ "worker": worker })).await
    }

    async fn ack(&self, id: &str, claim: &Value, done: bool) -> (u16, Value) {
        let acks: Vec<Value> = claim["streams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|stream| json!({ "stream": stream["path"], "offset": stream["tail_offset"] }))
            .collect();
        let body = json!({
            "wake_id": claim["wake_id"],
            "generation": claim["generation"],
            "acks": acks,
            "done": done,
        });
        let token = claim["token"].as_str().unwrap();
        self.ask_as(token, Method::POST, &format!("__ds/subscriptions/{id}/ack"), body).await
    }
}

fn worker<'a>(server: &'a Running, tenant: &str) -> Worker<'a> {
    Worker { server, token: server.token(tenant, "ada") }
}

fn setup(lease: u64) -> Value {
    json!({ "type": "pull-wake", "pattern": "jobs/*", "wake_stream": "wake", "lease_ttl_ms": lease })
}

async fn with_work(ada: &Worker<'_>, lease: u64) {
    assert_eq!(ada.put("wake", json!([])).await, 201);
    assert_eq!(ada.put("__ds/subscriptions/s", setup(lease)).await, 201);
    assert_eq!(ada.put("jobs/1", json!([1, 2])).await, 201);
}

#[tokio::test]
async fn a_lease_that_is_over_goes_to_another_and_the_first_is_fenced_off() {
    let server = Running::start().await;
    let ada = worker(&server, "acme");
    with_work(&ada, 1_000).await;
    let (status, first) = ada.claim("s", "one").await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(ada.claim("s", "two").await.0, 409);
    // To say that one is still at it keeps the lease.
    sleep(Duration::from_millis(600)).await;
    let still = json!({ "wake_id": first["wake_id"], "generation": first["generation"] });
    let token = first["token"].as_str().unwrap();
    let path = "__ds/subscriptions/s/ack";
    assert_eq!(ada.ask_as(token, Method::POST, path, still.clone()).await.0, 200);
    sleep(Duration::from_millis(600)).await;
    assert_eq!(ada.claim("s", "two").await.0, 409);
    sleep(Duration::from_millis(600)).await;
    let (status, second) = ada.claim("s", "two").await;
    assert_eq!(status, 200);
    assert!(second["generation"].as_u64() > first["generation"].as_u64());
    for (late, body) in [
        (&first, still),
        (&first, json!({ "wake_id": second["wake_id"], "generation": second["generation"] })),
    ] {
        let (status, answer) = ada.ask_as(late["token"].as_str().unwrap(), Method::POST, path, body).await;
        assert_eq!((status, answer["code"].as_str()), (409, Some("fenced")));
    }
    assert_eq!(ada.ack("s", &second, true).await, (200, json!({ "ok": true, "next_wake": false })));
    let (status, answer) = ada.claim("s", "one").await;
    assert_eq!((status, answer["code"].as_str()), (409, Some("no_pending_work")));
}

/// A wake stream that is not there, or takes nothing, keeps no worker from what there is to do.
#[tokio::test]
async fn who_comes_for_work_gets_it_though_it_could_not_be_announced() {
    let server = Running::start().await;
    let ada = worker(&server, "acme");
    assert_eq!(ada.put("jobs/1", json!([])).await, 201);
    assert_eq!(ada.put("__ds/subscriptions/s", setup(30_000)).await, 201);
    for round in 0..20 {
        assert_eq!(ada.ask(Method::POST, "jobs/1", json!(round)).await.0, 204);
        // Long enough that it was tried, in some of the rounds.
        sleep(Duration::from_millis(20)).await;
        let (status, claim) = ada.claim("s", "one").await;
        assert_eq!(status, 200, "{round}: {claim}");
        assert_eq!(ada.ack("s", &claim, true).await.0, 200, "{round}");
    }
}

#[tokio::test]
async fn each_announcement_is_one_event_of_the_wake_stream() {
    let server = Running::start().await;
    let ada = worker(&server, "acme");
    with_work(&ada, 30_000).await;
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let (_, wakes) = ada.ask(Method::GET, "wake", Value::Null).await;
        if let [wake] = &wakes.as_array().unwrap()[..] {
            assert_eq!(
                (wake["subscription_id"].as_str(), wake["stream"].as_str()),
                (Some("s"), Some("jobs/1"))
            );
            break;
        }
        assert!(Instant::now() < end, "{wakes}");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ada.ask(Method::POST, "jobs/1", json!(3)).await.0, 204);
    sleep(Duration::from_millis(700)).await;
    let (_, wakes) = ada.ask(Method::GET, "wake", Value::Null).await;
    assert_eq!(wakes.as_array().unwrap().len(), 1, "work that is announced is not announced again");
}

#[tokio::test]
async fn subscriptions_are_their_tenants_and_see_what_their_maker_may_read() {
    let server = Running::start().await;
    let ada = worker(&server, "acme");
    with_work(&ada, 30_000).await;
    let path = "__ds/subscriptions/s";
    let bob = worker(&server, "other");
    let grants = json!([{ "topic": "jobs/mine" }, { "topic": "wake" }]);
    let eve = Worker { server: &server, token: server.granted("acme", "eve", grants) };
    for stranger in [&bob, &eve] {
        assert_eq!(stranger.ask(Method::GET, path, Value::Null).await.0, 404);
        assert_eq!(stranger.claim("s", "x").await.0, 404);
        assert_eq!(stranger.ask(Method::DELETE, path, Value::Null).await.0, 404);
    }
    let mut own = setup(30_000);
    own["streams"] = json!(["jobs/1"]);
    assert_eq!(eve.put("__ds/subscriptions/e", own).await, 404, "no topic that it may not read");
    assert_eq!(eve.put("__ds/subscriptions/e", setup(30_000)).await, 201);
    assert_eq!(ada.put("jobs/2", json!([1])).await, 201);
    assert_eq!(ada.put("jobs/mine", json!([1])).await, 201);
    let (_, claim) = eve.claim("e", "eve").await;
    let end = Instant::now() + Duration::from_secs(10);
    let mut claim = claim;
    while claim["streams"].as_array().is_none() {
        assert!(Instant::now() < end, "{claim}");
        sleep(Duration::from_millis(20)).await;
        claim = eve.claim("e", "eve").await.1;
    }
    let seen: Vec<&str> =
        claim["streams"].as_array().unwrap().iter().map(|stream| stream["path"].as_str().unwrap()).collect();
    assert_eq!(seen, ["jobs/mine"]);
    // A worker's token is for its subscription alone.
    let other = "__ds/subscriptions/s/release";
    let body = json!({ "wake_id": claim["wake_id"], "generation": claim["generation"] });
    assert_eq!(eve.ask_as(claim["token"].as_str().unwrap(), Method::POST, other, body).await.0, 401);
    assert_eq!(
        eve.ask_as(claim["token"].as_str().unwrap(), Method::GET, "jobs/mine", Value::Null).await.0,
        401
    );
}

#[tokio::test]
async fn a_subscription_that_makes_no_sense_is_refused() {
    let server = Running::start().await;
    let ada = worker(&server, "acme");
    let with = |name: &str, value: Value| {
        let mut changed = setup(30_000);
        changed[name] = value;
        changed
    };
    for bad in [
        with("pattern", Value::Null),
        with("pattern", json!("a*")),
        with("lease_ttl_ms", json!(1)),
        with("wake_stream", json!("__ds/x")),
        with("wake_stream", Value::Null),
        with("webhook", json!({ "url": "https://hooks.example/" })),
        with("type", json!("push")),
        with("streams", json!(["../x"])),
    ] {
        assert_eq!(ada.put("__ds/subscriptions/s", bad.clone()).await, 400, "{bad}");
    }
    for id in ["%2e%2e", "a%2Fb", "a%20b"] {
        assert_eq!(ada.put(&format!("__ds/subscriptions/{id}"), setup(30_000)).await, 400, "{id}");
    }
}
