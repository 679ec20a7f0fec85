//! Networks that are not as they should be.

use std::time::{Duration, Instant};

use integration_tests::{Proxy, Server, Weather, client, eventually, values, waits};
use sdk_core::{native::NativeClient, protocol::Outcome, routing::LinkState};
use serde_json::json;

async fn edit_is_accepted(client: &NativeClient, n: u32) {
    let operation = client.collection("cards").unwrap().update("a", &json!({ "n": n })).await.unwrap();
    assert_eq!(waits("the edit arrives", operation.outcome()).await, Ok(Outcome::Accepted {}), "edit {n}");
}

#[tokio::test]
async fn where_websockets_are_refused_edits_go_over_http_and_climb_back() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    proxy.set(Weather::WebSocketsRefused);
    let (ada, _ada) = client(&proxy.url(), server.tokens("ada")).await;
    let (ben, _ben) = client(&server.url(), server.tokens("ben")).await;

    edit_is_accepted(&ada, 1).await;
    assert_eq!(ada.status().link, LinkState::Degraded);
    values(&ben, "cards", "a", json!({ "n": 1 })).await;
    edit_is_accepted(&ben, 2).await;
    values(&ada, "cards", "a", json!({ "n": 2 })).await;
    assert_eq!(ada.status().link, LinkState::Degraded);

    proxy.set(Weather::Fair);
    eventually("the client climbs back to a WebSocket", || ada.status().link == LinkState::Up).await;
    edit_is_accepted(&ada, 3).await;
    values(&ben, "cards", "a", json!({ "n": 3 })).await;
}

#[tokio::test]
async fn where_websockets_are_swallowed_edits_go_over_http() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    proxy.set(Weather::WebSocketsSwallowed);
    let (ada, _ada) = client(&proxy.url(), server.tokens("ada")).await;
    edit_is_accepted(&ada, 1).await;
    assert_eq!(ada.status().link, LinkState::Degraded);
}

#[tokio::test]
async fn a_connection_that_is_cut_again_and_again_loses_and_doubles_nothing() {
    let mut server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let (ada, _ada) = client(&proxy.url(), server.tokens("ada")).await;
    let cards = ada.collection("cards").unwrap();
    let mut operations = vec![];
    for n in 0..300 {
        operations.push(cards.put(&format!("card-{n}"), &json!({ "n": n })).await.unwrap());
        if n % 25 == 10 {
            proxy.set(Weather::Cut);
        }
        if n % 25 == 15 {
            proxy.set(Weather::Fair);
            // A hint, as a program gives it when its machine is back in a network.
            ada.set_network(false);
            ada.set_network(true);
        }
    }
    for operation in &operations {
        assert_eq!(waits("an outcome", operation.outcome()).await, Ok(Outcome::Accepted {}));
    }
    server.kill();
    let ledger = server.ledger();
    assert_eq!(ledger.offsets("cards"), (1..=300).collect::<Vec<_>>());
    assert_eq!(ledger.head("cards").0, 300);
}

#[tokio::test]
async fn a_link_that_is_open_and_dead_is_given_up() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    let (ada, _ada) = client(&proxy.url(), server.tokens("ada")).await;
    edit_is_accepted(&ada, 1).await;
    assert_eq!(ada.status().link, LinkState::Up);

    proxy.freeze();
    let start = Instant::now();
    let operation = ada.collection("cards").unwrap().update("a", &json!({ "n": 2 })).await.unwrap();
    // The server is given half a minute to answer.
    let outcome = tokio::time::timeout(Duration::from_secs(60), operation.outcome()).await;
    assert_eq!(outcome.expect("the dead link is given up"), Ok(Outcome::Accepted {}));
    println!("a dead link was given up after {:.1} s", start.elapsed().as_secs_f32());
}
