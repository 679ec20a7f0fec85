//! What the SQLite store does when its files or its disk are not as they should be.

use std::{fs, io::Write, path::Path};

use futures::FutureExt;
use rusqlite::Connection;
use sdk_core::{
    driver::Store,
    engine::storage::{
        Batch, Clear, OutboxBatch, OutboxRecord, Query, ReplicaBatch, Scan, StoreError, StoredDocument,
    },
    native::{SqliteOptions, SqliteStore},
    protocol::{DocKey, Epoch, Offset, StreamPosition},
};
use tempfile::{TempDir, tempdir};

fn folder() -> TempDir {
    tempdir().expect("a temporary folder can be made")
}

async fn open(folder: &TempDir) -> SqliteStore {
    SqliteStore::open(folder.path()).await.expect("the store opens")
}

fn outbox(key: u64, text: &str) -> Batch {
    let put = vec![OutboxRecord { key, text: text.into() }];
    Batch::Outbox(OutboxBatch { put, ..OutboxBatch::default() })
}

fn document(id: &str, text: &str) -> StoredDocument {
    StoredDocument { key: DocKey::new("cards", id).unwrap(), text: text.into() }
}

fn replica(documents: &[StoredDocument]) -> ReplicaBatch {
    let position = StreamPosition { epoch: Epoch::new("e").unwrap(), offset: Offset(1) };
    let cursors = vec![(DocKey::new("cards", "x").unwrap().collection, position)];
    ReplicaBatch { put: documents.to_vec(), cursors, ..ReplicaBatch::default() }
}

fn all() -> Query {
    Query::all(DocKey::new("cards", "x").unwrap().collection)
}

async fn read(store: &SqliteStore) -> Result<Vec<StoredDocument>, StoreError> {
    store.read(all(), Scan::NONE).await.map(|rows| rows.documents)
}

/// A store with one record in the outbox and many documents, closed again.
async fn filled() -> TempDir {
    let folder = folder();
    let store = open(&folder).await;
    store.apply(outbox(1, "operation")).await.unwrap();
    let documents: Vec<_> = (0..500).map(|n| document(&format!("{n:03}"), &"x".repeat(500))).collect();
    store.apply(Batch::Replica(replica(&documents))).await.unwrap();
    store.close().await;
    folder
}

/// The replica says that it is broken, is made anew by clearing all, and the outbox never notices.
async fn assert_replica_is_replaced(folder: &TempDir) {
    let store = open(folder).await;
    let stored = store.load().await.unwrap();
    assert_eq!(stored.cursors, None, "the broken replica is told");
    assert_eq!(stored.outbox.len(), 1, "the outbox is read all the same");
    assert!(store.apply(Batch::Replica(replica(&[]))).await.is_err(), "no write to a broken replica");
    store.apply(outbox(2, "operation")).await.expect("the outbox goes on");

    let anew = ReplicaBatch { clear: Clear::All, ..replica(&[document("a", "new")]) };
    store.apply(Batch::Replica(anew)).await.expect("clearing all makes it anew");
    let stored = store.load().await.unwrap();
    assert_eq!((stored.outbox.len(), stored.cursors.map(|cursors| cursors.len())), (2, Some(1)));
    assert_eq!(read(&store).await, Ok(vec![document("a", "new")]));
    store.close().await;
    let store = open(folder).await;
    assert_eq!(read(&store).await, Ok(vec![document("a", "new")]), "also after a restart");
}

#[tokio::test]
async fn a_replica_that_is_not_a_database_is_replaced_and_the_outbox_kept() {
    let folder = filled().await;
    fs::write(folder.path().join("replica.db"), "not a database".repeat(1_000)).unwrap();
    assert_replica_is_replaced(&folder).await;
}

#[tokio::test]
async fn a_replica_with_an_unreadable_cursor_is_replaced_and_the_outbox_kept() {
    let folder = filled().await;
    let database = Connection::open(folder.path().join("replica.db")).unwrap();
    database.execute("UPDATE cursor SET position = '{'", []).unwrap();
    drop(database);
    let store = open(&folder).await;
    assert_eq!(store.load().await.unwrap().cursors, None);
    let anew = ReplicaBatch { clear: Clear::All, ..ReplicaBatch::default() };
    store.apply(Batch::Replica(anew)).await.unwrap();
    let stored = store.load().await.unwrap();
    assert_eq!((stored.outbox.len(), stored.cursors), (1, Some(vec![])));
}

#[tokio::test]
async fn a_replica_of_a_newer_version_is_replaced_and_the_outbox_kept() {
    let folder = filled().await;
    let database = Connection::open(folder.path().join("replica.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    assert_replica_is_replaced(&folder).await;
}

#[tokio::test]
async fn pages_overwritten_in_the_middle_are_told_as_corrupt_and_cleared() {
    use std::io::{Seek, SeekFrom};
    let folder = filled().await;
    let mut file = fs::OpenOptions::new().write(true).open(folder.path().join("replica.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    // The first pages hold the schema and the cursors, which are still good.
    file.seek(SeekFrom::Start(8 * 4096)).unwrap();
    file.write_all(&vec![0xa5; (pages as usize - 8) * 4096]).unwrap();
    drop(file);
    let store = open(&folder).await;
    assert!(matches!(read(&store).await, Err(StoreError::Corrupt(_))));
    let anew = ReplicaBatch { clear: Clear::All, ..replica(&[document("a", "new")]) };
    store.apply(Batch::Replica(anew)).await.expect("clearing all makes it anew");
    assert_eq!(read(&store).await, Ok(vec![document("a", "new")]));
    assert_eq!(store.load().await.unwrap().outbox.len(), 1);
}

#[tokio::test]
async fn an_outbox_that_cannot_be_read_is_an_error_and_left_as_it_is() {
    let folder = filled().await;
    let file = folder.path().join("outbox.db");
    let garbage = "not a database".repeat(1_000);
    fs::write(&file, &garbage).unwrap();
    let error = SqliteStore::open(folder.path()).await.map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert_eq!(fs::read_to_string(file).unwrap(), garbage);
}

#[tokio::test]
async fn an_outbox_of_a_newer_version_is_left_alone() {
    let folder = filled().await;
    let file = folder.path().join("outbox.db");
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = SqliteStore::open(folder.path()).await.map(drop).unwrap_err();
    assert!(matches!(&error, StoreError::Failed(text) if text.contains("newer")), "{error}");
    let kept: u32 = count(&file, "record");
    assert_eq!(kept, 1);
}

fn count(file: &Path, table: &str) -> u32 {
    let database = Connection::open(file).unwrap();
    database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_full_outbox_says_so_and_keeps_what_it_has() {
    let folder = folder();
    let options = SqliteOptions { outbox_bytes: 128 << 10, ..SqliteOptions::default() };
    let store = SqliteStore::open_with(folder.path(), options).await.unwrap();
    let text = "x".repeat(20 << 10);
    let mut kept = 0;
    let error = loop {
        match store.apply(outbox(kept, &text)).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!((3..7).contains(&kept), "{kept} records of 20 KiB in 128 KiB");
    let keys = |stored: Vec<OutboxRecord>| stored.into_iter().map(|record| record.key).collect::<Vec<_>>();
    assert_eq!(keys(store.load().await.unwrap().outbox), (0..kept).collect::<Vec<_>>());

    let remove = OutboxBatch { remove: vec![0], ..OutboxBatch::default() };
    store.apply(Batch::Outbox(remove)).await.expect("a full outbox can be emptied");
    store.apply(outbox(kept, &text)).await.expect("and filled again");
    assert_eq!(keys(store.load().await.unwrap().outbox), (1..=kept).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_denied() {
    let folder = folder();
    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    let error = SqliteStore::open(file.join("below")).await.map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Denied(_)), "{error}");
}

#[tokio::test]
async fn a_replica_batch_that_fails_midway_writes_nothing() {
    let folder = filled().await;
    let database = Connection::open(folder.path().join("replica.db")).unwrap();
    let trap = "CREATE TRIGGER trap BEFORE INSERT ON document WHEN new.id = 'trap'
                BEGIN SELECT RAISE(ABORT, 'trapped'); END";
    database.execute_batch(trap).unwrap();
    drop(database);
    let store = open(&folder).await;
    let before = (read(&store).await.unwrap(), store.load().await.unwrap());
    let batch = ReplicaBatch {
        clear: Clear::Collections(vec![DocKey::new("cards", "x").unwrap().collection]),
        ..replica(&[document("a", "1"), document("trap", "2"), document("z", "3")])
    };
    assert!(matches!(store.apply(Batch::Replica(batch)).await, Err(StoreError::Failed(_))));
    assert_eq!((read(&store).await.unwrap(), store.load().await.unwrap()), before);
    store.apply(Batch::Replica(replica(&[document("a", "1")]))).await.expect("the next batch is taken");
}

#[tokio::test]
async fn a_write_whose_future_is_dropped_is_whole_or_absent() {
    let folder = folder();
    let store = open(&folder).await;
    let put: Vec<_> = (0..200).map(|key| OutboxRecord { key, text: "x".repeat(1_000) }).collect();
    let batch = Batch::Outbox(OutboxBatch { put, ..OutboxBatch::default() });
    // Polled once, which hands it over, and never again.
    assert!(store.apply(batch).now_or_never().is_none());
    assert_eq!(store.load().await.unwrap().outbox.len(), 200);
}

#[tokio::test]
async fn a_closed_store_takes_nothing_more_and_lets_the_next_in() {
    let folder = folder();
    let store = open(&folder).await;
    let clone = store.clone();
    store.apply(outbox(1, "kept")).await.unwrap();
    store.close().await;
    assert!(clone.apply(outbox(2, "late")).await.is_err(), "closed for every clone");
    assert!(clone.load().await.is_err());
    let next = open(&folder).await;
    assert_eq!(next.load().await.unwrap().outbox.len(), 1);
}
