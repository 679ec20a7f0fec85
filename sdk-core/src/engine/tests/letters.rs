//! Dead letters that the application acts on while an operator may do the same.

use super::*;
use crate::protocol::{OpId, Push};

/// A client that is connected and has a dead letter of its first operation.
fn refused() -> (Bench, LinkId) {
    let mut bench = Bench::looking();
    bench.load(vec![]);
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.receive(link, amend::rejected(1));
    bench.commit();
    bench.frames();
    (bench, link)
}

/// What the server hears of dead letters that are still held.
fn told(bench: &mut Bench) -> Vec<Vec<u64>> {
    let told = bench.frames().into_iter().filter_map(|frame| match frame {
        ClientFrame::Push(Push { operations, rejected: Some(rejected) }) => {
            assert!(operations.is_empty());
            Some(rejected.iter().map(|seq| seq.0).collect())
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn an_operation_that_is_tried_again_says_in_whose_place_it_stands() {
    let (mut bench, link) = refused();
    let first = Some(OpId { client: bench.engine.client(), seq: Seq(1) }.into());
    bench.amend(2, 1, Amendment::Retry);
    bench.commit();
    let pushed = bench.pushed();
    assert_eq!((pushed[0].seq, &pushed[0].replaces), (Seq(2), &first));
    bench.receive(link, amend::rejected(2));
    bench.commit();
    // However often, it is the first that counts, also of one that is changed before it is sent.
    bench.input(Input::Network(false));
    bench.amend(3, 2, Amendment::Edit(0, set(2)));
    let batches = bench.commit();
    bench.amend(4, 3, Amendment::Edit(0, set(3)));
    bench.commit();
    assert_eq!(bench.engine.status().pending, 1);
    let stored: Vec<String> = batches.into_iter().flat_map(|batch| batch.put).map(|put| put.text).collect();
    assert!(stored.iter().any(|text| text.contains("replaces")), "{stored:?}");
    bench.input(Input::Network(true));
    bench.connect();
    let pushed = bench.pushed();
    assert_eq!((pushed[0].seq, &pushed[0].intents, &pushed[0].replaces), (Seq(3), &set(3), &first));
}

#[test]
fn nothing_folds_into_what_may_have_no_effect_of_its_own() {
    let (mut bench, _) = refused();
    bench.input(Input::Network(false));
    bench.amend(2, 1, Amendment::Retry);
    bench.commit();
    bench.submit(3, "a", 3);
    bench.commit();
    assert_eq!(bench.engine.status().pending, 2);
    bench.input(Input::Network(true));
    bench.connect();
    let pushed = bench.pushed();
    assert_eq!(
        pushed.iter().map(|operation| operation.replaces.is_some()).collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn what_an_operator_has_applied_ends_what_was_tried_again() {
    let (mut bench, link) = refused();
    bench.amend(2, 1, Amendment::Edit(0, set(2)));
    bench.commit();
    let superseded = Judgement {
        seq: Seq(2),
        outcome: Outcome::Superseded {},
        position: Some(at(5)),
        by: None,
        event: None,
    };
    bench.receive(link, ServerFrame::Outcomes(Outcomes { judgements: vec![superseded] }));
    bench.receive(link, changes(None, 5, "a"));
    bench.commit();
    assert_eq!((bench.engine.status().pending, bench.engine.status().rejected), (0, 0));
    assert!(bench.events().contains(&Event::Settled(Seq(2), Some(key("a")), Outcome::Superseded {})));
}

#[test]
fn the_server_hears_at_once_of_a_dead_letter_that_is_dropped_and_not_before_that_is_durable() {
    for withdrawn in [false, true] {
        let (mut bench, _) = refused();
        if withdrawn {
            bench.amend(2, 1, Amendment::Abort);
        } else {
            bench.input(Input::Discard(Seq(1)));
        }
        assert!(told(&mut bench).is_empty(), "it is not durable");
        bench.commit();
        assert_eq!(told(&mut bench), [Vec::<u64>::new()]);
        bench.later(1);
        assert!(told(&mut bench).is_empty(), "once");
    }
}

#[test]
fn a_dropped_dead_letter_whose_removal_fails_is_told_of_when_it_is_durable() {
    let (mut bench, _) = refused();
    bench.input(Input::Discard(Seq(1)));
    bench.fail_commit();
    assert!(told(&mut bench).is_empty());
    bench.later(1_000);
    assert!(told(&mut bench).is_empty(), "it is tried again");
    bench.commit();
    assert_eq!(told(&mut bench), [Vec::<u64>::new()]);
}

#[test]
fn what_is_held_is_not_told_while_an_answer_may_add_to_it() {
    let (mut bench, link) = refused();
    bench.submit(2, "b", 1);
    bench.commit();
    bench.input(Input::Discard(Seq(1)));
    bench.commit();
    assert!(told(&mut bench).is_empty(), "the second may be refused");
    bench.receive(link, amend::rejected(2));
    bench.commit();
    assert_eq!(told(&mut bench), [[2]]);
}

#[test]
fn while_there_is_no_link_the_next_hello_tells_of_it() {
    let (mut bench, link) = refused();
    bench.input(Input::LinkDown(link));
    bench.input(Input::Discard(Seq(1)));
    bench.commit();
    bench.later(60_000);
    bench.input(Input::Wake);
    if !bench.take(|effect| (*effect == Effect::FetchToken).then_some(())).is_empty() {
        bench.input(Input::Token(Ok("token".into())));
    }
    let link = bench.link();
    bench.input(Input::LinkUp(link));
    let frames = bench.frames();
    let [ClientFrame::Hello(hello)] = &frames[..] else { panic!("a hello: {frames:?}") };
    assert_eq!(hello.rejected, Some(vec![]));
    bench.receive(link, ServerFrame::Welcome(welcome("ada")));
    bench.commit();
    assert!(told(&mut bench).is_empty());
}
