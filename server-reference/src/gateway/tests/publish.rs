//! Publishing over a session, on a real log.

use sdk_core::protocol::{Json, Publication, Publish, Seq};

use super::*;
use crate::{
    fixtures::{granted_token, scope},
    storage::events::{After, Append},
};

fn event(id: &str, data: &str) -> String {
    format!(r#"{{"specversion":"1.0","type":"t","source":"/s","id":"{id}","data":{data}}}"#)
}

fn publication(seq: u64, topic: &str, event: &str) -> Publication {
    let topic = TopicName::new(topic).unwrap();
    Publication { seq: Seq(seq), topic, event: Json::parse(event).unwrap() }
}

fn publish(publications: Vec<Publication>) -> ClientFrame {
    ClientFrame::Publish(Publish { publications })
}

impl Server {
    /// What a topic holds.
    fn events_of(&self, topic: &str) -> Vec<String> {
        let read = Read { after: After::Start, bytes: usize::MAX, within_epoch: false };
        let slice = self.read(scope("acme", "ada"), TopicName::new(topic).unwrap(), read).unwrap();
        slice.events.iter().map(|event| String::from_utf8(event.to_vec()).unwrap()).collect()
    }
}

impl Peer {
    /// The answer to what was sent: of each judgement the seq, and the offset or the code.
    fn judged(&mut self) -> Vec<(u64, Result<u64, ErrorCode>)> {
        let ServerFrame::Outcomes(outcomes) = self.take() else { panic!("no outcomes") };
        let short = |outcome| match outcome {
            Outcome::Published { position } => Ok(position.offset),
            Outcome::Rejected(rejection) => Err(rejection.code),
            other => panic!("{other:?}"),
        };
        outcomes.judgements.into_iter().map(|judged| (judged.seq.0, short(judged.outcome))).collect()
    }
}

#[test]
fn an_event_is_appended_once_whoever_sends_it_again() {
    let mut server = Server::new();
    let batch =
        || publish(vec![publication(7, "t", &event("a", "1")), publication(8, "t", &event("b", "2"))]);
    let mut peer = server.open(1);
    server.send(&mut peer, &batch());
    assert_eq!(peer.judged(), [(7, Ok(1)), (8, Ok(2))]);
    let mut copy = server.open(2);
    server.send(
        &mut copy,
        &publish(vec![publication(3, "t", &event("b", "2")), publication(4, "t", &event("c", "3"))]),
    );
    assert_eq!(copy.judged(), [(3, Ok(2)), (4, Ok(3))]);
    server.send(&mut peer, &batch());
    assert_eq!(peer.judged(), [(7, Ok(1)), (8, Ok(2))]);
    assert_eq!(server.events_of("t"), [event("a", "1"), event("b", "2"), event("c", "3")]);
}

#[test]
fn what_is_behind_a_refused_event_of_its_topic_is_not_looked_at() {
    let mut server = Server::new();
    let mut peer = server.open(1);
    let huge = event("b", &format!("\"{}\"", "x".repeat(Limits::default().operation_bytes)));
    let cases = [(r#"{"type":"t"}"#.to_owned(), ErrorCode::BadEvent), (huge, ErrorCode::EventTooLarge)];
    for (n, (bad, code)) in cases.into_iter().enumerate() {
        let (t, u) = (format!("t{n}"), format!("u{n}"));
        let batch = vec![
            publication(1, &t, &event("a", "1")),
            publication(2, &t, &bad),
            publication(3, &u, &event("a", "1")),
            publication(4, &t, &event("c", "3")),
        ];
        server.send(&mut peer, &publish(batch));
        assert_eq!(peer.judged(), [(1, Ok(1)), (2, Err(code)), (3, Ok(1))]);
        assert_eq!(server.events_of(&t), [event("a", "1")]);
    }
    // Refused by the log itself, before what would have been refused without it.
    let batch =
        vec![publication(5, "t0", &event("a", "2")), publication(6, "t0", "1"), publication(7, "u0", "2")];
    server.send(&mut peer, &publish(batch));
    assert_eq!(peer.judged(), [(5, Err(ErrorCode::EventIdReused)), (7, Err(ErrorCode::BadEvent))]);
}

#[test]
fn a_topic_outside_the_claim_and_a_closed_one_refuse_events_by_code() {
    let mut server = Server::new();
    let mut eve = server.connect();
    let access = serde_json::json!([{ "topic": "open/*" }, { "topic": "news", "may": "read" }]);
    let token = granted_token("eve", access);
    server.send(&mut eve, &ClientFrame::Hello(Hello { token, ..greeting(client(9), None) }));
    eve.received.clear();
    let mut ada = server.open(1);
    let everywhere =
        |seq| ["open/1", "news", "secret"].map(|topic| publication(seq, topic, &event("a", "1"))).to_vec();
    server.send(&mut ada, &publish(everywhere(1)));
    assert_eq!(ada.judged(), [(1, Ok(1)), (1, Ok(1)), (1, Ok(1))]);
    server.send(&mut eve, &publish(everywhere(2)));
    let refused = [(2, Ok(1)), (2, Err(ErrorCode::Forbidden)), (2, Err(ErrorCode::NoSuchTopic))];
    assert_eq!(eve.judged(), refused);
    let close = Append { close: true, ..Append::default() };
    let topic = TopicName::new("open/1").unwrap();
    block_on(server.events.append(scope("acme", "ada"), topic, close, START)).unwrap();
    server.send(&mut eve, &publish(vec![publication(3, "open/1", &event("b", "2"))]));
    assert_eq!(eve.judged(), [(3, Err(ErrorCode::TopicClosed))]);
}

#[test]
fn events_do_not_wait_for_documents_nor_the_session_for_a_log_that_fails() {
    let mut server = Server::new();
    let mut peer = server.open(1);
    server.hold_commits = true;
    server.send(&mut peer, &push(vec![set(1, "a", &[("x", "1")])]));
    server.send(&mut peer, &publish(vec![publication(2, "t", &event("a", "1"))]));
    assert_eq!(peer.judged(), [(2, Ok(1))]);
    server.hold_publications = true;
    server.send(&mut peer, &publish(vec![publication(3, "t", &event("b", "2"))]));
    let batch = peer.held.pop().unwrap();
    let committed = server.commit(batch);
    server.give(&mut peer, Input::Committed(committed));
    assert!(matches!(peer.take(), ServerFrame::Outcomes(_)), "what is durable is told");
    let failed = StorageError::Unavailable("the disk is full".into());
    server.give(&mut peer, Input::Published(Err(failed.into())));
    assert_eq!(peer.error(), ErrorCode::StorageUnavailable);
    assert_eq!(peer.closed, Some(Closing::Refused(ErrorCode::StorageUnavailable)));
}

#[test]
fn a_server_that_stops_answers_for_events_that_are_with_the_log() {
    let mut server = Server::new();
    server.hold_publications = true;
    let mut peer = server.open(1);
    server.send(&mut peer, &publish(vec![publication(1, "t", &event("a", "1"))]));
    server.send(&mut peer, &publish(vec![publication(2, "t", &event("b", "2"))]));
    server.give(&mut peer, Input::Shutdown);
    assert!(matches!(peer.take(), ServerFrame::GoAway(_)));
    assert_eq!(peer.closed, None);
    let publishing = peer.publishing.pop().unwrap();
    let answer = server.publish(publishing);
    server.give(&mut peer, Input::Published(answer));
    assert_eq!(peer.judged(), [(1, Ok(1))]);
    assert_eq!(peer.closed, Some(Closing::GoingAway));
    assert_eq!(server.events_of("t"), [event("a", "1")]);
}

#[test]
fn a_batch_of_events_has_a_cap() {
    let mut server = Server::new();
    let mut peer = server.open(1);
    let many = Limits::default().batch_operations as u64 + 1;
    let batch = (0..many).map(|n| publication(n + 1, "t", &event(&n.to_string(), "1"))).collect();
    server.send(&mut peer, &publish(batch));
    assert_eq!(peer.error(), ErrorCode::TooMany);
}
