//! What the embedded log promises beyond the contract.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::{
    fixtures::{START, scope},
    storage::{
        contract::events::events_contract,
        events::{
            After, Append, ContentType, EventLog, Lifetime, NewTopic, Producer, Read, Retention, TopicName,
        },
    },
};

const CAPS: Caps = Caps { topics: 32 };

async fn log() -> (Arc<dyn EventLog>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    (Arc::new(log), folder)
}

events_contract!(log);

fn store(folder: &TempDir) -> (EventStore, Arc<Mutex<Vec<News>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let on_news = Box::new(move |news| tell.lock().unwrap().push(news));
    let path = folder.path().join("events.db");
    (EventStore::open(&path, CAPS, Box::new(|| 7), on_news).unwrap(), told)
}

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

fn octets(count: usize) -> Append {
    let events = (0..count).map(|n| Bytes::from(n.to_string())).collect();
    Append { content_type: Some(ContentType::octets()), events, ..Append::default() }
}

async fn count(log: &EventStore) -> usize {
    let read = Read { after: After::Start, bytes: usize::MAX, within_epoch: false };
    log.read(scope("acme", "ada"), topic(), read, START).await.unwrap().events.len()
}

/// Rows of a table.
fn rows(folder: &TempDir, table: &str) -> u64 {
    let connection = Connection::open(folder.path().join("events.db")).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_with_what_fences_its_producer() {
    let folder = tempfile::tempdir().unwrap();
    let ada = || scope("acme", "ada");
    let batch = || Append { producer: Some(Producer { id: "p".into(), epoch: 0, sequence: 0 }), ..octets(3) };
    let (log, _) = store(&folder);
    log.create(ada(), topic(), NewTopic::default(), START).await.unwrap();
    let before = log.append(ada(), topic(), batch(), START).await.unwrap();
    drop(log);
    let (log, _) = store(&folder);
    let again = log.append(ada(), topic(), batch(), START).await.unwrap();
    assert_eq!((again.fresh, again.tail), (false, before.tail));
    assert_eq!(count(&log).await, 3);
}

#[tokio::test]
async fn news_carry_what_one_commit_wrote_and_tell_of_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let (log, told) = store(&folder);
    let ada = || scope("acme", "ada");
    log.create(ada(), topic(), NewTopic::default(), START).await.unwrap();
    log.append(ada(), topic(), octets(2), START).await.unwrap();
    let large = Append { events: vec![Bytes::from(vec![0; 100_000])], ..octets(0) };
    log.append(ada(), topic(), large, START).await.unwrap();
    log.delete(ada(), topic(), START).await.unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    let carried = |news: &News| {
        assert_eq!((&*news.tenant, &news.topic), ("acme", &topic()));
        news.events.as_ref().map(|fresh| (fresh.from.offset, fresh.to.offset, fresh.events.len()))
    };
    let carried: Vec<_> = told.iter().map(carried).filter(|news| *news != Some((0, 0, 0))).collect();
    assert_eq!(carried, [Some((0, 2, 2)), None, None], "what is too much to carry is read, and so is an end");
}

#[tokio::test]
async fn upkeep_leaves_nothing_of_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    let ada = || scope("acme", "ada");
    let idle = NewTopic { lifetime: Lifetime::Idle(1), ..NewTopic::default() };
    log.create(ada(), topic(), idle, START).await.unwrap();
    let batch =
        Append { producer: Some(Producer { id: "p".into(), epoch: 0, sequence: 0 }), ..octets(2_000) };
    log.append(ada(), topic(), batch, START).await.unwrap();
    log.tidy(START).await.unwrap();
    assert_eq!((rows(&folder, "topics"), rows(&folder, "events"), rows(&folder, "producers")), (1, 2_000, 1));
    log.tidy(START.plus(2_000)).await.unwrap();
    assert_eq!((rows(&folder, "topics"), rows(&folder, "events"), rows(&folder, "producers")), (0, 0, 0));
}

#[tokio::test]
async fn upkeep_trims_topics_that_nobody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    let ada = || scope("acme", "ada");
    let keep = Retention { age: Some(1_000), ..Retention::default() };
    log.create(ada(), topic(), NewTopic { retention: keep, ..NewTopic::default() }, START).await.unwrap();
    log.append(ada(), topic(), octets(3_000), START).await.unwrap();
    log.tidy(START.plus(999)).await.unwrap();
    assert_eq!(rows(&folder, "events"), 3_000);
    log.tidy(START.plus(1_000)).await.unwrap();
    assert_eq!((rows(&folder, "events"), count(&log).await), (0, 0));
}

#[tokio::test]
async fn a_restored_backup_is_another_history_of_every_topic() {
    let folder = tempfile::tempdir().unwrap();
    let ada = || scope("acme", "ada");
    let (log, _) = store(&folder);
    log.create(ada(), topic(), NewTopic::default(), START).await.unwrap();
    let known = log.append(ada(), topic(), octets(1), START).await.unwrap().tail;
    drop(log);
    let mut events = SqliteEvents::open(&folder.path().join("events.db"), CAPS, Box::new(|| 7)).unwrap();
    assert_eq!(events.renew_epochs(START).unwrap(), 1);
    drop(events);
    let (log, _) = store(&folder);
    let read = Read { after: After::Position(known), bytes: 1, within_epoch: false };
    let answer = log.read(ada(), topic(), read, START).await;
    assert!(matches!(answer, Err(LogError::PositionLost { earliest }) if earliest.epoch > known.epoch));
    assert_eq!(count(&log).await, 1);
}
