//! The server is killed while several clients push to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use integration_tests::{Ledger, Server, client, eventually};
use sdk_core::{
    native::NativeClient,
    protocol::{Json, OpId, Outcome},
};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

const CLIENTS: usize = 4;
/// Submitted without waiting for one another, so that they go to the server as one batch.
const BURST: usize = 16;

/// What the clients were told.
#[derive(Default)]
struct Told {
    /// Operations that are durable on the client. Edits that were folded into one are one.
    saved: BTreeSet<OpId>,
    /// Operations that the server has acknowledged.
    acknowledged: BTreeMap<OpId, Outcome>,
    /// Those of them that came since the last look.
    recently: Vec<(OpId, Outcome)>,
}

/// Writes bursts until it is stopped: documents of its own, and a field of its own in a document that all share.
/// Returns how many bursts there were.
async fn write(client: NativeClient, number: usize, told: Arc<Mutex<Told>>, stop: Arc<AtomicBool>) -> usize {
    let cards = client.collection("cards").unwrap();
    let mut outcomes = JoinSet::new();
    let mut bursts = 0;
    while !stop.load(Ordering::Relaxed) {
        let shared = cards.update("shared", &json!({ format!("client-{number}"): bursts })).await.unwrap();
        let own: Vec<_> = (0..BURST).map(|n| format!("{number}-{bursts}-{n}")).collect();
        let value = json!({ "burst": bursts });
        let own = join_all(own.iter().map(|id| cards.put(id, &value))).await;
        for operation in own.into_iter().map(Result::unwrap).chain([shared]) {
            told.lock().unwrap().saved.insert(operation.id());
            let told = Arc::clone(&told);
            outcomes.spawn(async move {
                let outcome = operation.outcome().await.expect("the client is open");
                let mut told = told.lock().unwrap();
                told.recently.push((operation.id(), outcome.clone()));
                told.acknowledged.insert(operation.id(), outcome);
            });
        }
        bursts += 1;
        sleep(Duration::from_millis(fastrand::u64(20..60))).await;
        // Far ahead of the server there is nothing more to learn.
        while client.status().pending > 8 * BURST && !stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(5)).await;
        }
    }
    outcomes.join_all().await;
    bursts
}

/// Of the operations that were acknowledged, those that the database does not have with the same outcome.
fn missing<'a>(ledger: &Ledger, told: impl IntoIterator<Item = (&'a OpId, &'a Outcome)>) -> usize {
    let has = |id: &OpId, outcome: &Outcome| {
        ledger.judgement(*id).is_some_and(|judgement| judgement.outcome == *outcome)
    };
    told.into_iter().filter(|(id, outcome)| !has(id, outcome)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_mid_batch_loses_and_doubles_nothing_it_acknowledged() {
    let kills: usize = std::env::var("WAKA_KILLS").map_or(8, |kills| kills.parse().expect("a number"));
    let mut server = Server::start();
    let told = Arc::new(Mutex::new(Told::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = vec![];
    for number in 0..CLIENTS {
        clients.push(client(&server.url(), server.tokens(&format!("writer-{number}"))).await);
    }
    let writers: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(number, (client, _))| {
            tokio::spawn(write(client.clone(), number, Arc::clone(&told), Arc::clone(&stop)))
        })
        .collect();

    for kill in 0..kills {
        let before = told.lock().unwrap().acknowledged.len();
        eventually("the server acknowledges something", || told.lock().unwrap().acknowledged.len() > before)
            .await;
        sleep(Duration::from_millis(fastrand::u64(0..150))).await;
        eventually("the server has work in hand", || {
            clients.iter().any(|(client, _)| client.status().pending > 0)
        })
        .await;
        server.kill();
        // What was acknowledged before the server's end was on its disk then.
        let recently = std::mem::take(&mut told.lock().unwrap().recently);
        let lost = missing(&server.ledger(), recently.iter().map(|(id, outcome)| (id, outcome)));
        assert_eq!(
            lost,
            0,
            "kill {kill}: {lost} of {} acknowledged since the last are missing",
            recently.len()
        );
        server.restart();
        for (client, _) in &clients {
            // A hint that it is worth trying at once; they would find out by themselves, but later each time.
            client.set_network(false);
            client.set_network(true);
        }
    }
    stop.store(true, Ordering::Relaxed);
    eventually("everything is settled", || clients.iter().all(|(client, _)| client.status().pending == 0))
        .await;
    let mut bursts = vec![];
    for writer in writers {
        bursts.push(writer.await.unwrap());
    }
    for (client, _) in &clients {
        client.clone().close().await;
    }

    server.kill();
    let ledger = server.ledger();
    let Told { saved, acknowledged, .. } = std::mem::take(&mut *told.lock().unwrap());
    let saved = saved.len();
    let missing = missing(&ledger, &acknowledged);
    let offsets = ledger.offsets("cards");
    let distinct = offsets.iter().collect::<BTreeSet<_>>().len();
    let doubled = (ledger.count() - saved.min(ledger.count())) + (offsets.len() - distinct);
    println!(
        "kills in mid-batch: {kills}, operations: {saved}, acknowledged: {}, missing: {missing}, doubled: {doubled}",
        acknowledged.len()
    );
    assert_eq!((missing, doubled), (0, 0));
    assert_eq!(acknowledged.len(), saved, "every operation was settled in the end");
    assert!(acknowledged.values().all(|outcome| *outcome == Outcome::Accepted {}));
    assert_eq!(offsets, (1..=saved as u64).collect::<Vec<_>>(), "each has its place, and no place is empty");
    assert_eq!(ledger.head("cards").0, saved as u64);

    for (number, bursts) in bursts.into_iter().enumerate() {
        let last = bursts - 1;
        let shared = ledger.document("cards", "shared").unwrap();
        let value = shared.values().find(|(name, _)| name.as_str() == format!("client-{number}")).unwrap().1;
        assert_eq!(value.as_str(), last.to_string(), "the last of its lane came last");
        for (burst, n) in (0..bursts).flat_map(|burst| (0..BURST).map(move |n| (burst, n))) {
            let document = ledger.document("cards", &format!("{number}-{burst}-{n}"));
            let value = document.as_ref().and_then(|document| Some(document.values().next()?.1));
            assert_eq!(value.as_ref().map(Json::as_str), Some(burst.to_string().as_str()));
        }
    }
}
