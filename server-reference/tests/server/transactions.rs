//! Critical transactions over HTTP: `/v1/transactions`.

use futures::future::join_all;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use sdk_core::protocol::{ErrorCode, Json, ServerFrame, TopicName, encode};
use serde_json::{Value, json};
use server_reference::{
    config::ServerConfig,
    storage::sqlite::audit,
    transactions::{
        Handlers, TransactionsConfig,
        handler::{Call, Emitted, Fault, Handler, Records},
        ledger,
    },
};

use tokio_tungstenite::tungstenite::Message;

use crate::support::{Running, client, push, set, told};

/// Fails as badly as a handler can.
struct Panics;

impl Handler for Panics {
    fn run(&self, _: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
        records.write("never", &1)?;
        let event = Emitted { kind: "never".into(), subject: None, data: Json::parse("1").unwrap() };
        records.emit(TopicName::new("never").unwrap(), event)?;
        panic!("a handler of a test");
    }
}

async fn start() -> Running {
    let handlers = ledger::with(Handlers::default()).unwrap().transaction("test.panics", Panics).unwrap();
    let transactions = TransactionsConfig { handlers, ..TransactionsConfig::default() };
    Running::start_with(|config| ServerConfig { transactions, ..config }).await
}

/// A person who uses the server.
struct Person<'a> {
    server: &'a Running,
    http: Client,
    token: String,
}

impl<'a> Person<'a> {
    fn new(server: &'a Running, tenant: &str, subject: &str) -> Self {
        Self { server, http: Client::new(), token: server.token(tenant, subject) }
    }

    fn granted(server: &'a Running, subject: &str, access: Value) -> Self {
        Self { server, http: Client::new(), token: server.granted("acme", subject, access) }
    }

    /// A call, as yet without a key.
    fn post(&self, name: &str, body: &Value) -> RequestBuilder {
        let url = self.server.http(&format!("/v1/transactions/{name}"));
        self.http.post(url).bearer_auth(&self.token).body(body.to_string())
    }

    async fn call(&self, name: &str, key: &str, body: Value) -> Response {
        self.post(name, &body).header("idempotency-key", format!("\"{key}\"")).send().await.unwrap()
    }

    /// A call that is done.
    async fn done(&self, name: &str, key: &str, body: Value) -> Value {
        let response = self.call(name, key, body).await;
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    async fn ask(&self, name: &str, query: &str) -> Response {
        let url = self.server.http(&format!("/v1/transactions/{name}?{query}"));
        self.http.get(url).bearer_auth(&self.token).send().await.unwrap()
    }

    async fn balance(&self, account: &str) -> u64 {
        let answer = self.ask("ledger.balance", &format!("account={account}")).await;
        answer.json::<Value>().await.unwrap()["balance"].as_u64().unwrap()
    }
}

/// Status and code of a refusal, and the application's code if it has one.
async fn refused(response: Response) -> (u16, String, Option<String>) {
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["status"], status.as_u16());
    let own = problem["error"]["code"].as_str().map(str::to_owned);
    (status.as_u16(), problem["code"].as_str().unwrap().to_owned(), own)
}

fn code(status: u16, code: &str) -> (u16, String, Option<String>) {
    (status, code.to_owned(), None)
}

fn decided(own: &str) -> (u16, String, Option<String>) {
    (409, "transaction_refused".to_owned(), Some(own.to_owned()))
}

/// Ada has `a` with 100 in it and `e` with none of another currency; Bob has `b` with nothing in it.
async fn accounts<'a>(server: &'a Running) -> (Person<'a>, Person<'a>) {
    let (ada, bob) = (Person::new(server, "acme", "ada"), Person::new(server, "acme", "bob"));
    ada.done("ledger.open", "open-a", json!({ "account": "a", "currency": "NGN" })).await;
    ada.done("ledger.open", "open-e", json!({ "account": "e", "currency": "EUR" })).await;
    bob.done("ledger.open", "open-b", json!({ "account": "b", "currency": "NGN" })).await;
    ada.done("ledger.issue", "issue", json!({ "account": "a", "amount": 100 })).await;
    (ada, bob)
}

#[tokio::test]
async fn a_transfer_happens_once_however_often_it_is_asked_for() {
    let server = start().await;
    let (ada, bob) = accounts(&server).await;
    let transfer = || json!({ "from": "a", "to": "b", "amount": 30 });
    let first = ada.call("ledger.transfer", "t1", transfer()).await;
    assert_eq!((first.status(), first.headers().get("idempotent-replayed")), (StatusCode::OK, None));
    let first = first.text().await.unwrap();
    let again = ada.call("ledger.transfer", "t1", transfer()).await;
    assert_eq!(
        (again.status(), &again.headers()["idempotent-replayed"]),
        (StatusCode::OK, &"true".parse().unwrap())
    );
    assert_eq!(again.text().await.unwrap(), first);
    assert_eq!((ada.balance("a").await, bob.balance("b").await), (70, 30));

    let other_body = ada.call("ledger.transfer", "t1", json!({ "from": "a", "to": "b", "amount": 31 })).await;
    assert_eq!(refused(other_body).await, code(422, "idempotency_key_reused"));
    let other_name = ada.call("ledger.issue", "t1", transfer()).await;
    assert_eq!(refused(other_name).await, code(422, "idempotency_key_reused"));
    // The key is Ada's, and Bob's of that name is another.
    let bobs = bob.done("ledger.transfer", "t1", json!({ "from": "b", "to": "a", "amount": 5 })).await;
    assert_eq!(bobs["balance"], 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_calls_of_one_key_side_by_side_have_one_effect() {
    let server = start().await;
    let (ada, bob) = accounts(&server).await;
    let calls =
        (0..200).map(|_| ada.call("ledger.transfer", "t", json!({ "from": "a", "to": "b", "amount": 1 })));
    let (mut fresh, mut texts) = (0, std::collections::BTreeSet::new());
    for response in join_all(calls).await {
        assert_eq!(response.status(), 200);
        fresh += usize::from(!response.headers().contains_key("idempotent-replayed"));
        texts.insert(response.text().await.unwrap());
    }
    assert_eq!((fresh, texts.len()), (1, 1));
    assert_eq!((ada.balance("a").await, bob.balance("b").await), (99, 1));
}

#[tokio::test]
async fn what_the_ledger_refuses_is_typed_changes_nothing_and_is_repeated() {
    let server = start().await;
    let (ada, bob) = accounts(&server).await;
    let big = sdk_core::protocol::MAX_SAFE_INTEGER;
    let transfer = |from: &str, to: &str, amount: Value| {
        ("ledger.transfer", json!({ "from": from, "to": to, "amount": amount }))
    };
    let cases = [
        (transfer("a", "b", json!(101)), "insufficient_funds"),
        (transfer("a", "a", json!(1)), "same_account"),
        (transfer("a", "e", json!(1)), "currency_mismatch"),
        (transfer("a", "none", json!(1)), "no_such_account"),
        (transfer("b", "a", json!(1)), "no_such_account"),
        (transfer("a", "b", json!(0)), "invalid_amount"),
        (transfer("a", "b", json!(big + 1)), "invalid_amount"),
        (transfer("a", "b", json!(-1)), "invalid_body"),
        (transfer("a", "b", json!(1.5)), "invalid_body"),
        (transfer("a", "b", json!("1")), "invalid_body"),
        (transfer("a/b", "b", json!(1)), "invalid_account"),
        (("ledger.issue", json!({ "account": "a", "amount": big })), "balance_overflow"),
        (("ledger.open", json!({ "account": "a", "currency": "NGN" })), "account_exists"),
        (("ledger.open", json!({ "account": "n", "currency": "ngn" })), "invalid_currency"),
        (("ledger.open", json!({ "account": "n", "currency": "NGN", "balance": 9 })), "invalid_body"),
    ];
    for (n, ((name, body), own)) in cases.into_iter().enumerate() {
        let key = format!("refused-{n}");
        assert_eq!(refused(ada.call(name, &key, body.clone()).await).await, decided(own), "{name} {body}");
        let again = ada.call(name, &key, body.clone()).await;
        assert!(again.headers().contains_key("idempotent-replayed"), "{name} {body}");
        assert_eq!(refused(again).await, decided(own));
    }
    // Decided once, also where it would be possible now.
    ada.done("ledger.issue", "more", json!({ "account": "a", "amount": 1 })).await;
    let (_, body) = transfer("a", "b", json!(101));
    assert_eq!(
        refused(ada.call("ledger.transfer", "refused-0", body.clone()).await).await,
        decided("insufficient_funds")
    );
    ada.done("ledger.transfer", "another", body).await;
    assert_eq!((ada.balance("a").await, bob.balance("b").await), (0, 101));
    let not_hers = ada.ask("ledger.balance", "account=b").await;
    assert_eq!(refused(not_hers).await, decided("no_such_account"));
    let totals: Value = ada.ask("ledger.totals", "currency=NGN").await.json().await.unwrap();
    assert_eq!(totals, json!({ "currency": "NGN", "issued": 101, "held": 101, "accounts": 2 }));
}

#[tokio::test]
async fn a_request_that_is_not_whole_is_refused_before_anything_runs() {
    let server = start().await;
    let (ada, bob) = accounts(&server).await;
    let transfer = json!({ "from": "a", "to": "b", "amount": 1 });
    let send = |request: RequestBuilder| async { refused(request.send().await.unwrap()).await };
    let post = || ada.post("ledger.transfer", &transfer);
    for bad in ["", "\"\"", "plain", "\"open", &format!("\"{}\"", "k".repeat(129))] {
        assert_eq!(
            send(post().header("idempotency-key", bad)).await,
            code(400, "bad_idempotency_key"),
            "{bad}"
        );
    }
    assert_eq!(send(post()).await, code(400, "bad_idempotency_key"));
    let twice = post().header("idempotency-key", "\"a\"").header("idempotency-key", "\"a\"");
    assert_eq!(send(twice).await, code(400, "bad_idempotency_key"));
    let keyed = |request: RequestBuilder| request.header("idempotency-key", "\"k\"");
    assert_eq!(send(keyed(post()).body("{")).await, code(400, "malformed"));
    assert_eq!(send(keyed(post()).body("[".repeat(40) + &"]".repeat(40))).await, code(400, "too_deep"));
    assert_eq!(send(keyed(post()).body("1".repeat(64 * 1024 + 1))).await, code(413, "frame_too_large"));
    let nobody = Client::new().post(server.http("/v1/transactions/ledger.transfer"));
    assert_eq!(send(keyed(nobody)).await, code(401, "unauthenticated"));
    assert_eq!((ada.balance("a").await, bob.balance("b").await), (100, 0));
}

#[tokio::test]
async fn a_transaction_outside_the_claim_looks_like_one_that_is_not_there() {
    let server = start().await;
    accounts(&server).await;
    let limited =
        Person::granted(&server, "ada", json!([{ "transaction": "ledger.bal*" }, { "topic": "*" }]));
    let mut answers = std::collections::BTreeSet::new();
    for name in [
        "ledger.transfer",
        "no.such",
        "ledger.balance",
        "Not%20a%20name",
        "..%2fpush",
        "x".repeat(65).as_str(),
    ] {
        let response = limited.call(name, "k", json!({ "from": "a", "to": "b", "amount": 1 })).await;
        answers.insert(told(response).await);
        // Whatever else is wrong with it.
        let response = limited.post(name, &json!(null)).send().await.unwrap();
        answers.insert(told(response).await);
    }
    for name in ["ledger.totals", "ledger.transfer", "no.such"] {
        let response = limited.ask(name, "currency=NGN").await;
        answers.insert(told(response).await);
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|(status, text)| *status == 404 && text.contains("no_such_transaction")));
    assert_eq!(limited.balance("a").await, 100);
}

#[tokio::test]
async fn tenants_share_neither_accounts_nor_keys() {
    let server = start().await;
    let (ada, _) = accounts(&server).await;
    let other = Person::new(&server, "globex", "ada");
    let opened = other.done("ledger.open", "open-a", json!({ "account": "a", "currency": "EUR" })).await;
    assert_eq!(opened, json!({ "account": "a", "currency": "EUR", "balance": 0 }));
    let into = json!({ "from": "a", "to": "b", "amount": 1 });
    assert_eq!(refused(other.call("ledger.transfer", "t", into).await).await, decided("no_such_account"));
    assert_eq!((ada.balance("a").await, other.balance("a").await), (100, 0));
}

#[tokio::test]
async fn a_handler_that_panics_is_a_500_of_which_nothing_is_stored_and_the_server_goes_on() {
    let server = start().await;
    let (ada, _) = accounts(&server).await;
    for _ in 0..3 {
        let response = ada.call("test.panics", "k", json!({})).await;
        assert!(!response.headers().contains_key("idempotent-replayed"));
        assert_eq!(refused(response).await, code(500, "transaction_failed"));
    }
    // The key is free.
    ada.done("ledger.issue", "k", json!({ "account": "a", "amount": 1 })).await;
    assert_eq!(ada.balance("a").await, 101);
}

#[tokio::test]
async fn each_transfer_is_told_of_once_in_its_topic() {
    let server = start().await;
    let (ada, _) = accounts(&server).await;
    for n in 1..=5 {
        let transfer = || json!({ "from": "a", "to": "b", "amount": n });
        ada.done("ledger.transfer", &format!("t{n}"), transfer()).await;
        ada.done("ledger.transfer", &format!("t{n}"), transfer()).await;
        ada.call("ledger.transfer", &format!("no{n}"), json!({ "from": "a", "to": "b", "amount": 1000 }))
            .await;
    }
    let (mut told, mut offset) = (Vec::new(), "-1".to_owned());
    while told.len() < 5 {
        let url = server.http(&format!("/v1/streams/ledger/transfers?offset={offset}&live=long-poll"));
        let response = ada.http.get(url).bearer_auth(&ada.token).send().await.unwrap();
        if response.status() == 404 {
            // The first is on its way: the topic is made with it.
            tokio::task::yield_now().await;
            continue;
        }
        offset = response.headers()["stream-next-offset"].to_str().unwrap().to_owned();
        let text = response.text().await.unwrap();
        told.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap_or_default());
    }
    let amounts: Vec<u64> = told.iter().map(|event| event["data"]["amount"].as_u64().unwrap()).collect();
    assert_eq!(amounts, [1, 2, 3, 4, 5]);
    assert!(told.iter().all(|event| event["type"] == "ledger.transferred" && event["subject"] == "a"));
}

#[tokio::test]
async fn a_transaction_in_a_frame_or_a_push_is_refused_and_on_record() {
    let server = start().await;
    let marked = |text: String| text.replace("{\"seq\":", "{\"class\":\"D\",\"seq\":");
    let pushed = marked(encode(&push(vec![set(1, "a", "x", "1")])));
    for frame in [r#"{"transaction":{"name":"ledger.transfer"}}"#.to_owned(), pushed] {
        let mut session = server.session(1).await;
        session.send_message(Message::Text(frame.into())).await;
        let Some(ServerFrame::Error(error)) = session.next_answer().await else { panic!() };
        assert_eq!(error.code, ErrorCode::TransactionMisplaced);
        assert!(session.next().await.is_none(), "the session ends");
    }
    let ada = Person::new(&server, "acme", "ada");
    let event = json!({ "specversion": "1.0", "type": "t", "source": "/", "id": "1" });
    let publication = json!({ "seq": 1, "topic": "t", "event": event, "class": "D" });
    let body = json!({ "client": client(1).to_string(), "collections": [], "operations": [], "publications": [publication] });
    let post = ada.http.post(server.http("/v1/push")).bearer_auth(&ada.token).body(body.to_string());
    assert_eq!(refused(post.send().await.unwrap()).await, code(400, "transaction_misplaced"));

    let path = server.data.path().join("transactions.db");
    let mut targets = Vec::new();
    // That of a session is not waited for; the second is counted with the first.
    while targets.len() < 2 {
        targets.clear();
        let chain = audit::Audit::open(&path, audit::TRANSACTIONS).unwrap();
        let each = |record: &audit::Record| {
            assert_eq!((&*record.tenant, record.subject.as_deref()), ("acme", Some("ada")));
            assert_eq!((&*record.action, &*record.outcome), ("critical transaction misplaced", "refused"));
            targets.push(record.target.clone().unwrap());
        };
        // Of no record there is no chain.
        if !chain.tenants().unwrap().is_empty() {
            assert_eq!(chain.verify("acme", &[], each).unwrap().findings, []);
        }
        tokio::task::yield_now().await;
    }
    targets.sort_unstable();
    assert_eq!(targets, ["in a frame", "in a push"]);
    let mut session = server.session(1).await;
    session.send(&push(vec![set(1, "a", "x", "1")])).await;
    assert!(matches!(session.next_answer().await, Some(ServerFrame::Outcomes(_))), "nothing of it was done");
}

#[tokio::test]
async fn a_page_of_another_origin_may_send_the_key_and_see_whose_answer_it_is() {
    let server = start().await;
    let (ada, _) = accounts(&server).await;
    let url = server.http("/v1/transactions/ledger.transfer");
    let origin = "http://localhost:5173";
    let preflight = ada
        .http
        .request(reqwest::Method::OPTIONS, url)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type,idempotency-key");
    let preflight = preflight.send().await.unwrap();
    let allowed = preflight.headers()["access-control-allow-headers"].to_str().unwrap().to_owned();
    assert!(allowed.split(',').any(|name| name.trim() == "idempotency-key"), "{allowed}");
    let transfer = json!({ "from": "a", "to": "b", "amount": 1 });
    let sent =
        ada.post("ledger.transfer", &transfer).header("idempotency-key", "\"k\"").header("origin", origin);
    let answer = sent.send().await.unwrap();
    assert_eq!(answer.headers()["idempotency-key"], "\"k\"");
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap().to_owned();
    for name in ["idempotency-key", "idempotent-replayed", "retry-after"] {
        assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{name}: {exposed}");
    }
}
