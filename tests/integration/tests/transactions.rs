//! The native client's critical transactions.

use integration_tests::{Proxy, Server, Teller, Weather, client, eventually};
use sdk_core::{
    client::{TransactionError, TransactionOutcome},
    native::NativeClient,
    protocol::Retry,
    routing::LinkState,
};
use serde_json::{Value, json};

/// Has something done under a key, within half a minute.
async fn done(ada: &NativeClient, name: &str, key: &str, body: Value) -> TransactionOutcome {
    ada.transaction(name, &body).unwrap().idempotency_key(key).unwrap().send().await.unwrap()
}

/// The balance that an answer tells, and whether it is an earlier call's.
fn balance(outcome: &TransactionOutcome) -> (u64, bool) {
    match outcome {
        TransactionOutcome::Done { answer, replayed } => {
            let answer: Value = serde_json::from_str(answer.as_str()).unwrap();
            (answer["balance"].as_u64().unwrap(), *replayed)
        }
        other => panic!("not done: {other:?}"),
    }
}

/// Ada is connected and has 100 in `a`; Bob has `b`.
async fn accounts(server: &Server, ada: &NativeClient) {
    eventually("it is connected", || ada.status().link == LinkState::Up).await;
    done(ada, "ledger.open", "open", json!({ "account": "a", "currency": "NGN" })).await;
    done(ada, "ledger.issue", "issue", json!({ "account": "a", "amount": 100 })).await;
    let bob = Teller::of(&server.url(), &server.token("dev", "bob", 3_600));
    bob.call("ledger.open", "open", &json!({ "account": "b", "currency": "NGN" })).await.unwrap();
}

fn transfer(amount: u64) -> Value {
    json!({ "from": "a", "to": "b", "amount": amount })
}

#[tokio::test]
async fn a_transaction_is_done_once_a_key_and_its_outcome_is_told() {
    let server = Server::start();
    let (ada, _ada) = client(&server.url(), server.tokens("ada")).await;
    accounts(&server, &ada).await;
    assert_eq!(balance(&done(&ada, "ledger.transfer", "k", transfer(30)).await), (70, false));
    assert_eq!(balance(&done(&ada, "ledger.transfer", "k", transfer(30)).await), (70, true));
    // Without a key each is another.
    for left in [60, 50] {
        let sent = ada.transaction("ledger.transfer", &transfer(10)).unwrap().send().await.unwrap();
        assert_eq!(balance(&sent), (left, false));
    }
    let refused = done(&ada, "ledger.transfer", "more", transfer(51)).await;
    let TransactionOutcome::Refused { code, replayed: false, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(code, "insufficient_funds");
    let reused = ada.transaction("ledger.transfer", &transfer(1)).unwrap().idempotency_key("k").unwrap();
    let error = reused.send().await.unwrap_err();
    assert_eq!((error.retry(), error.key().as_str()), (Retry::Never, "k"));
    assert!(matches!(error, TransactionError::NotTaken { code, .. } if code == "idempotency_key_reused"));
    let unknown = ada.transaction("no.such", &1).unwrap().send().await.unwrap_err();
    assert!(matches!(unknown, TransactionError::NotTaken { code, .. } if code == "no_such_transaction"));
    assert!(ada.transaction("../push", &1).is_err());
    assert!(ada.transaction("a", &1).unwrap().idempotency_key("ä").is_err());
}

#[tokio::test]
async fn without_a_connection_it_is_refused_at_once_and_never_sent() {
    let mut server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let (ada, _ada) = client(&proxy.url(), server.tokens("ada")).await;
    accounts(&server, &ada).await;
    server.kill();
    proxy.set(Weather::Cut);
    eventually("it is down", || ada.status().link == LinkState::Down).await;
    let error = ada.transaction("ledger.transfer", &transfer(1)).unwrap().send().await.unwrap_err();
    assert!(matches!(error, TransactionError::Offline { .. }), "{error:?}");
    assert_eq!(ada.status().pending, 0);
    server.restart();
    proxy.set(Weather::Fair);
    eventually("it is up", || ada.status().link == LinkState::Up).await;
    let key = error.key().as_str().to_owned();
    assert_eq!(balance(&done(&ada, "ledger.transfer", &key, transfer(1)).await), (99, false));
    assert!(!proxy.heard("class\":\"D"));
}

#[tokio::test]
async fn an_answer_that_gets_lost_leaves_the_outcome_unknown_until_the_key_tells_it() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let (ada, _ada) = client(&proxy.url(), server.tokens("ada")).await;
    accounts(&server, &ada).await;
    for (weather, amount) in [(Weather::AnswersLost, 10), (Weather::AnswersFalsified, 20)] {
        proxy.set(weather);
        eventually("it is up", || ada.status().link == LinkState::Up).await;
        let lost = ada.transaction("ledger.transfer", &transfer(amount)).unwrap().within(700).send().await;
        let Err(TransactionError::Unknown { key }) = lost else { panic!("{lost:?}") };
        proxy.set(Weather::Fair);
        eventually("it is up", || ada.status().link == LinkState::Up).await;
        let told = done(&ada, "ledger.transfer", key.as_str(), transfer(amount)).await;
        // The second never reached the server.
        assert_eq!(balance(&told).1, weather == Weather::AnswersLost);
    }
    let bob = Teller::of(&server.url(), &server.token("dev", "bob", 3_600));
    assert_eq!(bob.ask("ledger.balance", "account=b").await.unwrap()["balance"], 30);
}

#[tokio::test]
async fn it_goes_over_plain_http_where_no_websocket_gets_through() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let (ada, _ada) = client(&server.url(), server.tokens("ada")).await;
    accounts(&server, &ada).await;
    proxy.set(Weather::WebSocketsRefused);
    let (same, _same) = client(&proxy.url(), server.tokens("ada")).await;
    eventually("it goes by HTTP", || same.status().link == LinkState::Degraded).await;
    assert_eq!(balance(&done(&same, "ledger.transfer", "k", transfer(1)).await), (99, false));
}
