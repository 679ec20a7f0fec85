//! Disks that are full or closed, and stores that are in use.

use std::{process::Command, time::Duration};

use integration_tests::{Server, client, open, values, waits};
use rusqlite::Connection;
use sdk_core::{
    client::{Client, SubmitError},
    engine::{Config, Refusal, storage::StoreError},
    native::{NativeTransport, OpenError, SqliteOptions, SqliteStore, Tokens, TokioRuntime},
    protocol::{ClientId, CollectionName, Outcome, Strategy},
};
use serde_json::json;

#[tokio::test]
async fn a_full_disk_refuses_the_edit_and_what_was_saved_still_arrives() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions { outbox_bytes: 256 << 10, ..SqliteOptions::default() };
    let store = SqliteStore::open_with(folder.path(), options).await.unwrap();
    let config = Config::new(
        vec![(CollectionName::new("cards").unwrap(), Strategy::FieldLevel)],
        ClientId::from_random([7; 16]),
    );
    let (transport, runtime) = (NativeTransport::new(&server.url()).unwrap(), TokioRuntime::current());
    let ada = Client::start(store, transport, runtime, server.tokens("ada"), (), config, 7).await.unwrap();
    ada.set_network(false);
    let cards = ada.collection("cards").unwrap();
    let text = "x".repeat(20 << 10);
    let mut saved = vec![];
    let refusal = loop {
        match cards.put(&format!("card-{}", saved.len()), &json!({ "text": text })).await {
            Ok(operation) => saved.push(operation),
            Err(refusal) => break refusal,
        }
        assert!(saved.len() < 20, "20 KiB go into 256 KiB fewer than 20 times");
    };
    let full = |refusal: &SubmitError| {
        matches!(refusal, SubmitError::Refused(Refusal::NotDurable(StoreError::Full(_))))
    };
    assert!(full(&refusal), "{refusal:?}");
    assert!(saved.len() > 5);
    assert_eq!(ada.status().pending, saved.len(), "what was refused is not pending");

    ada.set_network(true);
    for operation in &saved {
        assert_eq!(waits("what was saved arrives", operation.outcome()).await, Ok(Outcome::Accepted {}));
    }
    let again = waits("there is room again", async {
        loop {
            match cards.put("again", &json!({ "text": text })).await {
                // The records of what has arrived are removed in the background.
                Err(refusal) if full(&refusal) => tokio::time::sleep(Duration::from_millis(20)).await,
                result => return result,
            }
        }
    });
    assert_eq!(waits("an outcome", again.await.unwrap().outcome()).await, Ok(Outcome::Accepted {}));
    ada.close();
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_denied_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = open("http://127.0.0.1:1", &file.join("below"), Tokens::fixed("any")).await.err();
    assert!(matches!(refused, Some(OpenError::Store(StoreError::Denied(_)))), "{refused:?}");
}

#[tokio::test]
async fn a_damaged_record_stays_in_the_file_and_the_others_are_sent_once() {
    let server = Server::start();
    let (ada, folder) = client(&server.url(), server.tokens("ada")).await;
    ada.set_network(false);
    for id in ["a", "b"] {
        ada.collection("cards").unwrap().put(id, &json!({ "n": 1 })).await.unwrap();
    }
    let id = ada.id();
    ada.close().await;
    let file = folder.path().join("outbox.db");
    let records = |sql: &str| {
        let database = Connection::open(&file).unwrap();
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let damaged = records(
        "UPDATE record SET text = substr(text, 1, 30) WHERE key = (SELECT min(key) FROM record) RETURNING text",
    );
    assert_eq!(damaged.len(), 1);

    let again = open(&server.url(), folder.path(), server.tokens("ada")).await.unwrap();
    assert_eq!((again.id(), again.status().damaged), (id, 1));
    values(&again, "cards", "b", json!({ "n": 1 })).await;
    let edit = again.collection("cards").unwrap().put("c", &json!({ "n": 1 })).await.unwrap();
    assert_eq!(waits("an outcome", edit.outcome()).await, Ok(Outcome::Accepted {}));
    again.close().await;
    let kept = records("SELECT text FROM record WHERE key = (SELECT min(key) FROM record)");
    assert_eq!(kept, damaged);
    let (bob, _folder) = client(&server.url(), server.tokens("bob")).await;
    values(&bob, "cards", "b", json!({ "n": 1 })).await;
    let lost = bob.collection("cards").unwrap().get::<serde_json::Value>("a").await.unwrap();
    assert!(lost.is_none(), "{lost:?} is of the damaged record");
    bob.close().await;
}

/// Set for the second process, and says where the store is.
const STORE: &str = "INTEGRATION_STORE";

#[tokio::test]
async fn a_second_process_finds_the_store_in_use() {
    // This very test runs again as the second process.
    if let Some(folder) = std::env::var_os(STORE) {
        let refused = open("http://127.0.0.1:1", folder.as_ref(), Tokens::fixed("any")).await.err();
        assert!(matches!(refused, Some(OpenError::Store(StoreError::InUse))), "{refused:?}");
        println!("the second process was refused");
        return;
    }
    let server = Server::start();
    let (ada, folder) = client(&server.url(), server.tokens("ada")).await;
    let second = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_second_process_finds_the_store_in_use", "--nocapture"])
        .env(STORE, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stdout);
    assert!(second.status.success() && said.contains("the second process was refused"), "{said}");
    let operation = ada.collection("cards").unwrap().put("a", &json!({ "n": 1 })).await.unwrap();
    assert_eq!(waits("the first goes on", operation.outcome()).await, Ok(Outcome::Accepted {}));
}
