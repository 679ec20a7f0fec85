//! Events that have a name.

use serde_json::json;

use super::*;
use crate::{
    fixtures::granted,
    storage::events::{CloudEvent, NAMES_KEPT, Publish, Retention},
};

fn event(id: &str, data: u64) -> CloudEvent {
    let text = format!(r#"{{"specversion":"1.0","type":"t","source":"/s","id":"{id}","data":{data}}}"#);
    CloudEvent::new(text.into()).unwrap()
}

fn list(name: &str, events: &[CloudEvent]) -> Publish {
    Publish { topic: topic(name), events: events.to_vec() }
}

/// Publishes lists; each answer in short.
async fn publish(log: &Log, scope: TenantScope, lists: &[Publish]) -> Vec<Option<Result<Vec<u64>, String>>> {
    publish_at(log, scope, lists, START).await
}

async fn publish_at(
    log: &Log,
    scope: TenantScope,
    lists: &[Publish],
    now: Millis,
) -> Vec<Option<Result<Vec<u64>, String>>> {
    let offsets = |positions: Vec<Position>| positions.iter().map(|position| position.offset).collect();
    let answers = log.publish(scope, lists.to_vec(), now).await.unwrap();
    let short = |answer: Result<_, LogError>| answer.map(offsets).map_err(|error| error.to_string());
    answers.into_iter().map(|answer| answer.map(short)).collect()
}

fn at(offsets: &[u64]) -> Option<Result<Vec<u64>, String>> {
    Some(Ok(offsets.to_vec()))
}

fn refused(error: &LogError) -> Option<Result<Vec<u64>, String>> {
    Some(Err(error.to_string()))
}

async fn data(log: &Log, name: &str) -> Vec<u64> {
    let data =
        |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap()["data"].as_u64().unwrap();
    all(log, name).await.into_iter().map(data).collect()
}

pub(crate) async fn a_published_event_is_there_once_however_often_it_comes(log: Log) {
    let first = list("t", &[event("a", 1), event("b", 2), event("a", 1)]);
    assert_eq!(publish(&log, ada(), std::slice::from_ref(&first)).await, [at(&[1, 2, 1])]);
    assert_eq!(
        publish(&log, ada(), &[list("t", &[event("c", 3)]), first.clone()]).await,
        [at(&[3]), at(&[1, 2, 1])]
    );
    let together = join_all((0..20).map(|_| publish(&log, ada(), std::slice::from_ref(&first)))).await;
    assert!(together.iter().all(|answers| *answers == [at(&[1, 2, 1])]));
    let side_by_side = join_all((0..20).map(|n| {
        let lists = [list("t", &[event("d", 4), event("e", 5)]), list(&format!("u{n}"), &[event("d", 4)])];
        let log = &log;
        async move { publish(log, ada(), &lists).await }
    }));
    assert!(side_by_side.await.iter().all(|answers| *answers == [at(&[4, 5]), at(&[1])]));
    assert_eq!(data(&log, "t").await, [1, 2, 3, 4, 5]);
    // In another tenant, and in another topic, the same name says nothing.
    let elsewhere = [list("t", &[event("a", 9)]), list("v", &[event("a", 9)])];
    assert_eq!(publish(&log, scope("other", "bob"), &elsewhere).await, [at(&[1]), at(&[1])]);
}

pub(crate) async fn an_event_under_the_name_of_another_is_refused(log: Log) {
    let taken = || refused(&LogError::EventIdReused);
    publish(&log, ada(), &[list("t", &[event("a", 1)])]).await;
    assert_eq!(publish(&log, ada(), &[list("t", &[event("a", 2)])]).await, [taken()]);
    assert_eq!(publish(&log, ada(), &[list("t", &[event("b", 2), event("b", 3)])]).await, [taken()]);
    assert_eq!(data(&log, "t").await, [1]);
}

pub(crate) async fn a_list_of_events_is_whole_or_not_there(log: Log) {
    publish(&log, ada(), &[list("t", &[event("a", 1)])]).await;
    let mixed = list("t", &[event("b", 2), event("a", 9)]);
    assert_eq!(publish(&log, ada(), &[mixed]).await, [refused(&LogError::EventIdReused)]);
    assert_eq!(publish(&log, ada(), &[list("t", &[event("b", 3), event("a", 1)])]).await, [at(&[2, 1])]);
    assert_eq!(data(&log, "t").await, [1, 3]);
}

pub(crate) async fn nothing_overtakes_a_refused_event_of_its_topic(log: Log) {
    publish(&log, ada(), &[list("t", &[event("a", 1)])]).await;
    let lists = [
        list("t", &[event("b", 2)]),
        list("t", &[event("a", 9)]),
        list("u", &[event("a", 9)]),
        list("t", &[event("c", 3)]),
        list("u", &[event("c", 3)]),
    ];
    let expected = [at(&[2]), refused(&LogError::EventIdReused), at(&[1]), None, at(&[2])];
    assert_eq!(publish(&log, ada(), &lists).await, expected);
    assert_eq!(data(&log, "t").await, [1, 2]);
    assert_eq!(publish(&log, ada(), &[list("t", &[event("c", 3)])]).await, [at(&[3])]);
}

pub(crate) async fn an_event_is_known_when_it_is_not_kept_any_more(log: Log) {
    let retention = Retention { events: Some(1), ..Retention::default() };
    let kind = ContentType::new("application/json");
    make(&log, "t", NewTopic { content_type: kind, retention, ..NewTopic::default() }).await;
    for n in 1..=3 {
        assert_eq!(publish(&log, ada(), &[list("t", &[event(&format!("{n}"), n)])]).await, [at(&[n])]);
    }
    assert_eq!(data(&log, "t").await, [3]);
    let again = [list("t", &[event("1", 1), event("3", 3)])];
    let horizon = START.plus(NAMES_KEPT);
    assert_eq!(publish_at(&log, ada(), &again, Millis(horizon.0 - 1)).await, [at(&[1, 3])]);
    // Past the horizon what is gone is forgotten with the next event, and what is there is known as long as it is.
    assert_eq!(publish_at(&log, ada(), &[list("t", &[event("4", 4)])], horizon).await, [at(&[4])]);
    let again = [list("t", &[event("4", 4), event("1", 1)])];
    assert_eq!(publish_at(&log, ada(), &again, horizon).await, [at(&[4, 5])]);
}

pub(crate) async fn publishing_makes_a_topic_only_where_the_claim_and_the_cap_allow_it(log: Log) {
    let eve = || granted("eve", json!([{ "topic": "open/*" }, { "topic": "news", "may": "read" }]));
    make(&log, "secret", new(&[])).await;
    make(&log, "news", new(&[])).await;
    let lists = ["secret", "absent", "news", "open/1"].map(|name| list(name, &[event("a", 1)]));
    let absent = refused(&LogError::NoSuchTopic);
    let expected = [absent.clone(), absent, refused(&LogError::Forbidden), at(&[1])];
    assert_eq!(publish(&log, eve(), &lists).await, expected);
    let state = log.describe(ada(), topic("open/1"), START).await.unwrap();
    assert_eq!(state.content_type, ContentType::json());
    for n in 3..32 {
        assert_eq!(publish(&log, ada(), &[list(&format!("t{n}"), &[event("a", 1)])]).await, [at(&[1])]);
    }
    let full = refused(&LogError::TooManyTopics(32));
    assert_eq!(publish(&log, ada(), &[list("t32", &[event("a", 1)])]).await, [full]);
}

pub(crate) async fn what_takes_no_more_events_answers_for_those_it_has(log: Log) {
    publish(&log, ada(), &[list("t", &[event("a", 1)])]).await;
    let closed = append(&log, "t", Append { close: true, ..Append::default() }).await.unwrap();
    let both = [list("t", &[event("a", 1)]), list("t", &[event("b", 2)])];
    assert_eq!(
        publish(&log, ada(), &both).await,
        [at(&[1]), refused(&LogError::Closed { tail: closed.tail })]
    );
    make(&log, "text", new(&["x"])).await;
    let answer = publish(&log, ada(), &[list("text", &[event("a", 1)])]).await;
    assert_eq!(answer, [refused(&LogError::ContentTypeMismatch)]);
    // A topic that was made anew knows nothing of the one before.
    log.delete(ada(), topic("t"), START).await.unwrap();
    assert_eq!(publish(&log, ada(), &[list("t", &[event("a", 2)])]).await, [at(&[1])]);
}
