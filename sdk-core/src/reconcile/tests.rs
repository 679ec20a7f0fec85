//! Named claims; generated histories in every causally possible order are in `properties`.

mod conflicts;
mod contributions;
mod horizon;
mod properties;

use super::*;
use crate::{
    clock::Hlc,
    protocol::{ActorId, Base, DocKey, FieldName, Fields, Intent, Json, Seq, StreamPosition},
};

fn epoch() -> Epoch {
    Epoch::new("e1").unwrap()
}

fn field(name: &str) -> FieldName {
    FieldName::new(name).unwrap()
}

fn fields(entries: &[(&str, &str)]) -> Fields {
    entries.iter().map(|(name, value)| (field(name), Json::parse(value).unwrap())).collect()
}

/// A writer with its own clock and view, as a client has.
#[derive(Debug, Clone)]
struct Made {
    actor: u32,
    operation: Operation,
}

fn made(actor: u32, seq: u64, wall: u64, base: &Document, intents: Vec<Intent>) -> Made {
    let base = Base { clock: base.clock.clone(), ..Base::default() };
    let operation = Operation {
        seq: Seq(seq),
        doc: DocKey::new("cards", "one").unwrap(),
        at: Hlc { wall: Millis(wall), counter: 0 },
        schema: 0,
        intents,
        base,
        maker: None,
        resolves: None,
        replaces: None,
    };
    Made { actor, operation }
}

fn set(actor: u32, seq: u64, wall: u64, base: &Document, entries: &[(&str, &str)]) -> Made {
    made(actor, seq, wall, base, vec![Intent::Set(fields(entries))])
}

fn delete(actor: u32, seq: u64, wall: u64, base: &Document) -> Made {
    made(actor, seq, wall, base, vec![Intent::Delete {}])
}

/// What is done with a write that is about to be judged.
fn with_write<T>(document: &Document, made: &Made, then: impl FnOnce(&Write<'_>) -> T) -> T {
    then(&Write {
        operation: &made.operation,
        by: Dot { actor: ActorId(made.actor), seq: made.operation.seq },
        epoch: &epoch(),
        rev: document.rev.next(),
        now: Millis(1_000_000),
        horizon: Offset(0),
    })
}

fn judge(strategy: Strategy, document: &Document, made: &Made) -> Applied {
    with_write(document, made, |write| apply(strategy, document, write))
}

fn history(strategy: Strategy, operations: &[&Made]) -> Document {
    operations.iter().fold(Document::default(), |document, made| judge(strategy, &document, made).document)
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

/// What a field shows.
fn shown(document: &Document, name: &str) -> Option<String> {
    Some(document.fields.get(&field(name))?.shown()?.as_str().to_owned())
}

fn value<'a>(document: &'a Document, name: &str) -> Option<&'a str> {
    document.fields.get(&field(name))?.value.as_ref().map(Json::as_str)
}

#[test]
fn concurrent_edits_of_different_fields_both_survive() {
    let start = history(
        Strategy::FieldLevel,
        &[&set(1, 1, 10, &Document::default(), &[("title", "1"), ("note", "1")])],
    );
    let (mine, theirs) = (set(1, 2, 20, &start, &[("title", "2")]), set(2, 1, 15, &start, &[("note", "3")]));
    let both = judge(Strategy::FieldLevel, &judge(Strategy::FieldLevel, &start, &mine).document, &theirs);
    assert_eq!(both.outcome, Outcome::Accepted {});
    assert_eq!((value(&both.document, "title"), value(&both.document, "note")), (Some("2"), Some("3")));
}

#[test]
fn of_two_concurrent_edits_of_one_field_the_later_stays() {
    let empty = Document::default();
    let (late, early) =
        (set(1, 1, 20, &empty, &[("a", "1"), ("b", "1")]), set(2, 1, 10, &empty, &[("a", "2"), ("c", "2")]));
    let merged = judge(Strategy::FieldLevel, &history(Strategy::FieldLevel, &[&late]), &early);
    assert_eq!(merged.outcome, Outcome::Merged { lost: vec![field("a")] });
    assert_eq!((value(&merged.document, "a"), value(&merged.document, "c")), (Some("1"), Some("2")));
}

#[test]
fn an_edit_that_saw_the_other_wins_even_with_a_slow_clock() {
    let first = history(Strategy::FieldLevel, &[&set(1, 1, 900, &Document::default(), &[("a", "1")])]);
    let second = judge(Strategy::FieldLevel, &first, &set(2, 1, 5, &first, &[("a", "2")]));
    assert_eq!(second.outcome, Outcome::Accepted {});
    // And its corrected stamp is later, so a third replica agrees.
    assert!(
        second.document.fields[&field("a")].stamp.unwrap().at > first.fields[&field("a")].stamp.unwrap().at
    );
}

#[test]
fn whoever_comes_from_beyond_the_horizon_brings_nothing_back_however_often_he_tries() {
    let had = history(Strategy::FieldLevel, &[&set(1, 1, 10, &Document::default(), &[("a", "1")])]);
    let mut document = Document::default();
    for seq in 1..=3 {
        let made = set(2, seq, 20, &had, &[("a", "2")]);
        let by = Dot { actor: ActorId(2), seq: Seq(seq) };
        let (epoch, rev) = (epoch(), Offset(10 + seq));
        let write = Write {
            operation: &made.operation,
            by,
            epoch: &epoch,
            rev,
            now: Millis(1_000),
            horizon: Offset(9),
        };
        let applied = apply(Strategy::FieldLevel, &document, &write);
        assert_eq!((applied.outcome, applied.document.is_alive()), (Outcome::Superseded {}, false));
        document = applied.document;
    }
}

#[test]
fn a_second_edit_by_the_same_writer_does_not_conflict_with_the_first() {
    let empty = Document::default();
    let first = judge(Strategy::FieldLevel, &empty, &set(1, 1, 50, &empty, &[("a", "1")]));
    let second = judge(Strategy::FieldLevel, &first.document, &set(1, 2, 40, &empty, &[("a", "2")]));
    assert_eq!((second.outcome, value(&second.document, "a")), (Outcome::Accepted {}, Some("2")));
}

#[test]
fn a_position_stands_for_everything_before_it() {
    let first = history(Strategy::FieldLevel, &[&set(1, 1, 900, &Document::default(), &[("a", "1")])]);
    let mut blind = set(2, 1, 5, &Document::default(), &[("a", "2")]);
    assert_eq!(judge(Strategy::FieldLevel, &first, &blind).outcome, Outcome::Superseded {});
    blind.operation.base.seen = Some(StreamPosition { epoch: epoch(), offset: first.rev });
    assert_eq!(judge(Strategy::FieldLevel, &first, &blind).outcome, Outcome::Accepted {});
    blind.operation.base.seen =
        Some(StreamPosition { epoch: Epoch::new("other").unwrap(), offset: first.rev });
    assert_eq!(judge(Strategy::FieldLevel, &first, &blind).outcome, Outcome::Superseded {});
}

#[test]
fn a_deletion_stands_against_edits_that_did_not_know_of_it() {
    let start = history(Strategy::FieldLevel, &[&set(1, 1, 10, &Document::default(), &[("a", "1")])]);
    let (gone, edit) = (delete(1, 2, 20, &start), set(2, 1, 900, &start, &[("a", "2")]));
    for strategy in [Strategy::FieldLevel, Strategy::LastWriteWins] {
        let late = judge(strategy, &judge(strategy, &start, &gone).document, &edit);
        assert_eq!((late.outcome, late.document.is_alive()), (Outcome::Superseded {}, false));
        let early = judge(strategy, &judge(strategy, &start, &edit).document, &gone);
        assert!(!early.document.is_alive());
    }
}

#[test]
fn who_knew_of_a_deletion_and_deleted_again_may_write_again() {
    let start = set(1, 1, 10, &Document::default(), &[("title", "1")]);
    let gone = history(Strategy::FieldLevel, &[&start, &delete(1, 2, 20, &Document::default())]);
    // Knows of the other's deletion by position only: a document that is gone is not at hand.
    let seen = Some(StreamPosition { epoch: epoch(), offset: gone.rev });
    let knowing = |mut made: Made| {
        made.operation.base.seen = seen.clone();
        made
    };
    let mine = knowing(delete(2, 1, 30, &Document::default()));
    let again = knowing(set(2, 2, 40, &Document::default(), &[("title", "2")]));
    let gone = judge(Strategy::FieldLevel, &gone, &mine).document;
    let back = judge(Strategy::FieldLevel, &gone, &again);
    assert_eq!(back.outcome, Outcome::Accepted {});
    assert_eq!(value(&back.document, "title"), Some("2"));
}

#[test]
fn an_edit_that_saw_the_deletion_brings_the_document_back_with_its_own_fields_only() {
    let start = history(Strategy::FieldLevel, &[&set(1, 1, 10, &Document::default(), &[("a", "1")])]);
    let buried = judge(Strategy::FieldLevel, &start, &delete(1, 2, 20, &start)).document;
    let again = judge(Strategy::FieldLevel, &buried, &set(2, 1, 30, &buried, &[("b", "2")])).document;
    assert!(again.is_alive());
    assert_eq!((value(&again, "a"), value(&again, "b")), (None, Some("2")));
    let late = judge(Strategy::FieldLevel, &again, &set(3, 1, 999, &start, &[("a", "3")]));
    assert_eq!(late.outcome, Outcome::Superseded {});
}

#[test]
fn a_put_removes_what_its_writer_knew_and_nothing_else() {
    let start =
        history(Strategy::FieldLevel, &[&set(1, 1, 10, &Document::default(), &[("a", "1"), ("b", "1")])]);
    let put = made(1, 2, 20, &start, vec![Intent::Put(fields(&[("a", "2")]))]);
    let unseen = set(2, 1, 5, &start, &[("c", "3")]);
    let both =
        judge(Strategy::FieldLevel, &judge(Strategy::FieldLevel, &start, &unseen).document, &put).document;
    assert_eq!((value(&both, "a"), value(&both, "b"), value(&both, "c")), (Some("2"), None, Some("3")));
}

#[test]
fn last_write_wins_keeps_one_whole_document() {
    let empty = Document::default();
    let put = |actor, wall, entries: &[(&str, &str)]| {
        made(actor, 1, wall, &empty, vec![Intent::Put(fields(entries))])
    };
    let (early, late) = (put(1, 10, &[("a", "1"), ("b", "1")]), put(2, 20, &[("a", "2")]));
    let forth = history(Strategy::LastWriteWins, &[&early, &late]);
    let back = history(Strategy::LastWriteWins, &[&late, &early]);
    for document in [forth, back] {
        assert_eq!((value(&document, "a"), value(&document, "b")), (Some("2"), None));
    }
}

#[test]
fn a_timestamp_from_the_far_future_does_not_win_for_ever() {
    let empty = Document::default();
    let mad = history(Strategy::FieldLevel, &[&set(1, 1, 1_000_000_000, &empty, &[("a", "1")])]);
    assert_eq!(mad.fields[&field("a")].stamp.unwrap().at.wall, Millis(1_000_000));
    let sane = judge(Strategy::FieldLevel, &mad, &set(2, 1, 1_000_001, &empty, &[("a", "2")]));
    assert_eq!(sane.outcome, Outcome::Accepted {});
}

#[test]
fn a_document_with_more_writers_than_its_clock_holds_goes_on() {
    let mut document = Document::default();
    for actor in 0..200 {
        let write = set(actor, 1, u64::from(actor), &document, &[(["a", "b"][actor as usize % 2], "1")]);
        let applied = judge(Strategy::FieldLevel, &document, &write);
        assert_eq!(applied.outcome, Outcome::Accepted {}, "actor {actor}");
        document = applied.document;
    }
    assert!(document.clock.dots().count() <= crate::clock::MAX_ACTORS);
}
