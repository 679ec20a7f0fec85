//! A client comes back with an application two versions newer, whose schema is another.

use std::{fs, path::Path};

use integration_tests::{Server, eventually};
use sdk_core::{
    driver::{Migration, Rules},
    engine::Outdated,
    native::{NativeClient, Tokens},
    protocol::{ErrorCode, FieldName, Fields, Intent, Strategy},
    reconcile::{Conflict, Resolution},
    routing::LinkState,
};
use serde_json::json;

/// The application at a version of its schema. In the second a title became a name; in the third names count as well.
struct Version(u32);

impl Rules for Version {
    fn resolve(&self, _: &Conflict) -> Result<Resolution, String> {
        Ok(Resolution::Defer)
    }

    fn schema(&self) -> u32 {
        self.0
    }

    fn migrate(&self, operation: &Outdated) -> Result<Migration, String> {
        let mut intents = operation.intents.clone();
        match (operation.schema, operation.doc.id.as_str()) {
            (1, "panics") => panic!("a fault of the application's"),
            (1, "dropped") => return Ok(Migration::Drop),
            (1, _) => intents.iter_mut().for_each(rename),
            (2, _) => intents.push(Intent::Increment([(field("edits"), 1)].into())),
            (other, _) => return Err(format!("nothing leads on from {other}")),
        }
        Ok(Migration::Intents(intents))
    }
}

fn field(name: &str) -> FieldName {
    FieldName::new(name).unwrap()
}

fn rename(intent: &mut Intent) {
    if let Intent::Put(fields) | Intent::Set(fields) = intent {
        let named = |(name, value): (&FieldName, _)| {
            (if name.as_str() == "title" { field("name") } else { name.clone() }, value)
        };
        *fields = fields.iter().map(|(name, value)| named((name, value.clone()))).collect::<Fields>();
    }
}

async fn at(version: u32, server: &Server, folder: &Path) -> NativeClient {
    let tokens: Tokens = server.tokens("ada");
    let collections = [("cards", Strategy::FieldLevel)];
    NativeClient::open_with(&server.url(), folder, &collections, tokens, Version(version)).await.unwrap()
}

/// Edits that a client at version 1 has made offline.
async fn left_behind(server: &Server, folder: &Path, ids: &[&str]) {
    let client = at(1, server, folder).await;
    client.set_network(false);
    for id in ids {
        let edit = client.collection("cards").unwrap().update(id, &json!({ "title": id })).await.unwrap();
        assert!(edit.is_durable());
    }
    client.close().await;
}

/// What a document shows, as JSON.
fn shown(server: &Server, id: &str) -> serde_json::Value {
    let document = server.ledger().document("cards", id).expect("the document is there");
    let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
    document.values().map(|(name, json)| (name.to_string(), value(json.as_str()))).collect()
}

#[tokio::test]
async fn edits_that_waited_arrive_once_in_the_schema_of_two_versions_later() {
    let mut server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    left_behind(&server, folder.path(), &["a", "b", "panics", "dropped"]).await;

    let client = at(3, &server, folder.path()).await;
    let seen = client.collection("cards").unwrap().get::<serde_json::Value>("a").await.unwrap().unwrap();
    assert_eq!(seen.value, json!({ "name": "a", "edits": 1 }), "nobody sees the old form");
    eventually("all that can be is settled", || client.status().pending == 0).await;
    let dead: Vec<_> =
        client.rejected().iter().map(|one| (one.doc.id.to_string(), one.reason.code, one.schema)).collect();
    let expected = [("panics", ErrorCode::MigrationFailed), ("dropped", ErrorCode::MigrationDropped)];
    assert_eq!(dead, expected.map(|(id, code)| (id.to_owned(), code, 1)));
    let id = client.id();
    client.close().await;

    server.kill();
    let ledger = server.ledger();
    assert_eq!((ledger.judgements(id).len(), ledger.offsets("cards")), (2, vec![1, 2]));
    for id in ["a", "b"] {
        assert_eq!(shown(&server, id), json!({ "name": id, "edits": 1 }));
    }
}

#[tokio::test]
async fn an_edit_that_had_arrived_in_its_old_form_has_no_second_effect_in_the_new_one() {
    let mut server = Server::start();
    let (folder, unanswered) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    left_behind(&server, folder.path(), &["a"]).await;
    // The store as it is while the edit is on its way, and its answer never comes.
    for file in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), unanswered.path().join(file.file_name())).unwrap();
    }
    let client = at(1, &server, folder.path()).await;
    eventually("it is judged", || client.status().pending == 0).await;
    client.close().await;

    // The version between has saved its form, and met no network.
    let between = at(2, &server, unanswered.path()).await;
    between.set_network(false);
    let collection = between.collection("cards").unwrap();
    let later = collection.update("b", &json!({ "name": "b" })).await.unwrap();
    assert!(later.is_durable());
    between.close().await;

    let client = at(3, &server, unanswered.path()).await;
    eventually("the client is there and nothing waits", || {
        client.status().link == LinkState::Up && client.status().pending == 0
    })
    .await;
    assert!(client.rejected().is_empty());
    let id = client.id();
    client.close().await;

    server.kill();
    let ledger = server.ledger();
    assert_eq!(
        (ledger.judgements(id).len(), ledger.offsets("cards")),
        (2, vec![1, 2]),
        "under one client id"
    );
    assert_eq!(shown(&server, "a"), json!({ "title": "a" }), "as it came first");
    assert_eq!(shown(&server, "b"), json!({ "name": "b", "edits": 1 }));
}

#[tokio::test]
async fn a_release_that_is_taken_back_sends_what_the_newer_one_has_left_as_it_is() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    left_behind(&server, folder.path(), &["a"]).await;
    let newer = at(2, &server, folder.path()).await;
    newer.set_network(false);
    newer.collection("cards").unwrap().update("b", &json!({ "name": "b" })).await.unwrap();
    newer.close().await;

    let older = at(1, &server, folder.path()).await;
    eventually("nothing waits", || older.status().pending == 0).await;
    older.close().await;
    assert_eq!((shown(&server, "a"), shown(&server, "b")), (json!({ "name": "a" }), json!({ "name": "b" })));
}
