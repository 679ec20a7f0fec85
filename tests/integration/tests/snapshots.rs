//! A first synchronisation of a large collection, by a client that ends in the middle of it.

use std::collections::BTreeMap;

use futures::future::join_all;
use integration_tests::{Server, client, eventually, open, waits};
use sdk_core::{
    client::Document,
    native::NativeClient,
    protocol::{DocumentId, Outcome},
};
use serde_json::{Value, json};

/// Documents of the collection: several times what a page holds.
const DOCUMENTS: usize = 4_000;

/// The documents of `cards` in a range of ids.
async fn cards(client: &NativeClient, from: &str, to: &str, count: usize) -> BTreeMap<String, Value> {
    let cards = client.collection("cards").unwrap();
    let id = |text: &str| Some(DocumentId::new(text).unwrap());
    let mut watch = cards.watch_range(id(from), id(to), 10_000);
    waits("all documents", async {
        loop {
            let shown: Vec<Document<Value>> = watch.next().await.unwrap();
            if shown.len() == count {
                return shown.into_iter().map(|document| (document.id.to_string(), document.value)).collect();
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ends_in_mid_snapshot_goes_on_and_has_the_same_documents() {
    let server = Server::start();
    let (writer, _folder) = client(&server.url(), server.tokens("ada")).await;
    let written = writer.collection("cards").unwrap();
    let text = "x".repeat(200);
    for first in (0..DOCUMENTS).step_by(500) {
        let puts = (first..first + 500).map(|n| {
            let (written, text) = (&written, &text);
            async move {
                let value = json!({ "n": n, "text": text });
                let operation = written.put(&format!("{n:05}"), &value).await.unwrap();
                assert_eq!(operation.outcome().await, Ok(Outcome::Accepted {}));
            }
        });
        join_all(puts).await;
    }

    let folder = tempfile::tempdir().unwrap();
    let mut rounds = 0;
    let mut reached = 0;
    // Each life fetches some of the snapshot and ends; none begins again.
    while reached < DOCUMENTS as u64 && rounds < 3 {
        let reader = open(&server.url(), folder.path(), server.tokens("ben")).await.unwrap();
        eventually("a snapshot makes progress", || {
            reader.status().syncing.is_none_or(|syncing| syncing.done > reached)
                && (reader.status().syncing.is_some() || rounds > 0)
        })
        .await;
        reached = reader.status().syncing.map_or(DOCUMENTS as u64, |syncing| syncing.done);
        reader.close().await;
        rounds += 1;
    }
    assert!(rounds > 1, "it ended at least once in the middle");

    let reader = open(&server.url(), folder.path(), server.tokens("ben")).await.unwrap();
    // What is written while it fetches comes with the tail.
    let late = written.put("03999-late", &json!({ "n": 1, "text": "late" })).await.unwrap();
    assert_eq!(late.outcome().await, Ok(Outcome::Accepted {}));
    for (from, to, count) in [("00000", "02000", 2_000), ("02000", "1", 2_001)] {
        let ours = cards(&reader, from, to, count).await;
        assert!(ours == cards(&writer, from, to, count).await, "{from}..{to}");
    }
    let ours = cards(&reader, "03990", "1", 11).await;
    assert!(ours.contains_key("03999-late"));
    reader.close().await;
    writer.close().await;
}
