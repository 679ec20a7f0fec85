//! How long topics live, and how much of them is kept.

use super::*;
use crate::storage::events::{Lifetime, Retention};

fn after(seconds: u64) -> Millis {
    START.plus(seconds * 1000)
}

fn lives(lifetime: Lifetime) -> NewTopic {
    NewTopic { lifetime, ..new(&["a"]) }
}

async fn there(log: &Log, now: Millis) -> bool {
    match log.describe(ada(), topic("t"), now).await {
        Ok(_) => true,
        Err(LogError::NoSuchTopic) => false,
        Err(other) => panic!("{other}"),
    }
}

async fn use_it(log: &Log, now: Millis) {
    log.read(ada(), topic("t"), Read { after: After::Start, bytes: 1, within_epoch: false }, now)
        .await
        .unwrap();
}

pub(crate) async fn a_topic_that_is_not_used_ends(log: Log) {
    make(&log, "t", lives(Lifetime::Idle(100))).await;
    assert!(there(&log, after(99)).await, "it does not end early");
    use_it(&log, after(99)).await;
    assert!(there(&log, after(190)).await, "reading counts");
    log.append(ada(), topic("t"), events(&["b"]), after(190)).await.unwrap();
    // To ask what it is does not count.
    assert!(there(&log, after(289)).await, "writing counts");
    assert!(!there(&log, after(190 + 107)).await, "it ends at most a sixteenth late");
    let answer = log.append(ada(), topic("t"), events(&["c"]), after(300)).await;
    assert!(matches!(answer, Err(LogError::NoSuchTopic)));
}

pub(crate) async fn a_topic_ends_at_its_time(log: Log) {
    make(&log, "t", lives(Lifetime::Until(after(100), "in a while".into()))).await;
    use_it(&log, after(99)).await;
    assert!(there(&log, Millis(after(100).0 - 1)).await);
    assert!(!there(&log, after(100)).await, "whether it is used or not");
}

pub(crate) async fn an_ended_topic_makes_room_for_another_of_its_name(log: Log) {
    make(&log, "t", lives(Lifetime::Idle(1))).await;
    let created = log.create(ada(), topic("t"), new(&["b"]), after(2)).await.unwrap();
    assert!(created.fresh);
    assert_eq!(all(&log, "t").await, ["b"]);
}

pub(crate) async fn what_is_beyond_a_topics_retention_goes_and_is_missed_by_no_reader(log: Log) {
    let keeps = |retention| NewTopic { retention, ..new(&["a"]) };
    let begin = make(&log, "t", keeps(Retention { events: Some(2), ..Retention::default() })).await;
    add(&log, "t", &["b", "c", "d"]).await;
    assert_eq!(all(&log, "t").await, ["c", "d"]);
    let answer = slice(&log, "t", After::Position(begin)).await;
    let Err(LogError::PositionTrimmed { earliest }) = answer else { panic!("{answer:?}") };
    assert_eq!(shown(&slice(&log, "t", After::Position(earliest)).await.unwrap()), ["c", "d"]);
    assert_eq!(log.describe(ada(), topic("t"), START).await.unwrap().earliest, earliest);

    make(&log, "bytes", keeps(Retention { bytes: Some(4), ..Retention::default() })).await;
    add(&log, "bytes", &["bb", "cc"]).await;
    assert_eq!(all(&log, "bytes").await, ["bb", "cc"]);

    make(&log, "age", keeps(Retention { age: Some(10_000), ..Retention::default() })).await;
    log.append(ada(), topic("age"), events(&["b"]), after(9)).await.unwrap();
    assert_eq!(all(&log, "age").await, ["a", "b"]);
    log.append(ada(), topic("age"), events(&["c"]), after(10)).await.unwrap();
    assert_eq!(all(&log, "age").await, ["b", "c"]);
}
