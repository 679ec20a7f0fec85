//! The replica: documents by key, and cursors.

use super::{Stores, cursor, document, key, open, write_replica};
use crate::{
    driver::Store,
    engine::storage::{Clear, Query, ReplicaBatch, Scan, StoredDocument},
    protocol::{CollectionName, DocKey, StreamPosition},
};

async fn one(store: &impl Store, key: DocKey) -> Vec<StoredDocument> {
    store.read(Query::One(key), Scan::NONE).await.expect("the replica can be read").documents
}

async fn all(store: &impl Store, collection: &str) -> Vec<StoredDocument> {
    let query = Query::all(key(collection, "any").collection);
    store.read(query, Scan::NONE).await.expect("the replica can be read").documents
}

/// Cursors are loaded in no order that counts.
async fn cursors(store: &impl Store) -> Vec<(CollectionName, StreamPosition)> {
    let stored = store.load().await.expect("the store can be loaded");
    let mut cursors = stored.cursors.expect("the replica is not broken");
    cursors.sort_by(|(left, _), (right, _)| left.cmp(right));
    cursors
}

/// A document is read by its whole key; the newest text counts.
pub async fn documents_are_put_replaced_and_removed(stores: &impl Stores) {
    let store = open(stores).await;
    let put = vec![document("cards", "a", "1"), document("cards", "b", "2"), document("notes", "a", "3")];
    write_replica(&store, ReplicaBatch { put, ..ReplicaBatch::default() }).await;
    let put = vec![document("cards", "a", "new")];
    let remove = vec![key("cards", "b")];
    write_replica(&store, ReplicaBatch { put, remove, ..ReplicaBatch::default() }).await;
    assert_eq!(one(&store, key("cards", "a")).await, [document("cards", "a", "new")]);
    assert_eq!(one(&store, key("cards", "b")).await, []);
    assert_eq!(one(&store, key("notes", "a")).await, [document("notes", "a", "3")]);
    assert_eq!(one(&store, key("notes", "b")).await, []);
}

/// One batch can empty a collection and fill it anew.
pub async fn a_replica_batch_clears_then_removes_then_puts(stores: &impl Stores) {
    let store = open(stores).await;
    let put = vec![document("cards", "old", "1"), document("cards", "same", "1")];
    write_replica(&store, ReplicaBatch { put, cursors: vec![cursor("cards", 9)], ..ReplicaBatch::default() })
        .await;
    let anew = ReplicaBatch {
        clear: Clear::Collections(vec![key("cards", "any").collection]),
        remove: vec![key("cards", "same")],
        put: vec![document("cards", "same", "2"), document("cards", "young", "2")],
        cursors: vec![cursor("cards", 2)],
        ..ReplicaBatch::default()
    };
    write_replica(&store, anew).await;
    assert_eq!(all(&store, "cards").await, [document("cards", "same", "2"), document("cards", "young", "2")]);
    assert_eq!(cursors(&store).await, [cursor("cards", 2)]);
}

/// Collections whose names begin alike are not confused.
pub async fn clearing_collections_spares_the_others(stores: &impl Stores) {
    let store = open(stores).await;
    let names = ["card", "cards", "cards-2", "cards.a", "notes"];
    let put = names.map(|name| document(name, "id", name)).into();
    write_replica(
        &store,
        ReplicaBatch { put, cursors: names.map(|name| cursor(name, 1)).into(), ..ReplicaBatch::default() },
    )
    .await;
    let gone = vec![key("cards", "any").collection, key("notes", "any").collection];
    write_replica(&store, ReplicaBatch { clear: Clear::Collections(gone), ..ReplicaBatch::default() }).await;
    for name in ["cards", "notes"] {
        assert_eq!(all(&store, name).await, [], "{name} was cleared");
    }
    for name in ["card", "cards-2", "cards.a"] {
        assert_eq!(all(&store, name).await, [document(name, "id", name)], "{name} was not cleared");
    }
    assert_eq!(cursors(&store).await, ["card", "cards-2", "cards.a"].map(|name| cursor(name, 1)));
}

/// Nothing of the replica is left, whatever its collection.
pub async fn clearing_all_empties_the_replica(stores: &impl Stores) {
    let store = open(stores).await;
    let put = vec![document("cards", "a", "1"), document("notes", "b", "2")];
    let filled = ReplicaBatch {
        put,
        cursors: vec![cursor("cards", 1), cursor("notes", 1)],
        ..ReplicaBatch::default()
    };
    write_replica(&store, filled).await;
    let put = vec![document("notes", "c", "3")];
    write_replica(&store, ReplicaBatch { clear: Clear::All, put, ..ReplicaBatch::default() }).await;
    assert_eq!(all(&store, "cards").await, []);
    assert_eq!(all(&store, "notes").await, [document("notes", "c", "3")]);
    assert_eq!(cursors(&store).await, []);
}

/// A cursor is one value per collection; others are not touched.
pub async fn cursors_are_replaced(stores: &impl Stores) {
    let store = open(stores).await;
    let first = vec![cursor("cards", 1), cursor("notes", 5)];
    write_replica(&store, ReplicaBatch { cursors: first, ..ReplicaBatch::default() }).await;
    let second = vec![cursor("cards", 1 << 40)];
    write_replica(&store, ReplicaBatch { cursors: second, ..ReplicaBatch::default() }).await;
    assert_eq!(cursors(&store).await, [cursor("cards", 1 << 40), cursor("notes", 5)]);
}

/// A document at its limit comes back byte for byte.
pub async fn large_texts_are_kept_whole(stores: &impl Stores) {
    let store = open(stores).await;
    let large: String = (0..120 * 1024 / 8).map(|n| format!("{n:07}\u{e9}")).collect();
    assert!(large.len() > 120 * 1024);
    let put = vec![document("cards", "large", &large), document("cards", "empty", "")];
    write_replica(&store, ReplicaBatch { put: put.clone(), ..ReplicaBatch::default() }).await;
    let mut sorted = put;
    sorted.reverse();
    assert_eq!(all(&store, "cards").await, sorted);
}

/// A first synchronisation arrives in large batches.
pub async fn two_thousand_documents_in_one_batch(stores: &impl Stores) {
    let store = open(stores).await;
    let documents: Vec<_> =
        (0..2_000).map(|n| document("cards", &format!("{n:05}"), &format!("text {n}"))).collect();
    // Written in another order than they are read in.
    let put = documents.iter().rev().cloned().collect();
    write_replica(&store, ReplicaBatch { put, ..ReplicaBatch::default() }).await;
    assert_eq!(all(&store, "cards").await, documents);
}
