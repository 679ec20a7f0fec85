//! A Redis that loses what it had, or is not there.

use std::time::Instant;

use super::*;
use crate::storage::events::{Fork, NewTopic, Publications, Publish};

const ALWAYS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
const NOT_KEPT: [&str; 2] = ["--appendonly", "no"];

async fn make(log: &RedisEvents, name: &str) {
    log.create(ada(), topic(name), NewTopic::default(), START).await.unwrap();
}

async fn append(log: &RedisEvents, text: &str) -> Position {
    log.append(ada(), topic("t"), octets(&[text]), START).await.unwrap().tail
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_everything_says_so_and_begins_another_history() {
    let redis = server::Own::start(&NOT_KEPT);
    let (log, mut heard) = listening(&redis.options()).await;
    let publish = async |id: &str| {
        let list = Publish { topic: topic("t"), events: vec![named(id)] };
        let answer = log.publish(ada(), vec![list], START).await.unwrap().remove(0).unwrap().unwrap();
        answer[0]
    };
    let (_, before) = (publish("a").await, publish("b").await);
    redis.say(&["FLUSHALL"]);
    assert!(matches!(slice(&log, "t", After::Position(before)).await, Err(LogError::NoSuchTopic)));
    let mut last = heard.next_news().await;
    while last.appended > 0 || last.events.is_some() {
        last = heard.next_news().await;
    }
    assert!(last.events.is_none(), "followers are told that the topic is gone");
    // In the midst of what goes on all the time.
    let (mut greatest, mut lost) = (publish("c").await, 0);
    for round in 0..20 {
        if round % 5 == 4 {
            redis.say(&["FLUSHALL"]);
        }
        let after = publish(&format!("{round}")).await;
        match slice(&log, "t", After::Position(greatest)).await {
            Ok(slice) => {
                assert_eq!((slice.from, slice.to), (greatest, after), "nothing is missing between the two");
                assert_eq!(slice.events.len() as u64, after.offset - greatest.offset);
            }
            Err(LogError::PositionLost { .. }) => lost += 1,
            Err(error) => panic!("{error}"),
        }
        greatest = after;
    }
    assert_eq!(lost, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_kill_where_each_write_is_synced() {
    let mut redis = server::Own::start(&ALWAYS);
    let options = Options { trust: Trust::Restarted, ..redis.options() };
    let log = instance(&options).await;
    make(&log, "t").await;
    let batch = |sequence, text: &str| Append {
        producer: Some(Producer { id: "p".into(), epoch: 7, sequence }),
        ..octets(&[text])
    };
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        for n in 0..20 {
            let sequence = round * 20 + n;
            let text = sequence.to_string();
            acknowledged
                .push(log.append(ada(), topic("t"), batch(sequence, &text), START).await.unwrap().tail);
        }
        redis.kill();
        let began = Instant::now();
        let answer = log.append(ada(), topic("t"), batch(round * 20 + 20, "x"), START).await;
        assert!(matches!(answer, Err(LogError::Storage(StorageError::Unavailable(_)))), "{answer:?}");
        assert!(log.check().await.is_err());
        assert!(began.elapsed() < 3 * options.timeouts.answer, "it takes no longer than it may");
        redis.again();
        let again =
            until_there(async || log.append(ada(), topic("t"), batch(round * 20 + 19, "again"), START).await)
                .await;
        assert_eq!((again.fresh, again.newest), (false, Some(round * 20 + 19)));
    }
    let epoch = acknowledged[0].epoch;
    assert!(
        acknowledged.iter().enumerate().all(|(n, tail)| tail.epoch == epoch && tail.offset == n as u64 + 1)
    );
    let texts: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    assert_eq!(all(&log, "t").await, texts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_end_is_noticed_by_who_has_seen_it() {
    let redis = server::Own::start(&NOT_KEPT);
    let options = Options { trust: Trust::Restarted, ..redis.options() };
    let (log, other) = (instance(&options).await, instance(&options).await);
    make(&log, "t").await;
    let kept = append(&log, "a").await;
    let saved = redis.save();
    let (lost, _) = (append(&log, "b").await, append(&log, "c").await);
    redis.restore(&saved);
    // The end is behind the reader's position.
    let answer = slice(&log, "t", After::Position(lost)).await;
    assert!(matches!(answer, Err(LogError::PositionLost { .. })), "{answer:?}");
    // Events in the place of those that are lost are no answer for who has read those.
    for text in ["d", "e", "f"] {
        assert!(append(&log, text).await.epoch > kept.epoch);
    }
    for log in [&log, &other] {
        for position in [kept, lost] {
            let answer = slice(log, "t", After::Position(position)).await;
            assert!(matches!(answer, Err(LogError::PositionLost { .. })), "{answer:?}");
        }
        assert_eq!(all(log, "t").await, ["a", "d", "e", "f"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_started_anew_is_not_trusted_by_who_has_seen_nothing() {
    let mut redis = server::Own::start(&ALWAYS);
    let log = instance(&redis.options()).await;
    make(&log, "t").await;
    let before = append(&log, "a").await;
    assert_eq!(append(&log, "b").await.epoch, before.epoch);
    drop(log);
    redis.kill();
    redis.again();
    let log = instance(&redis.options()).await;
    assert_eq!(slice(&log, "t", After::Position(before)).await.unwrap().events.len(), 1);
    assert!(append(&log, "c").await.epoch > before.epoch);
    let answer = slice(&log, "t", After::Position(before)).await;
    assert!(matches!(answer, Err(LogError::PositionLost { .. })), "{answer:?}");
    assert_eq!(all(&log, "t").await, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_does_not_show_other_events_in_the_place_of_those_that_its_source_has_lost() {
    let redis = server::Own::start(&NOT_KEPT);
    let log = instance(&redis.options()).await;
    make(&log, "t").await;
    append(&log, "a").await;
    let saved = redis.save();
    append(&log, "b").await;
    for (name, at) in [("early", 1), ("late", 2)] {
        let at = Some(Position { offset: at, ..slice(&log, "t", After::Now).await.unwrap().to });
        let fork = Some(Fork { source: topic("t"), at, more: 0 });
        log.create(ada(), topic(name), NewTopic { fork, ..NewTopic::default() }, START).await.unwrap();
        log.append(ada(), topic(name), octets(&["own"]), START).await.unwrap();
    }
    redis.restore_key(&saved, "{acme:t}:topic");
    redis.restore_key(&saved, "{acme:t}:events");
    for text in ["x", "y", "z"] {
        append(&log, text).await;
    }
    assert_eq!(all(&log, "t").await, ["a", "x", "y", "z"]);
    assert_eq!(all(&log, "early").await, ["a", "own"]);
    assert_eq!(all(&log, "late").await, ["own"], "its past is lost, and not another's");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_could_not_listen_is_told_that_something_may_have_been_missed() {
    let redis = server::Own::start(&NOT_KEPT);
    let (_log, mut heard) = listening(&redis.options()).await;
    redis.say(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    loop {
        if let Heard::Missed = heard.next().await {
            break;
        }
    }
    let writer = instance(&redis.options()).await;
    make(&writer, "t").await;
    assert_eq!(heard.next_news().await.topic, topic("t"), "and from then on it hears again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_too_few_replicas_have_is_not_acknowledged() {
    let redis = server::Own::start(&NOT_KEPT);
    let mut options = redis.options();
    options.timeouts.answer = Duration::from_millis(400);
    let log = instance(&options).await;
    make(&log, "t").await;
    let (careful, mut heard) = listening(&Options { replicas: 1, ..options.clone() }).await;
    let batch =
        || Append { producer: Some(Producer { id: "p".into(), epoch: 0, sequence: 0 }), ..octets(&["a"]) };
    for _ in 0..2 {
        let answer = careful.append(ada(), topic("t"), batch(), START).await;
        assert!(matches!(answer, Err(LogError::Storage(StorageError::Unavailable(_)))), "{answer:?}");
    }
    assert_eq!(heard.next_news().await.appended, 1, "it is there, and who follows is told of it");
    let replica = server::Own::start(&["--replicaof", &format!("127.0.0.1 {}", redis.port)]);
    while !replica.say(&["INFO", "replication"]).contains("master_link_status:up") {
        time::sleep(Duration::from_millis(20)).await;
    }
    let patient = Options { replicas: 1, ..redis.options() };
    let careful = instance(&patient).await;
    let again = careful.append(ada(), topic("t"), batch(), START).await.unwrap();
    assert_eq!((again.fresh, again.tail.offset), (false, 1), "the same again has no second effect");
    append(&careful, "b").await;
    assert_eq!(replica.say(&["XLEN", "webwaka:{acme:t}:events"]).trim(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_memory_left_takes_nothing_and_loses_nothing() {
    let redis = server::Own::start(&NOT_KEPT);
    let log = instance(&redis.options()).await;
    make(&log, "t").await;
    append(&log, "a").await;
    redis.say(&["CONFIG", "SET", "maxmemory", "1"]);
    let answer = log.append(ada(), topic("t"), octets(&["b", "c"]), START).await;
    assert!(matches!(answer, Err(LogError::Storage(StorageError::Unavailable(_)))), "{answer:?}");
    assert_eq!(all(&log, "t").await, ["a"]);
    log.delete(ada(), topic("t"), START).await.unwrap();
    redis.say(&["CONFIG", "SET", "maxmemory", "0"]);
    make(&log, "t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_may_evict_or_is_not_there_is_not_begun_with() {
    let mut redis = server::Own::start(&["--maxmemory-policy", "allkeys-lru"]);
    let open = async |options: &Options| {
        let opened = RedisEvents::open(options, CAPS, crate::random::bits(), Box::new(|_| ())).await;
        opened.err().map(|error| std::error::Error::source(&error).unwrap().to_string())
    };
    let refused = open(&redis.options()).await.unwrap();
    assert!(refused.contains("noeviction"), "{refused}");
    for prefix in ["", "a{b", "a b"] {
        let refused = open(&Options { prefix: prefix.into(), ..redis.options() }).await.unwrap();
        assert!(refused.contains("prefix"), "{refused}");
    }
    redis.kill();
    assert!(open(&redis.options()).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_password_or_a_wrong_one_is_not_let_in() {
    let redis = server::Own::start(&[]);
    redis.say(&["ACL", "SETUSER", "server", "on", ">secret word", "~webwaka:*", "&webwaka:*", "+@all"]);
    redis.say(&["ACL", "SETUSER", "default", "off"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret word\n").unwrap();
    let with = |password: Option<&str>, password_file| Options {
        username: Some("server".into()),
        password: password.map(Into::into),
        password_file,
        ..redis.options()
    };
    for wrong in [redis.options(), with(Some("secret"), None)] {
        let opened = RedisEvents::open(&wrong, CAPS, crate::random::bits(), Box::new(|_| ())).await;
        assert!(matches!(opened, Err(StorageError::Unavailable(_))));
    }
    for right in [with(Some("secret word"), None), with(None, Some(file.path().to_owned()))] {
        let (log, mut heard) = listening(&right).await;
        log.delete(ada(), topic("t"), START).await.ok();
        make(&log, "t").await;
        assert_eq!(heard.next_news().await.topic, topic("t"));
        assert!(!format!("{right:?}").contains("secret"));
    }
}
