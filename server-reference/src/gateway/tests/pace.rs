//! Sessions that speak faster than they may.

use sdk_core::protocol::{Json, Recipient, Send, Sent, SlowDown};

use super::*;

fn narrow() -> Server {
    Server { rates: Rates { frames: 2, bytes: 10_000, burst: 2 }, ..Server::new() }
}

#[test]
fn who_is_too_fast_is_asked_to_wait_then_refused_what_is_lost_without_harm_then_ended() {
    let mut server = narrow();
    let mut ada = server.open(1);
    for _ in 0..4 {
        server.send(&mut ada, &ClientFrame::Pong {});
    }
    assert!(ada.received.is_empty());
    // An edit is taken all the same: only its sender is to wait.
    server.send(&mut ada, &push(vec![set(1, "a", &[("x", "1")])]));
    let [ServerFrame::SlowDown(SlowDown { wait: 1_500 }), ServerFrame::Outcomes(_)] = &ada.received[..]
    else {
        panic!("{:?}", ada.received);
    };
    ada.received.clear();
    let (to, data) = (Recipient::User("bob".into()), Json::parse("1").unwrap());
    server.send(&mut ada, &ClientFrame::Send(Send { id: 7, to, data }));
    let ServerFrame::Sent(Sent { id: 7, count: 0, reason: Some(reason) }) = ada.take() else { panic!() };
    assert_eq!(reason.code, "rate_limited");
    while ada.closed.is_none() {
        server.send(&mut ada, &ClientFrame::Pong {});
    }
    let Some(ServerFrame::Error(error)) = ada.received.last() else { panic!() };
    assert_eq!((error.code, error.retry_after), (ErrorCode::RateLimited, Some(3_500)));
}

#[test]
fn who_waits_is_asked_no_more() {
    let mut server = narrow();
    let mut ada = server.open(1);
    for _ in 0..5 {
        server.send(&mut ada, &ClientFrame::Pong {});
    }
    assert_eq!(ada.take(), ServerFrame::SlowDown(SlowDown { wait: 1_500 }));
    server.elapsed += 1_000;
    for _ in 0..100 {
        server.elapsed += 500;
        server.send(&mut ada, &ClientFrame::Pong {});
    }
    let frames = ada.received.iter().filter(|frame| !matches!(frame, ServerFrame::Ping {}));
    assert_eq!(frames.count(), 0);
}
