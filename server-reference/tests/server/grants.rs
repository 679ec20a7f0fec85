//! Super admins: what they reach of a tenant, by whose leave, and what is left of it on record.

use reqwest::{Client, Method, StatusCode};
use sdk_core::protocol::{PullRequest, encode};
use serde_json::{Value, json};
use server_reference::{
    config::{GrantsConfig, ServerConfig},
    data::DataFolder,
    office::Charge,
    storage::sqlite::audit::{Audit, Record},
};

use crate::metrics::Scrape;
use crate::support::{Running, cards, client, set};

/// With an approval for the tenants whose names begin with `bank`.
async fn start() -> Running {
    let grants = GrantsConfig::new(vec!["bank*".into()], 3_600).unwrap();
    Running::start_with(|config| ServerConfig { grants, ..config }).await
}

fn officer(server: &Running, subject: &str, charges: Value) -> String {
    let charges: Vec<Charge> = serde_json::from_value(charges).unwrap();
    let now = server_reference::clock::wall();
    server.issuer.mint_super_admin("operators", subject, &charges, 600, now).unwrap()
}

fn sue(server: &Running) -> String {
    officer(server, "sue", json!([{ "tenant": "*", "may": "request" }]))
}

fn boss(server: &Running) -> String {
    officer(server, "boss", json!([{ "tenant": "bank*", "may": "approve" }]))
}

/// A request, under a grant if one is named.
async fn ask(
    server: &Running,
    token: &str,
    grant: Option<&str>,
    (method, path, body): (&str, &str, Value),
) -> (StatusCode, Value) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = Client::new().request(method, server.http(path)).bearer_auth(token);
    request = request.header("content-type", "application/json");
    if let Some(grant) = grant {
        request = request.header("access-grant", grant);
    }
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    let mut told: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    // It alone differs from one answer to the next.
    if let Some(told) = told.as_object_mut() {
        told.remove("requestId");
    }
    (status, told)
}

fn asking(tenant: &str, scope: Value) -> Value {
    json!({ "tenant": tenant, "justification": "ticket 7: where did order 1 go?", "scope": scope })
}

async fn granted(server: &Running, tenant: &str, scope: Value, may: &str) -> String {
    let mut body = asking(tenant, scope);
    body["may"] = json!(may);
    let (status, answer) = ask(server, &sue(server), None, ("POST", "/v1/admin/grants", body)).await;
    assert_eq!((status, &answer["state"]), (StatusCode::CREATED, &json!("active")), "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

/// A tenant with a topic `orders`, a document in `cards`, and a person with the name that a super admin has elsewhere.
async fn tenant(server: &Running, name: &str) {
    let ada = server.token(name, "ada");
    let made = ask(server, &ada, None, ("PUT", "/v1/streams/orders", json!([{ "n": 1 }]))).await;
    assert_eq!(made.0, StatusCode::CREATED);
    let body = format!(
        r#"{{"client":"{}","collections":[{}],"operations":[{}]}}"#,
        client(1),
        encode(&cards(None)),
        encode(&set(1, "a", "x", "1"))
    );
    let pushed =
        Client::new().post(server.http("/v1/push")).bearer_auth(ada).body(body).send().await.unwrap();
    assert_eq!(pushed.status(), StatusCode::OK);
}

fn records(server: &Running, tenant: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for (chain, path) in DataFolder::audited(server.data.path()) {
        let audit = Audit::open(&path, chain).unwrap();
        if !audit.tenants().unwrap().contains(&tenant.to_owned()) {
            continue;
        }
        let verified = audit.verify(tenant, &[], |record| records.push(record.clone())).unwrap();
        assert_eq!(verified.findings, [], "{chain}");
    }
    records
}

fn pull() -> Value {
    let pull = PullRequest { client: client(9), collections: vec![cards(None)], rejected: None };
    serde_json::from_str(&encode(&pull)).unwrap()
}

#[tokio::test]
async fn a_super_admin_sees_what_a_grant_is_for_and_nothing_else() {
    let server = start().await;
    tenant(&server, "acme").await;
    let sue = sue(&server);
    let get = |path: &'static str| ("GET", path, Value::Null);
    // Her token is for no data at all, and the tenant of a grant is that of the grant.
    assert_eq!(ask(&server, &sue, None, get("/v1/streams/orders")).await.0, StatusCode::NOT_FOUND);
    let scope = json!([{ "topic": "orders", "may": "read" }, { "collection": "cards" }]);
    let grant = granted(&server, "acme", scope, "read").await;
    let under = async |request| ask(&server, &sue, Some(&grant), request).await;
    assert_eq!(under(get("/v1/streams/orders?offset=-1")).await, (StatusCode::OK, json!([{ "n": 1 }])));
    let (status, pulled) = under(("POST", "/v1/pull", pull())).await;
    assert_eq!(
        (status, &pulled["changes"][0]["documents"][0]["id"]),
        (StatusCode::OK, &json!("a")),
        "{pulled}"
    );
    assert_eq!(pulled["welcome"]["identity"]["tenant"], json!("acme"));
    assert_eq!(under(get("/v1/snapshots/cards")).await.0, StatusCode::OK);
    // What it does not cover looks like what there is not.
    let other = under(get("/v1/streams/other")).await;
    assert_eq!(other.0, StatusCode::NOT_FOUND);
    ask(&server, &server.token("acme", "ada"), None, ("PUT", "/v1/streams/other", json!([]))).await;
    assert_eq!(under(get("/v1/streams/other")).await, other);
    // Nor is anything written, kept open, or done in somebody's name.
    for (method, path, body) in [
        ("POST", "/v1/streams/orders", json!([{ "n": 2 }])),
        ("PUT", "/v1/streams/new", json!([])),
        ("DELETE", "/v1/streams/orders", Value::Null),
        ("GET", "/v1/streams/orders?offset=-1&live=long-poll", Value::Null),
        ("GET", "/v1/streams/orders?offset=-1&live=sse", Value::Null),
        ("POST", "/v1/push", json!({})),
        ("POST", "/v1/tickets", Value::Null),
        ("GET", "/v1/realtime", Value::Null),
        ("POST", "/v1/transactions/ledger.open", json!({})),
        ("POST", "/v1/admin/grants", asking("acme", json!([{ "collection": "*" }]))),
        ("POST", "/v1/admin/revocations", json!({ "subject": "ada" })),
    ] {
        let (status, answer) = under((method, path, body)).await;
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::FORBIDDEN, &json!("forbidden")),
            "{method} {path}"
        );
    }
    let withdraw = format!("/v1/admin/grants/{grant}/withdraw");
    let withdrawn = ask(&server, &sue, None, ("POST", &withdraw, Value::Null)).await;
    assert_eq!((withdrawn.0, &withdrawn.1["state"]), (StatusCode::OK, &json!("withdrawn")));
    let refused = under(get("/v1/streams/orders")).await;
    assert_eq!(refused.0, StatusCode::FORBIDDEN);
    // As with a grant that never was, one of somebody else, and what is no grant at all.
    let never = ask(&server, &sue, Some(&"0".repeat(32)), get("/v1/streams/orders")).await;
    let none = ask(&server, &sue, Some("acme"), get("/v1/streams/orders")).await;
    let theirs = ask(&server, &server.token("acme", "ada"), Some(&grant), get("/v1/streams/orders")).await;
    assert!([never, none, theirs].iter().all(|answer| *answer == refused));
}

#[tokio::test]
async fn every_access_is_on_record_in_the_tenant_with_its_reason() {
    let server = start().await;
    tenant(&server, "acme").await;
    let grant = granted(
        &server,
        "acme",
        json!([{ "topic": "orders", "may": "read" }, { "collection": "cards" }]),
        "read",
    )
    .await;
    for request in [
        ("GET", "/v1/streams/orders?offset=-1", Value::Null),
        ("GET", "/v1/streams/other", Value::Null),
        ("POST", "/v1/pull", pull()),
    ] {
        ask(&server, &sue(&server), Some(&grant), request).await;
    }
    let found = records(&server, "acme");
    let seen: Vec<(&str, &str)> =
        found.iter().map(|record| (&*record.action, record.target.as_deref().unwrap())).collect();
    let under = |what: &str| format!("{what} under {grant}");
    assert_eq!(seen[0].0, "access requested");
    assert_eq!(
        seen[1..],
        [
            ("data accessed", &*under("GET /v1/streams/orders?offset=-1")),
            ("data accessed", &*under("GET /v1/streams/other")),
            ("data accessed", &*under("POST /v1/pull of cards")),
        ]
    );
    // What it does not cover is on record there too, once.
    for _ in 0..3 {
        let write = ("POST", "/v1/streams/orders", json!([{ "n": 2 }]));
        ask(&server, &sue(&server), Some(&grant), write).await;
        let withdraw = format!("/v1/admin/grants/{grant}/withdraw");
        ask(&server, &sue(&server), None, ("POST", &withdraw, Value::Null)).await;
        ask(&server, &sue(&server), Some(&grant), ("GET", "/v1/dead", Value::Null)).await;
    }
    let later = records(&server, "acme");
    let refused: Vec<&Record> = later.iter().filter(|record| record.outcome == "refused").collect();
    assert_eq!(refused.len(), 1, "{later:?}");
    assert_eq!(refused[0].target.as_deref(), Some("GET /v1/dead"));
    assert_eq!(refused[0].subject.as_deref(), Some("operators/sue"));
    for record in &found {
        assert_eq!(record.subject.as_deref(), Some("operators/sue"));
        assert_eq!(record.justification.as_deref(), Some("ticket 7: where did order 1 go?"));
    }
    // A request that is open under no grant is in her own tenant's.
    let own = records(&server, "operators");
    assert_eq!((own.len(), own[0].target.as_deref()), (1, Some("POST /v1/streams/orders")));
}

#[tokio::test]
async fn where_that_is_configured_somebody_else_approves_first() {
    let server = start().await;
    tenant(&server, "bank-1").await;
    let (sue, boss) = (sue(&server), boss(&server));
    let both = officer(
        &server,
        "sue",
        json!([{ "tenant": "*", "may": "request" }, { "tenant": "*", "may": "approve" }]),
    );
    let body = asking("bank-1", json!([{ "topic": "orders", "may": "read" }]));
    let (status, asked) = ask(&server, &sue, None, ("POST", "/v1/admin/grants", body)).await;
    assert_eq!((status, &asked["state"]), (StatusCode::CREATED, &json!("pending")));
    let grant = asked["id"].as_str().unwrap();
    let read = ("GET", "/v1/streams/orders?offset=-1", Value::Null);
    assert_eq!(ask(&server, &sue, Some(grant), read.clone()).await.0, StatusCode::FORBIDDEN);
    let path = |what: &str| format!("/v1/admin/grants/{grant}/{what}");
    let approve = path("approve");
    let own = ask(&server, &both, None, ("POST", &approve, Value::Null)).await;
    assert_eq!((own.0, &own.1["code"]), (StatusCode::FORBIDDEN, &json!("own_access_grant")));
    let nobody = ask(&server, &server.token("bank-1", "ada"), None, ("POST", &approve, Value::Null)).await;
    assert_eq!((nobody.0, &nobody.1["code"]), (StatusCode::NOT_FOUND, &json!("no_such_access_grant")));
    // Who may approve sees what waits.
    let (_, listed) = ask(&server, &boss, None, ("GET", "/v1/admin/grants", Value::Null)).await;
    assert_eq!((&listed["grants"][0], &listed["next"]), (&asked, &Value::Null));
    let (status, approved) = ask(&server, &boss, None, ("POST", &approve, Value::Null)).await;
    assert_eq!((status, &approved["state"]), (StatusCode::OK, &json!("active")));
    assert_eq!(approved["decidedBy"], json!("operators/boss"));
    assert_eq!(ask(&server, &sue, Some(grant), read).await, (StatusCode::OK, json!([{ "n": 1 }])));
    let refuse = ask(&server, &boss, None, ("POST", &path("refuse"), Value::Null)).await;
    assert_eq!((refuse.0, &refuse.1["code"]), (StatusCode::CONFLICT, &json!("access_grant_decided")));
    let last = records(&server, "bank-1").pop().unwrap();
    assert_eq!((&*last.outcome, last.approver.as_deref()), ("granted", Some("operators/boss")));
}

#[tokio::test]
async fn a_grant_to_administer_is_for_dead_letters_and_tokens_and_has_to_be_asked_for() {
    let server = start().await;
    tenant(&server, "acme").await;
    let sue = sue(&server);
    let scope = json!([{ "collection": "*", "may": "admin" }, { "subject": "*", "may": "admin" }]);
    let looking = granted(&server, "acme", scope.clone(), "read").await;
    let acting = granted(&server, "acme", scope, "administer").await;
    let letters = ("GET", "/v1/dead", Value::Null);
    assert_eq!(ask(&server, &sue, Some(&looking), letters.clone()).await.0, StatusCode::OK);
    assert_eq!(ask(&server, &sue, Some(&acting), letters).await.0, StatusCode::OK);
    let revoke = ("POST", "/v1/admin/revocations", json!({ "subject": "ada" }));
    assert_eq!(ask(&server, &sue, Some(&looking), revoke.clone()).await.0, StatusCode::FORBIDDEN);
    let ada = server.token("acme", "ada");
    let (status, kept) = ask(&server, &sue, Some(&acting), revoke).await;
    assert_eq!((status, &kept["by"]), (StatusCode::OK, &json!("operators/sue")));
    let orders = ("GET", "/v1/streams/orders", Value::Null);
    assert_eq!(ask(&server, &ada, None, orders).await.0, StatusCode::UNAUTHORIZED);
    let found = records(&server, "acme");
    let revoked = found.iter().find(|record| record.action == "tokens revoked").unwrap();
    assert_eq!((&*revoked.outcome, revoked.subject.as_deref()), ("granted", Some("operators/sue")));
    assert!(revoked.justification.is_some());
    assert_eq!(found.iter().filter(|record| record.action == "dead letters listed").count(), 2);
}

#[tokio::test]
async fn what_cannot_be_granted_is_refused_and_asks_for_nothing() {
    let server = start().await;
    let sue = sue(&server);
    let good = asking("acme", json!([{ "collection": "cards" }]));
    let with = |member: &str, value: Value| {
        let mut body = good.clone();
        body[member] = value;
        body
    };
    for (body, code) in [
        (with("scope", json!([])), "bad_access_grant"),
        (with("scope", json!([{ "topic": "orders" }])), "bad_access_grant"),
        (with("scope", json!([{ "topic": "orders", "may": "write" }])), "bad_access_grant"),
        (with("scope", json!([{ "room": "r" }])), "bad_access_grant"),
        (with("scope", json!([{ "transaction": "*" }])), "bad_access_grant"),
        (with("scope", json!([{ "subject": "ada" }])), "bad_access_grant"),
        (with("scope", json!([{ "collection": "a b" }])), "bad_access_grant"),
        (with("justification", json!("  ")), "bad_access_grant"),
        (with("justification", json!("x".repeat(1_001))), "bad_access_grant"),
        (with("seconds", json!(59)), "bad_access_grant"),
        (with("seconds", json!(3_601)), "bad_access_grant"),
        (with("tenant", json!("")), "malformed"),
        (with("may", json!("everything")), "malformed"),
        (with("approver", json!("boss")), "malformed"),
        (json!({}), "malformed"),
    ] {
        let (status, answer) = ask(&server, &sue, None, ("POST", "/v1/admin/grants", body.clone())).await;
        assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{body}");
    }
    for nobody in [server.token("acme", "ada"), boss(&server)] {
        let (status, answer) = ask(&server, &nobody, None, ("POST", "/v1/admin/grants", good.clone())).await;
        assert_eq!((status, &answer["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
    }
    // What is there is that somebody of the tenant has tried.
    let found = records(&server, "acme");
    assert_eq!((found.len(), &*found[0].outcome), (1, "refused"));
    let (_, listed) = ask(&server, &sue, None, ("GET", "/v1/admin/grants", Value::Null)).await;
    assert_eq!(listed["grants"], json!([]));
}

#[tokio::test]
async fn what_becomes_of_grants_is_counted_once() {
    let grants = GrantsConfig::new(vec!["bank*".into()], 3_600).unwrap();
    let metrics = Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = Running::start_with(|config| ServerConfig { grants, metrics, ..config }).await;
    tenant(&server, "acme").await;
    let (sue, boss) = (sue(&server), boss(&server));
    let scope = json!([{ "topic": "orders", "may": "read" }]);
    let mut asked = Vec::new();
    for _ in 0..3 {
        let body = asking("bank-7", scope.clone());
        let (status, answer) = ask(&server, &sue, None, ("POST", "/v1/admin/grants", body)).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        asked.push(answer["id"].as_str().unwrap().to_owned());
    }
    let decide = async |token: &str, id: &str, decision: &str| {
        let path = format!("/v1/admin/grants/{id}/{decision}");
        ask(&server, token, None, ("POST", &path, Value::Null)).await.0
    };
    assert_eq!(decide(&boss, &asked[0], "approve").await, StatusCode::OK);
    assert_eq!(decide(&boss, &asked[0], "approve").await, StatusCode::OK, "it is answered again");
    assert_eq!(decide(&boss, &asked[1], "refuse").await, StatusCode::OK);
    assert_eq!(decide(&sue, &asked[2], "approve").await, StatusCode::FORBIDDEN);
    let open = granted(&server, "acme", scope, "read").await;
    let read = async |grant: &str| {
        ask(&server, &sue, Some(grant), ("GET", "/v1/streams/orders?offset=-1", Value::Null)).await.0
    };
    assert_eq!(read(&open).await, StatusCode::OK);
    assert_eq!(decide(&sue, &open, "withdraw").await, StatusCode::OK);
    assert_eq!(read(&open).await, StatusCode::FORBIDDEN);

    let scrape = Scrape::of(&server).await;
    for (sample, value) in [
        ("webwaka_access_grants_total{event=\"requested\"}", 4.0),
        ("webwaka_access_grants_total{event=\"approved\"}", 1.0),
        ("webwaka_access_grants_total{event=\"refused\"}", 1.0),
        ("webwaka_access_grants_total{event=\"withdrawn\"}", 1.0),
        ("webwaka_access_grants_pending", 1.0),
        ("webwaka_access_grants_active", 1.0),
        ("webwaka_access_grant_requests_total{outcome=\"allowed\"}", 1.0),
        ("webwaka_access_grant_requests_total{outcome=\"refused\"}", 1.0),
    ] {
        assert_eq!(scrape.value(sample), value, "{sample}");
    }
}
