//! Clients that publish to topics: offline, over kills of the server, from copies of one device.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use futures::future::join_all;
use integration_tests::{Proxy, Server, Topic, Weather, client, eventually, open, waits};
use sdk_core::{
    client::{CloudEvent, EncodeError, Operation, Publishing, SubmitError},
    native::NativeClient,
    protocol::{ErrorCode, Outcome},
};
use serde_json::{Value, json};

fn event(n: u64) -> CloudEvent {
    CloudEvent::new("counted").data(&n).unwrap()
}

async fn publish(client: &NativeClient, topic: &str, n: u64) -> Operation {
    client.topic(topic).unwrap().publish(&event(n)).await.unwrap()
}

/// The events of a topic.
async fn events(server: &Server, name: &str) -> Vec<Value> {
    let topic = Topic::of(&server.url(), &server.token("dev", "reader", 3_600), name);
    let (mut events, mut position) = (Vec::new(), "-1".to_owned());
    loop {
        let page = topic.read(&position, false).await.expect("the server answers");
        events.extend(page.events);
        position = page.position;
        if page.up_to_date {
            return events.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        }
    }
}

async fn data(server: &Server, topic: &str) -> Vec<u64> {
    events(server, topic).await.iter().map(|event| event["data"].as_u64().unwrap()).collect()
}

/// The place of an event in its topic.
async fn offset(operation: &Operation) -> u64 {
    match waits("an outcome", operation.outcome()).await.unwrap() {
        Outcome::Published { position } => position.offset,
        other => panic!("{other:?}"),
    }
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_copies_of_a_device_published_offline_is_in_its_topic_once_and_in_order() {
    let mut server = Server::start();
    server.kill();
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ada = open(&server.url(), folder.path(), server.tokens("ada")).await.unwrap();
    for n in 0..60 {
        publish(&ada, ["orders/eu", "orders/us"][n as usize % 2], n).await;
    }
    assert_eq!(ada.unpublished().len(), 60);
    ada.close().await;
    copy(folder.path(), other.path());
    server.restart();
    let ada = open(&server.url(), folder.path(), server.tokens("ada")).await.unwrap();
    let copied = open(&server.url(), other.path(), server.tokens("ada")).await.unwrap();
    let last = publish(&ada, "orders/eu", 60).await;
    offset(&last).await;
    eventually("both are done", || ada.unpublished().is_empty() && copied.unpublished().is_empty()).await;
    assert_eq!(data(&server, "orders/eu").await, (0..=60).step_by(2).collect::<Vec<_>>());
    assert_eq!(data(&server, "orders/us").await, (0..60).skip(1).step_by(2).collect::<Vec<_>>());
    let seen = events(&server, "orders/us").await;
    assert!(seen.iter().all(|event| event["specversion"] == "1.0" && event["type"] == "counted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_under_publishers_loses_doubles_and_turns_no_event() {
    const PUBLISHERS: u64 = 4;
    let kills: u64 = std::env::var("WAKA_KILLS").map_or(6, |kills| kills.parse().expect("a number"));
    let mut server = Server::start();
    let mut clients = vec![];
    for n in 0..PUBLISHERS {
        clients.push(client(&server.url(), server.tokens(&format!("publisher-{n}"))).await);
    }
    let mut handles: Vec<Vec<Operation>> = vec![vec![]; clients.len()];
    for round in 0..kills {
        for ((handles, (client, _)), n) in handles.iter_mut().zip(&clients).zip(0..) {
            let topic = client.topic(&format!("t/{}", n % 2)).unwrap();
            let made: Vec<_> = (0..40).map(|m| event(n * 1_000_000 + round * 1_000 + m)).collect();
            let saved = join_all(made.iter().map(|event| topic.publish(event))).await;
            handles.extend(saved.into_iter().map(Result::unwrap));
        }
        let pending = || -> usize { clients.iter().map(|(client, _)| client.status().pending).sum() };
        let before = pending();
        eventually("some are acknowledged", || pending() < before || before == 0).await;
        server.kill();
        server.restart();
    }
    let mut expected: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for (n, handles) in (0..).zip(&handles) {
        for (m, operation) in (0..).zip(handles) {
            let value = n * 1_000_000 + (m / 40) * 1_000 + m % 40;
            expected.entry(n % 2).or_default().push((offset(operation).await, value));
        }
    }
    for (topic, mut expected) in expected {
        expected.sort_unstable();
        let data = data(&server, &format!("t/{topic}")).await;
        let seen: Vec<_> = (1..).zip(data.iter().copied()).collect();
        assert_eq!(seen, expected, "each is where its publisher was told, and nothing else is there");
        for n in (0..PUBLISHERS).filter(|n| n % 2 == topic) {
            let own: Vec<u64> = data.iter().copied().filter(|value| value / 1_000_000 == n).collect();
            assert!(own.is_sorted(), "in the order in which they were published");
        }
    }
    println!("kills: {kills}, events: {}", handles.iter().map(Vec::len).sum::<usize>());
}

#[tokio::test]
async fn events_go_over_plain_http_where_no_websocket_gets_through() {
    let server = Server::start();
    let proxy = Proxy::before(server.port()).await;
    proxy.set(Weather::WebSocketsRefused);
    let (ada, _ada) = client(&proxy.url(), server.tokens("ada")).await;
    let card = ada.collection("cards").unwrap().put("a", &json!({ "n": 1 })).await.unwrap();
    let after = Publishing::default().after(&[&card]);
    let told = ada.topic("log").unwrap().publish_with(&event(7), after).await.unwrap();
    assert_eq!(offset(&told).await, 1);
    assert_eq!(data(&server, "log").await, [7]);
}

#[tokio::test]
async fn a_refused_event_holds_its_topic_until_it_is_mended() {
    let server = Server::start();
    let access = json!([{ "topic": "news", "may": "read" }, { "topic": "open" }]);
    let (eve, _eve) = client(&server.url(), server.granted("eve", &access)).await;
    let refused = publish(&eve, "news", 1).await;
    let waiting = publish(&eve, "news", 2).await;
    assert_eq!(offset(&publish(&eve, "open", 3).await).await, 1);
    // Whether the topic is there is not told to who may not write it, unless it may be read.
    let Outcome::Rejected(reason) = waits("a refusal", refused.outcome()).await.unwrap() else { panic!() };
    assert_eq!(reason.code, ErrorCode::Forbidden);
    let kept: Vec<_> = eve.unpublished().into_iter().map(|one| (one.seq, one.reason.is_some())).collect();
    assert_eq!(kept, [(refused.id().seq, true), (waiting.id().seq, false)]);
    assert_eq!((eve.status().rejected, eve.rejected().len()), (1, 0));
    eve.abort(refused.id().seq).await.unwrap();
    let second = waits("the next", waiting.outcome()).await.unwrap();
    assert!(matches!(second, Outcome::Rejected(_)), "it was held back, and is refused for itself");
}

#[tokio::test]
async fn what_is_no_event_is_refused_before_it_is_stored() {
    let server = Server::start();
    let (ada, _ada) = client(&server.url(), server.tokens("ada")).await;
    let topic = ada.topic("log").unwrap();
    for bad in [CloudEvent::new(""), event(1).with("Upper", "x"), event(1).with("time", "yesterday")] {
        let refused = topic.publish(&bad).await;
        assert!(matches!(refused, Err(SubmitError::Encode(EncodeError::Event(_)))), "{refused:?}");
    }
    assert!(ada.unpublished().is_empty());
    let named = event(2).with("id", "7").with("source", "/here").subject("a");
    assert_eq!(offset(&topic.publish(&named).await.unwrap()).await, 1);
    let [seen] = &events(&server, "log").await[..] else { panic!("one is there") };
    assert_eq!((&seen["id"], &seen["source"], &seen["subject"]), (&json!("7"), &json!("/here"), &json!("a")));
}

#[tokio::test]
async fn of_what_a_key_says_offline_the_latest_is_published() {
    let mut server = Server::start();
    server.kill();
    let (ada, _ada) = client(&server.url(), server.tokens("ada")).await;
    let topic = ada.topic("places").unwrap();
    let mut seqs = BTreeSet::new();
    for n in 0..20 {
        let how = Publishing::default().coalesce(["bus-1", "bus-2"][n as usize % 2]);
        seqs.insert(topic.publish_with(&event(n), how).await.unwrap().id().seq);
    }
    assert_eq!(seqs.len(), 2);
    server.restart();
    eventually("all are published", || ada.unpublished().is_empty()).await;
    assert_eq!(data(&server, "places").await, [18, 19]);
}
