//! What the embedded log promises beyond the contract.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::storage::sqlite::audit;
use crate::{
    fixtures::{START, scope},
    storage::{
        contract::{
            events::events_contract,
            groups::{Groups, groups_contract},
        },
        events::{
            After, Append, Change, Claim, Claimed, ContentType, DeadLetters, EventLog, GroupName, GroupStore,
            Lifetime, NewGroup, NewTopic, Producer, Read, Retention, Rules, Settle, Start, TopicName, Unread,
            Verdict, Which,
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

async fn groups() -> (Groups, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    let log = Arc::new(log);
    (Groups { log: log.clone(), groups: log.clone(), letters: log }, folder)
}

groups_contract!(groups);

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

fn group() -> GroupName {
    GroupName::new("g").unwrap()
}

/// The topic `t` with some events, and the group `g` of it.
async fn share(log: &EventStore, events: usize, rules: Rules) {
    let ada = || scope("acme", "ada");
    log.create(ada(), topic(), NewTopic::default(), START).await.unwrap();
    log.append(ada(), topic(), octets(events), START).await.unwrap();
    let new = NewGroup { topic: topic(), start: Start::Earliest, rules, redelivery: Default::default() };
    log.make_group(ada(), group(), new, START).await.unwrap();
}

async fn claim(log: &EventStore, events: usize, now: Millis) -> Claimed {
    let claim = Claim { worker: "w".into(), events, bytes: 1_000_000, secret: "s".into(), chance: 0 };
    log.claim(scope("acme", "ada"), group(), claim, now).await.unwrap()
}

async fn settle(log: &EventStore, claimed: &Claimed, verdict: Verdict) -> u64 {
    let lease = claimed.lease.as_ref().unwrap().id.clone();
    let settle = Settle { lease, positions: None, verdict, chance: 0 };
    log.settle(scope("acme", "ada"), group(), settle, START).await.unwrap().events
}

#[tokio::test]
async fn what_a_group_was_told_is_there_after_a_restart_with_its_leases() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    share(&log, 3, Rules::default()).await;
    let (done, out) = (claim(&log, 1, START).await, claim(&log, 1, START).await);
    assert_eq!(settle(&log, &done, Verdict::Ack).await, 1);
    drop(log);
    let (log, _) = store(&folder);
    assert_eq!(settle(&log, &done, Verdict::Ack).await, 0, "a repetition is known as one");
    assert_eq!(&claim(&log, 9, START).await.events[0].body[..], b"2");
    assert_eq!(settle(&log, &out, Verdict::Ack).await, 1);
}

#[tokio::test]
async fn upkeep_takes_back_what_lapsed_though_nobody_claims() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    share(&log, 1, Rules { attempts: 1, lease_ms: 1_000, ..Rules::default() }).await;
    claim(&log, 1, START).await;
    log.tidy(START.plus(999)).await.unwrap();
    assert_eq!((rows(&folder, "leases"), rows(&folder, "letters")), (1, 0));
    log.tidy(START.plus(1_000)).await.unwrap();
    let left = ["leases", "letters", "deliveries"].map(|table| rows(&folder, table));
    assert_eq!(left, [0, 1, 0]);
}

#[tokio::test]
async fn upkeep_gives_up_the_bytes_that_a_group_may_not_leave_unread() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    let unread = Unread { bytes: Some(4), ..Unread::default() };
    share(&log, 10, Rules { unread, ..Rules::default() }).await;
    log.tidy(START).await.unwrap();
    let claimed = claim(&log, 99, START).await;
    assert_eq!((claimed.events.len(), claimed.lost.unwrap().events), (4, 6));
}

#[tokio::test]
async fn upkeep_leaves_nothing_of_a_removed_group_but_its_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    share(&log, 2_000, Rules { attempts: 1, outstanding: 10_000, ..Rules::default() }).await;
    let dead = claim(&log, 1, START).await;
    settle(&log, &dead, Verdict::Nack { delay: None, error: "no".into() }).await;
    claim(&log, 1_000, START).await;
    log.remove_group(scope("acme", "ada"), group(), START).await.unwrap();
    log.tidy(START).await.unwrap();
    let left = ["groups", "leases", "deliveries", "letters"].map(|table| rows(&folder, table));
    assert_eq!(left, [0, 0, 0, 1]);
}

#[tokio::test]
async fn a_damaged_group_is_left_as_it_is_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    let rules = || Rules { attempts: 1, lease_ms: 1_000, ..Rules::default() };
    share(&log, 1, rules()).await;
    let ada = || scope("acme", "ada");
    let worse = GroupName::new("a").unwrap();
    let new =
        NewGroup { topic: topic(), start: Start::Earliest, rules: rules(), redelivery: Default::default() };
    log.make_group(ada(), worse.clone(), new, START).await.unwrap();
    let ask = Claim { worker: "w".into(), events: 1, bytes: 9, secret: "s".into(), chance: 0 };
    log.claim(ada(), worse.clone(), ask, START).await.unwrap();
    claim(&log, 1, START).await;
    let connection = Connection::open(folder.path().join("events.db")).unwrap();
    connection.execute("UPDATE groups SET rules = '{' WHERE name = 'a'", []).unwrap();
    log.tidy(START.plus(1_000)).await.unwrap();
    assert_eq!((rows(&folder, "leases"), rows(&folder, "letters")), (1, 1), "that of the other has lapsed");
    let listed = log.groups(ada(), None, 9, START).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|(name, state)| (name.as_str(), state.is_some())).collect();
    assert_eq!(listed, [("a", false), ("g", true)]);
    assert!(matches!(
        log.group(ada(), worse, START).await,
        Err(LogError::Storage(StorageError::Corrupt { .. }))
    ));
    // Mended, it goes on where it was.
    let mended = serde_json::to_string(&rules()).unwrap();
    connection.execute("UPDATE groups SET rules = ?1 WHERE name = 'a'", [mended]).unwrap();
    log.tidy(START.plus(1_000)).await.unwrap();
    assert_eq!((rows(&folder, "leases"), rows(&folder, "letters")), (0, 2));
}

#[tokio::test]
async fn a_database_of_version_4_goes_on_and_knows_the_bytes_of_its_letters() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    share(&log, 1, Rules { attempts: 1, ..Rules::default() }).await;
    let claimed = claim(&log, 1, START).await;
    settle(&log, &claimed, Verdict::Nack { delay: None, error: "no".into() }).await;
    drop(log);
    let connection = Connection::open(folder.path().join("events.db")).unwrap();
    let back = "ALTER TABLE topics DROP COLUMN made; ALTER TABLE topics DROP COLUMN sure;
        ALTER TABLE groups DROP COLUMN letter_bytes; ALTER TABLE topics DROP COLUMN redelivery;
        DROP TABLE new_names; DROP TABLE viewings; PRAGMA user_version = 4";
    connection.execute_batch(back).unwrap();
    connection.execute_batch(audit::tests::UNDO).unwrap();
    let (log, _) = store(&folder);
    assert_eq!(log.group(scope("acme", "ada"), group(), START).await.unwrap().letters, 1);
    let bytes: u64 = connection.query_row("SELECT letter_bytes FROM groups", [], |row| row.get(0)).unwrap();
    assert_eq!(bytes, 1);
}

#[tokio::test]
async fn one_record_stands_for_a_viewing_however_often_the_list_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    share(&log, 1, Rules::default()).await;
    let look = async |subject: &str, at: Millis| {
        log.letters(scope("acme", subject), group(), Which::After(0, 9), at).await.unwrap();
        rows(&folder, "audit")
    };
    assert_eq!(look("ada", START).await, 1);
    let end = START.plus(audit::VIEWING);
    assert_eq!(look("ada", Millis(end.0 - 1)).await, 1);
    assert_eq!(look("olga", START.plus(1)).await, 2, "another is on record as well");
    assert_eq!(look("ada", end).await, 3, "as is who looks for longer");
    assert_eq!(rows(&folder, "viewings"), 2);
    assert_eq!(look("ada", START).await, 4, "also if the clock was set back");
    // Once they are over nothing is left of them but their records.
    assert_eq!(look("eve", end.plus(2 * audit::VIEWING)).await, 5);
    assert_eq!(rows(&folder, "viewings"), 1);
}

#[tokio::test]
async fn what_is_administered_is_on_record_in_a_chain() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = store(&folder);
    share(&log, 1, Rules { attempts: 1, ..Rules::default() }).await;
    let claimed = claim(&log, 1, START).await;
    settle(&log, &claimed, Verdict::Nack { delay: None, error: "no".into() }).await;
    let ada = || scope("acme", "ada");
    let letters = log.letters(ada(), group(), Which::After(0, 9), START).await.unwrap();
    log.letters(ada(), group(), Which::One(letters[0].id), START).await.unwrap();
    log.change_letters(ada(), group(), Change::Retry(vec![letters[0].id]), START).await.unwrap();
    let viewing = format!("g until {}", START.plus(audit::VIEWING).0);
    let expected = [
        ("dead letters listed", &*viewing),
        ("dead letter read", "g 1.1"),
        ("dead letters retried", "g 1.1"),
    ];
    let chain = audit::Audit::open(&folder.path().join("events.db"), audit::TOPICS).unwrap();
    let mut found = Vec::new();
    let verified = chain.verify("acme", &[], |record| found.push(record.clone())).unwrap();
    assert_eq!((verified.records, verified.findings), (3, vec![]));
    for (record, (action, target)) in found.iter().zip(expected) {
        assert_eq!((&*record.action, record.target.as_deref()), (action, Some(target)));
        assert_eq!((&*record.outcome, record.subject.as_deref()), ("allowed", Some("ada")));
    }
}
