//! Another token for a session that goes on.

use sdk_core::protocol::{EndReason, Ended, Enter, Json, Refresh, Start, Subscribe, Welcome};
use serde_json::{Value, json};

use super::*;
use crate::{
    auth::AuthError,
    fixtures::{granted, granted_token, scope},
    storage::events::{ContentType, NewTopic},
};

fn refresh(token: String) -> ClientFrame {
    ClientFrame::Refresh(Refresh { token })
}

fn lasting(seconds: u64) -> String {
    issuer().mint("acme", "ada", seconds, START).unwrap()
}

impl Peer {
    fn take_welcome(&mut self) -> Welcome {
        match self.received.remove(0) {
            ServerFrame::Welcome(welcome) => welcome,
            other => panic!("no welcome but {other:?}"),
        }
    }
}

#[test]
fn a_session_goes_on_for_as_long_as_the_new_token_says() {
    let mut server = Server::new();
    let mut ada = server.connect();
    server.send(&mut ada, &ClientFrame::Hello(Hello { token: lasting(10), ..greeting(client(1), None) }));
    assert_eq!(ada.take_welcome().token_ends, Some(10_000));
    ada.received.clear();
    server.wait(&mut ada, 9_000);
    server.send(&mut ada, &refresh(lasting(30)));
    assert_eq!(ada.take_welcome().token_ends, Some(21_000));
    assert!(ada.received.is_empty(), "the rest is as it was: {:?}", ada.received);
    server.send(&mut ada, &push(vec![set(1, "a", &[("x", "1")])]));
    assert!(matches!(ada.take(), ServerFrame::Outcomes(_)));
    server.wait(&mut ada, 20_999);
    assert!(ada.closed.is_none());
    server.wait(&mut ada, 1);
    assert_eq!(ada.error(), ErrorCode::TokenExpired);
}

#[test]
fn a_token_of_somebody_else_or_none_ends_the_session() {
    let elsewhere = issuer().mint("other", "ada", 600, START).unwrap();
    for (token, code) in [
        (token("acme", "bob"), ErrorCode::ClientIdTaken),
        (elsewhere, ErrorCode::ClientIdTaken),
        ("nonsense".into(), ErrorCode::Unauthenticated),
        (issuer().mint("acme", "ada", 5, Millis(START.0 - 60_000)).unwrap(), ErrorCode::TokenExpired),
    ] {
        let mut server = Server::new();
        let mut ada = server.open(1);
        server.send(&mut ada, &refresh(token));
        assert_eq!((ada.error(), ada.closed), (code, Some(Closing::Refused(code))));
        // Whose token it was is on record.
        assert_eq!(ada.foreign.len(), usize::from(code == ErrorCode::ClientIdTaken), "{:?}", ada.foreign);
    }
}

#[test]
fn one_token_is_verified_at_a_time_and_none_before_the_hello() {
    let mut server = Server::new();
    let mut early = server.connect();
    server.send(&mut early, &refresh(lasting(60)));
    assert_eq!(early.error(), ErrorCode::UnexpectedFrame);
    let mut ada = server.open(1);
    let now = server.now();
    for _ in 0..2 {
        ada.session.handle(now, Input::Received(encode(&refresh(lasting(60)))));
    }
    let effects: Vec<Effect> = std::iter::from_fn(|| ada.session.poll_effect()).collect();
    assert!(matches!(effects[..], [Effect::Verify(_), Effect::Send(_), Effect::Close(_)]), "{effects:?}");
    // What was being verified is of no account any more.
    ada.session.handle(now, Input::Verified(Err(AuthError::Expired)));
    assert!(ada.session.poll_effect().is_none());
}

#[test]
fn what_the_new_token_does_not_cover_leaves_and_what_it_covers_comes() {
    let mut server = Server::new();
    let mut bob = server.open(2);
    server.send(&mut bob, &push(vec![set(1, "a/1", &[("x", "1")]), set(2, "b/1", &[("x", "1")])]));
    let narrow = |prefix: &str| -> Value { json!([{ "collection": "cards", "prefix": prefix }]) };
    let mut ada = server.connect();
    let token = granted_token("ada", narrow("a/"));
    server.send(&mut ada, &ClientFrame::Hello(Hello { token, ..greeting(client(1), None) }));
    ada.take_welcome();
    let first = ada.take_changes();
    assert_eq!(first.documents.len(), 1);

    server.send(&mut ada, &refresh(granted_token("ada", json!([{ "collection": "*" }]))));
    ada.take_welcome();
    let wider = ada.take_changes();
    assert!(!wider.recovered && wider.documents.len() == 2, "{wider:?}");
    server.send(&mut ada, &refresh(granted_token("ada", narrow("b/"))));
    ada.take_welcome();
    let other = ada.take_changes();
    assert!(!other.recovered && other.documents.len() == 1 && other.documents[0].id.as_str() == "b/1");
    server.send(&mut ada, &push(vec![set(1, "a/1", &[("x", "2")]), set(2, "b/1", &[("x", "2")])]));
    let judged = ada.received.iter().find_map(|frame| match frame {
        ServerFrame::Outcomes(outcomes) => Some(&outcomes.judgements),
        _ => None,
    });
    let [refused, taken] = &judged.unwrap()[..] else { panic!("{judged:?}") };
    assert!(matches!(refused.outcome, Outcome::Rejected(_)) && taken.outcome == Outcome::Accepted {});
    ada.received.clear();
    server.send(&mut ada, &refresh(granted_token("ada", json!([]))));
    ada.take_welcome();
    let none = ada.take_changes();
    assert!(!none.recovered && none.documents.is_empty());
}

#[test]
fn what_was_read_before_is_not_sent_to_who_may_not_see_it_any_more() {
    let mut server = Server::new();
    let mut bob = server.open(2);
    server.send(&mut bob, &push(vec![set(1, "a/1", &[("x", "1")])]));
    let mut ada = server.connect();
    let now = server.now();
    ada.session.handle(now, Input::Received(encode(&hello(client(1), None))));
    ada.session.handle(now, Input::Verified(Ok(scope("acme", "ada"))));
    let opening = std::iter::from_fn(|| ada.session.poll_effect());
    let batch =
        opening.filter_map(|effect| if let Effect::Commit(batch) = effect { Some(batch) } else { None });
    let committed = server.commit(batch.last().unwrap());
    ada.session.handle(now, Input::Committed(committed));
    let reads = std::iter::from_fn(|| ada.session.poll_effect());
    let read = reads
        .filter_map(|effect| if let Effect::Read(scope, page) = effect { Some((scope, page)) } else { None });
    let (scope, page) = read.last().unwrap();
    let changes = server.documents.changes(&scope, &page).unwrap();
    assert_eq!(changes.documents.len(), 1);
    // Between the read and its answer the token is changed.
    let nothing = granted("ada", json!([]));
    ada.session.handle(now, Input::Received(encode(&refresh("other".into()))));
    ada.session.handle(now, Input::Verified(Ok(nothing)));
    ada.session.handle(now, Input::Read(Ok(changes)));
    while let Some(effect) = ada.session.poll_effect() {
        assert!(!matches!(&effect, Effect::Send(text) if text.contains("a/1")), "{effect:?}");
    }
}

#[test]
fn a_topic_that_may_not_be_read_any_more_ends_as_if_it_were_not_there() {
    let mut server = Server::new();
    for name in ["kept", "lost"] {
        let name = TopicName::new(name).unwrap();
        let content_type = ContentType::new("application/json");
        let new = NewTopic { content_type, ..NewTopic::default() };
        block_on(server.events.create(scope("acme", "ada"), name, new, server.now().wall)).unwrap();
    }
    let mut ada = server.open(1);
    for (sub, topic) in [(1, "kept"), (2, "lost")] {
        let (topic, start) = (topic.to_owned(), Start::Latest {});
        server.send(&mut ada, &ClientFrame::Subscribe(Subscribe { sub, topic, start }));
    }
    ada.received.clear();
    let access = json!([{ "collection": "*" }, { "topic": "kept" }, { "topic": "lost", "may": "write" }]);
    server.send(&mut ada, &refresh(granted_token("ada", access)));
    ada.take_welcome();
    let ended = ada.received.iter().find_map(|frame| match frame {
        ServerFrame::Ended(Ended { sub, reason }) => Some((*sub, reason.clone())),
        _ => None,
    });
    let Some((2, Some(EndReason { code, .. }))) = ended else { panic!("{:?}", ada.received) };
    assert_eq!(code, "no_such_topic");
    assert_eq!(ada.topics, [TopicName::new("kept").unwrap()]);
}

#[test]
fn a_room_that_may_not_be_entered_any_more_is_left() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open(1), server.open_as(2, "bob", None));
    for room in ["kept", "lost"] {
        let enter = Enter { room: room.into(), state: Json::parse("1").ok() };
        server.send(&mut ada, &ClientFrame::Enter(enter.clone()));
        server.send(&mut bob, &ClientFrame::Enter(enter));
    }
    server.turn(&mut [&mut ada, &mut bob]);
    ada.received.clear();
    bob.received.clear();
    let access = json!([{ "collection": "*" }, { "room": "kept" }, { "room": "lost", "may": "send" }]);
    server.send(&mut ada, &refresh(granted_token("ada", access)));
    ada.take_welcome();
    server.turn(&mut [&mut ada, &mut bob]);
    let over = |peer: &Peer| -> Vec<(String, String)> {
        let over = |frame: &ServerFrame| match frame {
            ServerFrame::Room(news) => Some((news.room.clone(), news.over.as_ref()?.code.clone())),
            _ => None,
        };
        peer.received.iter().filter_map(over).collect()
    };
    assert_eq!(over(&ada), [("lost".to_owned(), "forbidden".to_owned())]);
    let left = |frame: &ServerFrame| matches!(frame, ServerFrame::Room(news) if news.room == "lost" && !news.left.is_empty());
    assert!(bob.received.iter().any(left), "the others see it go: {:?}", bob.received);
    let kept = |frame: &ServerFrame| matches!(frame, ServerFrame::Room(news) if news.room == "kept");
    assert!(!bob.received.iter().any(kept), "and stay where it may be");
}
