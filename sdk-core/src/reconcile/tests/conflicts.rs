//! Collections whose collisions are conflicts.

use super::*;
use crate::protocol::{Base, Members, ResolvedBy};

const STRATEGY: Strategy = Strategy::Manual;

fn start() -> Document {
    history(STRATEGY, &[&set(1, 1, 10, &Document::default(), &[("a", "1"), ("b", "1")])])
}

/// The same by a client that says what it saw.
fn from(mut made: Made, was: &[(&str, &str)]) -> Made {
    made.operation.base.was = Some(fields(was));
    made
}

fn put(actor: u32, seq: u64, base: &Document, entries: &[(&str, &str)]) -> Made {
    made(actor, seq, 20, base, vec![Intent::Put(fields(entries))])
}

fn clash(document: &Document, made: &Made) -> Option<Clash> {
    with_write(document, made, |write| collisions(STRATEGY, document, write))
}

/// The names of the fields that collide; none where nothing does.
fn colliding(document: &Document, made: &Made) -> Option<Vec<String>> {
    let fields = clash(document, made)?.fields;
    Some(fields.iter().map(|field| field.as_str().to_owned()).collect())
}

fn conflict(document: &Document, made: &Made) -> Conflict {
    let clash = clash(document, made).expect("it collides");
    with_write(document, made, |write| Conflict::new(STRATEGY, document, write, clash, None))
}

/// The document after the conflict was resolved like this.
fn resolve(document: &Document, mine: &Made, resolution: &Resolution) -> Applied {
    let conflict = conflict(document, mine);
    let seen = StreamPosition { epoch: epoch(), offset: document.rev };
    let operation = resolution.settle(ResolvedBy::Person, &conflict, &mine.operation, document, seen);
    let resolved = Made { actor: mine.actor, operation: operation.expect("it was decided") };
    assert_eq!(validate(STRATEGY, &resolved.operation), Ok(()));
    assert_eq!(clash(document, &resolved), None, "whoever decided has seen theirs");
    judge(STRATEGY, document, &resolved)
}

#[test]
fn only_fields_that_both_wrote_with_different_values_collide() {
    let start = start();
    let theirs = set(2, 1, 50, &start, &[("a", "2"), ("c", "2")]);
    let now = judge(STRATEGY, &start, &theirs).document;
    let mine = set(3, 1, 20, &start, &[("a", "3"), ("b", "3"), ("c", "2")]);
    assert_eq!(colliding(&now, &mine), Some(vec!["a".into()]));
    assert_eq!(clash(&now, &mine).unwrap().theirs.map(|stamp| stamp.by.actor), Some(ActorId(2)));
    assert_eq!(colliding(&now, &set(3, 1, 20, &now, &[("a", "3")])), None, "seen is not concurrent");
    let equal = set(3, 1, 20, &start, &[("a", "2")]);
    assert_eq!((clash(&now, &equal), judge(STRATEGY, &now, &equal).outcome), (None, Outcome::Accepted {}));
    let unset = made(3, 1, 20, &start, vec![Intent::Unset(vec![field("a")])]);
    assert_eq!(colliding(&now, &unset), Some(vec!["a".into()]));
}

#[test]
fn collisions_are_found_only_where_they_are_conflicts() {
    let now = judge(STRATEGY, &start(), &set(2, 1, 50, &start(), &[("a", "2")])).document;
    let mine = set(3, 1, 20, &start(), &[("a", "3")]);
    for strategy in Strategy::ALL {
        let found = with_write(&now, &mine, |write| collisions(strategy, &now, write));
        assert_eq!(found.is_some(), strategy.has_conflicts(), "{strategy:?}");
    }
}

#[test]
fn increments_and_members_collide_with_deletions_only() {
    let start = start();
    let now = judge(STRATEGY, &start, &set(2, 1, 50, &start, &[("a", "2")])).document;
    let tags: Members = [(field("b"), vec![json("1")])].into();
    let mine = made(3, 1, 20, &start, vec![Intent::Increment([(field("a"), 1)].into()), Intent::Add(tags)]);
    assert_eq!(colliding(&now, &mine), None);
    let counted = judge(STRATEGY, &now, &mine).document;
    assert_eq!(colliding(&counted, &set(4, 1, 30, &now, &[("a", "5")])), None, "nor with an assignment");
    assert_eq!(colliding(&counted, &delete(4, 1, 30, &now)), Some(vec!["a".into(), "b".into()]));
    let gone = judge(STRATEGY, &start, &delete(2, 1, 50, &start)).document;
    assert_eq!(colliding(&gone, &mine), Some(vec!["a".into(), "b".into()]));
}

#[test]
fn a_deletion_collides_with_unseen_writes_and_an_edit_with_an_unseen_deletion() {
    let start = start();
    let now = judge(STRATEGY, &start, &set(2, 1, 50, &start, &[("a", "2")])).document;
    assert_eq!(colliding(&now, &delete(3, 1, 60, &start)), Some(vec!["a".into()]));
    assert_eq!(colliding(&now, &delete(3, 1, 60, &now)), None);
    let gone = judge(STRATEGY, &start, &delete(2, 1, 50, &start)).document;
    assert_eq!(colliding(&gone, &set(3, 1, 60, &start, &[("b", "2")])), Some(vec!["b".into()]));
    assert_eq!(colliding(&gone, &delete(3, 1, 60, &start)), None, "both want it gone");
}

#[test]
fn what_a_maker_left_as_it_was_is_no_edit() {
    let start = start();
    let now = judge(STRATEGY, &start, &set(2, 1, 50, &start, &[("b", "2"), ("new", "2")])).document;
    let mine = from(put(3, 1, &start, &[("a", "3"), ("b", "1")]), &[("a", "1"), ("b", "1")]);
    assert_eq!(colliding(&now, &mine), None);
    let after = judge(STRATEGY, &now, &mine).document;
    let values = ["a", "b", "new"].map(|name| shown(&after, name));
    assert_eq!(values.each_ref().map(Option::as_deref), [Some("3"), Some("2"), Some("2")]);
    // Without a word of what it saw, a put means every field.
    let blunt = put(3, 1, &start, &[("a", "3"), ("b", "1")]);
    assert_eq!(colliding(&now, &blunt), Some(vec!["b".into(), "new".into()]));
    let taking = from(put(3, 1, &start, &[("a", "3")]), &[("a", "1"), ("b", "1")]);
    assert_eq!(colliding(&now, &taking), Some(vec!["b".into()]), "it took that away on purpose");
}

#[test]
fn until_it_is_decided_its_maker_sees_mine_over_theirs() {
    let start = start();
    let now = judge(STRATEGY, &start, &set(2, 1, 900, &start, &[("a", "2"), ("b", "2")])).document;
    let overlay = judge(STRATEGY, &now, &set(3, 1, 20, &start, &[("a", "3")])).document;
    assert_eq!((value(&overlay, "a"), value(&overlay, "b")), (Some("3"), Some("2")));
    let gone = judge(STRATEGY, &start, &delete(2, 1, 900, &start)).document;
    assert!(judge(STRATEGY, &gone, &set(3, 1, 20, &start, &[("a", "3")])).document.is_alive());
}

#[test]
fn a_conflict_holds_what_was_seen_mine_and_theirs() {
    let start = start();
    let now = judge(STRATEGY, &start, &set(2, 1, 50, &start, &[("a", "2")])).document;
    let edit = conflict(&now, &from(set(3, 1, 20, &start, &[("a", "3")]), &[("a", "1")]));
    assert_eq!(edit.base, Some(fields(&[("a", "1")])));
    assert_eq!(edit.mine, Some(fields(&[("a", "3"), ("b", "1")])));
    assert_eq!(edit.theirs, Some(fields(&[("a", "2"), ("b", "1")])));
    assert_eq!(conflict(&now, &delete(3, 1, 20, &start)).mine, None);
    let gone = judge(STRATEGY, &start, &delete(2, 1, 50, &start)).document;
    assert_eq!(conflict(&gone, &set(3, 1, 20, &start, &[("a", "3")])).theirs, None);
}

#[test]
fn taking_mine_gives_what_its_maker_was_shown() {
    let start = start();
    let now = judge(STRATEGY, &start, &set(2, 1, 50, &start, &[("a", "2"), ("b", "2"), ("c", "2")])).document;
    for mine in [
        set(3, 1, 20, &start, &[("a", "3")]),
        from(put(3, 1, &start, &[("a", "3"), ("b", "1")]), &[("a", "1"), ("b", "1")]),
        from(put(3, 1, &start, &[("a", "3")]), &[("a", "1"), ("b", "1")]),
    ] {
        let promised = conflict(&now, &mine).mine.unwrap();
        let after = resolve(&now, &mine, &Resolution::TakeMine);
        assert_eq!(after.outcome, Outcome::Accepted {});
        let values: Fields = after.document.values().map(|(name, value)| (name.clone(), value)).collect();
        assert_eq!(values, promised, "{mine:?}");
    }
}

#[test]
fn taking_theirs_changes_nothing_and_is_known_to_the_document() {
    let start = start();
    let now = judge(STRATEGY, &start, &set(2, 1, 50, &start, &[("a", "2")])).document;
    let after = resolve(&now, &set(3, 1, 20, &start, &[("a", "3"), ("free", "3")]), &Resolution::TakeTheirs);
    assert_eq!(after.outcome, Outcome::Superseded {});
    assert_eq!(after.document.fields, now.fields);
    assert!(after.document.clock.covers(Dot { actor: ActorId(3), seq: Seq(1) }));
    let gone = judge(STRATEGY, &start, &delete(2, 1, 50, &start)).document;
    let still = resolve(&gone, &set(3, 1, 20, &start, &[("a", "3")]), &Resolution::TakeTheirs);
    assert!(!still.document.is_alive());
}

#[test]
fn a_merge_settles_the_fields_in_conflict_and_keeps_the_rest_of_mine() {
    let start = start();
    let now = judge(STRATEGY, &start, &set(2, 1, 50, &start, &[("a", "2"), ("b", "2")])).document;
    let mine =
        from(set(3, 1, 20, &start, &[("a", "3"), ("b", "3"), ("free", "3")]), &[("a", "1"), ("b", "1")]);
    let after = resolve(&now, &mine, &Resolution::Merged(fields(&[("a", "23")]))).document;
    let values = ["a", "b", "free"].map(|name| shown(&after, name));
    assert_eq!(values.each_ref().map(Option::as_deref), [Some("23"), None, Some("3")]);
    // What was there before both is a decision like any other.
    let undone = resolve(&now, &mine, &Resolution::Merged(fields(&[("a", "1"), ("b", "2")]))).document;
    assert_eq!((shown(&undone, "a").as_deref(), shown(&undone, "b").as_deref()), (Some("1"), Some("2")));
}

#[test]
fn where_one_side_deleted_a_merge_says_what_the_document_holds() {
    let start = start();
    let now = judge(STRATEGY, &start, &set(2, 1, 50, &start, &[("a", "2"), ("b", "2")])).document;
    let merged = Resolution::Merged(fields(&[("a", "2"), ("x", "3")]));
    let mine = from(delete(3, 1, 60, &start), &[("a", "1"), ("b", "1")]);
    let gone = judge(STRATEGY, &start, &delete(2, 1, 50, &start)).document;
    for after in [
        resolve(&now, &mine, &merged).document,
        resolve(&gone, &set(3, 1, 60, &start, &[("a", "3")]), &merged).document,
    ] {
        let values: Fields = after.values().map(|(name, value)| (name.clone(), value)).collect();
        assert_eq!(values, fields(&[("a", "2"), ("x", "3")]));
    }
}

#[test]
fn a_resolution_says_what_it_was_made_from_also_the_second_time() {
    let start = start();
    let now = judge(STRATEGY, &start, &set(2, 1, 50, &start, &[("a", "2")])).document;
    let mine = from(set(3, 1, 20, &start, &[("a", "3")]), &[("a", "1")]);
    let seen = StreamPosition { epoch: epoch(), offset: now.rev };
    let settle = |made: &Operation, text: &str| {
        let merged = Resolution::Merged(fields(&[("a", text)]));
        merged.settle(ResolvedBy::Merger, &conflict(&now, &mine), made, &now, seen.clone()).unwrap()
    };
    let again = settle(&settle(&mine.operation, "23"), "24");
    let resolves = again.resolves.unwrap();
    assert_eq!((resolves.mine, resolves.was), (mine.operation.intents, mine.operation.base.was));
    assert_eq!(again.base, Base { clock: now.clock.clone(), seen: Some(seen), was: Some(Fields::default()) });
}
