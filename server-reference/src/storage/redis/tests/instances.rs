//! Several instances over one Redis.

use bytes::Bytes;
use futures::future::join_all;
use redis::{Commands, Connection};

use super::*;
use crate::storage::events::{
    Fork, Kept, Lifetime, MAX_TENANT_SUBSCRIPTIONS, NewTopic, Publications, Publish, SubscriptionStore,
};

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_append_to_one_topic_at_once_leave_no_gap_and_nothing_is_there_twice() {
    for options in [server::single(), server::cluster()] {
        let instances = [instance(&options).await, instance(&options).await];
        instances[0].create(ada(), topic("t"), NewTopic::default(), START).await.unwrap();
        let appends = (0..200).map(|n: usize| {
            let log = &instances[n % 2];
            async move { log.append(ada(), topic("t"), octets(&[&n.to_string()]), START).await.unwrap().tail }
        });
        let mut offsets: Vec<u64> = join_all(appends).await.into_iter().map(|tail| tail.offset).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (1..=200).collect::<Vec<_>>());
        let mut seen: Vec<usize> =
            all(&instances[1], "t").await.into_iter().map(|text| text.parse().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..200).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_to_two_instances_at_once_are_there_once() {
    for options in [server::single(), server::cluster()] {
        let instances = [instance(&options).await, instance(&options).await];
        let lists = |n: usize| {
            let log = instances[n % 2].clone();
            let list = |name: &str| Publish { topic: topic(name), events: vec![named("a"), named("b")] };
            let lists = vec![list("t"), list(&format!("u{}", n % 5))];
            async move { log.publish(ada(), lists, START).await.unwrap() }
        };
        for answers in join_all((0..40).map(lists)).await {
            for answer in answers {
                let offsets: Vec<u64> =
                    answer.unwrap().unwrap().into_iter().map(|position| position.offset).collect();
                assert_eq!(offsets, [1, 2]);
            }
        }
        assert_eq!(instances[0].topics("acme".into()).await.unwrap().len(), 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_at_one_instance_is_told_of_what_another_wrote() {
    for options in [server::single(), server::cluster()] {
        let ((writer, mut own), (reader, mut heard)) = (listening(&options).await, listening(&options).await);
        writer.create(ada(), topic("t:1"), NewTopic::default(), START).await.unwrap();
        assert_eq!(heard.next_news().await.appended, 0);
        let tail = writer.append(ada(), topic("t:1"), octets(&["a", "", "b:\n"]), START).await.unwrap().tail;
        let news = heard.next_news().await;
        assert_eq!((&*news.tenant, &news.topic, news.appended), ("acme", &topic("t:1"), 3));
        let fresh = news.events.unwrap();
        assert_eq!((fresh.from.offset, fresh.to, fresh.closed), (0, tail, false));
        assert_eq!(fresh.events.iter().collect::<Vec<_>>(), [&b"a"[..], b"", b"b:\n"]);
        let large = Append { events: vec![Bytes::from(vec![0; 100_000])], close: true, ..octets(&[]) };
        writer.append(ada(), topic("t:1"), large, START).await.unwrap();
        let news = heard.next_news().await;
        assert!(news.appended == 1 && news.events.is_none(), "what is too much to carry is read");
        writer.delete(ada(), topic("t:1"), START).await.unwrap();
        let news = heard.next_news().await;
        assert!(news.appended == 0 && news.events.is_none());
        // Who wrote it is told of each once, though it hears what all hear.
        reader.create(ada(), topic("last"), NewTopic::default(), START).await.unwrap();
        for (name, appended) in [("t:1", 0), ("t:1", 3), ("t:1", 1), ("t:1", 0), ("last", 0)] {
            let news = own.next_news().await;
            assert_eq!((news.topic, news.appended), (topic(name), appended));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_kept_by_whoever_comes_first_and_found_when_it_is_due() {
    for options in [server::single(), server::cluster()] {
        let (one, other) = (instance(&options).await, instance(&options).await);
        let kept = |tenant: &str, id: &str, version, due: Option<u64>| Kept {
            tenant: tenant.into(),
            id: id.into(),
            version,
            text: format!("{id} of {tenant}"),
            due: due.map(Millis),
        };
        assert!(one.keep(kept("acme", "s:1", 0, Some(50))).await.unwrap());
        assert!(!other.keep(kept("acme", "s:1", 0, Some(60))).await.unwrap());
        assert!(one.keep(kept("a:c", "*", 0, None)).await.unwrap());
        assert!(one.keep(kept("a", "c:*", 0, Some(70))).await.unwrap());
        assert_eq!(other.due(Some(Millis(49))).await.unwrap(), []);
        assert_eq!(other.due(Some(Millis(50))).await.unwrap(), [kept("acme", "s:1", 1, Some(50))]);
        assert_eq!(other.due(None).await.unwrap().len(), 3);
        assert!(other.keep(kept("acme", "s:1", 1, None)).await.unwrap());
        assert_eq!(one.due(Some(Millis(60))).await.unwrap(), []);
        assert_eq!(one.kept("acme".into(), None).await.unwrap(), [kept("acme", "s:1", 2, None)]);
        assert_eq!(one.kept("a".into(), Some("c:*".into())).await.unwrap().len(), 1);
        assert_eq!(one.kept("a".into(), Some("*".into())).await.unwrap(), []);
        one.forget("a".into(), "c:*".into()).await.unwrap();
        assert_eq!(one.due(None).await.unwrap().len(), 2);
        for n in 1..MAX_TENANT_SUBSCRIPTIONS {
            assert!(one.keep(kept("acme", &n.to_string(), 0, None)).await.unwrap());
        }
        let more = one.keep(kept("acme", "more", 0, None)).await;
        assert!(matches!(more, Err(LogError::TooManySubscriptions)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_of_several_instances_leaves_nothing_of_what_is_gone() {
    for options in [server::single(), server::cluster()] {
        let instances = [instance(&options).await, instance(&options).await];
        let idle = || NewTopic { lifetime: Lifetime::Idle(1), ..NewTopic::default() };
        for n in 0..30 {
            instances[n % 2].create(ada(), topic(&format!("t{n}")), idle(), START).await.unwrap();
        }
        let batch = Producer { id: "p".into(), epoch: 0, sequence: 0 };
        let batch = Append { producer: Some(batch), ..octets(&["a"; 2_000]) };
        instances[0].append(ada(), topic("t0"), batch, START).await.unwrap();
        let tidied = |now| join_all(instances.iter().map(move |log| log.tidy(now)));
        tidied(START).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(instances[1].topics("acme".into()).await.unwrap().len(), 30);
        tidied(START.plus(1_063)).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(instances[0].topics("acme".into()).await.unwrap(), []);
        assert_eq!(keys(&options), [format!("{}:tenants", options.prefix)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_takes_away_what_somebody_began_and_nobody_ends() {
    for options in [server::single(), server::cluster()] {
        let log = instance(&options).await;
        let fork = || {
            let fork = Fork { source: topic("s"), at: None, more: 0 };
            NewTopic { fork: Some(fork), ..NewTopic::default() }
        };
        log.create(ada(), topic("s"), NewTopic::default(), START).await.unwrap();
        log.create(ada(), topic("f"), fork(), START).await.unwrap();
        // As if the instance had died before the fork was written, or before its reference was given back.
        forget_keys(&options, "acme:f");
        log.tidy(START).await.unwrap();
        log.delete(ada(), topic("s"), START).await.unwrap();
        let held = log.describe(ada(), topic("s"), START).await;
        assert!(matches!(held, Err(LogError::Deleted)), "it is not known yet that nothing comes of it");
        // Somebody who makes the same goes on from there.
        let again = log.create(ada(), topic("f"), fork(), START).await;
        assert!(matches!(again, Err(LogError::SourceDeleted)));
        log.create(ada(), topic("f"), NewTopic::default(), START).await.unwrap();
        forget_keys(&options, "acme:f");
        due_now(&options, "f");
        log.tidy(START).await.unwrap();
        assert_eq!(keys(&options), [format!("{}:tenants", options.prefix)]);
    }
}

/// Connections to all the servers.
fn servers(options: &Options) -> Vec<Connection> {
    let urls = match &options.nodes {
        Nodes::One(url) => std::slice::from_ref(url),
        Nodes::Cluster(urls) => urls,
    };
    urls.iter().map(|url| redis::Client::open(url.as_str()).unwrap().get_connection().unwrap()).collect()
}

/// All keys of a prefix.
fn keys(options: &Options) -> Vec<String> {
    let pattern = format!("{}:*", options.prefix);
    servers(options).iter_mut().flat_map(|server| server.keys::<_, Vec<String>>(&pattern).unwrap()).collect()
}

/// Takes away the keys of a topic.
fn forget_keys(options: &Options, tag: &str) {
    let pattern = format!("{}:{{{tag}}}:*", options.prefix);
    for server in &mut servers(options) {
        for key in server.keys::<_, Vec<String>>(&pattern).unwrap() {
            server.del::<_, ()>(key).unwrap();
        }
    }
}

/// Has a topic looked at with the next upkeep.
fn due_now(options: &Options, name: &str) {
    let key = format!("{}:{{acme}}:due", options.prefix);
    let put = servers(options).iter_mut().any(|server| server.zadd::<_, _, _, ()>(&key, name, 0).is_ok());
    assert!(put);
}
