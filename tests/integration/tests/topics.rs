//! Clients that read topics, over networks and restarts.

use futures::StreamExt;
use integration_tests::{Proxy, Server, Topic, Weather, client, open, waits};
use sdk_core::{
    client::{Delivery, TopicError},
    protocol::Start,
};

async fn orders(server: &Server) -> Topic {
    let topic = Topic::of(&server.url(), &server.token("dev", "shop", 3_600), "orders/eu");
    topic.make().await;
    topic
}

/// The next event, which is a number.
async fn next<S>(events: &mut S) -> u64
where
    S: futures::Stream<Item = Result<Delivery, TopicError>> + Unpin,
{
    match waits("an event", events.next()).await {
        Some(Ok(Delivery::Event(event))) => event.read().unwrap(),
        other => panic!("no event but {other:?}"),
    }
}

#[tokio::test]
async fn events_come_as_they_are_appended_over_cuts_and_crashes_each_once() {
    let mut server = Server::start();
    let topic = orders(&server).await;
    let proxy = Proxy::before(server.port()).await;
    let (ada, _ada) = client(&proxy.url(), server.tokens("ada")).await;
    let mut events = ada.topic("orders/eu").unwrap().subscribe(Start::Earliest {});
    for n in 0..200 {
        match n {
            50 => proxy.set(Weather::Cut),
            70 => proxy.set(Weather::Fair),
            120 => server.restart(),
            _ => {}
        }
        while !topic.publish("shop", n, &n.to_string()).await {}
    }
    for n in 0..200 {
        assert_eq!(next(&mut events).await, n);
    }
}

#[tokio::test]
async fn a_lasting_reader_goes_on_after_what_it_has_dealt_with() {
    let server = Server::start();
    let topic = orders(&server).await;
    let folder = tempfile::tempdir().unwrap();
    for n in 0..5 {
        assert!(topic.publish("shop", n, &n.to_string()).await);
    }
    let ada = open(&server.url(), folder.path(), server.tokens("ada")).await.unwrap();
    let mut events = ada.topic("orders/eu").unwrap().subscribe_durable("feed", Start::Earliest {});
    // The third was given out and not dealt with.
    for n in 0..3 {
        assert_eq!(next(&mut events).await, n);
    }
    drop(events);
    // Whatever was asked of the store before is in it when this is.
    ada.collection("cards").unwrap().put("a", &serde_json::json!({})).await.unwrap();
    ada.close().await;

    let ada = open(&server.url(), folder.path(), server.tokens("ada")).await.unwrap();
    let mut events = ada.topic("orders/eu").unwrap().subscribe_durable("feed", Start::Earliest {});
    for n in 2..5 {
        assert_eq!(next(&mut events).await, n);
    }
}

/// More than the client keeps for an application that does not read.
#[tokio::test]
async fn a_program_that_does_not_read_is_not_flooded_and_misses_nothing() {
    const BATCHES: u64 = 40;
    const BATCH: u64 = 100;
    let server = Server::start();
    let topic = orders(&server).await;
    let (ada, _ada) = client(&server.url(), server.tokens("ada")).await;
    let mut events = ada.topic("orders/eu").unwrap().subscribe(Start::Earliest {});
    assert!(topic.publish("shop", 0, "0").await);
    assert_eq!(next(&mut events).await, 0);
    for batch in 0..BATCHES {
        let numbers: Vec<_> = (1..=BATCH).map(|n| batch * BATCH + n).collect();
        assert!(topic.publish("shop", batch + 1, &serde_json::to_string(&numbers).unwrap()).await);
    }
    for n in 1..=BATCHES * BATCH {
        assert_eq!(next(&mut events).await, n);
    }
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_an_error_and_ends_the_stream() {
    let server = Server::start();
    let (ada, _ada) = client(&server.url(), server.tokens("ada")).await;
    let mut events = ada.topic("nothing").unwrap().subscribe(Start::Earliest {});
    match waits("an answer", events.next()).await {
        Some(Err(TopicError::Refused(reason))) => assert_eq!(reason.code, "no_such_topic"),
        other => panic!("{other:?}"),
    }
    assert_eq!(events.next().await, None);
    assert!(ada.topic("a//b").is_err());
}
