//! A claim that is narrowed takes documents from the client's store, one that is widened brings them.

use std::collections::BTreeMap;

use integration_tests::{Server, client, eventually, open, values, waits};
use sdk_core::{
    client::Document,
    native::NativeClient,
    protocol::{ErrorCode, Outcome},
};
use serde_json::{Value, json};

/// The ids of the documents of a collection that a client holds, once it has looked.
async fn ids(client: &NativeClient, collection: &str) -> Vec<String> {
    let mut watch = client.collection(collection).expect("a good name").watch();
    let documents: Vec<Document<BTreeMap<String, Value>>> =
        waits("a first look", watch.next()).await.expect("the client is open");
    documents.into_iter().map(|document| document.id.as_str().to_owned()).collect()
}

async fn holds(client: &NativeClient, collection: &str, expected: &[&str]) {
    let start = std::time::Instant::now();
    loop {
        let held = ids(client, collection).await;
        if held == expected {
            return;
        }
        assert!(start.elapsed().as_secs() < 20, "{collection} holds {held:?}, not {expected:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_a_client_may_no_longer_read_leaves_its_store_and_comes_back_when_it_may() {
    let server = Server::start();
    let (ada, _ada) = client(&server.url(), server.tokens("ada")).await;
    for (collection, id) in [("cards", "a/1"), ("cards", "b/1"), ("notes", "n")] {
        let written = ada.collection(collection).unwrap().put(id, &json!({ "by": "ada" })).await.unwrap();
        waits("an outcome", written.outcome()).await.unwrap();
    }
    let (ben, folder) = client(&server.url(), server.tokens("ben")).await;
    holds(&ben, "cards", &["a/1", "b/1"]).await;
    holds(&ben, "notes", &["n"]).await;
    // Made while it was allowed, sent when it is not any more.
    ben.set_network(false);
    ben.collection("cards").unwrap().update("b/1", &json!({ "by": "ben" })).await.unwrap();
    ben.collection("cards").unwrap().update("a/1", &json!({ "by": "ben" })).await.unwrap();
    ben.close().await;

    let narrow = json!([{ "collection": "cards", "prefix": "a/" }]);
    let ben = open(&server.url(), folder.path(), server.granted("ben", &narrow)).await.unwrap();
    eventually("what was queued is judged", || ben.status().pending == 0).await;
    holds(&ben, "cards", &["a/1"]).await;
    holds(&ben, "notes", &[]).await;
    let [kept] = &ben.rejected()[..] else { panic!("one edit is not allowed any more") };
    assert_eq!((kept.doc.id.as_str(), kept.reason.code), ("b/1", ErrorCode::Forbidden));
    values(&ada, "cards", "a/1", json!({ "by": "ben" })).await;
    values(&ada, "cards", "b/1", json!({ "by": "ada" })).await;

    // It goes on with what it may see, and hears of nothing else.
    for (collection, id) in [("cards", "b/2"), ("notes", "m"), ("cards", "a/2")] {
        let written = ada.collection(collection).unwrap().put(id, &json!({ "by": "ada" })).await.unwrap();
        waits("an outcome", written.outcome()).await.unwrap();
    }
    holds(&ben, "cards", &["a/1", "a/2"]).await;
    holds(&ben, "notes", &[]).await;
    let own = ben.collection("cards").unwrap().put("a/3", &json!({ "by": "ben" })).await.unwrap();
    assert_eq!(waits("an outcome", own.outcome()).await, Ok(Outcome::Accepted {}));
    ben.close().await;

    // Not only out of sight: without the network, too, it is not there.
    let ben = open("http://127.0.0.1:9", folder.path(), server.tokens("ben")).await.unwrap();
    assert_eq!(ids(&ben, "cards").await, ["a/1", "a/2", "a/3"]);
    ben.close().await;

    let wide = json!([{ "collection": "cards" }, { "collection": "notes", "prefix": "m" }]);
    let ben = open(&server.url(), folder.path(), server.granted("ben", &wide)).await.unwrap();
    holds(&ben, "cards", &["a/1", "a/2", "a/3", "b/1", "b/2"]).await;
    holds(&ben, "notes", &["m"]).await;
    ben.close().await;
}
