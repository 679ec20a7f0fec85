//! The events of transactions, until they are in their topics.

use std::collections::BTreeSet;

use sdk_core::protocol::TopicName;
use serde_json::Value;

use super::*;
use crate::storage::transactions::{Backlog, Fate, PARCELS, Parcel};

/// Emits an event of the body's number to a topic.
fn emits(topic: &str) -> impl Handler + use<> {
    let topic = TopicName::new(topic).unwrap();
    act(move |call, records: &mut dyn Records| {
        let data = call.body.clone();
        let event = Emitted { kind: "test.done".to_owned(), subject: Some("s".to_owned()), data };
        records.emit(topic.clone(), event)?;
        null()
    })
}

async fn emit(store: &Both, n: u64, topic: &str) -> Result<Ran, NotRun> {
    ran(store, run(&format!("k{n}"), &n.to_string(), emits(topic))).await
}

async fn waiting(store: &Both) -> Vec<Parcel> {
    store.outgoing.waiting(START).await.unwrap()
}

fn events(parcel: &Parcel) -> Vec<Value> {
    parcel.events.iter().map(|event| serde_json::from_slice(event.as_ref()).unwrap()).collect()
}

fn numbers(parcel: &Parcel) -> Vec<u64> {
    events(parcel).iter().map(|event| event["data"].as_u64().unwrap()).collect()
}

pub(crate) async fn events_wait_in_the_order_of_commits_until_they_are_settled(store: Both) {
    assert_eq!(waiting(&store).await, []);
    for (n, topic) in [(1, "one"), (2, "two"), (3, "one")] {
        assert!(!emit(&store, n, topic).await.unwrap().replayed);
        // A repetition causes nothing.
        assert!(emit(&store, n, topic).await.unwrap().replayed);
    }
    let parcels = waiting(&store).await;
    let told: Vec<_> =
        parcels.iter().map(|parcel| (&*parcel.tenant, parcel.topic.as_str(), numbers(parcel))).collect();
    assert_eq!(told, [("acme", "one", vec![1, 3]), ("acme", "two", vec![2])]);
    assert_eq!(waiting(&store).await, parcels, "they are the same until they are settled");
    let all: Vec<Value> = parcels.iter().flat_map(events).collect();
    let whole = |event: &Value| {
        let source = "urn:webwaka:transaction:test";
        event["source"] == source && event["type"] == "test.done" && event["subject"] == "s"
    };
    assert!(all.iter().all(whole), "{all:?}");
    let ids: BTreeSet<_> = all.iter().map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(store.outgoing.backlog().await.unwrap(), Backlog { events: 3, oldest: Some(START) });

    store.outgoing.settle(vec![(parcels[1].id, Fate::Appended)]).await.unwrap();
    // One that comes meanwhile stays.
    emit(&store, 4, "one").await.unwrap();
    store.outgoing.settle(vec![(parcels[0].id, Fate::Appended)]).await.unwrap();
    let left = waiting(&store).await;
    assert_eq!(left.iter().map(numbers).collect::<Vec<_>>(), [[4]]);
    store.outgoing.settle(vec![(left[0].id, Fate::Appended)]).await.unwrap();
    // To settle what is settled does nothing.
    store.outgoing.settle(vec![(left[0].id, Fate::Appended), (parcels[0].id, Fate::Appended)]).await.unwrap();
    assert_eq!(waiting(&store).await, []);
    assert_eq!(store.outgoing.backlog().await.unwrap(), Backlog::default());
}

pub(crate) async fn events_of_what_was_refused_are_none(store: Both) {
    let refuses = act(|call, records: &mut dyn Records| {
        emits("one").run(call, records)?;
        Err(Refusal::new("no", "no").into())
    });
    ran(&store, run("a", "1", refuses)).await.unwrap();
    let panics = act(|call, records: &mut dyn Records| {
        emits("one").run(call, records)?;
        panic!("a handler of a test");
    });
    ran(&store, run("b", "1", panics)).await.unwrap_err();
    assert_eq!(waiting(&store).await, []);
    assert_eq!(store.outgoing.backlog().await.unwrap(), Backlog::default());
}

pub(crate) async fn a_topic_that_takes_nothing_holds_up_no_other(store: Both) {
    emit(&store, 1, "closed").await.unwrap();
    emit(&store, 2, "open").await.unwrap();
    let parcels = waiting(&store).await;
    let later = START.plus(10);
    store.outgoing.settle(vec![(parcels[0].id, Fate::Until(later))]).await.unwrap();
    emit(&store, 3, "closed").await.unwrap();
    assert_eq!(waiting(&store).await.iter().map(numbers).collect::<Vec<_>>(), [[2]]);
    store.outgoing.settle(vec![(parcels[1].id, Fate::Appended)]).await.unwrap();
    let then = store.outgoing.waiting(later).await.unwrap();
    assert_eq!(then.iter().map(numbers).collect::<Vec<_>>(), [[1, 3]]);
}

pub(crate) async fn each_topic_has_its_turn_however_busy_the_others_are(store: Both) {
    let busy: Vec<String> = (0..PARCELS).map(|n| format!("busy-{n}")).collect();
    // What is of another tenant is another topic.
    let emit_all = async |key: &str, tenants: &[String]| {
        for tenant in tenants {
            let run = run(key, "1", emits("one"));
            store.transactions.run(scope(tenant, "ada"), run, START).await.unwrap();
        }
    };
    emit_all("first", &busy).await;
    emit_all("first", &["quiet".to_owned()]).await;
    let whose = |parcels: &[Parcel]| -> Vec<String> {
        parcels.iter().map(|parcel| parcel.tenant.to_string()).collect()
    };
    let first = waiting(&store).await;
    assert_eq!(whose(&first), busy);
    // There is more of each by the time that the first of it is appended; and one takes nothing for now.
    emit_all("second", &busy).await;
    let fate = |parcel: &Parcel| match &*parcel.tenant {
        "busy-0" => Fate::Until(START),
        _ => Fate::Appended,
    };
    store.outgoing.settle(first.iter().map(|parcel| (parcel.id, fate(parcel))).collect()).await.unwrap();
    let mut turns = vec!["quiet".to_owned()];
    turns.extend_from_slice(&busy[..PARCELS - 1]);
    assert_eq!(whose(&waiting(&store).await), turns);
}

pub(crate) async fn events_that_wait_are_capped_and_make_room_when_they_go(store: Both) {
    for n in 0..3 {
        emit(&store, n, "one").await.unwrap();
    }
    let over = emit(&store, 3, "two").await;
    assert!(matches!(over, Err(NotRun::Limit(Limit::Waiting))), "{over:?}");
    assert_eq!(ran(&store, run("c", "{}", Count)).await.unwrap(), done("1", false), "others go on");
    let parcels = waiting(&store).await;
    assert_eq!(parcels.len(), 1);
    store.outgoing.settle(vec![(parcels[0].id, Fate::Appended)]).await.unwrap();
    emit(&store, 3, "two").await.unwrap();
}
