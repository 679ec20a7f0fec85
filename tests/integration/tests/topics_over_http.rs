//! Clients that read topics where no WebSocket gets through.

use futures::StreamExt;
use integration_tests::{Proxy, Server, Topic, Weather, client, eventually, waits};
use sdk_core::{
    client::{Delivery, TopicError},
    native::NativeClient,
    protocol::Start,
    routing::LinkState,
};

struct World {
    server: Server,
    topic: Topic,
    proxy: Proxy,
    published: u64,
}

impl World {
    async fn in_weather(weather: Weather) -> Self {
        let server = Server::start();
        let topic = Topic::of(&server.url(), &server.token("dev", "shop", 3_600), "orders/eu");
        let proxy = Proxy::before(server.port()).await;
        proxy.set(weather);
        Self { server, topic, proxy, published: 0 }
    }

    /// Publishes the next numbers.
    async fn publish(&mut self, count: u64) {
        for n in self.published..self.published + count {
            while !self.topic.publish("shop", n, &n.to_string()).await {}
        }
        self.published += count;
    }
}

/// The next of a reader, which is a number; or so many that are missing.
async fn next<S>(events: &mut S) -> Result<u64, Option<u64>>
where
    S: futures::Stream<Item = Result<Delivery, TopicError>> + Unpin,
{
    match waits("an event", events.next()).await {
        Some(Ok(Delivery::Event(event))) => Ok(event.read().unwrap()),
        Some(Ok(Delivery::Gap { missed, .. })) => Err(missed),
        other => panic!("no event but {other:?}"),
    }
}

async fn link_is(ada: &NativeClient, state: LinkState) {
    eventually(&format!("the link is {state:?}"), || ada.status().link == state).await;
}

/// Each number once and in its order, in one kind of weather, in which answers that go on get through or do not, and then
/// over a WebSocket.
async fn each_comes_once_in(weather: Weather, streams: bool) {
    let mut world = World::in_weather(weather).await;
    world.topic.make().await;
    world.publish(300).await;
    let (ada, _ada) = client(&world.proxy.url(), world.server.tokens("ada")).await;
    let mut events = ada.topic("orders/eu").unwrap().subscribe(Start::Earliest {});
    for n in 0..300 {
        assert_eq!(next(&mut events).await, Ok(n));
    }
    assert_eq!(ada.status().link, LinkState::Degraded);
    for n in 300..305 {
        world.publish(1).await;
        assert_eq!(next(&mut events).await, Ok(n));
    }
    assert_eq!(ada.status().link, LinkState::Degraded);
    assert!(world.proxy.heard("live=sse"));
    assert_eq!(world.proxy.heard("live=long-poll"), !streams);

    world.proxy.set(Weather::Fair);
    link_is(&ada, LinkState::Up).await;
    world.publish(5).await;
    for n in 305..310 {
        assert_eq!(next(&mut events).await, Ok(n));
    }
}

#[tokio::test]
async fn events_come_over_http_where_websockets_are_refused_and_over_a_websocket_again() {
    each_comes_once_in(Weather::WebSocketsRefused, true).await;
}

#[tokio::test]
async fn events_come_through_a_proxy_that_collects_answers() {
    each_comes_once_in(Weather::Buffered, false).await;
}

#[tokio::test]
async fn events_come_through_a_proxy_that_cuts_what_waits() {
    each_comes_once_in(Weather::Impatient, false).await;
}

#[tokio::test]
async fn a_login_page_is_no_answer_and_moves_no_position() {
    let mut world = World::in_weather(Weather::WebSocketsRefused).await;
    world.topic.make().await;
    let (ada, _ada) = client(&world.proxy.url(), world.server.tokens("ada")).await;
    let mut events = ada.topic("orders/eu").unwrap().subscribe_durable("feed", Start::Earliest {});
    world.publish(3).await;
    for n in 0..3 {
        assert_eq!(next(&mut events).await, Ok(n));
    }
    world.proxy.set(Weather::LoginPage);
    world.publish(5).await;
    link_is(&ada, LinkState::Down).await;
    world.proxy.set(Weather::WebSocketsRefused);
    for n in 3..8 {
        assert_eq!(next(&mut events).await, Ok(n));
    }
    assert_eq!(ada.status().link, LinkState::Degraded);
}

#[tokio::test]
async fn who_begins_with_what_is_yet_to_come_misses_nothing_after_that_over_http() {
    let mut world = World::in_weather(Weather::WebSocketsRefused).await;
    world.topic.make().await;
    world.publish(3).await;
    let (ada, _ada) = client(&world.proxy.url(), world.server.tokens("ada")).await;
    let mut events = ada.topic("orders/eu").unwrap().subscribe(Start::Latest {});
    link_is(&ada, LinkState::Degraded).await;
    // It may take a while to find out where the topic ends, so the first that comes is any; all others follow.
    let first = {
        let mut coming = std::pin::pin!(next(&mut events));
        loop {
            world.publish(1).await;
            tokio::select! {
                first = &mut coming => break first.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    world.publish(2).await;
    for n in first + 1..world.published {
        assert_eq!(next(&mut events).await, Ok(n));
    }
}

#[tokio::test]
async fn events_that_are_kept_no_longer_are_told_of_over_http_in_their_place() {
    let mut world = World::in_weather(Weather::WebSocketsRefused).await;
    world.topic.make_keeping(10).await;
    world.publish(2).await;
    let (ada, _ada) = client(&world.proxy.url(), world.server.tokens("ada")).await;
    let mut events = ada.topic("orders/eu").unwrap().subscribe(Start::Earliest {});
    assert_eq!([next(&mut events).await, next(&mut events).await], [Ok(0), Ok(1)]);
    world.proxy.set(Weather::Cut);
    link_is(&ada, LinkState::Down).await;
    world.publish(100).await;
    world.proxy.set(Weather::WebSocketsRefused);
    let Err(Some(missed)) = next(&mut events).await else { panic!("it is told how many are missing") };
    assert!(missed > 0);
    for n in 2 + missed..102 {
        assert_eq!(next(&mut events).await, Ok(n));
    }
}

#[tokio::test]
async fn a_topic_that_is_not_there_and_one_that_is_closed_end_over_http_as_over_a_websocket() {
    let mut world = World::in_weather(Weather::WebSocketsRefused).await;
    let (ada, _ada) = client(&world.proxy.url(), world.server.tokens("ada")).await;
    let mut nothing = ada.topic("nothing").unwrap().subscribe(Start::Earliest {});
    match waits("an answer", nothing.next()).await {
        Some(Err(TopicError::Refused(reason))) => assert_eq!(reason.code, "no_such_topic"),
        other => panic!("{other:?}"),
    }
    assert_eq!(nothing.next().await, None);

    world.topic.make().await;
    world.publish(1).await;
    let mut events = ada.topic("orders/eu").unwrap().subscribe(Start::Earliest {});
    assert_eq!(next(&mut events).await, Ok(0));
    world.topic.end().await;
    assert_eq!(waits("the end", events.next()).await, None);
    assert_eq!(ada.status().link, LinkState::Degraded);
}

#[tokio::test]
async fn each_event_of_a_fork_has_a_position_from_which_reading_goes_on() {
    let mut world = World::in_weather(Weather::WebSocketsRefused).await;
    world.topic.make().await;
    world.publish(3).await;
    world.topic = Topic::of(&world.server.url(), &world.server.token("dev", "shop", 3_600), "orders/copy");
    world.topic.make_fork("orders/eu").await;
    for n in 3..6 {
        assert!(world.topic.publish("copier", n - 3, &n.to_string()).await);
    }
    let (ada, _ada) = client(&world.proxy.url(), world.server.tokens("ada")).await;
    let copy = ada.topic("orders/copy").unwrap();
    let mut events = copy.subscribe(Start::Earliest {});
    let mut positions = vec![];
    for n in 0..6 {
        match waits("an event", events.next()).await {
            Some(Ok(Delivery::Event(event))) if event.read::<u64>().unwrap() == n => {
                positions.push(event.position)
            }
            other => panic!("not {n} but {other:?}"),
        }
    }
    drop(events);
    for (position, n) in positions.into_iter().zip(1..6) {
        assert_eq!(next(&mut copy.subscribe(Start::from(position))).await, Ok(n));
    }
}

#[tokio::test]
async fn much_that_was_missed_comes_over_http_beside_a_websocket_and_what_follows_over_that() {
    let world = World::in_weather(Weather::Fair).await;
    world.topic.make().await;
    let all: Vec<u64> = (0..10_000).collect();
    assert!(world.topic.publish("shop", 0, &serde_json::to_string(&all).unwrap()).await);
    let (ada, _ada) = client(&world.proxy.url(), world.server.tokens("ada")).await;
    link_is(&ada, LinkState::Up).await;
    let mut events = ada.topic("orders/eu").unwrap().subscribe(Start::Earliest {});
    for n in all {
        assert_eq!(next(&mut events).await, Ok(n));
    }
    assert!(world.proxy.heard("GET /v1/streams/orders/eu?within=epoch&offset="));
    assert!(!world.proxy.heard("live="));
    assert!(world.topic.publish("shop", 1, "10000").await);
    assert_eq!(next(&mut events).await, Ok(10_000));
    assert_eq!(ada.status().link, LinkState::Up);
}
