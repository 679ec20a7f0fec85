//! Tenants, and what a claim covers.

use serde_json::json;

use super::*;
use crate::fixtures::granted;

pub(crate) async fn tenants_share_no_topic(log: Log) {
    let ours = make(&log, "t", new(&["ours"])).await;
    let bob = || scope("other", "bob");
    let read = |after| Read { after, bytes: usize::MAX, within_epoch: false };
    let absent = log.read(bob(), topic("t"), read(After::Start), START).await;
    assert!(matches!(absent, Err(LogError::NoSuchTopic)));
    assert!(matches!(log.delete(bob(), topic("t"), START).await, Err(LogError::NoSuchTopic)));
    log.create(bob(), topic("t"), new(&["theirs"]), START).await.unwrap();
    let answer = log.read(bob(), topic("t"), read(After::Position(ours)), START).await;
    assert!(matches!(answer, Err(LogError::PositionLost { .. })), "a position is of one topic");
    log.delete(bob(), topic("t"), START).await.unwrap();
    assert_eq!(all(&log, "t").await, ["ours"]);
}

pub(crate) async fn topics_outside_the_claim_look_like_none(log: Log) {
    make(&log, "secret", new(&["x"])).await;
    let narrow = || granted("eve", json!([{ "topic": "open/*" }, { "collection": "*" }]));
    let read = Read { after: After::Start, bytes: 1, within_epoch: false };
    for name in ["secret", "absent"] {
        let name = || topic(name);
        assert!(matches!(log.read(narrow(), name(), read, START).await, Err(LogError::NoSuchTopic)));
        assert!(matches!(log.describe(narrow(), name(), START).await, Err(LogError::NoSuchTopic)));
        assert!(matches!(
            log.append(narrow(), name(), events(&["x"]), START).await,
            Err(LogError::NoSuchTopic)
        ));
        assert!(matches!(log.delete(narrow(), name(), START).await, Err(LogError::NoSuchTopic)));
        assert!(matches!(log.create(narrow(), name(), new(&[]), START).await, Err(LogError::Forbidden)));
    }
    log.create(narrow(), topic("open/1"), new(&[]), START).await.unwrap();
    assert_eq!(all(&log, "secret").await, ["x"]);
}

pub(crate) async fn who_may_only_read_writes_nothing(log: Log) {
    make(&log, "news", new(&["x"])).await;
    let reader = || granted("eve", json!([{ "topic": "news", "may": "read" }]));
    log.read(reader(), topic("news"), Read { after: After::Start, bytes: 1, within_epoch: false }, START)
        .await
        .unwrap();
    assert!(matches!(
        log.append(reader(), topic("news"), events(&["y"]), START).await,
        Err(LogError::Forbidden)
    ));
    assert!(matches!(log.delete(reader(), topic("news"), START).await, Err(LogError::Forbidden)));
    let writer = || granted("ed", json!([{ "topic": "news", "may": "write" }]));
    log.append(writer(), topic("news"), events(&["z"]), START).await.unwrap();
    assert!(matches!(log.describe(writer(), topic("news"), START).await, Err(LogError::NoSuchTopic)));
    assert_eq!(all(&log, "news").await, ["x", "z"]);
}
