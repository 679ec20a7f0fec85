//! Clients that are refused for a while, on each way to the server: they wait as long as they were told, and lose nothing.

use std::time::Duration;

use futures::{StreamExt, future::join_all};
use integration_tests::{Proxy, Server, Teller, Topic, Weather, client, eventually, waits};
use sdk_core::{
    client::{CloudEvent, Delivery, QuestionError, TransactionError, TransactionOutcome},
    native::NativeClient,
    protocol::{ErrorCode, Outcome, Retry, Start},
    routing::LinkState,
};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Who has sent twice what may come at once is refused for four seconds, which is longer than a client waits by itself.
const USER: &[(&str, &str)] = &[("WEBWAKA_USER_BYTES", "4000"), ("WEBWAKA_BURST_SECONDS", "3")];
const ADDRESS: &[(&str, &str)] = &[("WEBWAKA_ADDRESS_BYTES", "4000"), ("WEBWAKA_BURST_SECONDS", "3")];
/// Two requests in a second, and no more at once.
const FEW: &[(&str, &str)] = &[("WEBWAKA_USER_MESSAGES", "2"), ("WEBWAKA_BURST_SECONDS", "1")];
const MUCH: usize = 30_000;
/// Longer than all that is waited for here, one after another.
const LONG: Duration = Duration::from_secs(120);

const EDITS: [&str; 2] = ["POST /v1/push", "POST /v1/pull"];
const EVENTS: &str = "GET /v1/streams/";
const SNAPSHOTS: &str = "GET /v1/snapshots/";
const SOCKETS: &str = "GET /v1/realtime";

/// A server behind a network.
struct World {
    server: Server,
    proxy: Proxy,
}

/// Uses up what a person may send, or the address of all of them, for as long as this is kept.
struct Spending(JoinHandle<()>);

impl Drop for Spending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl World {
    async fn with(settings: &'static [(&'static str, &'static str)], weather: Weather) -> Self {
        let mut server = Server::start();
        server.restart_with(settings);
        let proxy = Proxy::before(server.port()).await;
        proxy.set(weather);
        Self { server, proxy }
    }

    /// A client that has got as far as it gets.
    async fn connected(&self, link: LinkState) -> (NativeClient, tempfile::TempDir) {
        let (ada, folder) = client(&self.proxy.url(), self.server.tokens("ada")).await;
        eventually("it is connected", || ada.status().link == link).await;
        (ada, folder)
    }

    /// Has a person refused from now on.
    async fn spend(&self, subject: &str) -> Spending {
        let http = reqwest::Client::new();
        let (url, token) =
            (format!("{}/v1/pull", self.server.url()), self.server.token("dev", subject, 3_600));
        let spend = move || http.post(&url).bearer_auth(&token).body(" ".repeat(MUCH)).send();
        while spend().await.unwrap().status() != 429 {}
        Spending(tokio::spawn(async move {
            // Whoever was told to wait finds that it is spent again.
            loop {
                let _ = spend().await;
                sleep(Duration::from_millis(20)).await;
            }
        }))
    }

    async fn topic(&self) -> Topic {
        let topic = Topic::of(&self.server.url(), &self.server.token("dev", "shop", 3_600), "orders/eu");
        topic.make().await;
        topic
    }

    fn asked(&self, begins: &str) -> usize {
        self.proxy.traffic().asked(begins)
    }

    fn refused(&self, begins: &str) -> usize {
        self.proxy.traffic().refused(begins)
    }

    fn is_paced(&self, begin: &[&str]) -> usize {
        self.proxy.traffic().is_paced(begin, 1)
    }
}

/// Whether a client tells that it was refused for a while, and for how long.
fn tells(client: &NativeClient, code: ErrorCode) -> bool {
    client.status().problem.is_some_and(|problem| problem.code == code && problem.retry_after >= Some(1_000))
}

/// Edits and events of a client that is refused until `end`, and what becomes of them.
async fn edits_and_events(world: &World, ada: &NativeClient, code: ErrorCode, end: impl FnOnce()) {
    let topic = world.topic().await;
    let (cards, events) = (ada.collection("cards").unwrap(), ada.topic("orders/eu").unwrap());
    let mut made = vec![];
    for n in 0..20 {
        made.push(cards.put(&format!("card-{n}"), &json!({ "n": n })).await.unwrap());
        made.push(events.publish(&CloudEvent::new("counted").data(&n).unwrap()).await.unwrap());
    }
    eventually("it tells why nothing goes", || tells(ada, code) && ada.status().pending == 40).await;
    assert_eq!(ada.status().link, LinkState::Degraded, "the server answers");
    // One more, which it was told of while it had something to send.
    let refused = || EDITS.iter().map(|path| world.refused(path)).sum::<usize>();
    let before = refused();
    eventually("it asks again", || refused() > before).await;
    assert_eq!(ada.status().pending, 40);
    end();
    for operation in made {
        let outcome = timeout(LONG, operation.outcome()).await.expect("it arrives").unwrap();
        assert!(matches!(outcome, Outcome::Accepted {} | Outcome::Published { .. }), "{outcome:?}");
    }
    eventually("nothing is left to send", || ada.status().pending == 0).await;
    eventually("nothing is wrong any more", || ada.status().problem.is_none()).await;
    assert!(world.is_paced(&EDITS) >= 2);
    let page = topic.read("-1", false).await.expect("the server answers");
    let numbers =
        page.events.iter().map(|event| serde_json::from_str::<Value>(event).unwrap()["data"].clone());
    assert_eq!(numbers.collect::<Vec<_>>(), (0..20).map(Value::from).collect::<Vec<_>>());
}

#[tokio::test]
async fn edits_and_events_over_http_wait_and_each_arrives_once() {
    let mut world = World::with(USER, Weather::WebSocketsRefused).await;
    let (ada, _ada) = world.connected(LinkState::Degraded).await;
    let spending = world.spend("ada").await;
    edits_and_events(&world, &ada, ErrorCode::RateLimited, || drop(spending)).await;
    world.server.kill();
    assert_eq!(world.server.ledger().offsets("cards"), (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn edits_and_events_wait_for_a_server_that_is_overloaded() {
    let mut world = World::with(&[], Weather::WebSocketsRefused).await;
    let (ada, _ada) = world.connected(LinkState::Degraded).await;
    world.proxy.set(Weather::Overloaded);
    let end = || world.proxy.set(Weather::WebSocketsRefused);
    edits_and_events(&world, &ada, ErrorCode::Overloaded, end).await;
    world.server.kill();
    assert_eq!(world.server.ledger().offsets("cards"), (1..=20).collect::<Vec<_>>());
}

/// A client that starts while everybody is refused until `end`.
async fn no_socket_is_tried_too_early(world: &World, code: ErrorCode, end: impl FnOnce()) {
    let (ada, _ada) = client(&world.proxy.url(), world.server.tokens("ada")).await;
    let edit = ada.collection("cards").unwrap().put("a", &json!({})).await.unwrap();
    eventually("it tells why", || tells(&ada, code)).await;
    eventually("it has tried again", || world.refused(SOCKETS) >= 2).await;
    assert_ne!(ada.status().link, LinkState::Up);
    assert_eq!(ada.status().pending, 1);
    end();
    assert_eq!(timeout(LONG, edit.outcome()).await.expect("it arrives"), Ok(Outcome::Accepted {}));
    timeout(LONG, eventually("it is connected", || ada.status().link == LinkState::Up)).await.unwrap();
    assert!(world.is_paced(&[SOCKETS]) >= 2);
    assert!(world.is_paced(&EDITS) >= 1);
}

#[tokio::test]
async fn a_websocket_is_not_tried_before_its_refusal_says() {
    let world = World::with(ADDRESS, Weather::Fair).await;
    let spending = world.spend("mallory").await;
    no_socket_is_tried_too_early(&world, ErrorCode::RateLimited, || drop(spending)).await;
}

#[tokio::test]
async fn a_websocket_is_not_tried_before_an_overloaded_server_says() {
    let world = World::with(&[], Weather::Overloaded).await;
    let end = || world.proxy.set(Weather::Fair);
    no_socket_is_tried_too_early(&world, ErrorCode::Overloaded, end).await;
}

#[tokio::test]
async fn a_greeting_that_is_refused_is_said_again_after_the_wait() {
    let world = World::with(USER, Weather::Fair).await;
    let spending = world.spend("ada").await;
    let (ada, _ada) = client(&world.proxy.url(), world.server.tokens("ada")).await;
    let edit = ada.collection("cards").unwrap().put("a", &json!({})).await.unwrap();
    eventually("it tells why", || tells(&ada, ErrorCode::RateLimited)).await;
    eventually("it has asked over HTTP, too", || world.refused(EDITS[1]) > 0).await;
    drop(spending);
    assert_eq!(timeout(LONG, edit.outcome()).await.expect("it arrives"), Ok(Outcome::Accepted {}));
    eventually("nothing is left to send", || ada.status().pending == 0).await;
    world.is_paced(&EDITS);
}

/// A reader of a topic that is refused for a while, in weather that leaves it a certain way to read.
async fn events_come_in(weather: Weather) {
    let world = World::with(USER, weather).await;
    let topic = world.topic().await;
    let (ada, _ada) = world.connected(LinkState::Degraded).await;
    assert!(topic.publish("shop", 0, "0").await);
    let spending = world.spend("ada").await;
    let mut events = ada.topic("orders/eu").unwrap().subscribe(Start::Earliest {});
    let mut expect = async |n: u64| match timeout(LONG, events.next()).await.expect("an event comes") {
        Some(Ok(Delivery::Event(event))) => assert_eq!(event.read::<u64>().unwrap(), n),
        other => panic!("no event but {other:?}"),
    };
    eventually("it is refused twice", || world.refused(EVENTS) >= 2).await;
    assert!(tells(&ada, ErrorCode::RateLimited));
    drop(spending);
    expect(0).await;
    // Now that it waits for what comes.
    for n in 1..4 {
        assert!(topic.publish("shop", n, &n.to_string()).await);
        expect(n).await;
    }
    assert!(world.is_paced(&[EVENTS]) >= 2);
}

#[tokio::test]
async fn events_of_an_answer_that_goes_on_wait_and_each_comes_once() {
    events_come_in(Weather::WebSocketsRefused).await;
}

#[tokio::test]
async fn events_of_requests_that_wait_come_later_and_each_comes_once() {
    events_come_in(Weather::Buffered).await;
}

#[tokio::test]
async fn events_that_are_asked_for_again_and_again_come_later_and_each_comes_once() {
    events_come_in(Weather::Impatient).await;
}

#[tokio::test]
async fn what_cannot_be_caught_up_with_over_http_comes_over_the_websocket() {
    let mut world = World::with(&[], Weather::Fair).await;
    let topic = world.topic().await;
    let all: Vec<u64> = (0..10_000).collect();
    assert!(topic.publish("shop", 0, &serde_json::to_string(&all).unwrap()).await);
    world.server.restart_with(FEW);
    let (ada, _ada) = world.connected(LinkState::Up).await;
    // Whatever else it has to ask for is refused with it.
    let readers = (0..4).map(|_| async {
        let mut events = ada.topic("orders/eu").unwrap().subscribe(Start::Earliest {});
        for n in &all {
            match timeout(LONG, events.next()).await.expect("an event comes") {
                Some(Ok(Delivery::Event(event))) => assert_eq!(event.read::<u64>().unwrap(), *n),
                other => panic!("no event but {other:?}"),
            }
        }
    });
    join_all(readers).await;
    assert!(world.refused(EVENTS) > 0);
    world.proxy.traffic().is_paced(&[EVENTS], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_fetched_as_fast_as_the_server_lets() {
    const DOCUMENTS: usize = 3_000;
    let mut world = World::with(&[], Weather::Fair).await;
    let (writer, _folder) = client(&world.server.url(), world.server.tokens("ben")).await;
    let cards = writer.collection("cards").unwrap();
    // Of what cannot be compressed, so that there are several chunks.
    let mut random = fastrand::Rng::with_seed(7);
    let mut text = || (0..600).map(|_| random.alphanumeric()).collect::<String>();
    for first in (0..DOCUMENTS).step_by(500) {
        let texts: Vec<String> = (0..500).map(|_| text()).collect();
        let puts = texts.iter().enumerate().map(|(n, text)| {
            let (cards, id) = (&cards, format!("{:05}", first + n));
            async move { cards.put(&id, &json!({ "text": text })).await.unwrap().outcome().await }
        });
        for outcome in waits("they arrive", join_all(puts)).await {
            assert_eq!(outcome, Ok(Outcome::Accepted {}));
        }
    }
    writer.close().await;
    world.server.restart_with(FEW);
    let (ada, _ada) = client(&world.proxy.url(), world.server.tokens("ada")).await;
    eventually("it is refused a part", || world.refused(SNAPSHOTS) > 0).await;
    let syncing = ada.status().syncing;
    assert!(syncing.is_none_or(|syncing| syncing.done < DOCUMENTS as u64));
    assert!(!ada.status().caught_up, "it does not say that it has what it has not");
    let mut watch = ada.collection("cards").unwrap().watch_range(None, None, 10_000);
    let all = async {
        loop {
            let shown = watch.next().await.unwrap() as Vec<sdk_core::client::Document<Value>>;
            if shown.len() == DOCUMENTS {
                break;
            }
        }
    };
    timeout(LONG, all).await.expect("all of it comes");
    eventually("it has what the server has", || ada.status().caught_up && ada.status().syncing.is_none())
        .await;
    assert!(world.proxy.traffic().is_paced(&[SNAPSHOTS], 2) > 0);
}

/// A question and a transaction of a client that is refused until `end`.
async fn callers_are_told(world: &World, ada: &NativeClient, code: &str, end: impl FnOnce()) {
    let path = "POST /v1/transactions/ledger.transfer";
    let transfer = || {
        let body = json!({ "from": "a", "to": "b", "amount": 1 });
        ada.transaction("ledger.transfer", &body).unwrap().idempotency_key("k").unwrap()
    };
    // Whoever has no time for the wait is told at once how long it is, and asks no more.
    match waits("a refusal", transfer().within(1_500).send()).await {
        Err(TransactionError::NotTaken { code: told, retry: Retry::Later, retry_after, .. }) => {
            assert_eq!(told, code);
            assert!(retry_after > Some(1_500), "{retry_after:?}");
        }
        other => panic!("{other:?}"),
    }
    let balance = || ada.question("ledger.balance", &[("account", "a")]).unwrap();
    match waits("a refusal", balance().within(1_500).ask()).await {
        Err(QuestionError::NotTaken { code: told, retry: Retry::Later, retry_after, .. }) => {
            assert_eq!(told, code);
            assert!(retry_after > Some(1_500), "{retry_after:?}");
        }
        other => panic!("{other:?}"),
    }
    let question = "GET /v1/transactions/ledger.balance";
    assert_eq!((world.asked(path), world.asked(question)), (1, 1));
    assert_eq!(ada.status().pending, 0, "nothing of it is queued");
    // The next are calls of their own.
    world.proxy.traffic().forget();

    let (sent, asked) = (transfer().within(120_000), balance().within(120_000));
    let both = async { tokio::join!(sent.send(), asked.ask()) };
    let refused = async {
        let both = || world.refused(path) >= 2 && world.refused(question) >= 2;
        eventually("both are refused and go on", both).await;
        end();
    };
    let ((sent, asked), ()) = tokio::join!(both, refused);
    assert!(matches!(sent, Ok(TransactionOutcome::Done { replayed: false, .. })), "{sent:?}");
    asked.unwrap();
    assert!(world.is_paced(&[path]) >= 2);
    assert!(world.is_paced(&[question]) >= 2);
    let bob = Teller::of(&world.server.url(), &world.server.token("dev", "bob", 3_600));
    assert_eq!(bob.ask("ledger.balance", "account=b").await.unwrap()["balance"], 1, "it happened once");
}

/// Ada has 5 in `a`, and Bob has `b`.
async fn accounts(server: &Server) {
    let of = |person| Teller::of(&server.url(), &server.token("dev", person, 3_600));
    let (ada, bob) = (of("ada"), of("bob"));
    ada.call("ledger.open", "o", &json!({ "account": "a", "currency": "NGN" })).await.unwrap();
    ada.call("ledger.issue", "i", &json!({ "account": "a", "amount": 5 })).await.unwrap();
    bob.call("ledger.open", "o", &json!({ "account": "b", "currency": "NGN" })).await.unwrap();
}

#[tokio::test]
async fn a_transaction_and_a_question_tell_how_long_to_wait_and_are_done_once() {
    let world = World::with(USER, Weather::WebSocketsRefused).await;
    accounts(&world.server).await;
    let (ada, _ada) = world.connected(LinkState::Degraded).await;
    let spending = world.spend("ada").await;
    callers_are_told(&world, &ada, "rate_limited", || drop(spending)).await;
}

#[tokio::test]
async fn a_transaction_and_a_question_wait_for_a_server_that_is_overloaded() {
    let world = World::with(&[], Weather::WebSocketsRefused).await;
    accounts(&world.server).await;
    let (ada, _ada) = world.connected(LinkState::Degraded).await;
    world.proxy.set(Weather::Overloaded);
    // What it sends over a connection that is cut may have been done.
    eventually("it has other connections", || world.refused(EDITS[1]) > 0).await;
    let end = || world.proxy.set(Weather::WebSocketsRefused);
    callers_are_told(&world, &ada, "overloaded", end).await;
}
