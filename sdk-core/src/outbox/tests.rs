use std::collections::BTreeMap;

use super::*;
use crate::{
    clock::{Dot, Hlc, Millis},
    protocol::{
        ActorId, Base, ErrorCode, Intent, Json, Judgement, Limits, Operation, Outcome, Publication,
        Rejection, TopicName, TopicPosition, encode,
    },
};

fn operation(seq: u64, id: &str) -> Operation {
    Operation {
        seq: Seq(seq),
        doc: DocKey::new("cards", id).unwrap(),
        at: Hlc { wall: Millis(seq), counter: 0 },
        schema: 0,
        intents: vec![Intent::Delete {}],
        base: Base::default(),
        maker: None,
        resolves: None,
        replaces: None,
    }
}

fn add(outbox: &mut Outbox, seq: u64, id: &str) {
    let operation = operation(seq, id);
    let bytes = encode(&operation).len();
    outbox.add(operation.into(), bytes, vec![]).unwrap();
}

fn saved(numbers: std::ops::RangeInclusive<u64>) -> (Outbox, BTreeMap<u64, String>) {
    let (mut outbox, mut disk) = (Outbox::default(), BTreeMap::new());
    for seq in numbers {
        add(&mut outbox, seq, "one");
    }
    write(&mut outbox, &mut disk);
    (outbox, disk)
}

fn write(outbox: &mut Outbox, disk: &mut BTreeMap<u64, String>) {
    let records = outbox.flush().expect("something has changed");
    records.remove.iter().for_each(|key| {
        disk.remove(key);
    });
    disk.extend(records.put);
    outbox.confirm();
}

fn restored(disk: &BTreeMap<u64, String>) -> Outbox {
    Outbox::restore(disk.iter().map(|(key, text)| (*key, text.as_str())), OutboxLimits::default(), 0, vec![])
}

fn seqs(batch: &Batch) -> Vec<u64> {
    batch.operations.iter().map(|operation| operation.seq.0).collect()
}

fn accepted(seq: u64) -> Judgement {
    Judgement { seq: Seq(seq), outcome: Outcome::Accepted {}, position: None, by: None, event: None }
}

fn rejected(seq: u64) -> Judgement {
    let reason = Rejection { code: ErrorCode::DocumentTooLarge, message: "big".into() };
    Judgement { seq: Seq(seq), outcome: Outcome::Rejected(reason), position: None, by: None, event: None }
}

fn next(outbox: &mut Outbox) -> Vec<u64> {
    seqs(&outbox.take_batch(&Limits::default(), 100, Some(ActorId(7))))
}

fn depend(outbox: &mut Outbox, seq: u64, id: &str, after: &[u64]) {
    outbox.add(operation(seq, id).into(), 10, after.iter().copied().map(Seq).collect()).unwrap();
}

#[test]
fn an_operation_is_not_sent_before_it_is_stored() {
    let mut outbox = Outbox::default();
    add(&mut outbox, 1, "one");
    assert!(outbox.take_batch(&Limits::default(), 10, None).is_empty());
    outbox.flush().unwrap();
    assert!(outbox.take_batch(&Limits::default(), 10, None).is_empty());
    outbox.confirm();
    assert_eq!(seqs(&outbox.take_batch(&Limits::default(), 10, None)), [1]);
}

#[test]
fn operations_submitted_together_share_records() {
    let (_, disk) = saved(1..=150);
    assert_eq!(disk.keys().copied().collect::<Vec<_>>(), [1, 65, 129]);
}

#[test]
fn a_restart_brings_back_exactly_what_is_not_settled() {
    let (mut outbox, mut disk) = saved(1..=100);
    outbox.take_batch(&Limits::default(), 100, None);
    for seq in 1..=70 {
        assert!(outbox.judge(accepted(seq), None, Millis(0)).is_some());
        outbox.remove(Seq(seq));
    }
    write(&mut outbox, &mut disk);
    assert_eq!(disk.len(), 1, "the first record is gone, the second holds the rest");
    let left: Vec<u64> = restored(&disk).entries().map(|entry| entry.seq().0).collect();
    assert_eq!(left, (71..=100).collect::<Vec<_>>());
}

#[test]
fn what_is_settled_stays_known_to_the_next_of_its_lane_under_the_name_it_was_made_by() {
    let mut outbox = Outbox::default();
    add(&mut outbox, 1, "one");
    outbox.flush().unwrap();
    outbox.confirm();
    assert_eq!(next(&mut outbox), [1]);
    outbox.judge(accepted(1), Some(ActorId(7)), Millis(0));
    add(&mut outbox, 2, "one");
    outbox.remove(Seq(1));
    outbox.flush().unwrap();
    outbox.confirm();
    // Meanwhile the client goes by another name.
    let sent = outbox.take_batch(&Limits::default(), 10, Some(ActorId(8)));
    assert!(sent.operations[0].base.clock.covers(Dot { actor: ActorId(7), seq: Seq(1) }));
}

#[test]
fn all_later_ones_of_a_lane_know_what_was_judged_in_the_name_of_a_copy() {
    let (mut outbox, mut disk) = saved(1..=4);
    assert_eq!(seqs(&outbox.take_batch(&Limits::default(), 1, Some(ActorId(7)))), [1]);
    outbox.judge(Judgement { by: Some(ActorId(9)), ..accepted(1) }, Some(ActorId(7)), Millis(0));
    write(&mut outbox, &mut disk);
    outbox.remove(Seq(1));
    write(&mut outbox, &mut disk);
    let know = |sent: Batch| {
        let by_copy = Dot { actor: ActorId(9), seq: Seq(1) };
        sent.operations.iter().filter(|operation| operation.base.clock.covers(by_copy)).count()
    };
    assert_eq!(know(outbox.take_batch(&Limits::default(), 2, Some(ActorId(7)))), 2);
    let mut later = restored(&disk);
    assert_eq!(know(later.take_batch(&Limits::default(), 10, Some(ActorId(7)))), 3, "also after a restart");
}

#[test]
fn whoever_takes_another_name_is_known_to_descend_from_what_came_under_the_former() {
    let (mut outbox, mut disk) = saved(1..=3);
    assert_eq!(seqs(&outbox.take_batch(&Limits::default(), 1, Some(ActorId(7)))), [1]);
    outbox.judge(accepted(1), Some(ActorId(7)), Millis(0));
    outbox.remove(Seq(1));
    outbox.renewed(Some(ActorId(7)));
    write(&mut outbox, &mut disk);
    for mut outbox in [outbox, restored(&disk)] {
        let sent = outbox.take_batch(&Limits::default(), 10, Some(ActorId(8)));
        let former = Dot { actor: ActorId(7), seq: Seq(1) };
        let knows = |operation: &&Operation| operation.base.clock.covers(former);
        assert_eq!(sent.operations.iter().filter(knows).count(), 2);
    }
}

#[test]
fn what_could_not_be_saved_is_gone_and_removed_once_more() {
    let mut outbox = Outbox::default();
    add(&mut outbox, 1, "one");
    let lost = outbox.flush().unwrap();
    assert_eq!(outbox.take_back().len(), 1);
    assert_eq!(outbox.pending(), 0);
    // The store failed, yet it had written.
    let mut disk: BTreeMap<u64, String> = lost.put.into_iter().collect();
    write(&mut outbox, &mut disk);
    assert!(disk.is_empty());
}

#[test]
fn a_removal_that_failed_is_tried_again() {
    let (mut outbox, mut disk) = saved(1..=1);
    outbox.remove(Seq(1));
    outbox.flush().unwrap();
    assert!(outbox.take_back().is_empty());
    write(&mut outbox, &mut disk);
    assert!(disk.is_empty());
}

#[test]
fn a_rejection_survives_a_restart_and_is_not_sent_again() {
    let (mut outbox, mut disk) = saved(1..=2);
    outbox.take_batch(&Limits::default(), 10, None);
    outbox.judge(rejected(1), None, Millis(7));
    write(&mut outbox, &mut disk);
    let mut again = restored(&disk);
    assert_eq!((again.rejected(), again.pending()), (1, 1));
    let first = again.get(Seq(1)).unwrap();
    assert!(matches!(&first.state, State::Rejected(dead) if dead.at == Millis(7)), "{:?}", first.state);
    assert_eq!(first.attempts, 1);
    assert_eq!(seqs(&again.take_batch(&Limits::default(), 10, None)), [2]);
}

#[test]
fn what_was_in_flight_goes_out_again_in_order() {
    let (mut outbox, _) = saved(1..=3);
    outbox.take_batch(&Limits::default(), 2, None);
    outbox.requeue();
    assert_eq!(seqs(&outbox.take_batch(&Limits::default(), 10, None)), [1, 2, 3]);
}

#[test]
fn a_batch_keeps_to_the_limits_of_the_server() {
    let (mut outbox, _) = saved(1..=10);
    let limits = Limits { batch_operations: 4, in_flight_operations: 6, ..Limits::default() };
    let sizes: Vec<usize> = (0..3).map(|_| outbox.take_batch(&limits, 100, None).operations.len()).collect();
    assert_eq!(sizes, [4, 2, 0]);
    outbox.requeue();
    let tight = Limits { frame_bytes: 400, ..Limits::default() };
    let few = outbox.take_batch(&tight, 100, None).operations.len();
    assert!((1..4).contains(&few), "{few}");
}

#[test]
fn after_an_accept_the_lane_moves_onto_the_new_base() {
    let (mut outbox, _) = saved(1..=2);
    outbox.take_batch(&Limits::default(), 1, None);
    outbox.judge(accepted(1), Some(ActorId(7)), Millis(0));
    let next = outbox.take_batch(&Limits::default(), 1, None);
    assert!(next.operations[0].base.clock.covers(Dot { actor: ActorId(7), seq: Seq(1) }));
}

#[test]
fn a_full_outbox_says_so_and_keeps_what_it_has() {
    let mut outbox =
        Outbox::restore(std::iter::empty(), OutboxLimits { operations: 1, bytes: 1_000 }, 0, vec![]);
    outbox.add(operation(1, "one").into(), 10, vec![]).unwrap();
    assert_eq!(outbox.add(operation(2, "one").into(), 10, vec![]), Err(Full));
    assert_eq!(outbox.pending(), 1);
}

#[test]
fn an_operation_names_the_one_before_it_as_seen_although_no_judgement_came() {
    let (mut outbox, _) = saved(1..=2);
    let sent = outbox.take_batch(&Limits::default(), 10, Some(ActorId(7)));
    assert!(sent.operations[0].base.clock.is_empty());
    assert!(sent.operations[1].base.clock.covers(Dot { actor: ActorId(7), seq: Seq(1) }));
}

#[test]
fn what_an_operation_knows_of_the_one_before_it_survives_a_restart() {
    let (mut outbox, mut disk) = saved(1..=70);
    outbox.take_batch(&Limits::default(), 64, Some(ActorId(7)));
    for seq in 1..=64 {
        outbox.judge(accepted(seq), Some(ActorId(7)), Millis(0));
        outbox.remove(Seq(seq));
    }
    write(&mut outbox, &mut disk);
    let again = restored(&disk);
    let first = again.edit(Seq(65)).unwrap();
    assert!(first.base.clock.covers(Dot { actor: ActorId(7), seq: Seq(64) }));
}

#[test]
fn a_dependent_goes_out_once_all_it_waits_for_has_succeeded() {
    let mut outbox = Outbox::default();
    add(&mut outbox, 1, "one");
    add(&mut outbox, 2, "two");
    depend(&mut outbox, 3, "three", &[1, 2]);
    add(&mut outbox, 4, "three");
    add(&mut outbox, 5, "four");
    outbox.flush();
    outbox.confirm();
    assert_eq!(next(&mut outbox), [1, 2, 5], "the lane of the dependent waits with it");
    outbox.judge(accepted(1), None, Millis(0));
    outbox.remove(Seq(1));
    assert_eq!(next(&mut outbox), [0; 0]);
    outbox.judge(accepted(2), None, Millis(0));
    assert_eq!(next(&mut outbox), [3, 4]);
}

#[test]
fn a_rejection_takes_its_dependents_with_it_and_that_survives_a_restart() {
    let (mut outbox, mut disk) = (Outbox::default(), BTreeMap::new());
    add(&mut outbox, 1, "one");
    depend(&mut outbox, 2, "two", &[1]);
    depend(&mut outbox, 3, "three", &[2]);
    write(&mut outbox, &mut disk);
    next(&mut outbox);
    assert_eq!(outbox.judge(rejected(1), None, Millis(0)).unwrap(), [Seq(1), Seq(2), Seq(3)]);
    write(&mut outbox, &mut disk);
    let mut again = restored(&disk);
    assert!(next(&mut again).is_empty());
    let State::Rejected(dead) = &again.get(Seq(3)).unwrap().state else { panic!("it is a dead letter") };
    assert_eq!(dead.reason.code, ErrorCode::DependencyFailed);
}

#[test]
fn a_dependent_waits_across_a_restart() {
    let (mut outbox, mut disk) = (Outbox::default(), BTreeMap::new());
    add(&mut outbox, 1, "one");
    depend(&mut outbox, 2, "two", &[1]);
    write(&mut outbox, &mut disk);
    let mut again = restored(&disk);
    assert_eq!(next(&mut again), [1]);
    again.judge(accepted(1), None, Millis(0));
    assert_eq!(next(&mut again), [2]);
}

#[test]
fn a_change_that_could_not_be_saved_leaves_what_was_durable() {
    let (mut outbox, mut disk) = saved(1..=2);
    let longer = Operation { schema: 9, ..operation(1, "one") };
    outbox.replace(longer.into(), 20).unwrap();
    assert!(next(&mut outbox).is_empty(), "what is being changed is not sent, nor its lane behind it");
    // The store failed, yet it had written.
    disk.extend(outbox.flush().unwrap().put);
    assert_eq!(outbox.take_back(), [(Seq(1), Some(DocKey::new("cards", "one").unwrap()))]);
    write(&mut outbox, &mut disk);
    assert_eq!(restored(&disk).get(Seq(1)).unwrap().edit().unwrap().schema, 0);
    assert_eq!(next(&mut outbox), [1, 2]);
}

#[test]
fn a_withdrawal_that_could_not_be_saved_brings_back_the_operation_and_its_dependents() {
    let (mut outbox, mut disk) = (Outbox::default(), BTreeMap::new());
    add(&mut outbox, 1, "one");
    depend(&mut outbox, 2, "two", &[1]);
    write(&mut outbox, &mut disk);
    outbox.withdraw(Seq(1), Millis(0));
    assert!(next(&mut outbox).is_empty());
    outbox.flush().unwrap();
    outbox.take_back();
    assert_eq!((outbox.pending(), outbox.rejected()), (2, 0));
    write(&mut outbox, &mut disk);
    assert_eq!(next(&mut outbox), [1]);
    assert_eq!(restored(&disk).pending(), 2);
}

#[test]
fn nothing_overtakes_what_is_withdrawn_before_that_is_saved() {
    let mut outbox = Outbox::default();
    add(&mut outbox, 1, "one");
    depend(&mut outbox, 2, "two", &[1]);
    outbox.flush().unwrap();
    outbox.confirm();
    add(&mut outbox, 3, "one");
    add(&mut outbox, 4, "two");
    outbox.flush().unwrap();
    outbox.confirm();
    outbox.withdraw(Seq(1), Millis(0));
    assert!(next(&mut outbox).is_empty(), "3 is behind 1, and 4 behind 2, which failed with it");
    outbox.flush().unwrap();
    assert!(next(&mut outbox).is_empty(), "nor while the commit is under way");
    outbox.take_back();
    outbox.flush().unwrap();
    outbox.confirm();
    assert_eq!(next(&mut outbox), [1, 3], "both are as they were");
    outbox.judge(accepted(1), None, Millis(0));
    assert_eq!(next(&mut outbox), [2, 4]);
}

#[test]
fn what_is_behind_a_withdrawn_operation_goes_out_once_that_is_saved() {
    let (mut outbox, mut disk) = saved(1..=2);
    outbox.withdraw(Seq(1), Millis(0));
    write(&mut outbox, &mut disk);
    assert_eq!(next(&mut outbox), [2]);
}

#[test]
fn a_dead_letter_comes_to_life_in_one_commit_and_never_as_two() {
    let (mut outbox, mut disk) = saved(1..=2);
    next(&mut outbox);
    outbox.judge(rejected(1), None, Millis(0));
    write(&mut outbox, &mut disk);
    outbox.revive(Seq(1), operation(3, "one"), 10).unwrap();
    let records = outbox.flush().unwrap();
    let mut after = disk.clone();
    records.remove.iter().for_each(|key| drop(after.remove(key)));
    after.extend(records.put);
    let left: Vec<u64> = restored(&after).entries().map(|entry| entry.seq().0).collect();
    assert_eq!(left, [2, 3]);
    outbox.take_back();
    assert_eq!((outbox.rejected(), outbox.get(Seq(3))), (1, None), "it is a dead letter still");
}

#[test]
fn who_waited_for_a_dead_letter_waits_for_what_became_of_it() {
    let mut outbox = Outbox::default();
    add(&mut outbox, 1, "one");
    depend(&mut outbox, 2, "two", &[1]);
    outbox.flush();
    outbox.confirm();
    next(&mut outbox);
    outbox.judge(rejected(1), None, Millis(0));
    outbox.revive(Seq(1), operation(3, "one"), 10).unwrap();
    outbox.flush();
    outbox.confirm();
    outbox.revive(Seq(2), operation(4, "two"), 10).unwrap();
    outbox.flush();
    outbox.confirm();
    assert_eq!(next(&mut outbox), [3]);
    outbox.judge(accepted(3), None, Millis(0));
    assert_eq!(next(&mut outbox), [4]);
}

#[test]
fn what_waits_for_another_holds_its_lane_also_if_a_later_one_is_being_saved() {
    let mut outbox = Outbox::default();
    add(&mut outbox, 1, "parent");
    let waits = operation(2, "lane");
    outbox.add(waits.into(), 100, vec![Seq(1)]).unwrap();
    add(&mut outbox, 3, "lane");
    outbox.flush().unwrap();
    outbox.confirm();
    add(&mut outbox, 4, "lane");
    assert_eq!(next(&mut outbox), [1], "3 does not overtake 2");
}

#[test]
fn what_was_published_of_a_copy_ends_nothing_here() {
    let mut outbox = Outbox::default();
    let event = r#"{"specversion":"1.0","type":"t","source":"/a","id":"mine"}"#;
    let topic = TopicName::new("t").unwrap();
    let publication = Publication { seq: Seq(1), topic, event: Json::parse(event).unwrap() };
    outbox.add(Work::Event(publication, None), 100, vec![]).unwrap();
    outbox.flush();
    outbox.confirm();
    outbox.take_batch(&Limits::default(), usize::MAX, None);
    outbox.judge(rejected(1), None, Millis(0));
    let published = |id: &str| Judgement {
        outcome: Outcome::Published { position: TopicPosition::ZERO },
        event: Some(format!("/a {id}")),
        ..accepted(1)
    };
    assert_eq!(outbox.judge(published("theirs"), None, Millis(0)), None);
    assert_eq!(outbox.rejected(), 1);
    assert_eq!(outbox.judge(published("mine"), None, Millis(0)), Some(vec![]));
    assert_eq!(outbox.rejected(), 0);
}
