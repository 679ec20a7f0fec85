//! What becomes of events whose attempts are over.

use super::*;
use crate::storage::events::{Change, Fate, Letter, LetterId, MAX_GROUP_BYTES, Redelivery, Which};

impl Groups {
    async fn dead(&self) -> Vec<Letter> {
        self.dead_of(ada()).await.unwrap()
    }

    async fn dead_of(&self, scope: TenantScope) -> Result<Vec<Letter>, LogError> {
        self.letters.letters(scope, group("g"), Which::After(0, 100), START).await
    }

    async fn change(&self, change: Change) -> Result<Vec<(LetterId, Fate)>, LogError> {
        self.letters.change_letters(ada(), group("g"), change, START).await
    }

    /// Fails whatever comes first until its attempts are over.
    async fn exhaust(&self) {
        for _ in 0..3 {
            let claimed = self.claim(1, START).await;
            self.settle(&claimed, nack(0), START).await.unwrap();
        }
    }
}

fn poison(poison: Poison) -> Rules {
    Rules { poison, ..rules() }
}

pub(crate) async fn a_parked_event_is_a_dead_letter_and_its_key_goes_on(groups: Groups) {
    groups.with(&[keyed("a", 1), keyed("a", 2)], poison(Poison::Park)).await;
    groups.exhaust().await;
    let [letter] = &groups.dead().await[..] else { panic!("one letter") };
    assert_eq!((letter.topic.as_str(), letter.retrying, letter.edited), ("t", false, false));
    let errors: Vec<_> = letter.attempts.iter().map(|attempt| (attempt.at, &*attempt.error)).collect();
    assert_eq!(errors, vec![(START.0, "broken"); 3]);
    let whole = groups.letters.letters(ada(), group("g"), Which::One(letter.id), START).await.unwrap();
    assert_eq!((&whole[0].body[..], whole[0].at), (keyed("a", 1).as_bytes(), START));
    assert_eq!(numbers(&groups.claim(9, START).await), [2]);
    assert_eq!(groups.state().await.cursor.offset, 1);
}

pub(crate) async fn a_halted_event_holds_its_key_until_somebody_decides(groups: Groups) {
    let events = [keyed("a", 1), keyed("a", 2), keyed("b", 3)];
    groups.with(&events, poison(Poison::Halt)).await;
    groups.exhaust().await;
    let other = groups.claim(9, later(100 * LEASE)).await;
    assert_eq!(numbers(&other), [3], "other keys go on");
    groups.settle(&other, Verdict::Ack, later(100 * LEASE)).await.unwrap();
    let state = groups.state().await;
    assert_eq!((state.cursor.offset, state.halted, state.letters), (0, 1, 1));
    let id = groups.dead().await[0].id;
    assert_eq!(groups.change(Change::Retry(vec![id])).await.unwrap(), [(id, Fate::Retrying)]);
    let again = groups.claim(9, START).await;
    assert_eq!((numbers(&again), attempts(&again)), (vec![1], vec![1]));
    groups.settle(&again, Verdict::Ack, START).await.unwrap();
    assert!(groups.dead().await.is_empty());
    groups.exhaust().await;
    let id = groups.dead().await[0].id;
    assert_eq!(groups.change(Change::Discard(vec![id])).await.unwrap(), [(id, Fate::Discarded)]);
    assert_eq!(groups.change(Change::Discard(vec![id])).await.unwrap(), [(id, Fate::Gone)]);
    let state = groups.state().await;
    assert_eq!((state.cursor.offset, state.halted, state.letters), (3, 0, 0));
}

pub(crate) async fn a_skipped_event_is_let_go(groups: Groups) {
    groups.with(&[keyed("a", 1), keyed("a", 2)], poison(Poison::Skip)).await;
    groups.exhaust().await;
    let state = groups.state().await;
    assert_eq!((state.skipped, state.letters, state.cursor.offset), (1, 0, 1));
    assert_eq!(numbers(&groups.claim(9, START).await), [2]);
}

pub(crate) async fn a_lapse_is_an_attempt(groups: Groups) {
    groups.with(&[plain(1)], poison(Poison::Park)).await;
    let mut now = START;
    for attempt in 1..=3 {
        let claimed = groups.claim(1, now).await;
        assert_eq!(attempts(&claimed), [attempt]);
        now = now.plus(LEASE + 1_000);
    }
    assert!(groups.claim(1, now).await.events.is_empty());
    let [letter] = &groups.dead().await[..] else { panic!("one letter") };
    assert_eq!(letter.attempts.len(), 3);
    assert!(
        letter.attempts.iter().all(|attempt| attempt.error == "the lease lapsed" && attempt.worker == "w")
    );
}

pub(crate) async fn a_letter_that_is_retried_is_there_once(groups: Groups) {
    groups.with(&[keyed("a", 1), keyed("a", 2)], poison(Poison::Park)).await;
    groups.exhaust().await;
    let id = groups.dead().await[0].id;
    let other = groups.claim(9, START).await;
    assert_eq!(numbers(&other), [2]);
    for _ in 0..3 {
        assert_eq!(groups.change(Change::Retry(vec![id])).await.unwrap(), [(id, Fate::Retrying)]);
    }
    assert!(groups.dead().await[0].retrying);
    assert!(groups.claim(9, START).await.events.is_empty(), "another event of its key is out");
    assert_eq!(groups.state().await.cursor.offset, 1, "it was resolved before");
    for change in [Change::Discard(vec![id]), Change::Retry(vec![id])] {
        assert_eq!(groups.change(change).await.unwrap(), [(id, Fate::Retrying)]);
    }
    groups.settle(&other, Verdict::Ack, START).await.unwrap();
    let again = groups.claim(9, START).await;
    assert_eq!((numbers(&again), attempts(&again)), (vec![1], vec![1]));
    groups.settle(&again, Verdict::Ack, START).await.unwrap();
    assert!(groups.dead().await.is_empty());
    assert_eq!(groups.change(Change::Retry(vec![id])).await.unwrap(), [(id, Fate::Gone)]);
    assert!(groups.claim(9, START).await.events.is_empty());
    assert_eq!(groups.state().await.outstanding, 0);
}

pub(crate) async fn a_retried_event_waits_for_its_key_whatever_is_lost_of_it(groups: Groups) {
    let retention = crate::storage::events::Retention { events: Some(3), ..Default::default() };
    groups.topic("t", NewTopic { retention, ..NewTopic::default() }).await;
    groups.make("g", "t", Start::Earliest, poison(Poison::Park)).await.unwrap();
    groups.add("t", &[keyed("a", 1), keyed("a", 2), keyed("a", 3)], START).await;
    groups.exhaust().await;
    // The second is out, and the third waits for it. Then the first is tried again.
    assert_eq!(numbers(&groups.claim(9, START).await), [2]);
    groups.change(Change::Retry(vec![groups.dead().await[0].id])).await.unwrap();
    // Nothing that is out is lost; the third is.
    groups.add("t", &[plain(4), plain(5), plain(6)], START).await;
    assert_eq!(numbers(&groups.claim(9, START).await), [4, 5, 6]);
    assert_eq!(groups.state().await.lost, 1);
}

pub(crate) async fn a_letter_that_dies_again_is_another(groups: Groups) {
    groups.with(&[plain(1)], poison(Poison::Park)).await;
    groups.exhaust().await;
    let first = groups.dead().await[0].id;
    groups.change(Change::Retry(vec![first])).await.unwrap();
    groups.exhaust().await;
    let [letter] = &groups.dead().await[..] else { panic!("one letter") };
    assert_eq!((letter.id.key, letter.id.round, letter.attempts.len()), (first.key, 2, 6));
    // A repetition of the first decision that comes late decides nothing.
    assert_eq!(groups.change(Change::Retry(vec![first])).await.unwrap(), [(first, Fate::Gone)]);
    assert_eq!(groups.change(Change::Discard(vec![first])).await.unwrap(), [(first, Fate::Gone)]);
    assert!(groups.claim(1, START).await.events.is_empty());
    assert_eq!(groups.state().await.letters, 1);
}

pub(crate) async fn an_edited_letter_is_what_is_retried(groups: Groups) {
    groups.with(&[plain(1)], poison(Poison::Halt)).await;
    groups.exhaust().await;
    let id = groups.dead().await[0].id;
    let better = |n| Bytes::from(plain(n));
    groups.change(Change::Edit(id, json(), better(7))).await.unwrap();
    let text = ContentType::new("text/plain").unwrap();
    let answer = groups.change(Change::Edit(id, text, better(8))).await;
    assert!(matches!(answer, Err(LogError::ContentTypeMismatch)), "{answer:?}");
    assert!(groups.dead().await[0].edited);
    groups.change(Change::Retry(vec![id])).await.unwrap();
    let answer = groups.change(Change::Edit(id, json(), better(9))).await;
    assert!(matches!(answer, Err(LogError::LetterLive)), "{answer:?}");
    assert_eq!(numbers(&groups.claim(9, START).await), [7]);
    let nowhere = LetterId { key: id.key + 1, round: 1 };
    let answer = groups.change(Change::Edit(nowhere, json(), better(9))).await;
    assert!(matches!(answer, Err(LogError::NoSuchLetter)), "{answer:?}");
}

pub(crate) async fn letters_stay_when_their_group_and_topic_are_gone(groups: Groups) {
    groups.with(&[plain(1)], poison(Poison::Park)).await;
    groups.exhaust().await;
    groups.groups.remove_group(ada(), group("g"), START).await.unwrap();
    groups.log.delete(ada(), topic("t"), START).await.unwrap();
    let [letter] = &groups.dead().await[..] else { panic!("one letter") };
    let id = letter.id;
    let answer = groups.change(Change::Retry(vec![id])).await;
    assert!(matches!(answer, Err(LogError::NoSuchGroup)), "there is nobody to try it: {answer:?}");
    assert_eq!(groups.dead().await.len(), 1);
    assert_eq!(groups.change(Change::Discard(vec![id])).await.unwrap(), [(id, Fate::Discarded)]);
    assert!(matches!(groups.dead_of(ada()).await, Err(LogError::NoSuchGroup)));
}

pub(crate) async fn letters_are_for_those_who_administer(groups: Groups) {
    groups.with(&[plain(1)], poison(Poison::Park)).await;
    groups.exhaust().await;
    let of = |claim| granted("eve", claim);
    let admin = of(serde_json::json!([{ "topic": "t", "may": "admin" }]));
    assert_eq!(groups.dead_of(admin).await.unwrap().len(), 1);
    let reader = of(serde_json::json!([{ "topic": "t" }]));
    assert!(matches!(groups.dead_of(reader.clone()).await, Err(LogError::Forbidden)));
    let retry = Change::Retry(vec![groups.dead().await[0].id]);
    let answer = groups.letters.change_letters(reader, group("g"), retry, START).await;
    assert!(matches!(answer, Err(LogError::Forbidden)), "{answer:?}");
    for nobody in [of(serde_json::json!([{ "topic": "u", "may": "admin" }])), scope("other", "ada")] {
        assert!(matches!(groups.dead_of(nobody).await, Err(LogError::NoSuchGroup)));
    }
}

pub(crate) async fn letters_of_a_group_are_capped_by_their_bytes(groups: Groups) {
    // Each as large as many events may be together: two fit.
    let large =
        |n: u32| format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(MAX_GROUP_BYTES as usize / 2 - 100));
    groups.with(&[large(1), large(2), plain(3), large(4)], poison(Poison::Park)).await;
    let mut now = START;
    for _ in 0..12 {
        for _ in 0..4 {
            let claimed = groups.claim(1, now).await;
            if claimed.lease.is_some() {
                groups.settle(&claimed, nack(0), now).await.unwrap();
            }
        }
        now = now.plus(1_000);
    }
    let dead = groups.dead().await;
    let positions: Vec<&str> = dead.iter().map(|letter| letter.position.as_str()).collect();
    let state = groups.state().await;
    assert_eq!((positions.len(), state.letters, state.outstanding), (3, 3, 1), "{positions:?}");
    assert!(groups.claim(9, now.plus(2_000)).await.events[0].body.len() > 1_000, "it is tried on");
    // One that goes makes room.
    groups.change(Change::Discard(vec![dead[0].id])).await.unwrap();
    now = now.plus(2_000 + LEASE);
    for _ in 0..9 {
        let claimed = groups.claim(1, now).await;
        if claimed.lease.is_some() {
            groups.settle(&claimed, nack(0), now).await.unwrap();
        }
        now = now.plus(1_000);
    }
    let state = groups.state().await;
    assert_eq!((state.letters, state.outstanding), (3, 0));
}

pub(crate) async fn a_topic_says_what_its_groups_do_about_failures_and_a_group_says_otherwise(
    groups: Groups,
) {
    let of_topic = Redelivery {
        attempts: Some(2),
        backoff_max_ms: Some(5_000),
        poison: Some(Poison::Halt),
        ..Redelivery::default()
    };
    groups.topic("t", NewTopic { redelivery: of_topic, ..NewTopic::default() }).await;
    let make = async |name: &str, redelivery: Redelivery| {
        let rules = Rules::default();
        let new = NewGroup { topic: topic("t"), start: Start::Earliest, rules, redelivery };
        let made = groups.groups.make_group(ada(), group(name), new, START).await;
        made.map(|(fresh, state)| (fresh, state.rules))
    };
    let (_, rules) = make("g", Redelivery::default()).await.unwrap();
    let says = |rules: &Rules| (rules.attempts, rules.backoff_ms, rules.backoff_max_ms, rules.poison);
    assert_eq!(says(&rules), (2, 1_000, 5_000, Poison::Halt));
    assert!(!make("g", Redelivery::default()).await.unwrap().0, "it is there as described");
    let own = Redelivery { poison: Some(Poison::Skip), ..Redelivery::default() };
    assert_eq!(says(&make("own", own).await.unwrap().1), (2, 1_000, 5_000, Poison::Skip));
    let much = Redelivery { backoff_ms: Some(6_000), ..Redelivery::default() };
    let answer = make("much", much).await;
    assert!(matches!(answer, Err(LogError::BadRules(_))), "more than the topic allows: {answer:?}");
    // It is what becomes of events.
    groups.add("t", &[plain(1)], START).await;
    for _ in 0..2 {
        let claimed = groups.claim(1, START).await;
        groups.settle(&claimed, nack(0), START).await.unwrap();
    }
    assert_eq!(groups.state().await.halted, 1);
    let state = groups.log.describe(ada(), topic("t"), START).await.unwrap();
    assert_eq!(state.redelivery, of_topic);
    let other = NewTopic { content_type: Some(json()), ..NewTopic::default() };
    let answer = groups.log.create(ada(), topic("t"), other, START).await;
    assert!(matches!(answer, Err(LogError::TopicExists)), "{answer:?}");
}
