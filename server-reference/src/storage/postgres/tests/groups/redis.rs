//! Groups in this database, of a log on Redis.

use super::*;
use crate::storage::redis::{
    self,
    tests::{instance, server, until_there},
};

async fn groups_of(options: redis::Options) -> (Groups, ()) {
    let log = instance(&options).await;
    let groups = over(&tables(), &log);
    (Groups { log, groups: groups.clone(), letters: groups }, ())
}

mod single {
    use super::*;

    async fn groups() -> (Groups, ()) {
        groups_of(server::single()).await
    }

    groups_contract!(groups);
}

mod cluster {
    use super::*;

    async fn groups() -> (Groups, ()) {
        groups_of(server::cluster()).await
    }

    groups_contract!(groups);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_without_its_end_is_told_and_what_comes_then_is_handed_out() {
    // Whether an instance goes on that has seen what is lost, and whether somebody writes before a worker asks.
    for (seen, written) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut redis = server::Own::start(&["--appendonly", "no"]);
        let mut log = instance(&redis.options()).await;
        let options = tables();
        let mut store = over(&options, &log);
        share(&*log, &store, 2, rules()).await;
        redis.say(&["SAVE"]);
        append(&*log, 3..=5).await;
        let before = claim(&store, 9, START).await.unwrap();
        assert_eq!(numbers(&before), [1, 2, 3, 4, 5]);
        let done = before.events[..1].iter().chain(&before.events[4..]).map(|event| event.position).collect();
        let lease = before.lease.clone().unwrap().id;
        let ack = Settle { lease: lease.clone(), positions: Some(done), verdict: Verdict::Ack, chance: 0 };
        assert_eq!(store.settle(ada(), group("g"), ack, START).await.unwrap().events, 2);

        redis.kill();
        let away = claim(&store, 9, START).await;
        assert!(matches!(away, Err(LogError::Storage(StorageError::Unavailable(_)))), "{away:?}");
        redis.again();
        if !seen {
            drop(store);
            log = instance(&redis.options()).await;
            store = over(&options, &log);
        }
        until_there(async || log.check().await).await;
        if written {
            // Were its events counted alone, nothing would be missing.
            append(&*log, 6..=9).await;
        }
        let claimed = until_there(async || claim(&store, 9, START).await).await;
        let lost = claimed.lost.unwrap();
        assert_eq!((lost.events, lost.through.offset), (3, 2), "{seen} {written}");
        if !written {
            append(&*log, 6..=9).await;
        }
        let rest = if written { claimed } else { claim(&store, 9, START).await.unwrap() };
        assert_eq!(numbers(&rest), [6, 7, 8, 9], "{seen} {written}");
        // What is out and was not lost is still the worker's who has it; what was lost is nobody's.
        let old = Settle { lease, positions: None, verdict: Verdict::Ack, chance: 0 };
        assert_eq!(store.settle(ada(), group("g"), old, START).await.unwrap().events, 1);
        assert_eq!(settle(&store, &rest, Verdict::Ack, START).await.unwrap().events, 4);
        let state = store.group(ada(), group("g"), START).await.unwrap();
        // Where another epoch began after the loss was told, there may have been one more that nobody saw.
        let lost = if seen || written { 3 } else { 4 };
        assert_eq!((state.cursor, state.outstanding, state.lost), (state.tail, 0, lost), "{seen} {written}");
        let next = claim(&store, 9, START).await.unwrap();
        assert!(next.lease.is_none() && next.lost.is_none(), "it is told once: {next:?}");
    }
}
