//! Topics as groups see them that are in a database.

use super::*;
use crate::storage::{
    events::{Fork, Lifetime, LineRef, Lines, NewTopic, Retention, Standing},
    sqlite::events::EventStore,
};

/// Topics with events of several sizes and times: one with forks and forks of those, and some that have lost their beginning.
async fn fill(log: &impl EventLog) {
    let add = async |name: &str, from: u64, to: u64| {
        for n in from..to {
            let append = octets(&[&"x".repeat(1 + usize::try_from(n * 7 % 5).unwrap())]);
            log.append(ada(), topic(name), append, START.plus(n * 10)).await.unwrap();
        }
    };
    let make = async |name: &str, source: Option<(&str, u64)>, keep: Option<u64>| {
        let fork = match source {
            None => None,
            Some((source, offset)) => {
                let tail = log.describe(ada(), topic(source), START).await.unwrap().tail;
                Some(Fork { source: topic(source), at: Some(Position { offset, ..tail }), more: 0 })
            }
        };
        let retention = Retention { events: keep, ..Retention::default() };
        let new = NewTopic { fork, retention, ..NewTopic::default() };
        log.create(ada(), topic(name), new, START).await.unwrap();
    };
    make("empty", None, None).await;
    make("all", None, None).await;
    add("all", 0, 6).await;
    make("fork", Some(("all", 6)), None).await;
    add("fork", 6, 10).await;
    add("all", 7, 9).await;
    make("second", Some(("fork", 8)), None).await;
    add("second", 9, 13).await;
    make("short", None, Some(4)).await;
    add("short", 0, 9).await;
    make("of-short", Some(("short", 8)), None).await;
    add("of-short", 9, 12).await;
    make("cut", Some(("all", 3)), Some(3)).await;
    add("cut", 6, 11).await;
}

async fn standing(log: &impl Lines, name: &str) -> Standing {
    log.line("acme".into(), topic(name), false, START).await.unwrap()
}

fn line(name: &str, Standing { state, .. }: &Standing) -> LineRef {
    LineRef { tenant: "acme".into(), topic: topic(name), epoch: state.epoch, now: START }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_answered_as_by_the_embedded_log_after_trimming_and_across_forks() {
    let folder = tempfile::tempdir().unwrap();
    let embedded =
        EventStore::open(&folder.path().join("events.db"), CAPS, Box::new(|| 7), Box::new(|_| ())).unwrap();
    fill(&embedded).await;
    for options in [server::single(), server::cluster()] {
        let log = instance(&options).await;
        fill(&*log).await;
        for name in ["empty", "all", "fork", "second", "short", "of-short", "cut"] {
            let (own, other) = (standing(&*log, name).await, standing(&embedded, name).await);
            let spots =
                |standing: &Standing| (standing.state.earliest.offset, standing.state.tail, standing.sure);
            assert_eq!(spots(&own), spots(&other), "{name}");
            let tail = own.state.tail;
            let (own, other) = (line(name, &own), line(name, &other));
            for bytes in [0, 3, 8, 1_000] {
                for after in 0..=tail + 1 {
                    for most in [0, 1, 3, 100] {
                        let taken = log.take(own.clone(), after, most, bytes).await.unwrap();
                        let expected = embedded.take(other.clone(), after, most, bytes).await.unwrap();
                        assert_eq!(taken, expected, "{name} {after} {most} {bytes}");
                    }
                    let within = log.newest_within(own.clone(), after.min(tail), bytes as u64).await.unwrap();
                    let expected =
                        embedded.newest_within(other.clone(), after.min(tail), bytes as u64).await.unwrap();
                    assert_eq!(within, expected, "{name} {after} {bytes}");
                }
                for numbers in
                    [vec![], (0..=tail + 2).collect(), (0..=tail + 2).rev().collect(), vec![5, 2, 9, 3]]
                {
                    let picked = log.pick(own.clone(), numbers.clone(), bytes).await.unwrap();
                    let expected = embedded.pick(other.clone(), numbers.clone(), bytes).await.unwrap();
                    assert_eq!(picked, expected, "{name} {numbers:?} {bytes}");
                }
            }
            let times = (0..14).map(|n| After::Time(START.plus(n * 10 + n % 2)));
            for after in [After::Start, After::Now].into_iter().chain(times) {
                let offset = log.offset(own.clone(), after).await.unwrap();
                assert_eq!(offset, embedded.offset(other.clone(), after).await.unwrap(), "{name} {after:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_is_answered_than_one_script_does() {
    let log = instance(&server::single()).await;
    log.create(ada(), topic("t"), NewTopic::default(), START).await.unwrap();
    let large = "x".repeat(600_000);
    log.append(ada(), topic("t"), octets(&[large.as_str(); 20]), START).await.unwrap();
    log.append(ada(), topic("t"), octets(&["a"; 3_000]), START).await.unwrap();
    let of = line("t", &standing(&*log, "t").await);
    let numbers =
        |found: Vec<(u64, Millis, Bytes)>| found.into_iter().map(|event| event.0).collect::<Vec<_>>();
    let taken = numbers(log.take(of.clone(), 0, 20, 1 << 30).await.unwrap());
    assert_eq!(taken, (1..=20).collect::<Vec<_>>());
    let wanted: Vec<u64> = (1..=3_020).rev().collect();
    assert_eq!(numbers(log.pick(of, wanted.clone(), 1 << 30).await.unwrap()), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_epochs_agree_stays_known_and_another_epoch_is_not_answered_for() {
    let mut redis = server::Own::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let log = instance(&redis.options()).await;
    log.create(ada(), topic("t"), NewTopic::default(), START).await.unwrap();
    log.append(ada(), topic("t"), octets(&["a", "b"]), START).await.unwrap();
    let saved = redis.save();
    log.append(ada(), topic("t"), octets(&["c", "d", "e"]), START).await.unwrap();
    let first = standing(&*log, "t").await;
    assert_eq!((first.sure, first.state.tail), (5, 5));
    redis.restore(&saved);
    // Whoever has seen what is missing says so with whatever is asked.
    let lost = log.take(line("t", &first), 0, 9, 9).await;
    assert!(matches!(lost, Err(LogError::PositionLost { .. })), "{lost:?}");
    let second = standing(&*log, "t").await;
    assert_eq!((second.sure, second.state.tail, &second.id), (2, 2, &first.id));
    assert!(second.state.epoch > first.state.epoch);
    log.append(ada(), topic("t"), octets(&["f", "g", "h"]), START).await.unwrap();
    drop(log);
    redis.kill();
    redis.again();
    let log = instance(&redis.options()).await;
    log.append(ada(), topic("t"), octets(&["i"]), START).await.unwrap();
    let third = standing(&*log, "t").await;
    assert_eq!((third.sure, third.state.tail, &third.id), (2, 6, &first.id), "the lesser of both");
    assert!(third.state.epoch > second.state.epoch);
    for old in [&first, &second] {
        let of = || line("t", old);
        for answer in [
            log.take(of(), 0, 9, 9).await.map(drop),
            log.pick(of(), vec![1], 9).await.map(drop),
            log.offset(of(), After::Start).await.map(drop),
            log.newest_within(of(), 0, 9).await.map(drop),
        ] {
            assert!(matches!(answer, Err(LogError::PositionLost { .. })), "{answer:?}");
        }
    }
    log.delete(ada(), topic("t"), START).await.unwrap();
    log.create(ada(), topic("t"), NewTopic::default(), START).await.unwrap();
    assert_ne!(standing(&*log, "t").await.id, first.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_in_a_group_keeps_its_topic_and_a_look_does_not() {
    for options in [server::single(), server::cluster()] {
        let log = instance(&options).await;
        let idle = || NewTopic { lifetime: Lifetime::Idle(16), ..NewTopic::default() };
        for (name, used) in [("used", true), ("looked-at", false)] {
            log.create(ada(), topic(name), idle(), START).await.unwrap();
            let line = |after| log.line("acme".into(), topic(name), used, START.plus(after));
            line(15_000).await.unwrap();
            let later = line(25_000).await;
            assert_eq!(later.is_ok(), used, "{later:?}");
            assert!(used || matches!(later, Err(LogError::NoSuchTopic)), "{later:?}");
        }
    }
}
