//! Sessions that speak faster than they may.

use sdk_core::protocol::{Json, Recipient, Send, Sent, SlowDown};

use super::*;
use crate::limits::{Quota, Rates};

const NARROW: Rates = Rates { messages: 2, bytes: 10_000, burst: 2 };

fn server(change: impl FnOnce(&mut Quotas)) -> Server {
    let mut quotas = Quotas::DEFAULT;
    change(&mut quotas);
    Server { limiter: Limiter::new(quotas), ..Server::new() }
}

fn hello_of(tenant: &str, subject: &str, number: u8) -> ClientFrame {
    ClientFrame::Hello(Hello { token: token(tenant, subject), ..greeting(client(number), None) })
}

fn narrow() -> Server {
    server(|quotas| quotas.session = NARROW)
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
    let figures: Vec<_> = server.limiter.figures.read().collect();
    let of_session = |answer| ["session", "messages", answer];
    assert_eq!(figures, [(of_session("wait"), 1), (of_session("refused"), 1), (of_session("ended"), 1)]);
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

#[test]
fn sessions_of_one_user_have_one_limit_and_who_does_as_asked_is_not_ended_for_another() {
    let mut server = server(|quotas| {
        quotas.user = Quota { rates: Rates { messages: 4, bytes: 10_000, burst: 2 }, connections: 9 };
    });
    let (mut loud, mut quiet) = (server.open(1), server.open(2));
    while loud.received.is_empty() {
        server.send(&mut loud, &ClientFrame::Pong {});
    }
    assert!(matches!(loud.received[..], [ServerFrame::SlowDown(_)]));
    for _ in 0..20 {
        server.send(&mut loud, &ClientFrame::Pong {});
    }
    assert_eq!(loud.closed, None, "it may not have heard of it yet");
    // What the other one says is taken, and it learns that it has to wait as well.
    server.send(&mut quiet, &push(vec![set(1, "a", &[("x", "1")])]));
    let [ServerFrame::SlowDown(SlowDown { wait: 3_001 }), ServerFrame::Outcomes(_)] = &quiet.received[..]
    else {
        panic!("{:?}", quiet.received);
    };
    server.elapsed += 1_000;
    while loud.closed.is_none() {
        server.send(&mut loud, &ClientFrame::Pong {});
    }
    let Some(ServerFrame::Error(error)) = loud.received.last() else { panic!("{:?}", loud.received) };
    assert_eq!((error.code, error.retry_after), (ErrorCode::RateLimited, Some(3_001)));
    // To come back before the debt is paid is of no use.
    let mut again = server.connect();
    server.send(&mut again, &hello(client(1), None));
    let ServerFrame::Error(error) = again.take() else { panic!() };
    assert_eq!((error.code, error.retry_after), (ErrorCode::RateLimited, Some(3_001)));
    server.elapsed += 3_001;
    server.send(&mut quiet, &ClientFrame::Pong {});
    assert_eq!((quiet.closed, quiet.received.len()), (None, 2), "nothing else was said to it");
    server.open(1);
}

#[test]
fn a_user_has_so_many_sessions_and_another_has_their_own() {
    let mut server = server(|quotas| quotas.user.connections = 2);
    let first = server.open(1);
    let _second = server.open(2);
    let mut third = server.connect();
    server.send(&mut third, &hello(client(3), None));
    let ServerFrame::Error(error) = third.take() else { panic!() };
    assert_eq!((error.code, error.retry_after), (ErrorCode::RateLimited, Some(5_000)));
    let mut other = server.connect();
    server.send(&mut other, &hello_of("acme", "bob", 4));
    assert!(matches!(other.received[0], ServerFrame::Welcome(_)));
    drop(first);
    server.open(3);
}

#[test]
fn a_tenant_that_has_reached_its_limit_is_no_matter_of_another() {
    let mut server = server(|quotas| quotas.tenant = Quota { rates: NARROW, connections: 1 });
    let mut ada = server.open(1);
    while ada.closed.is_none() {
        server.send(&mut ada, &ClientFrame::Pong {});
        server.elapsed += 50;
    }
    let mut other = server.connect();
    server.send(&mut other, &hello_of("other", "ada", 2));
    assert!(matches!(other.received[0], ServerFrame::Welcome(_)));
    server.send(&mut other, &ClientFrame::Pong {});
    assert!(other.received.iter().all(|frame| !matches!(frame, ServerFrame::SlowDown(_))));
}
