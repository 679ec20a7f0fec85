//! A session that goes on by another token.

use super::*;

/// A session whose token ends after so many milliseconds, with nothing left to do.
fn session(ends: Option<u64>) -> (Bench, LinkId) {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, welcomed(ends));
    bench.effects.clear();
    (bench, link)
}

fn welcomed(token_ends: Option<u64>) -> ServerFrame {
    ServerFrame::Welcome(Welcome { token_ends, ..welcome("ada") })
}

fn asks(bench: &mut Bench) -> usize {
    bench.take(|effect| (*effect == Effect::FetchToken).then_some(())).len()
}

/// The tokens that were sent to go on by, if nothing else was sent.
fn sent(bench: &mut Bench) -> Vec<String> {
    let refresh = |frame| match frame {
        ClientFrame::Refresh(refresh) => refresh.token,
        other => panic!("{other:?}"),
    };
    bench.frames().into_iter().map(refresh).collect()
}

fn heartbeat(bench: &mut Bench, link: LinkId) {
    bench.receive(link, ServerFrame::Ping {});
    bench.frames();
}

#[test]
fn another_token_is_asked_for_before_this_one_ends_and_the_session_goes_on_by_it() {
    let (mut bench, link) = session(Some(40_000));
    assert!(bench.engine.poll_timeout() <= Some(Millis(bench.now + 30_000)));
    bench.later(29_999);
    assert_eq!(asks(&mut bench), 0);
    bench.later(1);
    assert_eq!(asks(&mut bench), 1);
    bench.input(Input::Token(Ok("second".into())));
    assert_eq!(sent(&mut bench), ["second"]);
    bench.receive(link, welcomed(Some(40_000)));
    heartbeat(&mut bench, link);
    bench.later(30_000);
    assert_eq!(asks(&mut bench), 1, "and so on");
    let gone =
        bench.take(|effect| matches!(effect, Effect::Disconnect(_) | Effect::Connect(_)).then_some(()));
    assert!(gone.is_empty(), "it is the same session");
}

#[test]
fn of_a_long_life_the_last_minute_is_enough() {
    let (mut bench, link) = session(Some(3_600_000));
    for _ in 0..176 {
        heartbeat(&mut bench, link);
        bench.later(20_000);
        assert_eq!(asks(&mut bench), 0);
    }
    bench.later(20_000);
    assert_eq!(asks(&mut bench), 1);
}

#[test]
fn an_application_that_has_no_other_token_is_asked_again_and_nothing_is_sent() {
    let (mut bench, _) = session(Some(40_000));
    bench.later(30_000);
    for answer in [Ok("token".into()), Err(TokenError("not now".into()))] {
        assert_eq!(asks(&mut bench), 1);
        bench.input(Input::Token(answer));
        assert_eq!((sent(&mut bench).len(), asks(&mut bench)), (0, 0));
        assert!(bench.engine.status().problem.is_none(), "nothing is wrong yet");
        bench.later(5_000);
    }
    bench.input(Input::Token(Ok("late".into())));
    assert_eq!(sent(&mut bench), ["late"]);
}

#[test]
fn a_server_that_does_not_say_when_the_token_ends_is_sent_none() {
    let (mut bench, link) = session(None);
    for _ in 0..100 {
        heartbeat(&mut bench, link);
        bench.later(20_000);
    }
    assert_eq!(asks(&mut bench), 0);
}

#[test]
fn a_token_that_comes_when_the_session_is_over_is_for_the_next() {
    let (mut bench, link) = session(Some(40_000));
    bench.later(30_000);
    assert_eq!(asks(&mut bench), 1);
    bench.input(Input::LinkDown(link));
    bench.input(Input::Token(Ok("second".into())));
    assert_eq!(sent(&mut bench).len(), 0);
    bench.input(Input::Wake);
    let link = bench.link();
    bench.input(Input::LinkUp(link));
    let frames = bench.frames();
    assert!(matches!(&frames[..], [ClientFrame::Hello(hello)] if hello.token == "second"), "{frames:?}");
}

#[test]
fn a_session_does_not_go_on_in_the_name_of_somebody_else() {
    let (mut bench, link) = session(Some(40_000));
    bench.later(30_000);
    bench.input(Input::Token(Ok("bobs".into())));
    bench.receive(link, ServerFrame::Welcome(welcome("bob")));
    assert!(bench.effects.contains(&Effect::Disconnect(link)));
    assert_eq!(bench.engine.status().problem.map(|problem| problem.code), Some(ErrorCode::ClientIdTaken));
}
