use std::collections::BTreeMap;

use super::*;
use crate::{
    clock::{Hlc, Millis},
    protocol::{Base, ErrorCode, Intent, Rejection, encode},
};

fn operation(seq: u64, id: &str) -> Operation {
    Operation {
        seq: Seq(seq),
        doc: DocKey::new("cards", id).unwrap(),
        at: Hlc { wall: Millis(seq), counter: 0 },
        schema: 0,
        intents: vec![Intent::Delete {}],
        base: Base::default(),
        resolves: None,
    }
}

fn add(outbox: &mut Outbox, seq: u64, id: &str) {
    let operation = operation(seq, id);
    let bytes = encode(&operation).len();
    outbox.add(operation, bytes).unwrap();
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
    Outbox::restore(disk.iter().map(|(key, text)| (*key, text.as_str())), OutboxLimits::default()).unwrap()
}

fn seqs(batch: &[Operation]) -> Vec<u64> {
    batch.iter().map(|operation| operation.seq.0).collect()
}

fn accepted(seq: u64) -> Judgement {
    Judgement { seq: Seq(seq), outcome: Outcome::Accepted {}, position: None }
}

#[test]
fn an_operation_is_not_sent_before_it_is_stored() {
    let mut outbox = Outbox::default();
    add(&mut outbox, 1, "one");
    assert!(outbox.take_batch(&Limits::default(), 10).is_empty());
    outbox.flush().unwrap();
    assert!(outbox.take_batch(&Limits::default(), 10).is_empty());
    outbox.confirm();
    assert_eq!(seqs(&outbox.take_batch(&Limits::default(), 10)), [1]);
}

#[test]
fn operations_submitted_together_share_records() {
    let (_, disk) = saved(1..=150);
    assert_eq!(disk.keys().copied().collect::<Vec<_>>(), [1, 65, 129]);
}

#[test]
fn a_restart_brings_back_exactly_what_is_not_settled() {
    let (mut outbox, mut disk) = saved(1..=100);
    outbox.take_batch(&Limits::default(), 100);
    for seq in 1..=70 {
        assert!(outbox.judge(accepted(seq), None));
        outbox.remove(Seq(seq));
    }
    write(&mut outbox, &mut disk);
    assert_eq!(disk.len(), 1, "the first record is gone, the second holds the rest");
    let left: Vec<u64> = restored(&disk).entries().map(|entry| entry.seq().0).collect();
    assert_eq!(left, (71..=100).collect::<Vec<_>>());
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
    outbox.take_batch(&Limits::default(), 10);
    let reason = Rejection { code: ErrorCode::DocumentTooLarge, message: "big".into() };
    outbox.judge(Judgement { seq: Seq(1), outcome: Outcome::Rejected(reason), position: None }, None);
    write(&mut outbox, &mut disk);
    let mut again = restored(&disk);
    assert_eq!((again.rejected(), again.pending()), (1, 1));
    assert_eq!(seqs(&again.take_batch(&Limits::default(), 10)), [2]);
}

#[test]
fn what_was_in_flight_goes_out_again_in_order() {
    let (mut outbox, _) = saved(1..=3);
    outbox.take_batch(&Limits::default(), 2);
    outbox.requeue();
    assert_eq!(seqs(&outbox.take_batch(&Limits::default(), 10)), [1, 2, 3]);
}

#[test]
fn a_batch_keeps_to_the_limits_of_the_server() {
    let (mut outbox, _) = saved(1..=10);
    let limits = Limits { batch_operations: 4, in_flight_operations: 6, ..Limits::default() };
    let sizes: Vec<usize> = (0..3).map(|_| outbox.take_batch(&limits, 100).len()).collect();
    assert_eq!(sizes, [4, 2, 0]);
    outbox.requeue();
    let tight = Limits { frame_bytes: 400, ..Limits::default() };
    let few = outbox.take_batch(&tight, 100).len();
    assert!((1..4).contains(&few), "{few}");
}

#[test]
fn after_an_accept_the_lane_moves_onto_the_new_base() {
    let (mut outbox, _) = saved(1..=2);
    outbox.take_batch(&Limits::default(), 1);
    outbox.judge(accepted(1), Some(ActorId(7)));
    let next = outbox.take_batch(&Limits::default(), 1);
    assert!(next[0].base.clock.covers(Dot { actor: ActorId(7), seq: Seq(1) }));
}

#[test]
fn a_full_outbox_says_so_and_keeps_what_it_has() {
    let mut outbox =
        Outbox::restore(std::iter::empty(), OutboxLimits { operations: 1, bytes: 1_000 }).unwrap();
    outbox.add(operation(1, "one"), 10).unwrap();
    assert_eq!(outbox.add(operation(2, "one"), 10), Err(Full));
    assert_eq!(outbox.pending(), 1);
}
