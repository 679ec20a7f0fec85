//! How sessions end.

use super::*;

#[test]
fn a_peer_that_says_nothing_is_let_go() {
    let mut server = Server::new();
    let mut mute = server.connect();
    assert_eq!(mute.session.poll_timeout(), Some(Millis(FIRST_FRAME_DEADLINE)));
    server.wait(&mut mute, FIRST_FRAME_DEADLINE);
    assert_eq!(mute.error(), ErrorCode::Timeout);

    let mut ada = server.open(1);
    for _ in 0..2 {
        server.wait(&mut ada, HEARTBEAT);
        assert_eq!(ada.take(), ServerFrame::Ping {});
    }
    server.send(&mut ada, &ClientFrame::Pong {});
    server.wait(&mut ada, SILENCE - 1);
    assert_eq!(ada.take(), ServerFrame::Ping {});
    server.wait(&mut ada, 1);
    assert_eq!(ada.error(), ErrorCode::Timeout);
}

#[test]
fn a_slow_commit_is_not_taken_for_silence_of_the_peer() {
    let mut server = Server::new();
    let mut ada = server.open(1);
    server.hold_commits = true;
    server.send(&mut ada, &push(vec![set(1, "a", &[("x", "1")])]));
    server.wait(&mut ada, SILENCE * 2);
    assert!(ada.closed.is_none());
    let held = ada.held.remove(0);
    let result = server.commit(held);
    server.give(&mut ada, Input::Committed(result));
    assert!(ada.closed.is_none());
    assert!(matches!(ada.received.last(), Some(ServerFrame::Outcomes(_))));
}

#[test]
fn a_session_ends_with_its_token() {
    let mut server = Server::new();
    let mut ada = server.connect();
    let short = issuer().mint("acme", "ada", 10, START).unwrap();
    server.send(&mut ada, &ClientFrame::Hello(Hello { token: short, ..greeting(client(1), None) }));
    assert_eq!(ada.session.poll_timeout(), Some(Millis(10_000)));
    server.wait(&mut ada, 9_999);
    assert!(ada.closed.is_none());
    server.wait(&mut ada, 1);
    assert_eq!(ada.error(), ErrorCode::TokenExpired);
}

#[test]
fn a_shutdown_says_so_and_still_answers_for_what_is_being_committed() {
    let mut server = Server::new();
    let (mut idle, mut busy) = (server.open(1), server.open(2));
    server.give(&mut idle, Input::Shutdown);
    assert!(matches!(idle.received[..], [ServerFrame::GoAway(_)]));
    assert_eq!(idle.closed, Some(Closing::GoingAway));

    server.hold_commits = true;
    server.send(&mut busy, &push(vec![set(1, "a", &[("x", "1")])]));
    server.send(&mut busy, &push(vec![set(2, "a", &[("x", "2")])]));
    server.give(&mut busy, Input::Shutdown);
    assert!(busy.closed.is_none() && !busy.session.wants_frame());
    let held = busy.held.remove(0);
    let result = server.commit(held);
    server.give(&mut busy, Input::Committed(result));
    let [ServerFrame::GoAway(_), ServerFrame::Outcomes(outcomes)] = &busy.received[..] else {
        panic!("{:?}", busy.received);
    };
    assert_eq!(outcomes.judgements[0].outcome, Outcome::Accepted {});
    assert_eq!(busy.closed, Some(Closing::GoingAway));
    assert!(busy.held.is_empty());
}
