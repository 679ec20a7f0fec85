//! What stays, and who may have it open.

use super::{Stores, cursor, document, key, open, record, write_outbox, write_replica};
use crate::{
    driver::Store,
    engine::storage::{
        Batch, Clear, Generation, OutboxBatch, Query, ReplicaBatch, Rows, Scan, Segment, StoreError, Stored,
    },
    protocol::DocKey,
};

/// What was applied is there when the store is opened again. A store that is not durable says so, and starts
/// empty.
pub async fn a_durable_store_keeps_everything_across_a_restart(stores: &impl Stores) {
    let store = open(stores).await;
    let durable = store.is_durable();
    let put = vec![record(1, "one"), record(1 << 40, "far")];
    write_outbox(
        &store,
        OutboxBatch { put, meta: Some("meta".into()), remove: vec![], ..OutboxBatch::default() },
    )
    .await;
    let put = vec![document("cards", "a", "doc")];
    let DocKey { collection, id: last } = key("cards", "z");
    let segment = Segment { collection, generation: Generation(1), last, text: "segment".into() };
    write_replica(
        &store,
        ReplicaBatch {
            put: put.clone(),
            stage: vec![segment.clone()],
            cursors: vec![cursor("cards", 3)],
            notes: vec![(segment.collection.clone(), "note".into())],
            ..ReplicaBatch::default()
        },
    )
    .await;
    drop(store);

    let store = stores.open("main").await.expect("the place is free again after the store was dropped");
    assert_eq!(store.is_durable(), durable, "a place stays durable or not");
    let kept = Stored {
        outbox: vec![record(1, "one"), record(1 << 40, "far")],
        meta: Some("meta".into()),
        cursors: Some(vec![cursor("cards", 3)]),
        notes: vec![(segment.collection.clone(), "note".into())],
    };
    let nothing = Stored { cursors: Some(Vec::new()), ..Stored::default() };
    let scan = Scan { generation: segment.generation, segments: 9 };
    let rows = store.read(Query::all(segment.collection), scan).await;
    if durable {
        assert_eq!(
            (store.load().await, rows),
            (Ok(kept), Ok(Rows { documents: put, segments: vec![segment.text] }))
        );
    } else {
        assert_eq!((store.load().await, rows), (Ok(nothing), Ok(Rows::default())));
    }
}

/// Two clients on one durable store would send one operation twice under one id. So the second is refused and the
/// first goes on, or the second takes over and the first can write to neither side any more.
pub async fn a_store_has_one_writer(stores: &impl Stores) {
    let first = open(stores).await;
    let batch = OutboxBatch { put: vec![record(1, "x")], ..OutboxBatch::default() };
    write_outbox(&first, batch.clone()).await;
    if first.is_durable() {
        match stores.open("main").await {
            Ok(second) => {
                let seen = second.load().await.expect("what was taken over can be loaded");
                let late = OutboxBatch { put: vec![record(2, "late")], remove: vec![1], ..batch };
                let replica =
                    ReplicaBatch { put: vec![document("cards", "a", "x")], ..ReplicaBatch::default() };
                assert_eq!(first.apply(Batch::Outbox(late.clone())).await, Err(StoreError::Fenced));
                assert_eq!(first.apply(Batch::Replica(replica.clone())).await, Err(StoreError::Fenced));
                let cleared = ReplicaBatch { clear: Clear::All, ..replica };
                assert_eq!(first.apply(Batch::Replica(cleared.clone())).await, Err(StoreError::Fenced));
                assert_eq!(second.load().await, Ok(seen), "a fenced store writes nothing");
                write_outbox(&second, late).await;
                write_replica(&second, cleared).await;
            }
            Err(error) => {
                assert_eq!(error, StoreError::InUse);
                write_outbox(&first, batch).await;
            }
        }
    }
    let other = stores.open("other").await.expect("another place is not in use");
    assert_eq!(other.load().await.map(|stored| stored.outbox), Ok(vec![]), "places are apart");
}
