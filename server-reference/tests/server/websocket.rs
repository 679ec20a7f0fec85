//! The server over real sockets.

use crate::support::{Running, Socket, cards, client, push, set};
use std::time::Duration;

use sdk_core::protocol::{ClientFrame, ErrorCode, Json, Limits, Outcome, ServerFrame};
use server_reference::config::ServerConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

fn code(frame: Option<ServerFrame>) -> ErrorCode {
    match frame {
        Some(ServerFrame::Error(error)) => error.code,
        other => panic!("no error but {other:?}"),
    }
}

#[tokio::test]
async fn an_edit_is_acknowledged_and_reaches_another_session() {
    let server = Running::start().await;
    let (mut ada, mut bob) = (server.session(1).await, server.session(2).await);
    ada.send(&push(vec![set(1, "a", "title", "\"milk\"")])).await;
    let Some(ServerFrame::Outcomes(outcomes)) = ada.next_answer().await else { panic!() };
    assert_eq!(outcomes.judgements[0].outcome, Outcome::Accepted {});

    let Some(ServerFrame::Changes(changes)) = bob.next().await else { panic!() };
    assert_eq!(Some(&changes.to), outcomes.judgements[0].position.as_ref());
    let values: Vec<_> = changes.documents[0].doc.values().map(|(_, value)| value).collect();
    assert_eq!(values, [Json::parse("\"milk\"").unwrap()]);
}

#[tokio::test]
async fn many_sessions_writing_at_once_all_see_the_same_in_the_end() {
    let server = Running::start().await;
    let mut sessions = Vec::new();
    for number in 1..=8 {
        sessions.push(server.session(number).await);
    }
    let work = sessions.into_iter().zip(1..).map(|(mut session, number): (Socket, u8)| async move {
        for seq in 1..=20 {
            session.send(&push(vec![set(seq, &format!("doc-{seq}"), &format!("by-{number}"), "1")])).await;
        }
        let (mut judged, mut head) = (0, None);
        while judged < 20 || head != Some(160) {
            match session.next().await.unwrap() {
                ServerFrame::Outcomes(outcomes) => judged += outcomes.judgements.len(),
                ServerFrame::Changes(changes) => {
                    if let (Some(known), Some(from)) = (head, &changes.from) {
                        assert_eq!(from.offset.0, known, "a hole, or something twice");
                    }
                    head = Some(changes.to.offset.0);
                }
                other => panic!("{other:?}"),
            }
        }
    });
    futures::future::join_all(work).await;

    let mut reader = server.socket().await;
    reader.send(&ClientFrame::Hello(server.hello(9))).await;
    reader.next().await;
    let Some(ServerFrame::Changes(all)) = reader.next().await else { panic!() };
    assert_eq!(all.documents.len(), 20);
    assert!(all.documents.iter().all(|changed| changed.doc.values().count() == 8));
}

#[tokio::test]
async fn a_session_resumes_where_it_stopped() {
    let server = Running::start().await;
    let mut ada = server.session(1).await;
    ada.send(&push(vec![set(1, "a", "x", "1")])).await;
    let Some(ServerFrame::Outcomes(outcomes)) = ada.next_answer().await else { panic!() };
    let position = outcomes.judgements[0].position.clone();
    drop(ada);
    let mut bob = server.session(2).await;
    bob.send(&push(vec![set(1, "b", "x", "2")])).await;
    assert!(matches!(bob.next_answer().await, Some(ServerFrame::Outcomes(_))));

    let mut again = server.socket().await;
    let hello = sdk_core::protocol::Hello { resume: vec![cards(position.clone())], ..server.hello(1) };
    again.send(&ClientFrame::Hello(hello)).await;
    again.next().await;
    let Some(ServerFrame::Changes(changes)) = again.next().await else { panic!() };
    assert!(changes.recovered);
    assert_eq!(changes.from, position);
    let ids: Vec<_> = changes.documents.iter().map(|changed| changed.id.as_str()).collect();
    assert_eq!(ids, ["b"]);
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_by_name() {
    let server = Running::start().await;
    let mut ada = server.session(1).await;
    let long = " ".repeat(Limits::default().frame_bytes + 1);
    ada.send_message(Message::Text(long.into())).await;
    assert_eq!(code(ada.next().await), ErrorCode::FrameTooLarge);
    assert_eq!(ada.next().await, None);
}

#[tokio::test]
async fn binary_data_and_an_early_push_are_refused_by_name() {
    let server = Running::start().await;
    let mut ada = server.session(1).await;
    ada.send_message(Message::Binary(vec![1, 2, 3].into())).await;
    assert_eq!(code(ada.next().await), ErrorCode::Malformed);
    assert_eq!(ada.next().await, None);

    let mut hasty = server.socket().await;
    hasty.send(&push(vec![set(1, "a", "x", "1")])).await;
    assert_eq!(code(hasty.next().await), ErrorCode::UnexpectedFrame);
    assert_eq!(hasty.next().await, None);
}

#[tokio::test]
async fn the_upgrade_needs_the_subprotocol_and_an_allowed_origin() {
    let server = Running::start().await;
    let status = async |request| match Socket::connect(request).await.err().map(|error| *error) {
        Some(Error::Http(response)) => response.status().as_u16(),
        Some(other) => panic!("{other}"),
        None => 101,
    };
    let with = |name: &'static str, value: &str| {
        let mut request = server.request();
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    assert_eq!(status(with("origin", "http://localhost:5173")).await, 101);
    assert_eq!(status(with("origin", "https://evil.example")).await, 403);
    assert_eq!(status(with("origin", "null")).await, 403);
    assert_eq!(status(with("sec-websocket-protocol", "webwaka.realtime.v9")).await, 400);
}

#[tokio::test]
async fn a_stop_says_go_away_to_every_session_and_returns() {
    let server = Running::start().await;
    let mut sessions = [server.session(1).await, server.session(2).await];
    let silent = server.socket().await;
    let address = server.address;
    let stopping = server.stop();
    for session in &mut sessions {
        assert!(matches!(session.next().await, Some(ServerFrame::GoAway(_))));
        assert_eq!(session.next().await, None);
    }
    stopping.await.unwrap().unwrap();
    drop(silent);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn another_subject_cannot_use_a_client_id() {
    let server = Running::start().await;
    let _ada = server.session(1).await;
    let mut eve = server.socket().await;
    let stolen = sdk_core::protocol::Hello {
        token: server.token("acme", "eve"),
        client: client(1),
        ..server.hello(1)
    };
    eve.send(&ClientFrame::Hello(stolen)).await;
    assert_eq!(code(eve.next().await), ErrorCode::ClientIdTaken);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_dropped_and_nobody_waits_for_it() {
    let write_deadline = Duration::from_millis(300);
    let server = Running::start_with(|config| ServerConfig { write_deadline, ..config }).await;
    let (mut ada, mut lazy) = (server.session(1).await, server.session(2).await);
    let big = format!("\"{}\"", "x".repeat(100_000));
    // Far more than the sockets' own buffers hold.
    for seq in 1..=150 {
        ada.send(&push(vec![set(seq, "a", "x", &big)])).await;
        assert!(matches!(ada.next_answer().await, Some(ServerFrame::Outcomes(_))));
    }
    tokio::time::sleep(write_deadline * 3).await;
    let mut last = 0;
    while let Some(frame) = lazy.next().await {
        let ServerFrame::Changes(changes) = frame else { panic!("{frame:?}") };
        last = changes.to.offset.0;
    }
    assert!(last < 150, "it was given everything");
    let mut again = server.socket().await;
    again.send(&ClientFrame::Hello(server.hello(2))).await;
    again.next().await;
    let Some(ServerFrame::Changes(changes)) = again.next().await else { panic!() };
    assert_eq!(changes.to.offset.0, 150);
}
