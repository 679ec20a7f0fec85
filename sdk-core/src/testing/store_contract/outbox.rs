//! The outbox: ordered records and one piece of metadata.

use super::{Stores, cursor, document, open, record, write_outbox, write_replica};
use crate::{
    driver::Store,
    engine::storage::{Batch, Clear, OutboxBatch, OutboxRecord, ReplicaBatch, Stored},
    protocol::MAX_SAFE_INTEGER,
};

async fn records(store: &impl Store) -> Vec<OutboxRecord> {
    store.load().await.expect("the outbox can be loaded").outbox
}

/// A store that was never written to loads as empty, which is not the same as broken.
pub async fn an_empty_store_holds_nothing(stores: &impl Stores) {
    let store = open(stores).await;
    let nothing = Stored { outbox: Vec::new(), meta: None, cursors: Some(Vec::new()), notes: Vec::new() };
    assert_eq!(store.load().await, Ok(nothing));
}

/// What was put is loaded; the newest text of a key counts; what was removed is gone.
pub async fn outbox_records_are_put_replaced_and_removed(stores: &impl Stores) {
    let store = open(stores).await;
    let put = vec![record(1, "one"), record(2, "two"), record(3, "three")];
    write_outbox(&store, OutboxBatch { put, ..OutboxBatch::default() }).await;
    let put = vec![record(2, "zwei")];
    write_outbox(&store, OutboxBatch { put, remove: vec![1], ..OutboxBatch::default() }).await;
    assert_eq!(records(&store).await, [record(2, "zwei"), record(3, "three")]);
}

/// A key that is both removed and put by one batch is there afterwards.
pub async fn a_batch_removes_before_it_puts(stores: &impl Stores) {
    let store = open(stores).await;
    let put = vec![record(7, "old")];
    write_outbox(&store, OutboxBatch { put, ..OutboxBatch::default() }).await;
    let put = vec![record(7, "new")];
    write_outbox(&store, OutboxBatch { put, remove: vec![7], ..OutboxBatch::default() }).await;
    assert_eq!(records(&store).await, [record(7, "new")]);
}

/// The engine may remove a record a second time after a crash.
pub async fn removing_what_is_not_there_is_no_error(stores: &impl Stores) {
    let store = open(stores).await;
    write_outbox(&store, OutboxBatch { remove: vec![1, 99], ..OutboxBatch::default() }).await;
    let remove = vec![document("cards", "a", "").key];
    write_replica(&store, ReplicaBatch { remove, ..ReplicaBatch::default() }).await;
    assert_eq!(records(&store).await, []);
}

/// Keys are numbers, whatever their size: not text, and not cut to 32 bits.
pub async fn records_are_loaded_in_the_order_of_their_keys(stores: &impl Stores) {
    let store = open(stores).await;
    let keys = [MAX_SAFE_INTEGER, 10, 1 << 32, 9, (1 << 32) + 1, 0, MAX_SAFE_INTEGER - 1, 4_000_000_000];
    let put = keys.map(|key| record(key, &key.to_string())).into();
    write_outbox(&store, OutboxBatch { put, ..OutboxBatch::default() }).await;
    let mut sorted = keys;
    sorted.sort_unstable();
    assert_eq!(records(&store).await, sorted.map(|key| record(key, &key.to_string())));
    write_outbox(&store, OutboxBatch { remove: keys.into(), ..OutboxBatch::default() }).await;
    assert_eq!(records(&store).await, [], "a large key is found again when it is removed");
}

/// A batch without metadata leaves it as it is.
pub async fn metadata_stays_until_it_is_replaced(stores: &impl Stores) {
    let store = open(stores).await;
    let meta = async || store.load().await.expect("the outbox can be loaded").meta;
    write_outbox(&store, OutboxBatch { meta: Some("first".into()), ..OutboxBatch::default() }).await;
    write_outbox(&store, OutboxBatch { put: vec![record(1, "x")], ..OutboxBatch::default() }).await;
    assert_eq!(meta().await.as_deref(), Some("first"));
    write_outbox(&store, OutboxBatch { meta: Some("second".into()), ..OutboxBatch::default() }).await;
    assert_eq!(meta().await.as_deref(), Some("second"));
}

/// A key beyond 2^53 - 1 has no exact place in every backend. It is refused, and with it the batch as a whole,
/// including what came before it.
pub async fn a_batch_with_a_bad_key_writes_nothing(stores: &impl Stores) {
    let store = open(stores).await;
    let before = OutboxBatch {
        put: vec![record(1, "kept")],
        meta: Some("kept".into()),
        remove: vec![],
        ..OutboxBatch::default()
    };
    write_outbox(&store, before).await;
    let put = vec![record(2, "lost"), record(MAX_SAFE_INTEGER + 1, "bad"), record(3, "lost")];
    let bad = OutboxBatch { put, meta: Some("lost".into()), remove: vec![1], ..OutboxBatch::default() };
    assert!(store.apply(Batch::Outbox(bad)).await.is_err(), "a key beyond 2^53 - 1 is refused");
    let stored = store.load().await.expect("the outbox can be loaded");
    assert_eq!((stored.outbox, stored.meta.as_deref()), (vec![record(1, "kept")], Some("kept")));
    write_outbox(&store, OutboxBatch { put: vec![record(2, "good")], ..OutboxBatch::default() }).await;
    assert_eq!(records(&store).await, [record(1, "kept"), record(2, "good")]);
}

/// The replica is thrown away without touching the outbox, and the other way round.
pub async fn outbox_and_replica_are_independent(stores: &impl Stores) {
    let store = open(stores).await;
    let outbox = OutboxBatch {
        put: vec![record(1, "op")],
        meta: Some("meta".into()),
        remove: vec![],
        ..OutboxBatch::default()
    };
    write_outbox(&store, outbox).await;
    let put = vec![document("cards", "a", "doc")];
    let replica = ReplicaBatch { put, cursors: vec![cursor("cards", 1)], ..ReplicaBatch::default() };
    write_replica(&store, replica.clone()).await;
    write_replica(&store, ReplicaBatch { clear: Clear::All, ..ReplicaBatch::default() }).await;
    let only_outbox = Stored {
        outbox: vec![record(1, "op")],
        meta: Some("meta".into()),
        cursors: Some(Vec::new()),
        notes: Vec::new(),
    };
    assert_eq!(store.load().await, Ok(only_outbox.clone()));
    write_replica(&store, replica).await;
    write_outbox(&store, OutboxBatch { remove: vec![1], ..OutboxBatch::default() }).await;
    let both = Stored { outbox: Vec::new(), cursors: Some(vec![cursor("cards", 1)]), ..only_outbox };
    assert_eq!(store.load().await, Ok(both));
}
