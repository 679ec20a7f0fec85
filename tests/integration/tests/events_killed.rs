//! The server is killed while programs publish to its topics and others read them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use integration_tests::{Server, Topic, eventually};
use tokio::time::sleep;

const PUBLISHERS: usize = 20;
const READERS: usize = 20;
const TOPICS: usize = 4;

/// What one publisher knows of its events.
#[derive(Debug, Clone, Copy, Default)]
struct Published {
    /// Batches that the server has acknowledged.
    acknowledged: u64,
    /// Batches that it has tried to publish.
    tried: u64,
}

/// Publishes numbered batches until it is stopped, each until it is acknowledged.
async fn publish(topic: Topic, number: usize, told: Arc<Mutex<Vec<Published>>>, stop: Arc<AtomicBool>) {
    for sequence in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        told.lock().unwrap()[number].tried = sequence + 1;
        let body = format!("[\"{number}:{sequence}:a\",\"{number}:{sequence}:b\"]");
        while !topic.publish(&format!("producer-{number}"), sequence, &body).await {
            sleep(Duration::from_millis(5)).await;
        }
        told.lock().unwrap()[number].acknowledged = sequence + 1;
        sleep(Duration::from_millis(fastrand::u64(0..10))).await;
    }
}

/// Reads from the beginning until it is stopped and has all, and returns what it read.
async fn read(topic: Topic, stop: Arc<AtomicBool>, lost: Arc<AtomicUsize>) -> Vec<String> {
    let (mut position, mut seen) = ("-1".to_owned(), Vec::new());
    loop {
        let last = stop.load(Ordering::Relaxed);
        match topic.read(&position, !last).await {
            Some(page) => {
                if page.position < position && position != "-1" {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
                seen.extend(page.events);
                position = page.position;
                if last && page.up_to_date {
                    return seen;
                }
            }
            None => sleep(Duration::from_millis(5)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_publishers_and_readers_loses_and_doubles_no_event() {
    let kills: usize = std::env::var("WAKA_KILLS").map_or(50, |kills| kills.parse().expect("a number"));
    let mut server = Server::start();
    let token = server.token("dev", "publisher", 3_600);
    let topics: Vec<Topic> =
        (0..TOPICS).map(|n| Topic::of(&server.url(), &token, &format!("topic/{n}"))).collect();
    for topic in &topics {
        topic.make().await;
    }
    let told = Arc::new(Mutex::new(vec![Published::default(); PUBLISHERS]));
    let (stop, end, backwards) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default(), Arc::default());
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|n| tokio::spawn(publish(topics[n % TOPICS].clone(), n, Arc::clone(&told), Arc::clone(&stop))))
        .collect();
    let readers: Vec<_> = (0..READERS)
        .map(|n| tokio::spawn(read(topics[n % TOPICS].clone(), Arc::clone(&end), Arc::clone(&backwards))))
        .collect();
    let acknowledged = |told: &Mutex<Vec<Published>>| -> u64 {
        told.lock().unwrap().iter().map(|published| published.acknowledged).sum()
    };

    for _ in 0..kills {
        let before = acknowledged(&told);
        eventually("the server acknowledges something", || acknowledged(&told) > before + 20).await;
        sleep(Duration::from_millis(fastrand::u64(0..100))).await;
        eventually("the server has work in hand", || {
            told.lock().unwrap().iter().any(|told| told.tried > told.acknowledged)
        })
        .await;
        server.kill();
        server.restart();
    }
    stop.store(true, Ordering::Relaxed);
    join_all(publishers).await.into_iter().for_each(|publisher| publisher.unwrap());
    end.store(true, Ordering::Relaxed);
    let seen: Vec<Vec<String>> = join_all(readers).await.into_iter().map(Result::unwrap).collect();

    let told = told.lock().unwrap().clone();
    let (mut missing, mut doubled, mut disordered) = (0, 0, 0);
    for (reader, seen) in seen.iter().enumerate() {
        let mut events: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for event in seen {
            let (publisher, event) = event.split_once(':').unwrap();
            events.entry(publisher.parse().unwrap()).or_default().push(event);
        }
        for publisher in (0..PUBLISHERS).filter(|publisher| publisher % TOPICS == reader % TOPICS) {
            let of = |sequence: u64| [format!("{sequence}:a"), format!("{sequence}:b")];
            let expected: Vec<String> = (0..told[publisher].acknowledged).flat_map(of).collect();
            let events = events.remove(&publisher).unwrap_or_default();
            let mut sorted = events.clone();
            sorted.sort_unstable();
            sorted.dedup();
            doubled += events.len() - sorted.len();
            missing += expected.iter().filter(|event| sorted.binary_search(&event.as_str()).is_err()).count();
            disordered += usize::from(events != expected);
        }
        assert!(events.is_empty(), "a reader sees the events of its topic alone");
    }
    let total = told.iter().map(|published| published.acknowledged).sum::<u64>();
    println!(
        "kills in mid-batch: {kills}, batches: {total}, readers: {READERS}, missing: {missing}, doubled: {doubled}, \
         out of order: {disordered}"
    );
    assert_eq!((missing, doubled, disordered), (0, 0, 0));
    assert_eq!(backwards.load(Ordering::Relaxed), 0, "no position went back");
}
