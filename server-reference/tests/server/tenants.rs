//! Whatever one tenant sends, with the ids of another: it reads, changes and hears nothing of theirs.

use std::{collections::BTreeSet, fs, path::Path};

use reqwest::{Client, Method};
use sdk_core::protocol::{
    ClientFrame, Enter, Hello, Json, Leave, Recipient, Refresh, Send, ServerFrame, Start, Subscribe,
    Unsubscribe, encode,
};
use serde_json::{Value, json};

use server_reference::{
    config::ServerConfig,
    gateway::CLIENT_FRAMES,
    transactions::{Handlers, TransactionsConfig, ledger},
};

use crate::support::{Running, Socket, cards, client, push, set};

/// What acme has, and nobody else may see.
const SECRET: &str = "only-of-acme";

/// A method, a path and a body, with `{name}`, `{letter}`, `{lease}`, `{hash}` and `{client}` for what it is asked about.
pub(crate) type Asked = (&'static str, &'static str, &'static str);

/// Every route, as the source has it, and requests for it.
pub(crate) const ROUTES: &[(&str, &[Asked])] = &[
    ("/healthz", &[("GET", "/healthz", "")]),
    ("/readyz", &[("GET", "/readyz", "")]),
    // It is on the operators' address alone.
    ("/metrics", &[("GET", "/metrics", "")]),
    ("/openapi.yaml", &[("GET", "/openapi.yaml", "")]),
    ("/asyncapi.yaml", &[("GET", "/asyncapi.yaml", "")]),
    ("/v1/tickets", &[("POST", "/v1/tickets", "")]),
    // It gives anybody a token of any tenant, and a development server alone has it.
    ("/dev/token", &[]),
    // What is sent over it is in the other test.
    ("/v1/realtime", &[("GET", "/v1/realtime", "")]),
    ("/v1/pull", &[("POST", "/v1/pull", PULL)]),
    ("/v1/push", &[("POST", "/v1/push", PUSH)]),
    ("/v1/snapshots/{collection}", &[("GET", "/v1/snapshots/{name}", "")]),
    ("/v1/snapshots/{collection}/chunks/{hash}", &[("GET", "/v1/snapshots/{name}/chunks/{hash}", "")]),
    (
        "/v1/admin/revocations",
        &[("GET", "/v1/admin/revocations", ""), ("POST", "/v1/admin/revocations", r#"{"subject":"{name}"}"#)],
    ),
    ("/v1/admin/grants", &[("GET", "/v1/admin/grants", ""), ("POST", "/v1/admin/grants", GRANT)]),
    ("/v1/admin/grants/{grant}", &[("GET", "/v1/admin/grants/{hash}", "")]),
    ("/v1/admin/grants/{grant}/approve", &[("POST", "/v1/admin/grants/{hash}/approve", "")]),
    ("/v1/admin/grants/{grant}/refuse", &[("POST", "/v1/admin/grants/{hash}/refuse", "")]),
    ("/v1/admin/grants/{grant}/withdraw", &[("POST", "/v1/admin/grants/{hash}/withdraw", "")]),
    (
        "/v1/transactions/{name}",
        &[
            ("GET", "/v1/transactions/ledger.balance?account={name}", ""),
            ("POST", "/v1/transactions/ledger.issue", r#"{"account":"{name}","amount":1}"#),
            ("POST", "/v1/transactions/ledger.open", r#"{"account":"{name}","currency":"NGN"}"#),
        ],
    ),
    ("/v1/dead", &[("GET", "/v1/dead", "")]),
    ("/v1/dead/retry", &[("POST", "/v1/dead/retry", r#"{"letters":["{letter}"]}"#)]),
    ("/v1/dead/discard", &[("POST", "/v1/dead/discard", r#"{"letters":["{letter}"]}"#)]),
    ("/v1/dead/{letter}", &[("GET", "/v1/dead/{letter}", ""), ("PUT", "/v1/dead/{letter}", r#"{"n":2}"#)]),
    ("/v1/groups", &[("GET", "/v1/groups", "")]),
    (
        "/v1/groups/{group}/claim",
        &[("POST", "/v1/groups/{name}/claim", r#"{"worker":"w","events":1,"wait_ms":0}"#)],
    ),
    ("/v1/groups/{group}/ack", &[("POST", "/v1/groups/{name}/ack", r#"{"lease":"{lease}"}"#)]),
    ("/v1/groups/{group}/nack", &[("POST", "/v1/groups/{name}/nack", r#"{"lease":"{lease}","error":"no"}"#)]),
    ("/v1/groups/{group}/extend", &[("POST", "/v1/groups/{name}/extend", r#"{"lease":"{lease}"}"#)]),
    ("/v1/groups/{group}/dead", &[("GET", "/v1/groups/{name}/dead", "")]),
    (
        "/v1/groups/{group}/dead/retry",
        &[("POST", "/v1/groups/{name}/dead/retry", r#"{"letters":["{letter}"]}"#)],
    ),
    (
        "/v1/groups/{group}/dead/discard",
        &[("POST", "/v1/groups/{name}/dead/discard", r#"{"letters":["{letter}"]}"#)],
    ),
    (
        "/v1/groups/{group}/dead/{letter}",
        &[
            ("GET", "/v1/groups/{name}/dead/{letter}", ""),
            ("PUT", "/v1/groups/{name}/dead/{letter}", r#"{"n":2}"#),
        ],
    ),
    ("/v1/streams/__ds/jwks.json", &[("GET", "/v1/streams/__ds/jwks.json", "")]),
    (
        "/v1/streams/__ds/subscriptions/{id}/streams",
        &[("POST", "/v1/streams/__ds/subscriptions/{name}/streams", r#"{"streams":["{name}"]}"#)],
    ),
    (
        "/v1/streams/__ds/subscriptions/{id}/streams/{*topic}",
        &[("DELETE", "/v1/streams/__ds/subscriptions/{name}/streams/{name}", "")],
    ),
    (
        "/v1/streams/__ds/subscriptions/{id}/claim",
        &[("POST", "/v1/streams/__ds/subscriptions/{name}/claim", r#"{"worker":"w"}"#)],
    ),
    (
        "/v1/streams/__ds/subscriptions/{id}/callback",
        &[("POST", "/v1/streams/__ds/subscriptions/{name}/callback", WAKE)],
    ),
    (
        "/v1/streams/__ds/subscriptions/{id}/ack",
        &[("POST", "/v1/streams/__ds/subscriptions/{name}/ack", WAKE)],
    ),
    (
        "/v1/streams/__ds/subscriptions/{id}/release",
        &[("POST", "/v1/streams/__ds/subscriptions/{name}/release", WAKE)],
    ),
    (
        "/v1/streams/__ds/subscriptions/{id}",
        &[
            ("GET", "/v1/streams/__ds/subscriptions/{name}", ""),
            ("DELETE", "/v1/streams/__ds/subscriptions/{name}", ""),
            ("PUT", "/v1/streams/__ds/subscriptions/{name}", SUBSCRIPTION),
        ],
    ),
    (
        "/v1/streams/{*topic}",
        &[
            ("GET", "/v1/streams/{name}?offset=-1", ""),
            ("HEAD", "/v1/streams/{name}", ""),
            ("POST", "/v1/streams/{name}", r#"[{"n":2}]"#),
            ("DELETE", "/v1/streams/{name}", ""),
            ("PUT", "/v1/streams/{name}", "[]"),
        ],
    ),
    (
        "/v1/groups/{group}",
        &[
            ("GET", "/v1/groups/{name}", ""),
            ("DELETE", "/v1/groups/{name}", ""),
            ("PUT", "/v1/groups/{name}", r#"{"topic":"{name}"}"#),
        ],
    ),
];

const GRANT: &str = r#"{"tenant":"acme","justification":"to see","scope":[{"collection":"{name}"}]}"#;
const WAKE: &str = r#"{"wake_id":"w","generation":1,"acks":[],"done":true}"#;
const SUBSCRIPTION: &str =
    r#"{"type":"pull-wake","pattern":"{name}","wake_stream":"{name}","lease_ttl_ms":30000}"#;
const PULL: &str =
    r#"{"client":"{client}","collections":[{"collection":"{name}","strategy":"field_level"}]}"#;
const PUSH: &str = r#"{"client":"{client}","collections":[],"operations":[],"publications":[]}"#;

/// Those of one tenant, or of none.
struct Names {
    name: &'static str,
    letter: String,
    lease: String,
    hash: String,
    client: String,
}

impl Names {
    fn in_text(&self, text: &str) -> String {
        let Self { name, letter, lease, hash, client } = self;
        let named = text.replace("{name}", name).replace("{letter}", letter).replace("{lease}", lease);
        named.replace("{hash}", hash).replace("{client}", client)
    }
}

/// With the ledger.
async fn start() -> Running {
    let handlers = ledger::with(Handlers::default()).unwrap();
    let transactions = TransactionsConfig { handlers, ..TransactionsConfig::default() };
    Running::start_with(|config| ServerConfig { transactions, ..config }).await
}

async fn ask(server: &Running, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let request = Client::new().request(Method::from_bytes(method.as_bytes()).unwrap(), server.http(path));
    let request = request.bearer_auth(token).header("content-type", "application/json");
    let request = request.header("idempotency-key", "\"the-same\"").body(body.to_owned());
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn session(server: &Running, tenant: &str, subject: &str, number: u8) -> Socket {
    let mut socket = server.socket().await;
    socket.send(&ClientFrame::Hello(hello(server.token(tenant, subject), number))).await;
    assert!(matches!(socket.next().await, Some(ServerFrame::Welcome(_))));
    assert!(matches!(socket.next().await, Some(ServerFrame::Changes(_))));
    socket
}

fn hello(token: String, number: u8) -> Hello {
    Hello { versions: vec![1], token, client: client(number), resume: vec![cards(None)], rejected: None }
}

/// What acme has under the name `cards`: documents, a topic, a group with a dead letter and a lease, a subscription, an account, a
/// revocation.
async fn acme(server: &Running) -> (Names, Socket) {
    let mut socket = session(server, "acme", "ada", 1).await;
    socket.send(&push(vec![set(1, "a", "x", &json!(SECRET).to_string())])).await;
    while !matches!(socket.next().await, Some(ServerFrame::Outcomes(_))) {}
    let ada = server.token("acme", "ada");
    let done = async |method: &str, path: &str, body: Value| {
        let (status, text) = ask(server, &ada, method, path, &body.to_string()).await;
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    };
    done("PUT", "/v1/streams/cards", json!([{ "n": SECRET }, { "n": SECRET }])).await;
    let rules = json!({ "attempts": 1 });
    done("PUT", "/v1/groups/cards", json!({ "topic": "cards", "rules": rules })).await;
    let claim = json!({ "worker": "w", "events": 1, "wait_ms": 0 });
    let failed = done("POST", "/v1/groups/cards/claim", claim.clone()).await;
    done("POST", "/v1/groups/cards/nack", json!({ "lease": failed["lease"], "error": SECRET })).await;
    let leased = done("POST", "/v1/groups/cards/claim", claim).await;
    let dead = done("GET", "/v1/groups/cards/dead", json!(null)).await;
    let subscription: Value = serde_json::from_str(&SUBSCRIPTION.replace("{name}", "cards")).unwrap();
    done("PUT", "/v1/streams/__ds/subscriptions/cards", subscription).await;
    done("POST", "/v1/transactions/ledger.open", json!({ "account": "cards", "currency": "NGN" })).await;
    let (status, manifest) = ask(server, &ada, "GET", "/v1/snapshots/cards", "").await;
    assert_eq!(status, 200, "{manifest}");
    let hash =
        manifest.split('"').find(|text| text.len() >= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric()));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names = Names {
        name: "cards",
        letter: text(&dead["letters"][0]["id"]),
        lease: text(&leased["lease"]),
        hash: hash.unwrap_or("0").to_owned(),
        client: client(1).to_string(),
    };
    (names, socket)
}

/// All that acme sees of what it has.
async fn seen(server: &Running) -> Vec<(u16, String)> {
    let ada = server.token("acme", "ada");
    let mut all = Vec::new();
    for path in [
        "/v1/streams/cards?offset=-1",
        "/v1/groups",
        "/v1/groups/cards",
        "/v1/groups/cards/dead",
        "/v1/dead",
        "/v1/streams/__ds/subscriptions/cards",
        "/v1/transactions/ledger.balance?account=cards",
        "/v1/snapshots/cards",
    ] {
        all.push(ask(server, &ada, "GET", path, "").await);
    }
    all
}

/// Every route, as the source has it.
pub(crate) fn routes() -> BTreeSet<String> {
    fn collect(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().unwrap() != "tests" {
                    collect(&path, found);
                }
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for route in text.split(".route(").skip(1) {
                let literal = route.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
                found.insert(literal.expect("a route is named where it is made").0.to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

#[test]
fn every_route_is_tried() {
    let tried: BTreeSet<String> = ROUTES.iter().map(|(route, _)| (*route).to_owned()).collect();
    assert_eq!(routes(), tried);
}

#[tokio::test]
async fn no_request_reaches_another_tenant() {
    let server = start().await;
    let (theirs, _socket) = acme(&server).await;
    let nobodys = Names {
        name: "nowhere",
        letter: "77.77".into(),
        lease: "nowhere".into(),
        hash: "0".repeat(theirs.hash.len()),
        client: client(9).to_string(),
    };
    let before = seen(&server).await;
    assert!(before.iter().any(|(_, text)| text.contains(SECRET)));
    // Two tenants that have nothing: to one of them acme's names are not different from those that nobody has.
    let (eve, mallory) = (server.token("globex", "eve"), server.token("initech", "eve"));
    for (method, path, body) in ROUTES.iter().flat_map(|(_, requests)| *requests) {
        let with = async |token: &str, names: &Names| {
            ask(&server, token, method, &names.in_text(path), &names.in_text(body)).await
        };
        let (status, told) = with(&eve, &theirs).await;
        let (absent, _) = with(&mallory, &nobodys).await;
        assert!(status < 500 && !told.contains(SECRET), "{method} {path}: {status} {told}");
        assert_eq!(status, absent, "{method} {path}: {told}");
    }
    assert_eq!(seen(&server).await, before);
}

/// Requests for a route that no test makes are those that another tenant's ids are not tried with: the server itself says by which
/// methods it may be asked, where it is asked by one that there is not.
#[tokio::test]
async fn every_method_of_every_route_is_tried() {
    let server = start().await;
    let token = server.token("globex", "eve");
    for (route, requests) in ROUTES.iter().filter(|(_, requests)| !requests.is_empty()) {
        let path = route.replace("{*topic}", "x").replace(['{', '}'], "");
        let request = Client::new().request(Method::PATCH, server.http(&path)).bearer_auth(&token);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        if *route == "/metrics" {
            assert_eq!(status, 404, "it is on the operators' address alone");
            continue;
        }
        assert_eq!(status, 405, "{route}");
        let allowed = answer.headers()["allow"].to_str().unwrap();
        let mut allowed: BTreeSet<&str> = allowed.split(',').map(str::trim).collect();
        let tried: BTreeSet<&str> = requests.iter().map(|(method, ..)| *method).collect();
        // Asking for the head of an answer is asking for it, where nothing else is made of that.
        if allowed.contains("GET") && !tried.contains("HEAD") && *route != "/v1/streams/{*topic}" {
            allowed.remove("HEAD");
        }
        assert_eq!(allowed, tried, "{route}");
    }
}

/// Its name: a frame that is added has to have one, and to be tried.
fn kind(frame: &ClientFrame) -> &'static str {
    match frame {
        ClientFrame::Hello(_) => "hello",
        ClientFrame::Push(_) => "push",
        ClientFrame::Publish(_) => "publish",
        ClientFrame::Pull(_) => "pull",
        ClientFrame::Subscribe(_) => "subscribe",
        ClientFrame::Unsubscribe(_) => "unsubscribe",
        ClientFrame::Enter(_) => "enter",
        ClientFrame::Leave(_) => "leave",
        ClientFrame::Send(_) => "send",
        ClientFrame::Refresh(_) => "refresh",
        ClientFrame::Pong {} => "pong",
    }
}

#[tokio::test]
async fn no_frame_reaches_another_tenant() {
    let server = start().await;
    let (_, mut ada) = acme(&server).await;
    let state = Some(Json::parse(json!(SECRET).to_string()).unwrap());
    ada.send(&ClientFrame::Enter(Enter { room: "r".into(), state })).await;
    assert!(matches!(ada.next_answer().await, Some(ServerFrame::Room(_))));
    let before = seen(&server).await;

    let word = || Json::parse(r#""hello""#).unwrap();
    let event = Json::parse(r#"{"specversion":"1.0","type":"t","source":"/","id":"1"}"#).unwrap();
    let publication = sdk_core::protocol::Publication {
        seq: sdk_core::protocol::Seq(2),
        topic: sdk_core::protocol::TopicName::new("cards").unwrap(),
        event,
    };
    let publish = sdk_core::protocol::Publish { publications: vec![publication] };
    let frames = [
        // With the client id of theirs, too: it is another in another tenant.
        ClientFrame::Hello(hello(server.token("globex", "eve"), 1)),
        push(vec![set(1, "a", "x", "2")]),
        ClientFrame::Subscribe(Subscribe { sub: 1, topic: "cards".into(), start: Start::Earliest {} }),
        ClientFrame::Unsubscribe(Unsubscribe { sub: 1 }),
        ClientFrame::Publish(publish),
        ClientFrame::Pull(cards(None)),
        ClientFrame::Enter(Enter { room: "r".into(), state: None }),
        ClientFrame::Send(Send { id: 1, to: Recipient::Room("r".into()), data: word() }),
        ClientFrame::Send(Send { id: 2, to: Recipient::User("ada".into()), data: word() }),
        ClientFrame::Leave(Leave { room: "r".into() }),
        ClientFrame::Pong {},
        // The session ends with it: it is another's.
        ClientFrame::Refresh(Refresh { token: server.token("acme", "ada") }),
    ];
    let kinds: BTreeSet<&str> = frames.iter().map(kind).collect();
    assert_eq!(kinds, BTreeSet::from(CLIENT_FRAMES), "one of each that there is");

    let mut eve = server.socket().await;
    let (last, others) = frames.split_last().unwrap();
    let (mut told, mut sent, mut outcomes) = (String::new(), 0, 0);
    for frame in others {
        eve.send(frame).await;
    }
    while sent < 2 || outcomes < 2 {
        let frame = eve.next().await.expect("the session goes on");
        assert!(!matches!(frame, ServerFrame::Error(_)), "{frame:?}");
        sent += usize::from(matches!(frame, ServerFrame::Sent(_)));
        if let ServerFrame::Outcomes(judged) = &frame {
            outcomes += judged.judgements.len();
        }
        told += &encode(&frame);
    }
    eve.send(last).await;
    for message in eve.rest().await {
        told += &message.map(|message| message.to_string()).unwrap_or_default();
    }
    assert!(!told.contains(SECRET), "{told}");
    assert!(told.contains("client_id_taken"), "{told}");

    assert_eq!(seen(&server).await, before);
    // Ada has heard of nobody but herself: what comes until the answer to what she sends now says so.
    ada.send(&ClientFrame::Send(Send { id: 7, to: Recipient::Room("r".into()), data: word() })).await;
    loop {
        match ada.next_answer().await.expect("the session goes on") {
            ServerFrame::Sent(sent) if sent.id == 7 => break,
            ServerFrame::Room(news) => {
                assert!(news.members.iter().all(|member| member.user == "ada"), "{news:?}");
            }
            ServerFrame::Ping {} => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn tenants_with_names_of_every_form_have_what_is_theirs() {
    let server = Running::start().await;
    let long = "x".repeat(128);
    let names = [
        "acme",
        "acme ",
        " acme",
        "ACME",
        "acme/",
        "acme/cards",
        "acme:cards",
        "acme.cards",
        "acme|",
        "acme%2F",
        "acme%00",
        "{acme}",
        "{{acme}}",
        "${acme}",
        "acme'--",
        "acme\"",
        "acme\\",
        "../acme",
        "*",
        "acme*",
        "%",
        "_",
        "\u{430}cme",
        "acme\u{200b}",
        "\u{ff41}cme",
        "e\u{301}",
        "\u{e9}",
        &long[1..],
        &long,
    ];
    let mine = |name: &str| json!([{ "of": name }]).to_string();
    for name in names {
        let (status, text) =
            ask(&server, &server.token(name, "ada"), "PUT", "/v1/streams/feed", &mine(name)).await;
        assert_eq!(status, 201, "{name:?}: {text}");
    }
    for name in names {
        let (status, text) =
            ask(&server, &server.token(name, "ada"), "GET", "/v1/streams/feed?offset=-1", "").await;
        assert_eq!((status, text), (200, mine(name)), "{name:?}");
    }
    for name in ["", "acme\0", "\0", "ac\nme", "acme\u{7f}", &"x".repeat(129), &"x".repeat(255)] {
        let (status, text) =
            ask(&server, &server.token(name, "ada"), "GET", "/v1/streams/feed?offset=-1", "").await;
        assert_eq!(status, 401, "{name:?}: {text}");
    }
}
