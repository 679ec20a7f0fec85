//! Topics over real WebSockets.

use reqwest::Client;
use sdk_core::protocol::{ClientFrame, Events, ServerFrame, Start, Subscribe, TopicPosition, Unsubscribe};

use tokio_tungstenite::tungstenite::Message;

use crate::support::{Running, Socket, push, set};

const TOPIC: &str = "orders/eu";

async fn request(server: &Running, request: reqwest::RequestBuilder) -> reqwest::Response {
    let request = request.bearer_auth(server.token("acme", "ada")).header("content-type", "application/json");
    let response = request.send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    response
}

fn url(server: &Running) -> String {
    server.http(&format!("/v1/streams/{TOPIC}"))
}

async fn append(server: &Running, body: String) {
    request(server, Client::new().post(url(server)).body(body)).await;
}

async fn subscribe(socket: &mut Socket, start: Start) {
    socket.send(&ClientFrame::Subscribe(Subscribe { sub: 1, topic: TOPIC.into(), start })).await;
}

async fn events(socket: &mut Socket) -> Events {
    match socket.next_answer().await {
        Some(ServerFrame::Events(events)) => events,
        other => panic!("no events but {other:?}"),
    }
}

fn after(position: TopicPosition) -> Start {
    Start::After(position.to_string())
}

#[tokio::test]
async fn a_position_is_the_same_over_http_and_in_the_socket() {
    let server = Running::start().await;
    request(&server, Client::new().put(url(&server)).body("[1,2]")).await;
    let mut socket = server.session(1).await;
    subscribe(&mut socket, Start::Earliest {}).await;
    let first = events(&mut socket).await;
    let read = format!("{}?offset={}", url(&server), first.to);
    append(&server, "[3]".into()).await;
    let over_http = request(&server, Client::new().get(read)).await;
    let next = over_http.headers()["stream-next-offset"].to_str().unwrap().to_owned();
    assert_eq!(over_http.text().await.unwrap(), "[3]");
    let pushed = events(&mut socket).await;
    assert_eq!((pushed.events[0].as_str(), pushed.from), ("3", first.to));
    assert_eq!(pushed.to.to_string(), next);

    socket.send(&ClientFrame::Unsubscribe(Unsubscribe { sub: 1 })).await;
    append(&server, "[4]".into()).await;
    subscribe(&mut socket, Start::After(next)).await;
    let mended = events(&mut socket).await;
    assert_eq!((mended.events.len(), mended.events[0].as_str(), mended.recovered), (1, "4", true));
}

/// The reader stops reading while more is appended than all buffers on the way hold.
#[tokio::test]
async fn a_reader_that_stops_reading_catches_up_from_the_log_without_a_hole() {
    const BATCHES: u64 = 60;
    const BATCH: u64 = 4;
    let server = Running::start().await;
    request(&server, Client::new().put(url(&server))).await;
    let (mut slow, mut quick) = (server.session(1).await, server.session(2).await);
    for socket in [&mut slow, &mut quick] {
        subscribe(socket, Start::Latest {}).await;
        assert!(events(socket).await.events.is_empty());
    }
    let filler = "x".repeat(60_000);
    for batch in 0..BATCHES {
        let numbered = |n| format!("[{},\"{filler}\"]", batch * BATCH + n);
        append(&server, format!("[{}]", (0..BATCH).map(numbered).collect::<Vec<_>>().join(","))).await;
    }
    for socket in [&mut slow, &mut quick] {
        let (mut next, mut position) = (0, None);
        while next < BATCHES * BATCH {
            let Events { from, to, events, recovered, more, .. } = events(socket).await;
            assert!(recovered && position.is_none_or(|position| position == from), "{next}");
            for event in &events {
                assert!(event.as_str().starts_with(&format!("[{next},")), "{next} is missing");
                next += 1;
            }
            position = Some(to);
            if more {
                subscribe(socket, after(to)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_session_that_is_over_hears_no_event_behind_its_close() {
    let server = Running::start().await;
    request(&server, Client::new().put(url(&server))).await;
    let mut socket = server.session(1).await;
    subscribe(&mut socket, Start::Latest {}).await;
    assert!(events(&mut socket).await.events.is_empty());
    socket.send_message(Message::Binary(vec![1].into())).await;
    let Some(ServerFrame::Error(_)) = socket.next().await else { panic!("no error") };
    append(&server, "[1]".into()).await;
    let rest = socket.rest().await;
    assert!(matches!(rest[..], [Ok(Message::Close(_))]), "{rest:?}");
}

/// Reads a subscription up to so many events, and answers for what it has of other frames.
async fn read_all(socket: &mut Socket, sub: u64, count: usize) -> Vec<String> {
    let (mut all, mut position) = (Vec::new(), None);
    while all.len() < count {
        let Events { from, to, events, recovered, more, .. } = match socket.next_answer().await {
            Some(ServerFrame::Events(events)) if events.sub == sub => events,
            Some(
                ServerFrame::Events(_)
                | ServerFrame::Outcomes(_)
                | ServerFrame::Changes(_)
                | ServerFrame::Ping {},
            ) => continue,
            other => panic!("no events but {other:?}"),
        };
        assert!(
            recovered && !more && position.is_none_or(|position| position == from),
            "{position:?} {from}"
        );
        assert_eq!(to.offset, from.offset + events.len() as u64);
        all.extend(events.iter().map(|event| event.as_str().to_owned()));
        position = Some(to);
    }
    all
}

/// What is appended goes to most readers past their sessions, which at the same time send what is theirs to send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_have_the_same_events_in_the_same_order_whatever_else_their_sessions_do() {
    const READERS: u8 = 100;
    const EVENTS: usize = 400;
    let server = Running::start().await;
    request(&server, Client::new().put(url(&server))).await;
    let mut sockets = Vec::new();
    for number in 1..=READERS {
        let mut socket = server.session(number).await;
        subscribe(&mut socket, Start::Latest {}).await;
        events(&mut socket).await;
        sockets.push(socket);
    }
    // A second reader of the topic in one of the sessions.
    let second = Subscribe { sub: 2, topic: TOPIC.into(), start: Start::Latest {} };
    sockets[0].send(&ClientFrame::Subscribe(second)).await;
    events(&mut sockets[0]).await;

    let reads = sockets.into_iter().enumerate().map(|(at, mut socket)| async move {
        // Some edit documents meanwhile.
        for seq in 1..=10 * u64::from(at % 4 == 1) {
            socket.send(&push(vec![set(seq, &format!("doc-{at}"), "title", "1")])).await;
        }
        let sub = if at == 0 { 2 } else { 1 };
        read_all(&mut socket, sub, EVENTS).await
    });
    let appends = futures::future::join_all((0..8).map(|writer| {
        let server = &server;
        async move {
            for n in 0..EVENTS / 8 {
                append(server, format!("[\"{writer}-{n}\"]")).await;
            }
        }
    }));
    let (all, _) = futures::future::join(futures::future::join_all(reads), appends).await;
    for read in &all {
        assert_eq!(*read, all[0]);
    }
}
