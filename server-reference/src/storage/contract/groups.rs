//! What every store of consumer groups promises, as tests. `groups_contract!(open)` runs them all against a backend;
//! `open` is an async function that gives an empty log with its groups and a guard of whatever must outlive it.

mod access;
mod letters;
mod loss;

use std::sync::Arc;

use bytes::Bytes;
use sdk_core::clock::Millis;

pub(crate) use access::*;
pub(crate) use letters::*;
pub(crate) use loss::*;

use crate::{
    fixtures::{START, granted, scope},
    storage::events::{
        Append, Claim, Claimed, ContentType, DeadLetters, EventLog, GroupName, GroupState, GroupStore,
        LogEpoch, LogError, MAX_TOPIC_GROUPS, NewGroup, NewTopic, Poison, Position, Rules, Settle, Settled,
        Start, TopicName, Verdict,
    },
    tenant::TenantScope,
};

/// One store, by what it is asked for.
#[derive(Clone)]
pub(crate) struct Groups {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) groups: Arc<dyn GroupStore>,
    pub(crate) letters: Arc<dyn DeadLetters>,
}

macro_rules! groups_contract {
    ($open:path) => {
        groups_contract!(@tests $open:
            an_event_is_out_at_one_worker_at_a_time_and_done_once,
            a_claim_is_as_large_as_asked_for,
            a_lease_that_is_over_changes_nothing,
            a_lease_that_lapsed_gives_its_events_to_others,
            a_lease_that_is_extended_lasts,
            an_ack_that_is_repeated_under_its_lease_is_one,
            an_ack_of_what_is_anothers_changes_nothing,
            events_of_one_key_are_resolved_one_after_the_other,
            a_failed_event_holds_back_its_key_alone,
            a_cursor_never_passes_an_unresolved_event,
            a_pause_after_a_failure_is_within_its_bounds,
            a_group_begins_where_it_was_told,
            a_position_of_another_history_begins_no_group,
            making_a_group_twice_makes_it_once,
            groups_of_a_topic_are_capped_and_make_room_when_they_go,
            groups_of_one_topic_do_not_touch_each_other,
            what_is_outstanding_is_capped,
            a_group_ends_with_its_topic,
            groups_are_their_tenants_and_their_topics_readers,
            groups_are_listed_by_name_piece_by_piece,
            a_fork_is_shared_from_its_beginning,
            events_that_retention_took_are_told,
            a_loss_is_told_until_a_worker_has_answered,
            what_is_out_at_a_worker_is_not_lost,
            a_group_that_leaves_too_much_unread_loses_the_oldest,
            a_parked_event_is_a_dead_letter_and_its_key_goes_on,
            a_halted_event_holds_its_key_until_somebody_decides,
            a_skipped_event_is_let_go,
            a_lapse_is_an_attempt,
            a_letter_that_is_retried_is_there_once,
            a_retried_event_waits_for_its_key_whatever_is_lost_of_it,
            a_letter_that_dies_again_is_another,
            an_edited_letter_is_what_is_retried,
            letters_stay_when_their_group_and_topic_are_gone,
            letters_are_for_those_who_administer,
            letters_of_a_group_are_capped_by_their_bytes,
            a_topic_says_what_its_groups_do_about_failures_and_a_group_says_otherwise,
        );
    };
    (@tests $open:path: $($name:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let (groups, _guard) = $open().await;
            $crate::storage::contract::groups::$name(groups).await;
        }
    )*};
}
pub(crate) use groups_contract;

/// Milliseconds of a lease here.
const LEASE: u64 = 10_000;

fn ada() -> TenantScope {
    scope("acme", "ada")
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn json() -> ContentType {
    ContentType::new("application/json").unwrap()
}

fn rules() -> Rules {
    Rules { lease_ms: LEASE, backoff_ms: 0, backoff_max_ms: 1_000, attempts: 3, ..Rules::default() }
}

/// An event with a key, and one without.
fn keyed(key: &str, n: u32) -> String {
    format!("{{\"subject\":\"{key}\",\"n\":{n}}}")
}

fn plain(n: u32) -> String {
    format!("{{\"n\":{n}}}")
}

fn later(millis: u64) -> Millis {
    START.plus(millis)
}

impl Groups {
    async fn topic(&self, name: &str, new: NewTopic) {
        let new = NewTopic { content_type: Some(json()), ..new };
        self.log.create(ada(), topic(name), new, START).await.unwrap();
    }

    async fn add(&self, name: &str, events: &[String], now: Millis) -> Position {
        let events = events.iter().map(|event| Bytes::copy_from_slice(event.as_bytes())).collect();
        let append = Append { content_type: Some(json()), events, ..Append::default() };
        self.log.append(ada(), topic(name), append, now).await.unwrap().tail
    }

    /// The topic `t` with some events, and the group `g` of it.
    async fn with(&self, events: &[String], rules: Rules) {
        self.topic("t", NewTopic::default()).await;
        self.add("t", events, START).await;
        self.make("g", "t", Start::Earliest, rules).await.unwrap();
    }

    async fn make(&self, name: &str, of: &str, start: Start, rules: Rules) -> Result<GroupState, LogError> {
        let new = NewGroup { topic: topic(of), start, rules, redelivery: Default::default() };
        Ok(self.groups.make_group(ada(), group(name), new, START).await?.1)
    }

    async fn claim_of(&self, name: &str, events: usize, now: Millis) -> Result<Claimed, LogError> {
        let claim = Claim { worker: "w".into(), events, bytes: 1_000_000, secret: "s".into(), chance: 7 };
        self.groups.claim(ada(), group(name), claim, now).await
    }

    async fn claim(&self, events: usize, now: Millis) -> Claimed {
        self.claim_of("g", events, now).await.unwrap()
    }

    async fn settle(&self, claimed: &Claimed, verdict: Verdict, now: Millis) -> Result<Settled, LogError> {
        self.settle_some(claimed, None, verdict, now).await
    }

    async fn settle_some(
        &self,
        claimed: &Claimed,
        positions: Option<Vec<Position>>,
        verdict: Verdict,
        now: Millis,
    ) -> Result<Settled, LogError> {
        let lease = claimed.lease.as_ref().unwrap().id.clone();
        self.groups.settle(ada(), group("g"), Settle { lease, positions, verdict, chance: 7 }, now).await
    }

    async fn state(&self) -> GroupState {
        self.groups.group(ada(), group("g"), START).await.unwrap()
    }
}

fn nack(delay: u64) -> Verdict {
    Verdict::Nack { delay: Some(delay), error: "broken".into() }
}

/// The numbers in events.
fn numbers(claimed: &Claimed) -> Vec<u64> {
    let number = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap()["n"].as_u64();
    claimed.events.iter().map(|event| number(&event.body).unwrap()).collect()
}

fn attempts(claimed: &Claimed) -> Vec<u32> {
    claimed.events.iter().map(|event| event.attempt).collect()
}

pub(crate) async fn an_event_is_out_at_one_worker_at_a_time_and_done_once(groups: Groups) {
    groups.with(&[plain(1), plain(2), plain(3)], rules()).await;
    let (one, two) = (groups.claim(2, START).await, groups.claim(2, START).await);
    assert_eq!((numbers(&one), numbers(&two)), (vec![1, 2], vec![3]));
    assert_eq!(attempts(&one), [1, 1]);
    let none = groups.claim(2, START).await;
    assert!(none.events.is_empty() && none.lease.is_none());
    assert_eq!(none.next, Some(later(LEASE)), "there may be something to do when a lease is over");
    for claimed in [&one, &two] {
        groups.settle(claimed, Verdict::Ack, START).await.unwrap();
    }
    assert!(groups.claim(2, later(100 * LEASE)).await.events.is_empty());
    let state = groups.state().await;
    assert_eq!((state.cursor, state.outstanding, state.leased), (state.tail, 0, 0));
}

pub(crate) async fn a_claim_is_as_large_as_asked_for(groups: Groups) {
    groups.with(&(0..10).map(plain).collect::<Vec<_>>(), rules()).await;
    let length = plain(0).len();
    let claim = |events, bytes| {
        let claim = Claim { worker: "w".into(), events, bytes, secret: "s".into(), chance: 0 };
        groups.groups.claim(ada(), group("g"), claim, START)
    };
    assert_eq!(numbers(&claim(3, 1_000).await.unwrap()), [0, 1, 2]);
    assert_eq!(numbers(&claim(9, 2 * length).await.unwrap()), [3, 4]);
    assert_eq!(numbers(&claim(9, 0).await.unwrap()), [5], "one comes whatever its size");
}

pub(crate) async fn a_lease_that_is_over_changes_nothing(groups: Groups) {
    groups.with(&[plain(1)], rules()).await;
    let stale = groups.claim(1, START).await;
    for verdict in [Verdict::Ack, nack(0), Verdict::Extend] {
        // Whether or not anybody else has claimed since.
        let answer = groups.settle(&stale, verdict, later(LEASE)).await;
        assert!(matches!(answer, Err(LogError::Fenced)), "{answer:?}");
    }
    let fresh = groups.claim(1, later(LEASE)).await;
    assert_eq!((numbers(&fresh), attempts(&fresh)), (vec![1], vec![2]));
    for verdict in [Verdict::Ack, nack(0), Verdict::Extend] {
        let answer = groups.settle(&stale, verdict, later(LEASE + 1)).await;
        assert!(matches!(answer, Err(LogError::Fenced)), "{answer:?}");
    }
    assert_eq!(groups.state().await.leased, 1);
    assert_eq!(groups.settle(&fresh, Verdict::Ack, later(LEASE + 1)).await.unwrap().events, 1);
}

pub(crate) async fn a_lease_that_lapsed_gives_its_events_to_others(groups: Groups) {
    groups.with(&[plain(1), plain(2)], rules()).await;
    let first = groups.claim(2, START).await;
    let done = vec![first.events[0].position];
    groups.settle_some(&first, Some(done), Verdict::Ack, START).await.unwrap();
    assert!(groups.claim(2, later(LEASE - 1)).await.events.is_empty());
    let second = groups.claim(2, later(LEASE)).await;
    assert_eq!((numbers(&second), attempts(&second)), (vec![2], vec![2]));
}

pub(crate) async fn a_lease_that_is_extended_lasts(groups: Groups) {
    groups.with(&[plain(1)], rules()).await;
    let claimed = groups.claim(1, START).await;
    let settled = groups.settle(&claimed, Verdict::Extend, later(LEASE - 1)).await.unwrap();
    assert_eq!((settled.events, settled.until), (0, later(2 * LEASE - 1)));
    assert!(groups.claim(1, later(LEASE)).await.events.is_empty());
    assert_eq!(groups.settle(&claimed, Verdict::Ack, later(2 * LEASE - 2)).await.unwrap().events, 1);
}

pub(crate) async fn an_ack_that_is_repeated_under_its_lease_is_one(groups: Groups) {
    groups.with(&[plain(1), plain(2)], rules()).await;
    let claimed = groups.claim(2, START).await;
    assert_eq!(groups.settle(&claimed, Verdict::Ack, START).await.unwrap().events, 2);
    // The answer may have been lost.
    assert_eq!(groups.settle(&claimed, Verdict::Ack, START).await.unwrap().events, 0);
    assert_eq!(groups.settle(&claimed, nack(0), START).await.unwrap().events, 0);
    assert!(groups.claim(2, START).await.events.is_empty());
}

pub(crate) async fn an_ack_of_what_is_anothers_changes_nothing(groups: Groups) {
    groups.with(&[plain(1), plain(2)], rules()).await;
    let (one, two) = (groups.claim(1, START).await, groups.claim(1, START).await);
    let (mine, yours) = (one.events[0].position, two.events[0].position);
    let answer = groups.settle_some(&one, Some(vec![mine, yours]), Verdict::Ack, START).await;
    assert!(matches!(answer, Err(LogError::Fenced)), "{answer:?}");
    let elsewhere = Position { epoch: LogEpoch(mine.epoch.0 + 1), ..mine };
    let answer = groups.settle_some(&one, Some(vec![elsewhere]), Verdict::Ack, START).await;
    assert!(matches!(answer, Err(LogError::PositionLost { .. })), "{answer:?}");
    let number = one.lease.as_ref().unwrap().id.split_once('.').unwrap().0;
    for lease in ["", "1", "x.s", "1.", "99.s", &format!("{number}.guess")] {
        let settle = Settle { lease: lease.into(), positions: None, verdict: Verdict::Ack, chance: 0 };
        let answer = groups.groups.settle(ada(), group("g"), settle, START).await;
        assert!(matches!(answer, Err(LogError::Fenced)), "{lease}: {answer:?}");
    }
    assert_eq!(groups.state().await.leased, 2);
}

pub(crate) async fn events_of_one_key_are_resolved_one_after_the_other(groups: Groups) {
    let events = [keyed("a", 1), keyed("a", 2), keyed("b", 3), keyed("a", 4), plain(5)];
    groups.with(&events, rules()).await;
    let first = groups.claim(10, START).await;
    assert_eq!(numbers(&first), [1, 3, 5], "not even in one batch are there two of a key");
    assert!(groups.claim(10, START).await.events.is_empty());
    let a = vec![first.events[0].position];
    groups.settle_some(&first, Some(a), Verdict::Ack, START).await.unwrap();
    let second = groups.claim(10, START).await;
    assert_eq!(numbers(&second), [2]);
    groups.add("t", &[keyed("a", 6), keyed("c", 7)], START).await;
    assert_eq!(numbers(&groups.claim(10, START).await), [7]);
    groups.settle(&second, Verdict::Ack, START).await.unwrap();
    assert_eq!(numbers(&groups.claim(10, START).await), [4]);
}

pub(crate) async fn a_failed_event_holds_back_its_key_alone(groups: Groups) {
    groups.with(&[keyed("a", 1), keyed("a", 2), keyed("b", 3), keyed("b", 4)], rules()).await;
    let first = groups.claim(10, START).await;
    let (a, b) = (first.events[0].position, first.events[1].position);
    groups.settle_some(&first, Some(vec![a]), nack(5_000), START).await.unwrap();
    groups.settle_some(&first, Some(vec![b]), Verdict::Ack, START).await.unwrap();
    let second = groups.claim(10, START).await;
    assert_eq!(numbers(&second), [4]);
    groups.settle(&second, Verdict::Ack, START).await.unwrap();
    let nothing = groups.claim(10, later(4_999)).await;
    assert_eq!((nothing.events.len(), nothing.next), (0, Some(later(5_000))));
    let again = groups.claim(10, later(5_000)).await;
    assert_eq!((numbers(&again), attempts(&again)), (vec![1], vec![2]));
}

pub(crate) async fn a_cursor_never_passes_an_unresolved_event(groups: Groups) {
    groups.with(&(1..=4).map(plain).collect::<Vec<_>>(), rules()).await;
    let cursor = async || groups.state().await.cursor.offset;
    let claimed = groups.claim(3, START).await;
    assert_eq!(cursor().await, 0);
    for (acked, expected) in [(2, 0), (0, 1), (1, 3)] {
        let position = vec![claimed.events[acked].position];
        groups.settle_some(&claimed, Some(position), Verdict::Ack, START).await.unwrap();
        assert_eq!(cursor().await, expected);
    }
    let last = groups.claim(1, START).await;
    groups.settle(&last, nack(1), START).await.unwrap();
    assert_eq!(cursor().await, 3, "one that waits for another attempt is not resolved");
}

pub(crate) async fn a_pause_after_a_failure_is_within_its_bounds(groups: Groups) {
    let bounds = Rules { backoff_ms: 100, backoff_max_ms: 300, attempts: 50, ..rules() };
    groups.with(&(0..40).map(plain).collect::<Vec<_>>(), bounds).await;
    let mut now = START;
    for bound in [100, 200, 300, 300] {
        let claimed = groups.claim(100, now).await;
        assert_eq!(claimed.events.len(), 40);
        let failed = Verdict::Nack { delay: None, error: String::new() };
        groups.settle(&claimed, failed, now).await.unwrap();
        now = now.plus(bound);
    }
    // Anything up to the bound, so that not all come back at once.
    let early = groups.claim(100, Millis(now.0 - 150)).await.events.len();
    assert!((1..40).contains(&early), "{early} of 40");
    assert_eq!(groups.claim(100, now).await.events.len(), 40 - early);
}

pub(crate) async fn a_group_begins_where_it_was_told(groups: Groups) {
    groups.topic("t", NewTopic::default()).await;
    let middle = groups.add("t", &[plain(1)], later(1_000)).await;
    groups.add("t", &[plain(2), plain(3)], later(2_000)).await;
    groups.add("t", &[plain(4)], later(3_000)).await;
    let since = |millis| Start::Since(later(millis));
    for (n, (start, expected)) in [
        (Start::Earliest, vec![1, 2, 3, 4]),
        (Start::Latest, vec![]),
        (Start::After(middle), vec![2, 3, 4]),
        (since(0), vec![1, 2, 3, 4]),
        (since(1_000), vec![1, 2, 3, 4]),
        (since(1_001), vec![2, 3, 4]),
        (since(3_000), vec![4]),
        (since(3_001), vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("g{n}");
        groups.make(&name, "t", start, rules()).await.unwrap();
        let claimed = groups.claim_of(&name, 10, later(4_000)).await.unwrap();
        assert_eq!(numbers(&claimed), expected, "{start}");
        assert!(claimed.lost.is_none());
    }
}

pub(crate) async fn a_position_of_another_history_begins_no_group(groups: Groups) {
    groups.topic("t", NewTopic::default()).await;
    let tail = groups.add("t", &[plain(1)], START).await;
    for bad in
        [Position { epoch: LogEpoch(tail.epoch.0 + 1), ..tail }, Position { offset: tail.offset + 1, ..tail }]
    {
        let answer = groups.make("g", "t", Start::After(bad), rules()).await;
        assert!(matches!(answer, Err(LogError::PositionLost { .. })), "{answer:?}");
    }
    assert!(matches!(groups.claim_of("g", 1, START).await, Err(LogError::NoSuchGroup)));
    let answer = groups.make("g", "other", Start::Earliest, rules()).await;
    assert!(matches!(answer, Err(LogError::NoSuchTopic)), "{answer:?}");
}

pub(crate) async fn making_a_group_twice_makes_it_once(groups: Groups) {
    groups.with(&[plain(1)], rules()).await;
    let claimed = groups.claim(1, START).await;
    groups.settle(&claimed, Verdict::Ack, START).await.unwrap();
    let again = groups.make("g", "t", Start::Earliest, rules()).await.unwrap();
    assert_eq!(again.cursor.offset, 1, "it goes on where it was");
    groups.topic("u", NewTopic::default()).await;
    for (of, start, rules) in [
        ("u", Start::Earliest, rules()),
        ("t", Start::Latest, rules()),
        ("t", Start::Earliest, Rules { poison: Poison::Skip, ..rules() }),
    ] {
        let answer = groups.make("g", of, start, rules).await;
        assert!(matches!(answer, Err(LogError::GroupExists)), "{answer:?}");
    }
}

pub(crate) async fn groups_of_a_topic_are_capped_and_make_room_when_they_go(groups: Groups) {
    groups.topic("t", NewTopic::default()).await;
    for n in 0..MAX_TOPIC_GROUPS {
        groups.make(&format!("g{n}"), "t", Start::Earliest, rules()).await.unwrap();
    }
    let answer = groups.make("more", "t", Start::Earliest, rules()).await;
    assert!(matches!(answer, Err(LogError::TooManyGroups)), "{answer:?}");
    groups.groups.remove_group(ada(), group("g0"), START).await.unwrap();
    groups.make("more", "t", Start::Earliest, rules()).await.unwrap();
    let answer = groups.groups.remove_group(ada(), group("g0"), START).await;
    assert!(matches!(answer, Err(LogError::NoSuchGroup)), "{answer:?}");
}

pub(crate) async fn groups_of_one_topic_do_not_touch_each_other(groups: Groups) {
    groups.with(&[keyed("a", 1), keyed("a", 2)], rules()).await;
    groups.make("h", "t", Start::Earliest, rules()).await.unwrap();
    let mine = groups.claim(9, START).await;
    let yours = groups.claim_of("h", 9, START).await.unwrap();
    assert_eq!((numbers(&mine), numbers(&yours)), (vec![1], vec![1]));
    groups.settle(&mine, Verdict::Ack, START).await.unwrap();
    assert_eq!(numbers(&groups.claim(9, START).await), [2]);
    assert!(groups.claim_of("h", 9, START).await.unwrap().events.is_empty());
}

pub(crate) async fn what_is_outstanding_is_capped(groups: Groups) {
    let events: Vec<String> = (0..20).map(plain).collect();
    groups.with(&events, Rules { outstanding: 5, ..rules() }).await;
    let first = groups.claim(10, START).await;
    assert_eq!(first.events.len(), 5);
    assert!(groups.claim(10, START).await.events.is_empty());
    let one = vec![first.events[3].position];
    groups.settle_some(&first, Some(one), Verdict::Ack, START).await.unwrap();
    assert_eq!(numbers(&groups.claim(10, START).await), [5]);
    assert_eq!(groups.state().await.outstanding, 5);
}

pub(crate) async fn a_group_ends_with_its_topic(groups: Groups) {
    groups.with(&[plain(1)], rules()).await;
    let claimed = groups.claim(1, START).await;
    groups.log.delete(ada(), topic("t"), START).await.unwrap();
    assert!(matches!(groups.claim_of("g", 1, START).await, Err(LogError::NoSuchGroup)));
    assert!(matches!(groups.settle(&claimed, Verdict::Ack, START).await, Err(LogError::NoSuchGroup)));
    // Another topic of that name is another history, and so is a group of that name.
    groups.with(&[plain(2)], rules()).await;
    assert!(matches!(groups.settle(&claimed, Verdict::Ack, START).await, Err(LogError::Fenced)));
    assert_eq!(numbers(&groups.claim(9, START).await), [2]);
}

pub(crate) async fn a_fork_is_shared_from_its_beginning(groups: Groups) {
    groups.topic("source", NewTopic::default()).await;
    groups.add("source", &[plain(1), plain(2)], START).await;
    let fork = crate::storage::events::Fork { source: topic("source"), at: None, more: 0 };
    groups.topic("t", NewTopic { fork: Some(fork), ..NewTopic::default() }).await;
    groups.add("t", &[plain(3)], later(5)).await;
    groups.add("source", &[plain(9)], later(5)).await;
    groups.make("g", "t", Start::Earliest, rules()).await.unwrap();
    let claimed = groups.claim(9, later(5)).await;
    assert_eq!(numbers(&claimed), [1, 2, 3]);
    let positions = claimed.events.iter().map(|event| event.position).collect();
    let settled = groups.settle_some(&claimed, Some(positions), Verdict::Ack, later(5)).await.unwrap();
    assert_eq!(settled.events, 3);
    groups.make("since", "t", Start::Since(later(5)), rules()).await.unwrap();
    assert_eq!(numbers(&groups.claim_of("since", 9, later(5)).await.unwrap()), [3]);
}
