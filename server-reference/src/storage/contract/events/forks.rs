//! Topics that share their past with another.

use serde_json::json;

use super::*;
use crate::{
    fixtures::granted,
    storage::events::{Fork, MAX_FORK_DEPTH},
};

fn fork_of(source: &str, at: Option<Position>, more: u64) -> NewTopic {
    NewTopic { fork: Some(Fork { source: topic(source), at, more }), ..NewTopic::default() }
}

pub(crate) async fn a_fork_shares_the_past_and_nothing_later(log: Log) {
    let at = make(&log, "s", new(&["a", "b"])).await;
    add(&log, "s", &["c"]).await;
    make(&log, "f", fork_of("s", Some(at), 0)).await;
    add(&log, "s", &["d"]).await;
    add(&log, "f", &["x"]).await;
    make(&log, "g", fork_of("f", None, 0)).await;
    add(&log, "g", &["y"]).await;
    assert_eq!(all(&log, "s").await, ["a", "b", "c", "d"]);
    assert_eq!(all(&log, "f").await, ["a", "b", "x"]);
    assert_eq!(all(&log, "g").await, ["a", "b", "x", "y"]);
    let again = log.create(ada(), topic("f"), fork_of("s", Some(at), 0), START).await.unwrap();
    assert!(!again.fresh);
    let elsewhere = fork_of("s", Some(Position::ZERO), 0);
    assert!(matches!(log.create(ada(), topic("f"), elsewhere, START).await, Err(LogError::TopicExists)));
    let json = NewTopic { content_type: ContentType::new("application/json"), ..fork_of("s", None, 0) };
    assert!(matches!(log.create(ada(), topic("h"), json, START).await, Err(LogError::ContentTypeMismatch)));
}

pub(crate) async fn a_fork_reaches_no_topic_that_its_maker_cannot_read(log: Log) {
    make(&log, "secret", new(&["x"])).await;
    let narrow = granted("eve", json!([{ "topic": "open/*" }, { "topic": "secret", "may": "write" }]));
    for scope in [narrow, scope("other", "bob")] {
        let answer = log.create(scope, topic("open/1"), fork_of("secret", None, 0), START).await;
        assert!(matches!(answer, Err(LogError::NoSuchTopic)), "{answer:?}");
    }
    // Nothing of the attempts holds the source.
    log.delete(ada(), topic("secret"), START).await.unwrap();
    assert!(matches!(slice(&log, "secret", After::Start).await, Err(LogError::NoSuchTopic)));
}

pub(crate) async fn positions_of_the_past_hold_in_a_fork_and_later_ones_do_not(log: Log) {
    let one = make(&log, "s", new(&["a"])).await;
    let two = add(&log, "s", &["b"]).await;
    make(&log, "f", fork_of("s", Some(two), 0)).await;
    let three = add(&log, "s", &["c"]).await;
    let tail = add(&log, "f", &["x", "y"]).await;
    let past = slice(&log, "f", After::Position(one)).await.unwrap();
    assert_eq!((shown(&past), past.from, past.to), (vec!["b", "x", "y"], one, tail));
    let own = slice(&log, "f", After::Position(two)).await.unwrap();
    assert_eq!(shown(&own), ["x", "y"]);
    for (name, position) in [("f", three), ("s", tail)] {
        let answer = slice(&log, name, After::Position(position)).await;
        assert!(matches!(answer, Err(LogError::PositionLost { .. })), "{name}: {answer:?}");
    }
    assert!(one < two && two < tail && one.to_string() < tail.to_string());
}

pub(crate) async fn a_fork_may_begin_within_an_event(log: Log) {
    let at = make(&log, "s", new(&["first"])).await;
    add(&log, "s", &["second"]).await;
    make(&log, "part", fork_of("s", Some(at), 3)).await;
    make(&log, "whole", fork_of("s", Some(at), 6)).await;
    assert_eq!(all(&log, "part").await, ["first", "sec"]);
    assert_eq!(all(&log, "whole").await, ["first", "second"]);
    for (at, more) in [(Some(at), 7), (None, 1)] {
        let answer = log.create(ada(), topic("no"), fork_of("s", at, more), START).await;
        assert!(matches!(answer, Err(LogError::BadFork)));
    }
    let beyond = Position { offset: 99, ..at };
    let answer = log.create(ada(), topic("no"), fork_of("s", Some(beyond), 0), START).await;
    assert!(matches!(answer, Err(LogError::BadFork)));

    let json = |events| NewTopic { content_type: ContentType::new("application/json"), ..new(events) };
    make(&log, "json", json(&["1", "2", "3"])).await;
    make(&log, "two", fork_of("json", Some(Position::ZERO), 2)).await;
    assert_eq!(all(&log, "two").await, ["1", "2"]);
}

pub(crate) async fn a_deleted_source_stays_for_its_forks_only(log: Log) {
    make(&log, "s", new(&["a"])).await;
    make(&log, "f", fork_of("s", None, 0)).await;
    make(&log, "g", fork_of("f", None, 0)).await;
    log.delete(ada(), topic("s"), START).await.unwrap();
    log.delete(ada(), topic("f"), START).await.unwrap();
    for name in ["s", "f"] {
        assert!(matches!(slice(&log, name, After::Start).await, Err(LogError::Deleted)));
        assert!(matches!(append(&log, name, events(&["x"])).await, Err(LogError::Deleted)));
        assert!(matches!(log.delete(ada(), topic(name), START).await, Err(LogError::Deleted)));
        assert!(matches!(log.create(ada(), topic(name), new(&[]), START).await, Err(LogError::TopicExists)));
        let fork = log.create(ada(), topic("h"), fork_of(name, None, 0), START).await;
        assert!(matches!(fork, Err(LogError::SourceDeleted)));
    }
    assert_eq!(all(&log, "g").await, ["a"]);
    log.delete(ada(), topic("g"), START).await.unwrap();
    for name in ["s", "f", "g"] {
        assert!(matches!(slice(&log, name, After::Start).await, Err(LogError::NoSuchTopic)));
    }
}

pub(crate) async fn forks_go_only_so_deep(log: Log) {
    make(&log, "f0", new(&["a"])).await;
    let mut depth = 0;
    let refused = loop {
        let made = log.create(
            ada(),
            topic(&format!("f{}", depth + 1)),
            fork_of(&format!("f{depth}"), None, 0),
            START,
        );
        match made.await {
            Ok(_) => depth += 1,
            Err(error) => break error,
        }
        assert!(depth <= MAX_FORK_DEPTH, "there is no end to it");
    };
    assert!(matches!(refused, LogError::ForkTooDeep), "{refused:?}");
    assert_eq!(all(&log, &format!("f{depth}")).await, ["a"]);
}

pub(crate) async fn a_fork_made_anew_is_another_history(log: Log) {
    let at = make(&log, "s", new(&["a"])).await;
    make(&log, "f", fork_of("s", Some(at), 0)).await;
    let old = add(&log, "f", &["x", "y"]).await;
    log.delete(ada(), topic("f"), START).await.unwrap();
    make(&log, "f", fork_of("s", Some(at), 0)).await;
    add(&log, "f", &["p", "q", "r"]).await;
    assert!(matches!(slice(&log, "f", After::Position(old)).await, Err(LogError::PositionLost { .. })));
}
