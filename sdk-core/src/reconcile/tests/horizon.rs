//! What must not win or come back: deleted documents that were forgotten, and times from the future.

use super::*;

fn beyond(document: &Document, made: &Made, horizon: u64) -> Applied {
    with_write(document, made, |write| {
        apply(Strategy::FieldLevel, document, &Write { horizon: Offset(horizon), ..*write })
    })
}

fn read_up_to(mut made: Made, offset: u64) -> Made {
    made.operation.base.seen = Some(StreamPosition { epoch: epoch(), offset: Offset(offset) });
    made
}

#[test]
fn an_edit_from_beyond_the_horizon_brings_nothing_back() {
    let had = history(Strategy::FieldLevel, &[&set(1, 1, 10, &Document::default(), &[("a", "1")])]);
    // Its tombstone is gone, so nothing is left.
    let nothing = Document::default();
    let edit = || set(2, 1, 900, &had, &[("a", "2")]);
    for late in [edit(), read_up_to(edit(), 6)] {
        let judged = beyond(&nothing, &late, 7);
        assert_eq!((judged.outcome, judged.document.is_alive()), (Outcome::Superseded {}, false));
    }
    assert_eq!(beyond(&nothing, &edit(), 0).outcome, Outcome::Accepted {}, "nothing was ever forgotten");
    assert_eq!(beyond(&nothing, &read_up_to(edit(), 7), 7).outcome, Outcome::Accepted {}, "it knows");
    let new = set(2, 1, 900, &nothing, &[("a", "2")]);
    assert_eq!(beyond(&nothing, &new, 7).outcome, Outcome::Accepted {}, "it was never there");
}

#[test]
fn a_position_of_another_history_does_not_reach_the_horizon() {
    let had = history(Strategy::FieldLevel, &[&set(1, 1, 10, &Document::default(), &[("a", "1")])]);
    let mut late = set(2, 1, 900, &had, &[("a", "2")]);
    let elsewhere = Epoch::new("other").unwrap();
    late.operation.base.seen = Some(StreamPosition { epoch: elsewhere, offset: Offset(100) });
    assert_eq!(beyond(&Document::default(), &late, 7).outcome, Outcome::Superseded {});
}

#[test]
fn where_collisions_are_conflicts_an_edit_from_beyond_the_horizon_is_one() {
    let had = history(Strategy::Manual, &[&set(1, 1, 10, &Document::default(), &[("a", "1")])]);
    let (nothing, late) = (Document::default(), set(2, 1, 900, &had, &[("a", "2")]));
    let found = |horizon| {
        with_write(&nothing, &late, |write| {
            collisions(Strategy::Manual, &nothing, &Write { horizon: Offset(horizon), ..*write })
        })
    };
    assert_eq!(found(7), Some(Clash { fields: vec![field("a")], theirs: None }));
    assert_eq!(found(0), None);
}

/// A document as a server left it whose clock was a year ahead.
fn from_the_future(strategy: Strategy) -> Document {
    let whole = vec![Intent::Put(fields(&[("a", "1")]))];
    let early = made(1, 1, 10, &Document::default(), whole);
    let mut document = judge(strategy, &Document::default(), &early).document;
    let dream = Hlc { wall: Millis(900_000_000), counter: 0 };
    document.written.iter_mut().for_each(|stamp| stamp.at = dream);
    document.fields.values_mut().flat_map(|field| &mut field.stamp).for_each(|stamp| stamp.at = dream);
    document
}

#[test]
fn a_time_from_the_future_in_a_document_does_not_win_for_ever() {
    for strategy in [Strategy::FieldLevel, Strategy::LastWriteWins] {
        let mad = from_the_future(strategy);
        let blind = made(2, 1, 500, &Document::default(), vec![Intent::Put(fields(&[("a", "2")]))]);
        let healed = judge(strategy, &mad, &blind);
        assert_eq!((healed.outcome, value(&healed.document, "a")), (Outcome::Accepted {}, Some("2")));
        let sane = Hlc { wall: Millis(500), counter: 0 };
        assert_eq!(healed.document.written.map(|stamp| stamp.at), Some(sane));
        assert_eq!(healed.document.fields[&field("a")].stamp.map(|stamp| stamp.at), Some(sane));
    }
}

#[test]
fn whoever_saw_a_time_from_the_future_does_not_inherit_it() {
    let mad = from_the_future(Strategy::FieldLevel);
    let next = judge(Strategy::FieldLevel, &mad, &set(2, 1, 500, &mad, &[("a", "2")])).document;
    assert_eq!(next.fields[&field("a")].stamp.map(|stamp| stamp.at.wall), Some(Millis(500)));
}

#[test]
fn a_deletion_from_the_future_is_healed_by_the_next() {
    let mut gone = history(Strategy::FieldLevel, &[&delete(1, 1, 10, &Document::default())]);
    gone.burial.iter_mut().for_each(|burial| burial.stamp.at.wall = Millis(900_000_000));
    let again = judge(Strategy::FieldLevel, &gone, &delete(2, 1, 500, &Document::default())).document;
    assert_eq!(again.burial.map(|burial| burial.stamp.at.wall), Some(Millis(500)));
}
