//! What every event log promises, as tests. `events_contract!(open)` runs them all against a backend; `open` is an
//! async function that gives an empty log and a guard of whatever must outlive it. A tenant may have 32 topics there.

mod access;
mod forks;
mod lifetimes;
mod publications;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use sdk_core::clock::Millis;

pub(crate) use access::*;
pub(crate) use forks::*;
pub(crate) use lifetimes::*;
pub(crate) use publications::*;

use crate::{
    fixtures::{START, scope},
    storage::events::{
        After, Append, Appended, ContentType, EventLog, LogEpoch, LogError, NewTopic, Position, Producer,
        Read, Slice, TopicName,
    },
    tenant::TenantScope,
};

type Log = Arc<dyn EventLog>;

macro_rules! events_contract {
    ($open:path) => {
        events_contract!(@tests $open:
            events_come_back_as_they_were_in_their_order,
            an_append_is_whole_or_not_there,
            pages_of_events_follow_one_another_without_gap_or_repetition,
            appends_of_many_writers_all_have_a_place_of_their_own,
            making_a_topic_twice_makes_it_once,
            a_topic_made_anew_is_another_history,
            a_position_that_was_never_reached_is_lost,
            what_is_closed_stays_closed_and_takes_nothing,
            events_of_another_type_are_refused,
            a_writers_sequence_only_grows,
            a_producers_repetition_has_no_second_effect,
            a_producers_repetitions_side_by_side_have_one_effect,
            a_producer_leaves_no_gap,
            an_older_life_of_a_producer_is_fenced_off,
            a_repetition_is_acknowledged_also_when_the_topic_was_closed_since,
            a_tenants_topics_are_capped_and_make_room_when_they_go,
            tenants_share_no_topic,
            topics_outside_the_claim_look_like_none,
            who_may_only_read_writes_nothing,
            a_published_event_is_there_once_however_often_it_comes,
            an_event_under_the_name_of_another_is_refused,
            a_list_of_events_is_whole_or_not_there,
            nothing_overtakes_a_refused_event_of_its_topic,
            an_event_is_known_when_it_is_not_kept_any_more,
            publishing_makes_a_topic_only_where_the_claim_and_the_cap_allow_it,
            what_takes_no_more_events_answers_for_those_it_has,
            a_fork_shares_the_past_and_nothing_later,
            a_fork_reaches_no_topic_that_its_maker_cannot_read,
            positions_of_the_past_hold_in_a_fork_and_later_ones_do_not,
            a_fork_may_begin_within_an_event,
            a_deleted_source_stays_for_its_forks_only,
            forks_go_only_so_deep,
            a_fork_made_anew_is_another_history,
            a_topic_that_is_not_used_ends,
            a_topic_ends_at_its_time,
            an_ended_topic_makes_room_for_another_of_its_name,
            what_is_beyond_a_topics_retention_goes_and_is_missed_by_no_reader,
        );
    };
    (@tests $open:path: $($name:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let (log, _guard) = $open().await;
            // In a task, as all is that a server does for its clients.
            tokio::spawn($crate::storage::contract::events::$name(log)).await.unwrap();
        }
    )*};
}
pub(crate) use events_contract;

fn ada() -> TenantScope {
    scope("acme", "ada")
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn text() -> ContentType {
    ContentType::new("text/plain").unwrap()
}

fn new(events: &[&str]) -> NewTopic {
    NewTopic { content_type: Some(text()), events: bytes(events), ..NewTopic::default() }
}

fn bytes(events: &[&str]) -> Vec<Bytes> {
    events.iter().map(|event| Bytes::copy_from_slice(event.as_bytes())).collect()
}

fn events(events: &[&str]) -> Append {
    Append { content_type: Some(text()), events: bytes(events), ..Append::default() }
}

fn batch(id: &str, epoch: u64, sequence: u64, event: &str) -> Append {
    Append { producer: Some(Producer { id: id.into(), epoch, sequence }), ..events(&[event]) }
}

async fn make(log: &Log, name: &str, new: NewTopic) -> Position {
    let created = log.create(ada(), topic(name), new, START).await.unwrap();
    assert!(created.fresh);
    created.state.tail
}

async fn append(log: &Log, name: &str, append: Append) -> Result<Appended, LogError> {
    log.append(ada(), topic(name), append, START).await
}

async fn add(log: &Log, name: &str, texts: &[&str]) -> Position {
    append(log, name, events(texts)).await.unwrap().tail
}

async fn slice(log: &Log, name: &str, after: After) -> Result<Slice, LogError> {
    log.read(ada(), topic(name), Read { after, bytes: usize::MAX, within_epoch: false }, START).await
}

fn shown(slice: &Slice) -> Vec<&str> {
    slice.events.iter().map(|event| std::str::from_utf8(event).unwrap()).collect()
}

async fn all(log: &Log, name: &str) -> Vec<String> {
    let slice = slice(log, name, After::Start).await.unwrap();
    assert!(slice.up_to_date);
    shown(&slice).into_iter().map(str::to_owned).collect()
}

pub(crate) async fn events_come_back_as_they_were_in_their_order(log: Log) {
    let begin = make(&log, "t", new(&["a", ""])).await;
    let tail = add(&log, "t", &["b\r\n", "ä", "\u{0}"]).await;
    assert_eq!((begin.offset, tail.offset), (2, 5));
    assert_eq!(all(&log, "t").await, ["a", "", "b\r\n", "ä", "\u{0}"]);
    let rest = slice(&log, "t", After::Position(begin)).await.unwrap();
    assert_eq!((shown(&rest), rest.from, rest.to), (vec!["b\r\n", "ä", "\u{0}"], begin, tail));
    let nothing = slice(&log, "t", After::Now).await.unwrap();
    assert!(nothing.events.is_empty() && nothing.up_to_date && nothing.to == tail);
}

pub(crate) async fn an_append_is_whole_or_not_there(log: Log) {
    make(&log, "t", new(&[])).await;
    let many: Vec<String> = (0..100).map(|n| format!("{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let refused = Append { sequence: Some("1".into()), ..events(&many) };
    append(&log, "t", refused.clone()).await.unwrap();
    assert!(matches!(append(&log, "t", refused).await, Err(LogError::SequenceRegression)));
    assert_eq!(all(&log, "t").await, many);
}

pub(crate) async fn pages_of_events_follow_one_another_without_gap_or_repetition(log: Log) {
    make(&log, "t", new(&["a", "bb", "a long one", "c", "d"])).await;
    let (mut after, mut seen, mut pages) = (After::Start, Vec::new(), 0);
    loop {
        let page =
            log.read(ada(), topic("t"), Read { after, bytes: 4, within_epoch: false }, START).await.unwrap();
        seen.extend(shown(&page).into_iter().map(str::to_owned));
        (after, pages) = (After::Position(page.to), pages + 1);
        if page.up_to_date {
            break;
        }
    }
    assert_eq!(seen, ["a", "bb", "a long one", "c", "d"]);
    assert_eq!(pages, 3, "one event is read whatever its size");
}

pub(crate) async fn appends_of_many_writers_all_have_a_place_of_their_own(log: Log) {
    make(&log, "t", new(&[])).await;
    let texts: Vec<String> = (0..200).map(|n| format!("{n}")).collect();
    let tails = join_all(texts.iter().map(|text| append(&log, "t", events(&[text.as_str()])))).await;
    let mut tails: Vec<u64> = tails.into_iter().map(|appended| appended.unwrap().tail.offset).collect();
    tails.sort_unstable();
    assert_eq!(tails, (1..=200).collect::<Vec<_>>());
    let mut seen = all(&log, "t").await;
    seen.sort_unstable_by_key(|text| text.parse::<u64>().unwrap());
    assert_eq!(seen, texts);
}

pub(crate) async fn making_a_topic_twice_makes_it_once(log: Log) {
    make(&log, "t", new(&["a"])).await;
    let again = log.create(ada(), topic("t"), new(&["b"]), START).await.unwrap();
    assert!(!again.fresh && again.state.tail.offset == 1);
    assert_eq!(all(&log, "t").await, ["a"]);
    let json = NewTopic { content_type: ContentType::new("application/json"), ..NewTopic::default() };
    for other in [json, NewTopic { closed: true, ..new(&[]) }, NewTopic::default()] {
        let answer = log.create(ada(), topic("t"), other, START).await;
        assert!(matches!(answer, Err(LogError::TopicExists)));
    }
}

pub(crate) async fn a_topic_made_anew_is_another_history(log: Log) {
    let old = make(&log, "t", new(&["a", "b"])).await;
    log.delete(ada(), topic("t"), START).await.unwrap();
    assert!(matches!(slice(&log, "t", After::Start).await, Err(LogError::NoSuchTopic)));
    assert!(matches!(log.delete(ada(), topic("t"), START).await, Err(LogError::NoSuchTopic)));
    // A clock that was set back makes no difference.
    let created = log.create(ada(), topic("t"), new(&["c", "d", "e"]), Millis(5)).await.unwrap();
    let earliest = created.state.earliest;
    assert!(created.state.tail.epoch > old.epoch);
    let answer = slice(&log, "t", After::Position(old)).await;
    assert!(
        matches!(answer, Err(LogError::PositionLost { earliest: told }) if told == earliest),
        "{answer:?}"
    );
    assert_eq!(all(&log, "t").await, ["c", "d", "e"]);
}

pub(crate) async fn a_position_that_was_never_reached_is_lost(log: Log) {
    let tail = make(&log, "t", new(&["a"])).await;
    let ahead = Position { offset: 2, ..tail };
    let elsewhere = Position { epoch: LogEpoch(tail.epoch.0 + 1), ..tail };
    for position in [ahead, elsewhere] {
        let answer = slice(&log, "t", After::Position(position)).await;
        assert!(matches!(answer, Err(LogError::PositionLost { .. })), "{answer:?}");
    }
}

pub(crate) async fn what_is_closed_stays_closed_and_takes_nothing(log: Log) {
    make(&log, "t", new(&["a"])).await;
    let closing = Append { close: true, ..events(&["b"]) };
    let tail = append(&log, "t", closing.clone()).await.unwrap().tail;
    for refused in [closing, events(&["c"])] {
        let answer = append(&log, "t", refused).await;
        assert!(matches!(answer, Err(LogError::Closed { tail: told }) if told == tail));
    }
    let again = append(&log, "t", Append { close: true, ..Append::default() }).await.unwrap();
    assert!(again.closed && !again.fresh && again.tail == tail);
    let slice = slice(&log, "t", After::Start).await.unwrap();
    assert!(slice.closed && shown(&slice) == ["a", "b"]);
    let page = log
        .read(ada(), topic("t"), Read { after: After::Start, bytes: 1, within_epoch: false }, START)
        .await
        .unwrap();
    assert!(!page.closed, "the end is told of where it is");
}

pub(crate) async fn events_of_another_type_are_refused(log: Log) {
    make(&log, "t", new(&[])).await;
    let json = Append { content_type: ContentType::new("application/json"), ..events(&["1"]) };
    assert!(matches!(append(&log, "t", json).await, Err(LogError::ContentTypeMismatch)));
    assert!(matches!(append(&log, "none", events(&["1"])).await, Err(LogError::NoSuchTopic)));
    assert!(all(&log, "t").await.is_empty());
}

pub(crate) async fn a_writers_sequence_only_grows(log: Log) {
    make(&log, "t", new(&[])).await;
    let numbered = |sequence: &str| Append { sequence: Some(sequence.into()), ..events(&[sequence]) };
    for (sequence, taken) in
        [("09", true), ("10", true), ("10", false), ("1", false), ("2", true), ("10", false)]
    {
        assert_eq!(append(&log, "t", numbered(sequence)).await.is_ok(), taken, "{sequence}");
    }
    assert_eq!(all(&log, "t").await, ["09", "10", "2"]);
}

pub(crate) async fn a_producers_repetition_has_no_second_effect(log: Log) {
    make(&log, "t", new(&[])).await;
    for (sequence, event) in [(0, "a"), (1, "b"), (0, "other"), (1, "other"), (2, "c")] {
        append(&log, "t", batch("p", 3, sequence, event)).await.unwrap();
    }
    let again = append(&log, "t", batch("p", 3, 0, "a")).await.unwrap();
    assert_eq!((again.fresh, again.newest, again.tail.offset), (false, Some(2), 3));
    append(&log, "t", batch("q", 0, 0, "from another")).await.unwrap();
    assert_eq!(all(&log, "t").await, ["a", "b", "c", "from another"]);
}

pub(crate) async fn a_producers_repetitions_side_by_side_have_one_effect(log: Log) {
    make(&log, "t", new(&[])).await;
    let answers = join_all((0..20).map(|_| append(&log, "t", batch("p", 0, 0, "a")))).await;
    let fresh = answers.into_iter().filter(|answer| answer.as_ref().unwrap().fresh).count();
    assert_eq!(fresh, 1);
    assert_eq!(all(&log, "t").await, ["a"]);
}

pub(crate) async fn a_producer_leaves_no_gap(log: Log) {
    make(&log, "t", new(&[])).await;
    let gap = |answer, next, came| matches!(answer, Err(LogError::ProducerGap { expected, received }) if (expected, received) == (next, came));
    assert!(gap(append(&log, "t", batch("p", 0, 1, "b")).await, 0, 1));
    append(&log, "t", batch("p", 0, 0, "a")).await.unwrap();
    assert!(gap(append(&log, "t", batch("p", 0, 2, "c")).await, 1, 2));
    append(&log, "t", batch("p", 0, 1, "b")).await.unwrap();
    assert_eq!(all(&log, "t").await, ["a", "b"]);
}

pub(crate) async fn an_older_life_of_a_producer_is_fenced_off(log: Log) {
    make(&log, "t", new(&[])).await;
    append(&log, "t", batch("p", 0, 0, "a")).await.unwrap();
    assert!(matches!(append(&log, "t", batch("p", 1, 1, "x")).await, Err(LogError::ProducerEpochStart)));
    append(&log, "t", batch("p", 1, 0, "b")).await.unwrap();
    let answer = append(&log, "t", batch("p", 0, 1, "x")).await;
    assert!(matches!(answer, Err(LogError::StaleProducer { current: 1 })));
    assert_eq!(all(&log, "t").await, ["a", "b"]);
}

pub(crate) async fn a_repetition_is_acknowledged_also_when_the_topic_was_closed_since(log: Log) {
    make(&log, "t", new(&[])).await;
    append(&log, "t", batch("p", 0, 0, "a")).await.unwrap();
    let last = Append { close: true, ..batch("q", 0, 0, "b") };
    append(&log, "t", last.clone()).await.unwrap();
    for again in [batch("p", 0, 0, "a"), last] {
        let answer = append(&log, "t", again).await.unwrap();
        assert!(answer.closed && !answer.fresh);
    }
    for refused in [batch("p", 0, 1, "c"), batch("r", 0, 0, "c")] {
        assert!(matches!(append(&log, "t", refused).await, Err(LogError::Closed { .. })));
    }
    assert_eq!(all(&log, "t").await, ["a", "b"]);
}

pub(crate) async fn a_tenants_topics_are_capped_and_make_room_when_they_go(log: Log) {
    for n in 0..32 {
        make(&log, &format!("t{n}"), new(&[])).await;
    }
    let refused = log.create(ada(), topic("t32"), new(&[]), START).await;
    assert!(matches!(refused, Err(LogError::TooManyTopics(32))));
    log.create(scope("other", "bob"), topic("t32"), new(&[]), START).await.unwrap();
    log.delete(ada(), topic("t3"), START).await.unwrap();
    make(&log, "t32", new(&[])).await;
}
