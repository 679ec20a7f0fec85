//! Consumer groups in this database, of a log that is elsewhere.

#[cfg(feature = "redis")]
mod redis;

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sdk_core::clock::Millis;
use tempfile::TempDir;

use super::{
    server::{Server, apart},
    *,
};
use crate::{
    fixtures::{START, scope},
    storage::{
        StorageError,
        contract::groups::{Groups, groups_contract},
        events::{
            Append, Change, Claim, Claimed, ContentType, DeadLetters, EventLog, Fate, GroupName, GroupState,
            GroupStore, Lines, LogError, NewGroup, NewTopic, Rules, Settle, Settled, Start, TopicName,
            Verdict, Which,
        },
        postgres::{PostgresGroups, migrate_groups},
        sqlite::events::{Caps, EventStore, SqliteEvents},
    },
    tenant::TenantScope,
};

const LEASE: u64 = 1_000;

fn tables() -> Options {
    let options = unmigrated();
    migrate_groups(&Options { url: url("owner"), ..options.clone() }, "server").unwrap();
    options
}

fn log(path: &Path) -> Arc<EventStore> {
    let caps = Caps { topics: 32 };
    Arc::new(EventStore::open(path, caps, Box::new(|| 7), Box::new(|_| ())).unwrap())
}

fn over(options: &Options, log: &Arc<impl Lines>) -> Arc<PostgresGroups> {
    Arc::new(PostgresGroups::open(options, Key::fleeting().unwrap(), log.clone()).unwrap())
}

async fn groups() -> (Groups, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder.path().join("events.db"));
    let groups = over(&tables(), &log);
    (Groups { log, groups: groups.clone(), letters: groups }, folder)
}

groups_contract!(groups);

fn ada() -> TenantScope {
    scope("acme", "ada")
}

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn rules() -> Rules {
    Rules { lease_ms: LEASE, backoff_ms: 0, backoff_max_ms: 0, attempts: 50, ..Rules::default() }
}

async fn append(log: &impl EventLog, events: impl Iterator<Item = u32>) {
    let events = events.map(|n| Bytes::from(n.to_string())).collect();
    let append = Append { content_type: Some(ContentType::octets()), events, ..Append::default() };
    log.append(ada(), topic(), append, START).await.unwrap();
}

async fn make(store: &PostgresGroups, name: &str, rules: Rules) -> Result<(bool, GroupState), LogError> {
    let new = NewGroup { topic: topic(), start: Start::Earliest, rules, redelivery: Default::default() };
    store.make_group(ada(), group(name), new, START).await
}

/// The topic `t` with the events from 1 on, and the group `g` of it.
async fn share(log: &impl EventLog, store: &PostgresGroups, events: u32, rules: Rules) {
    log.create(ada(), topic(), NewTopic::default(), START).await.unwrap();
    append(log, 1..=events).await;
    make(store, "g", rules).await.unwrap();
}

async fn claim(store: &PostgresGroups, events: usize, now: Millis) -> Result<Claimed, LogError> {
    let claim = Claim { worker: "w".into(), events, bytes: 1_000_000, secret: random::name(), chance: 0 };
    store.claim(ada(), group("g"), claim, now).await
}

async fn settle(
    store: &PostgresGroups,
    claimed: &Claimed,
    verdict: Verdict,
    now: Millis,
) -> Result<Settled, LogError> {
    let lease = claimed.lease.as_ref().unwrap().id.clone();
    store.settle(ada(), group("g"), Settle { lease, positions: None, verdict, chance: 0 }, now).await
}

fn numbers(claimed: &Claimed) -> Vec<u32> {
    claimed.events.iter().map(|event| std::str::from_utf8(&event.body).unwrap().parse().unwrap()).collect()
}

fn rows(options: &Options, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    owner(options, |client| client.query_one(&sql, &[]).unwrap().get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_claim_at_once_hand_each_event_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder.path().join("events.db"));
    let options = tables();
    let instances = [over(&options, &log), over(&options, &log)];
    share(&*log, &instances[0], 120, rules()).await;
    let workers = (0..8).map(|n| {
        let store = instances[n % 2].clone();
        tokio::spawn(async move {
            let mut had = Vec::new();
            loop {
                let claimed = claim(&store, 5, START).await.unwrap();
                if claimed.events.is_empty() {
                    return had;
                }
                had.extend(numbers(&claimed));
                let settled = settle(&store, &claimed, Verdict::Ack, START).await.unwrap();
                assert_eq!(settled.events, claimed.events.len() as u64);
            }
        })
    });
    let mut had = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        had.extend(worker.await.unwrap());
    }
    had.sort_unstable();
    assert_eq!(had, (1..=120).collect::<Vec<_>>());
    let state = instances[1].group(ada(), group("g"), START).await.unwrap();
    assert_eq!((state.cursor, state.outstanding), (state.tail, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_had_who_died_goes_to_another_by_another_instance() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder.path().join("events.db"));
    let options = tables();
    let (first, second) = (over(&options, &log), over(&options, &log));
    share(&*log, &first, 2, rules()).await;
    let dead = claim(&first, 2, START).await.unwrap();
    assert!(claim(&second, 2, START.plus(LEASE - 1)).await.unwrap().events.is_empty());
    let again = claim(&second, 2, START.plus(LEASE)).await.unwrap();
    assert_eq!((numbers(&again), again.events[0].attempt), (vec![1, 2], 2));
    let late = settle(&first, &dead, Verdict::Ack, START.plus(LEASE)).await;
    assert!(matches!(late, Err(LogError::Fenced)), "{late:?}");
    assert_eq!(settle(&second, &again, Verdict::Ack, START.plus(LEASE)).await.unwrap().events, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_ends_its_groups_though_nobody_saw_it_gone() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder.path().join("events.db"));
    let store = over(&tables(), &log);
    share(&*log, &store, 2, rules()).await;
    let before = claim(&store, 2, START).await.unwrap();
    log.delete(ada(), topic(), START).await.unwrap();
    log.create(ada(), topic(), NewTopic::default(), START).await.unwrap();
    append(&*log, 7..=8).await;
    let settled = settle(&store, &before, Verdict::Ack, START).await;
    assert!(matches!(settled, Err(LogError::NoSuchGroup)), "{settled:?}");
    assert!(make(&store, "g", rules()).await.unwrap().0, "its name is free");
    assert_eq!(numbers(&claim(&store, 9, START).await.unwrap()), [7, 8]);
}

/// A log whose end is lost: what it was before the last events, as a new process finds it.
async fn shortened(folder: &TempDir, log: Arc<EventStore>, at: &Path, renew: bool) -> Arc<EventStore> {
    // Its threads have ended when nobody can write to it any more.
    drop(log);
    let path = folder.path().join("again.db");
    std::fs::copy(at, &path).unwrap();
    if renew {
        SqliteEvents::open(&path, Caps { topics: 32 }, Box::new(|| 9)).unwrap().renew_epochs(START).unwrap();
    }
    self::log(&path)
}

/// A copy of a database at this moment.
fn backup(folder: &TempDir) -> std::path::PathBuf {
    let copy = folder.path().join("backup.db");
    let from = rusqlite::Connection::open(folder.path().join("events.db")).unwrap();
    from.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_is_told_and_what_comes_then_is_handed_out() {
    for renew in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let first = log(&folder.path().join("events.db"));
        let options = tables();
        let store = over(&options, &first);
        share(&*first, &store, 2, rules()).await;
        let two = backup(&folder);
        append(&*first, 3..=5).await;
        let before = claim(&store, 9, START).await.unwrap();
        assert_eq!(numbers(&before), [1, 2, 3, 4, 5]);
        let done = before.events[..1].iter().chain(&before.events[4..]).map(|event| event.position).collect();
        let lease = before.lease.clone().unwrap().id;
        let ack = Settle { lease: lease.clone(), positions: Some(done), verdict: Verdict::Ack, chance: 0 };
        assert_eq!(store.settle(ada(), group("g"), ack, START).await.unwrap().events, 2);
        drop(store);

        let log = shortened(&folder, first, &two, renew).await;
        let store = over(&options, &log);
        if renew {
            // Were its events counted alone, nothing would be missing.
            append(&*log, 6..=9).await;
        }
        let claimed = claim(&store, 9, START).await.unwrap();
        let lost = claimed.lost.unwrap();
        assert_eq!((lost.events, lost.through.offset), (3, 2), "{renew}");
        if !renew {
            append(&*log, 6..=9).await;
        }
        let rest = if renew { claimed } else { claim(&store, 9, START).await.unwrap() };
        assert_eq!(numbers(&rest), [6, 7, 8, 9], "{renew}");
        // What is out and was not lost is still the worker's who has it; what was lost is nobody's.
        let old = Settle { lease, positions: None, verdict: Verdict::Ack, chance: 0 };
        assert_eq!(store.settle(ada(), group("g"), old, START).await.unwrap().events, 1, "{renew}");
        assert_eq!(settle(&store, &rest, Verdict::Ack, START).await.unwrap().events, 4);
        let state = store.group(ada(), group("g"), START).await.unwrap();
        assert_eq!((state.cursor, state.outstanding, state.lost), (state.tail, 0, 3), "{renew}");
        let next = claim(&store, 9, START).await.unwrap();
        assert!(next.lease.is_none() && next.lost.is_none(), "it is told once: {next:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_what_the_log_lost_is_not_taken_for_another_event() {
    let folder = tempfile::tempdir().unwrap();
    let first = log(&folder.path().join("events.db"));
    let options = tables();
    let store = over(&options, &first);
    share(&*first, &store, 1, Rules { attempts: 1, ..rules() }).await;
    let one = backup(&folder);
    append(&*first, 2..=2).await;
    let failed = claim(&store, 9, START).await.unwrap();
    let nack = Verdict::Nack { delay: None, error: "no".into() };
    settle(&store, &failed, nack, START).await.unwrap();
    drop(store);
    let log = shortened(&folder, first, &one, true).await;
    let store = over(&options, &log);
    append(&*log, 7..=7).await;
    assert_eq!(numbers(&claim(&store, 9, START).await.unwrap()), [7]);
    let letters = store.letters(ada(), group("g"), Which::After(0, 9), START).await.unwrap();
    assert_eq!(letters.len(), 2, "both are there to be read");
    let retry = |n: usize| store.change_letters(ada(), group("g"), Change::Retry(vec![letters[n].id]), START);
    assert_eq!(retry(0).await.unwrap(), [(letters[0].id, Fate::Retrying)]);
    let lost = retry(1).await;
    assert!(matches!(lost, Err(LogError::NoSuchGroup)), "{lost:?}");
    assert_eq!(numbers(&claim(&store, 9, START).await.unwrap()), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_leaves_nothing_of_what_is_gone_but_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder.path().join("events.db"));
    let options = tables();
    let store = over(&options, &log);
    share(&*log, &store, 300, Rules { attempts: 1, outstanding: 10_000, ..rules() }).await;
    make(&store, "h", rules()).await.unwrap();
    let dead = claim(&store, 1, START).await.unwrap();
    settle(&store, &dead, Verdict::Nack { delay: None, error: "no".into() }, START).await.unwrap();
    claim(&store, 1, START).await.unwrap();
    store.tidy(START.plus(LEASE - 1)).await.unwrap();
    assert_eq!((rows(&options, "letters"), rows(&options, "deliveries")), (1, 1));
    store.tidy(START.plus(LEASE)).await.unwrap();
    assert_eq!((rows(&options, "letters"), rows(&options, "deliveries")), (2, 0), "a lapse is a failure");
    claim(&store, 290, START.plus(LEASE)).await.unwrap();
    log.delete(ada(), topic(), START).await.unwrap();
    store.tidy(START.plus(LEASE)).await.unwrap();
    let left = ["topics", "groups", "leases", "deliveries", "letters"].map(|table| rows(&options, table));
    assert_eq!(left, [0, 0, 0, 0, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_does_not_wait_for_a_group_that_somebody_works_in() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder.path().join("events.db"));
    let options = tables();
    let store = over(&options, &log);
    share(&*log, &store, 2, rules()).await;
    make(&store, "h", rules()).await.unwrap();
    claim(&store, 1, START).await.unwrap();
    let ask = Claim { worker: "w".into(), events: 1, bytes: 9, secret: "s".into(), chance: 0 };
    store.claim(ada(), group("h"), ask, START).await.unwrap();
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let busy = options.clone();
    let holding = std::thread::spawn(move || {
        owner(&busy, move |client| {
            let mut transaction = client.transaction().unwrap();
            transaction.execute("SELECT 1 FROM groups WHERE name = 'g' FOR UPDATE", &[]).unwrap();
            locked.send(()).unwrap();
            released.recv().unwrap();
        });
    });
    is_locked.await.unwrap();
    store.tidy(START.plus(LEASE)).await.unwrap();
    assert_eq!(rows(&options, "leases"), 1, "that of the other was taken back");
    release.send(()).unwrap();
    holding.join().unwrap();
    store.tidy(START.plus(LEASE)).await.unwrap();
    assert_eq!(rows(&options, "leases"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_another_tenant_are_not_to_be_seen_whatever_a_statement_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder.path().join("events.db"));
    let options = tables();
    let store = over(&options, &log);
    share(&*log, &store, 3, Rules { attempts: 1, ..rules() }).await;
    let dead = claim(&store, 1, START).await.unwrap();
    settle(&store, &dead, Verdict::Nack { delay: None, error: "no".into() }, START).await.unwrap();
    claim(&store, 1, START).await.unwrap();
    store.letters(ada(), group("g"), Which::After(0, 9), START).await.unwrap();
    let settings = crate::storage::postgres::settings::Settings::new(&options).unwrap();
    let look = |tenant: &'static str| {
        let work = || {
            let mut raw = settings.connect().unwrap();
            raw.execute("SELECT set_config('webwaka.tenant', $1, false)", &[&tenant]).unwrap();
            let tables = ["topics", "groups", "leases", "deliveries", "letters", "viewings", "audit"];
            tables.map(|table| {
                let sql = format!("SELECT count(*) FROM {table} WHERE tenant <> ''");
                raw.query_one(&sql, &[]).unwrap().get::<_, i64>(0)
            })
        };
        std::thread::scope(|threads| threads.spawn(work).join().unwrap())
    };
    assert_eq!(look("acme"), [1, 1, 2, 1, 1, 1, 1]);
    assert_eq!(look("other"), [0; 7]);
}

/// Kills a process of a database that can expect nothing: all others end with it, and it recovers from its log.
fn kill(server: &Server) {
    let kill = || {
        let mut client = postgres::Client::connect(&server.url("owner"), postgres::NoTls).ok()?;
        let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).ok()?.get(0);
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        killed.success().then_some(())
    };
    // It may be about to recover from the time before.
    while kill().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_loses_no_event_and_hands_none_out_that_is_done() {
    let server = Arc::new(apart());
    let folder = tempfile::tempdir().unwrap();
    let log = log(&folder.path().join("events.db"));
    let options = Options { url: server.url("server"), ..unmigrated() };
    migrate_groups(&Options { url: server.url("owner"), ..options.clone() }, "server").unwrap();
    let instances = [over(&options, &log), over(&options, &log)];
    share(&*log, &instances[0], 100, rules()).await;
    // Of what was acknowledged nothing may come again.
    let (handed, done) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(Mutex::new(BTreeSet::new())));
    let clock = Arc::new(AtomicU64::new(START.0));
    let workers = (0..4).map(|n| {
        let (store, clock) = (instances[n % 2].clone(), clock.clone());
        let (handed, done) = (handed.clone(), done.clone());
        tokio::spawn(async move {
            loop {
                let now = Millis(clock.load(Ordering::Relaxed));
                let before: BTreeSet<u32> = done.lock().unwrap().clone();
                let Some(claimed) = answered(claim(&store, 2, now).await) else {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                };
                let claimed = claimed.unwrap();
                let had = numbers(&claimed);
                assert!(had.iter().all(|n| !before.contains(n)), "{had:?} of {before:?}");
                handed.lock().unwrap().extend(had.iter().copied());
                if had.is_empty() {
                    if let Some(state) = answered(store.group(ada(), group("g"), now).await) {
                        let state = state.unwrap();
                        if state.cursor == state.tail {
                            return;
                        }
                    }
                    // What a claim had whose answer was lost comes back when its lease is over.
                    clock.fetch_max(now.0 + LEASE, Ordering::Relaxed);
                    continue;
                }
                loop {
                    match answered(settle(&store, &claimed, Verdict::Ack, now).await) {
                        Some(Ok(_)) => {
                            done.lock().unwrap().extend(had);
                            break;
                        }
                        // Its lease was over for somebody else.
                        Some(Err(LogError::Fenced)) => break,
                        Some(Err(error)) => panic!("{error}"),
                        None => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    for killed in 1..=3 {
        while handed.lock().unwrap().len() < killed * 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let server = server.clone();
        tokio::task::spawn_blocking(move || kill(&server)).await.unwrap();
    }
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(*handed.lock().unwrap(), (1..=100).collect());
    let state = loop {
        if let Ok(state) = instances[0].group(ada(), group("g"), START).await {
            break state;
        }
    };
    assert_eq!((state.cursor, state.outstanding, state.lost, state.letters), (state.tail, 0, 0, 0));
}

/// What was answered, if the database was there to answer.
fn answered<T>(answer: Result<T, LogError>) -> Option<Result<T, LogError>> {
    match answer {
        Err(LogError::Storage(StorageError::Unavailable(_))) => None,
        answer => Some(answer),
    }
}
