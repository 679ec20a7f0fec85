//! Edits arrive: once, in order, and side by side with those of others.

use std::collections::BTreeSet;

use integration_tests::{Server, client, eventually, open, values, waits};
use sdk_core::{
    client::SubmitError,
    engine::Refusal,
    native::NativeClient,
    protocol::{ErrorCode, OpId, Outcome},
    routing::LinkState,
};
use serde_json::json;

#[tokio::test]
async fn offline_edits_arrive_once_and_in_order() {
    let mut server = Server::start();
    let (ada, folder) = client(&server.url(), server.tokens("ada")).await;
    ada.set_network(false);
    let id = ada.id();
    let mut operations = BTreeSet::new();
    for n in 0..200 {
        operations.insert(edit(&ada, n).await.seq);
    }
    // What was not sent, ten edits of each card, is one operation.
    assert_eq!((ada.status().pending, ada.status().link), (20, LinkState::Down));
    // Another process, later, with the same store. What that finds may have been sent and stays as it is.
    ada.close().await;
    let ada = open(&server.url(), folder.path(), server.tokens("ada")).await.unwrap();
    ada.set_network(false);
    for n in 200..240 {
        operations.insert(edit(&ada, n).await.seq);
    }
    assert_eq!((ada.id(), ada.status().pending, operations.len()), (id, 40, 40));
    ada.set_network(true);
    eventually("everything is settled", || ada.status().pending == 0).await;
    ada.close().await;

    server.kill();
    let ledger = server.ledger();
    let judgements = ledger.judgements(id);
    assert_eq!(
        judgements.keys().copied().collect::<BTreeSet<_>>(),
        operations,
        "every operation, and no other"
    );
    let offsets: Vec<_> =
        judgements.values().map(|judgement| judgement.position.as_ref().unwrap().offset.0).collect();
    assert_eq!(offsets, (1..=40).collect::<Vec<_>>(), "each once, in the order in which they were made");
    for n in 220..240 {
        let document = ledger.document("cards", &format!("card-{:02}", n % 20)).unwrap();
        assert_eq!(document.values().next().unwrap().1.as_str(), n.to_string());
    }
}

/// An edit of one of twenty cards.
async fn edit(client: &NativeClient, n: u64) -> OpId {
    let id = format!("card-{:02}", n % 20);
    let operation = client.collection("cards").unwrap().update(&id, &json!({ "n": n })).await.unwrap();
    assert!(operation.is_durable());
    operation.id()
}

#[tokio::test]
async fn edits_of_different_fields_both_survive() {
    let server = Server::start();
    let (ada, _ada) = client(&server.url(), server.tokens("ada")).await;
    let (ben, _ben) = client(&server.url(), server.tokens("ben")).await;
    let both = json!({ "title": "Milk", "note": "" });
    let created = ada.collection("cards").unwrap().put("a", &both).await.unwrap();
    waits("the card is accepted", created.outcome()).await.unwrap();
    values(&ben, "cards", "a", both).await;

    ada.set_network(false);
    ben.set_network(false);
    let title = ada.collection("cards").unwrap().update("a", &json!({ "title": "Oat milk" })).await.unwrap();
    let note = ben.collection("cards").unwrap().update("a", &json!({ "note": "two" })).await.unwrap();
    ada.set_network(true);
    ben.set_network(true);
    for operation in [title, note] {
        assert_eq!(waits("an outcome", operation.outcome()).await, Ok(Outcome::Accepted {}));
    }
    for client in [&ada, &ben] {
        values(client, "cards", "a", json!({ "title": "Oat milk", "note": "two" })).await;
    }
}

#[tokio::test]
async fn of_two_edits_of_one_field_the_later_wins_whichever_arrives_first() {
    let server = Server::start();
    let (ada, _ada) = client(&server.url(), server.tokens("ada")).await;
    let (ben, _ben) = client(&server.url(), server.tokens("ben")).await;
    let created = ada.collection("cards").unwrap().put("a", &json!({ "title": "?" })).await.unwrap();
    waits("the card is accepted", created.outcome()).await.unwrap();
    values(&ben, "cards", "a", json!({ "title": "?" })).await;

    ada.set_network(false);
    ben.set_network(false);
    let earlier = ada.collection("cards").unwrap().update("a", &json!({ "title": "earlier" })).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let later = ben.collection("cards").unwrap().update("a", &json!({ "title": "later" })).await.unwrap();
    // The later one arrives first.
    ben.set_network(true);
    assert_eq!(waits("an outcome", later.outcome()).await, Ok(Outcome::Accepted {}));
    ada.set_network(true);
    assert_eq!(waits("an outcome", earlier.outcome()).await, Ok(Outcome::Superseded {}));
    for client in [&ada, &ben] {
        values(client, "cards", "a", json!({ "title": "later" })).await;
    }
}

#[tokio::test]
async fn in_a_last_write_wins_collection_the_later_document_stays_whole() {
    let server = Server::start();
    let (ada, _ada) = client(&server.url(), server.tokens("ada")).await;
    let (ben, _ben) = client(&server.url(), server.tokens("ben")).await;
    let both = json!({ "title": "Milk", "note": "" });
    let created = ada.collection("notes").unwrap().put("a", &both).await.unwrap();
    waits("the note is accepted", created.outcome()).await.unwrap();
    values(&ben, "notes", "a", both).await;

    ada.set_network(false);
    ben.set_network(false);
    let earlier =
        ada.collection("notes").unwrap().update("a", &json!({ "title": "Oat milk" })).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let later = ben.collection("notes").unwrap().update("a", &json!({ "note": "two" })).await.unwrap();
    ben.set_network(true);
    assert_eq!(waits("an outcome", later.outcome()).await, Ok(Outcome::Accepted {}));
    ada.set_network(true);
    assert_eq!(waits("an outcome", earlier.outcome()).await, Ok(Outcome::Superseded {}));
    for client in [&ada, &ben] {
        values(client, "notes", "a", json!({ "title": "Milk", "note": "two" })).await;
    }
}

#[tokio::test]
async fn a_document_over_its_limit_is_rejected_and_kept_until_it_is_seen() {
    let server = Server::start();
    let (ada, folder) = client(&server.url(), server.tokens("ada")).await;
    let cards = ada.collection("cards").unwrap();
    // Each operation is within its limit; together they are over the document's.
    let half = "x".repeat(70 * 1024);
    let first = cards.update("a", &json!({ "one": half })).await.unwrap();
    assert_eq!(waits("an outcome", first.outcome()).await, Ok(Outcome::Accepted {}));
    let second = cards.update("a", &json!({ "two": half })).await.unwrap();
    let Outcome::Rejected(reason) = waits("an outcome", second.outcome()).await.unwrap() else {
        panic!("a document of 140 KiB is rejected")
    };
    assert_eq!(reason.code, ErrorCode::DocumentTooLarge);
    let third = cards.update("a", &json!({ "three": 3 })).await.unwrap();
    assert_eq!(waits("an outcome", third.outcome()).await, Ok(Outcome::Accepted {}), "its lane goes on");
    ada.close().await;

    let ada = open(&server.url(), folder.path(), server.tokens("ada")).await.unwrap();
    let rejected = ada.rejected();
    assert_eq!(rejected.len(), 1, "it is kept across a restart");
    assert_eq!((rejected[0].seq, rejected[0].reason.code), (second.id().seq, ErrorCode::DocumentTooLarge));
    assert!(format!("{:?}", rejected[0].intents).contains(&half), "with all that it was to do");
    ada.discard(rejected[0].seq);
    eventually("it is gone", || ada.rejected().is_empty()).await;
}

#[tokio::test]
async fn an_operation_over_its_limit_is_refused_before_it_is_stored() {
    let server = Server::start();
    let (ada, _folder) = client(&server.url(), server.tokens("ada")).await;
    let text = "x".repeat(200 * 1024);
    let refused = ada.collection("cards").unwrap().put("a", &json!({ "text": text })).await;
    assert!(matches!(refused, Err(SubmitError::Refused(Refusal::TooLarge { .. }))), "{refused:?}");
    assert_eq!(ada.status().pending, 0);
}
