//! Plain HTTP in the place of the WebSocket.

use super::*;

impl Bench {
    /// The WebSocket is refused; returns the HTTP requests that take its place.
    fn fall_back(&mut self) -> Vec<(HttpId, CallBody)> {
        self.input(Input::Wake);
        self.input(Input::Token(Ok("token".into())));
        let link = self.link();
        self.input(Input::LinkDown(link));
        self.calls()
    }

    fn calls(&mut self) -> Vec<(HttpId, CallBody)> {
        self.take(
            |effect| if let Effect::Http(id, call) = effect { Some((*id, call.body.clone())) } else { None },
        )
    }

    fn answer_pull(&mut self, id: HttpId, subject: &str) {
        let reply =
            crate::protocol::PullReply { welcome: welcome(subject), changes: vec![], judgements: vec![] };
        self.input(Input::HttpDone(id, Ok(Reply::Pull(reply))));
    }
}

#[test]
fn http_stands_in_while_the_websocket_is_refused_and_the_websocket_is_tried_again() {
    let mut bench = Bench::fresh();
    bench.submit(1, "a", 1);
    bench.commit();
    let calls = bench.fall_back();
    let [(id, CallBody::Pull(_))] = &calls[..] else { panic!("{calls:?}") };
    bench.answer_pull(*id, "ada");
    bench.commit();
    let calls = bench.calls();
    let [(id, CallBody::Push(request))] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(request.operations.len(), 1);
    let judgement = Judgement {
        seq: Seq(1),
        outcome: Outcome::Accepted {},
        position: Some(at(1)),
        by: None,
        event: None,
    };
    let reply = crate::protocol::PushReply { welcome: welcome("ada"), judgements: vec![judgement] };
    bench.input(Input::HttpDone(*id, Ok(Reply::Push(reply))));
    assert_eq!(bench.engine.status().link, crate::routing::LinkState::Degraded);
    bench.later(61_000);
    bench.link();
}

#[test]
fn a_server_that_refuses_every_request_is_no_slow_lane() {
    let mut bench = Bench::fresh();
    let calls = bench.fall_back();
    let [(id, CallBody::Pull(_))] = &calls[..] else { panic!("{calls:?}") };
    let forbidden = ProtocolError::new(ErrorCode::Forbidden, "no");
    bench.input(Input::HttpDone(*id, Err(HttpFailure::Refused(forbidden))));
    assert_eq!(bench.engine.status().link, crate::routing::LinkState::Down);
}

#[test]
fn over_http_nothing_is_pushed_before_the_token_is_known_to_be_the_owners() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.commit();
    bench.input(Input::Network(false));
    bench.submit(1, "a", 1);
    bench.commit();
    bench.input(Input::Network(true));
    let expired = ProtocolError::new(ErrorCode::TokenExpired, "expired");
    let next = bench.link();
    assert_ne!(link, next);
    bench.input(Input::LinkUp(next));
    bench.receive(next, ServerFrame::Error(expired));
    let calls = bench.fall_back();
    let [(id, CallBody::Pull(_))] = &calls[..] else { panic!("{calls:?}") };
    bench.answer_pull(*id, "ben");
    for _ in 0..20 {
        bench.later(60_000);
        bench.input(Input::Token(Ok("token".into())));
        for (id, body) in bench.calls() {
            assert!(matches!(body, CallBody::Pull(_)), "{body:?}");
            bench.answer_pull(id, "ben");
        }
    }
    assert_eq!(bench.engine.status().pending, 1);
}
