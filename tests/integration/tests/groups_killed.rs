//! The server is killed while programs publish to a topic and the workers of a group share its events.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::join_all;
use integration_tests::{Claimed, Group, Said, Server, Topic, eventually, waits};
use serde_json::json;
use tokio::time::sleep;

const PUBLISHERS: usize = 20;
const WORKERS: usize = 20;
/// Keys of one publisher.
const KEYS: u64 = 3;
/// Milliseconds of a lease: short, so that many lapse.
const LEASE: u64 = 2_000;

/// An event: its key, and its number among those of the key.
type Event = (String, u64);

/// Once that an event was handed out.
#[derive(Debug, Clone, Copy)]
struct Handed {
    until: u64,
    received: u64,
    failed: bool,
    done: bool,
}

/// What all of them have seen together.
#[derive(Default)]
struct Seen {
    acknowledged: BTreeSet<Event>,
    /// By event, and by the number of the lease.
    handed: BTreeMap<Event, BTreeMap<u64, Handed>>,
    /// How many of a key's events somebody has said to be done, whether or not that was heard.
    said_done: BTreeMap<String, u64>,
    out_of_order: usize,
    unrecovered: usize,
}

fn wall() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// Publishes numbered events until it is stopped, each until it is acknowledged.
async fn publish(topic: Topic, number: usize, seen: Arc<Mutex<Seen>>, stop: Arc<AtomicBool>) {
    for sequence in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let event: Event = (format!("{number}-{}", sequence % KEYS), sequence / KEYS);
        let body = json!({ "subject": event.0, "n": event.1 }).to_string();
        while !topic.publish(&format!("producer-{number}"), sequence, &body).await {
            sleep(Duration::from_millis(5)).await;
        }
        seen.lock().unwrap().acknowledged.insert(event);
        sleep(Duration::from_millis(fastrand::u64(0..40))).await;
    }
}

/// Notes what was handed out, and gives back the events of it with their positions.
fn note(seen: &Mutex<Seen>, claimed: &Claimed, lease: u64) -> Vec<(Event, String)> {
    let mut seen = seen.lock().unwrap();
    let (until, received) = (claimed.until.unwrap(), wall());
    seen.unrecovered += usize::from(!claimed.recovered);
    let event = |event: &serde_json::Value| {
        (event["subject"].as_str().unwrap().to_owned(), event["n"].as_u64().unwrap())
    };
    let events: Vec<_> =
        claimed.events.iter().map(|delivery| (event(&delivery.event), delivery.position.clone())).collect();
    for (event, _) in &events {
        // The one before was said to be done before this one was handed out.
        let before = seen.said_done.get(&event.0).copied().unwrap_or(0);
        seen.out_of_order += usize::from(before < event.1);
        let handed = Handed { until, received, failed: false, done: false };
        seen.handed.entry(event.clone()).or_default().insert(lease, handed);
    }
    events
}

/// Works on what it is handed until all is done: mostly well, sometimes it fails, and sometimes it falls silent.
async fn work(group: Group, name: String, seen: Arc<Mutex<Seen>>, end: Arc<AtomicBool>) {
    while !end.load(Ordering::Relaxed) {
        let Some(claimed) = group.claim(&name, 5).await else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        let Some(lease) = claimed.lease.clone() else { continue };
        let number: u64 = lease.split_once('.').unwrap().0.parse().unwrap();
        let events = note(&seen, &claimed, number);
        for (event, position) in events {
            let positions = [position];
            let draw = fastrand::u32(0..100);
            if draw < 2 {
                continue;
            }
            let failed = draw < 12;
            if !failed {
                let mut seen = seen.lock().unwrap();
                let said = seen.said_done.entry(event.0.clone()).or_default();
                *said = (*said).max(event.1 + 1);
            }
            let said = loop {
                let answer = if failed {
                    // Noted before: it may be handed out anew before the answer is here.
                    if let Some(handed) =
                        seen.lock().unwrap().handed.get_mut(&event).unwrap().get_mut(&number)
                    {
                        handed.failed = true;
                    }
                    group.nack(&lease, &positions).await
                } else {
                    group.ack(&lease, &positions).await
                };
                match answer {
                    Some(said) => break said,
                    None => sleep(Duration::from_millis(5)).await,
                }
            };
            if !failed && said == Said::Yes {
                seen.lock().unwrap().handed.get_mut(&event).unwrap().get_mut(&number).unwrap().done = true;
            }
        }
    }
}

/// The state of a group once it has resolved all events, for as long as it goes on resolving some.
async fn resolved(group: &Group) -> serde_json::Value {
    let mut cursor = serde_json::Value::Null;
    loop {
        let moved = async {
            loop {
                let state = group.state().await.unwrap_or_default();
                if state["cursor"] != cursor || (!cursor.is_null() && state["cursor"] == state["tail"]) {
                    return state;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let state = waits("the group resolves its next event", moved).await;
        if state["cursor"].is_string() && state["cursor"] == state["tail"] {
            return state;
        }
        cursor = state["cursor"].clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_a_group_loses_no_event_and_no_ack_and_keeps_the_order_of_keys() {
    let kills: usize = std::env::var("WAKA_KILLS").map_or(50, |kills| kills.parse().expect("a number"));
    let mut server = Server::start();
    let token = server.token("dev", "worker", 3_600);
    let topic = Topic::of(&server.url(), &token, "jobs");
    topic.make().await;
    let group = Group::of(&server.url(), &token, "workers");
    group.make("jobs", json!({ "lease_ms": LEASE, "attempts": 50, "backoff_ms": 50 })).await;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (stop, end) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|n| tokio::spawn(publish(topic.clone(), n, Arc::clone(&seen), Arc::clone(&stop))))
        .collect();
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| {
            tokio::spawn(work(group.clone(), format!("worker-{n}"), Arc::clone(&seen), Arc::clone(&end)))
        })
        .collect();
    let progress = |seen: &Mutex<Seen>| {
        let seen = seen.lock().unwrap();
        seen.acknowledged.len().min(seen.said_done.values().map(|done| *done as usize).sum())
    };

    for _ in 0..kills {
        let before = progress(&seen);
        eventually("events are published and worked on", || progress(&seen) > before + 20).await;
        sleep(Duration::from_millis(fastrand::u64(0..100))).await;
        server.kill();
        server.restart();
    }
    stop.store(true, Ordering::Relaxed);
    join_all(publishers).await.into_iter().for_each(|publisher| publisher.unwrap());
    let state = resolved(&group).await;
    end.store(true, Ordering::Relaxed);
    join_all(workers).await.into_iter().for_each(|worker| worker.unwrap());

    assert_eq!(
        [&state["outstanding"], &state["dead_letters"], &state["lost"], &state["skipped"]],
        [0, 0, 0, 0]
    );
    let seen = seen.lock().unwrap();
    let is_done = |event: &Event| seen.said_done.get(&event.0).is_some_and(|done| *done > event.1);
    let missing = seen.acknowledged.iter().filter(|event| !is_done(event)).count();
    let (mut early, mut after_done, mut again) = (0, 0, 0);
    for handed in seen.handed.values() {
        let handed: Vec<Handed> = handed.values().copied().collect();
        again += handed.len() - 1;
        for pair in handed.windows(2) {
            // Whoever had it before has failed, or was silent for too long.
            early += usize::from(!pair[0].failed && pair[1].received < pair[0].until);
            after_done += usize::from(pair[0].done);
        }
    }
    println!(
        "kills: {kills}, events: {}, workers: {WORKERS}, handed out again: {again}, missing: {missing}, before the lease \
         was over: {early}, after an acknowledgement: {after_done}, out of order: {}",
        seen.acknowledged.len(),
        seen.out_of_order
    );
    assert_eq!((missing, early, after_done, seen.out_of_order, seen.unrecovered), (0, 0, 0, 0, 0));
    assert!(again > 0, "some events were handed out again");
}
