//! Counters and sets.

use super::*;
use crate::{
    protocol::{MAX_DEPTH, MAX_SAFE_INTEGER},
    reconcile::field::MAX_CONTRIBUTIONS,
};

const STRATEGY: Strategy = Strategy::FieldLevel;

fn count(actor: u32, seq: u64, base: &Document, amount: i64) -> Made {
    made(actor, seq, 10, base, vec![Intent::Increment([(field("n"), amount)].into())])
}

fn members(list: &[&str]) -> crate::protocol::Members {
    [(field("tags"), list.iter().map(|text| json(text)).collect())].into()
}

fn add(actor: u32, seq: u64, base: &Document, list: &[&str]) -> Made {
    made(actor, seq, 10, base, vec![Intent::Add(members(list))])
}

fn remove(actor: u32, seq: u64, base: &Document, list: &[&str]) -> Made {
    made(actor, seq, 10, base, vec![Intent::Remove(members(list))])
}

fn then(document: &Document, made: &Made) -> Document {
    judge(STRATEGY, document, made).document
}

#[test]
fn concurrent_increments_add_up_and_a_field_that_is_missing_counts_from_nothing() {
    let empty = Document::default();
    let both = history(STRATEGY, &[&count(1, 1, &empty, 5), &count(2, 1, &empty, -7)]);
    assert_eq!(shown(&both, "n").as_deref(), Some("-2"));
    assert!(both.is_alive());
}

#[test]
fn an_assignment_covers_the_increments_that_its_maker_saw_and_no_others() {
    let empty = Document::default();
    let counted = history(STRATEGY, &[&count(1, 1, &empty, 5)]);
    let (assign, blind) = (set(2, 1, 20, &counted, &[("n", "100")]), count(3, 1, &empty, 1));
    let forth = then(&then(&counted, &blind), &assign);
    let back = then(&then(&counted, &assign), &blind);
    assert_eq!((shown(&forth, "n").as_deref(), shown(&back, "n").as_deref()), (Some("101"), Some("101")));
}

#[test]
fn an_assignment_that_loses_still_covers_what_its_maker_saw() {
    let empty = Document::default();
    let counted = history(STRATEGY, &[&count(1, 1, &empty, 5)]);
    let (late, early) = (set(2, 1, 90, &empty, &[("n", "100")]), set(3, 1, 20, &counted, &[("n", "7")]));
    let forth = then(&then(&counted, &late), &early);
    let back = then(&then(&counted, &early), &late);
    assert_eq!((shown(&forth, "n").as_deref(), shown(&back, "n").as_deref()), (Some("100"), Some("100")));
}

#[test]
fn unset_and_a_put_that_leaves_a_field_out_end_what_their_makers_saw_of_it() {
    let empty = Document::default();
    let counted = history(STRATEGY, &[&count(1, 1, &empty, 5), &add(1, 2, &empty, &["\"x\""])]);
    let gone = [vec![Intent::Unset(vec![field("n")])], vec![Intent::Put(fields(&[("other", "1")]))]];
    for intents in gone {
        let after = then(&counted, &made(2, 1, 20, &counted, intents));
        assert_eq!(shown(&after, "n"), None);
        let late = then(&after, &count(3, 1, &empty, 2));
        assert_eq!(shown(&late, "n").as_deref(), Some("2"), "an unseen increment stays");
    }
}

#[test]
fn of_a_concurrent_add_and_remove_the_member_stays() {
    let empty = Document::default();
    let start = history(STRATEGY, &[&add(1, 1, &empty, &["\"x\"", "\"y\""])]);
    let (out, again) = (remove(2, 1, &start, &["\"x\""]), add(3, 1, &empty, &["\"x\""]));
    for order in [[&out, &again], [&again, &out]] {
        let after = order.into_iter().fold(start.clone(), |document, made| then(&document, made));
        assert_eq!(shown(&after, "tags").as_deref(), Some(r#"["x","y"]"#));
    }
    assert_eq!(shown(&then(&start, &out), "tags").as_deref(), Some(r#"["y"]"#));
}

#[test]
fn a_member_leaves_an_assigned_array_only_if_its_remover_had_seen_that() {
    let empty = Document::default();
    let start = history(STRATEGY, &[&set(1, 1, 10, &empty, &[("tags", "[1, \"x\", 2,\"x\"]")])]);
    let seeing = then(&start, &remove(2, 1, &start, &["\"x\""]));
    assert_eq!(shown(&seeing, "tags").as_deref(), Some("[1,2]"));
    assert_eq!(then(&start, &remove(2, 1, &empty, &["\"x\""])).fields, start.fields);
}

#[test]
fn an_array_shows_its_own_members_first_and_none_twice() {
    let empty = Document::default();
    let start = history(STRATEGY, &[&set(1, 1, 10, &empty, &[("tags", r#"["z","b"]"#)])]);
    let all = [add(2, 1, &start, &["\"c\"", "\"b\""]), add(3, 1, &start, &["\"a\"", "\"c\""])];
    let after = all.iter().fold(start, |document, made| then(&document, made));
    assert_eq!(shown(&after, "tags").as_deref(), Some(r#"["z","b","a","c"]"#));
}

#[test]
fn adding_again_what_one_knows_keeps_one_contribution() {
    let mut document = Document::default();
    for seq in 1..20 {
        document = then(&document, &add(1, seq, &document, &["\"x\""]));
    }
    assert_eq!(document.fields[&field("tags")].members.len(), 1);
}

#[test]
fn what_does_not_fit_the_value_does_not_show_and_is_told_as_lost() {
    let empty = Document::default();
    let text = history(STRATEGY, &[&set(1, 1, 10, &empty, &[("n", "\"many\"")])]);
    let one = judge(STRATEGY, &text, &count(2, 1, &text, 1));
    assert_eq!(
        (one.outcome, shown(&one.document, "n").as_deref()),
        (Outcome::Superseded {}, Some("\"many\""))
    );
    let intents = vec![Intent::Increment([(field("n"), 1)].into()), Intent::Set(fields(&[("m", "1")]))];
    let two = judge(STRATEGY, &text, &made(2, 1, 20, &text, intents));
    assert_eq!(two.outcome, Outcome::Merged { lost: vec![field("n")] });
    // It counts for whoever assigns a number without having seen it.
    let number = then(&one.document, &set(3, 1, 30, &text, &[("n", "5")]));
    assert_eq!(shown(&number, "n").as_deref(), Some("6"));
}

#[test]
fn intents_of_one_operation_work_in_order() {
    let empty = Document::default();
    let start = history(STRATEGY, &[&count(1, 1, &empty, 50)]);
    let increment = |amount| Intent::Increment([(field("n"), amount)].into());
    let assign = Intent::Set(fields(&[("n", "10")]));
    for (intents, expected) in [
        (vec![increment(1), increment(2)], "53"),
        (vec![assign.clone(), increment(2)], "12"),
        (vec![increment(2), assign], "10"),
        (vec![Intent::Unset(vec![field("n")]), increment(2)], "2"),
        (vec![Intent::Put(Fields::default()), increment(2)], "2"),
        (vec![Intent::Delete {}, increment(2)], "2"),
    ] {
        let after = then(&start, &made(1, 2, 20, &start, intents.clone()));
        assert_eq!(shown(&after, "n").as_deref(), Some(expected), "{intents:?}");
    }
    let swap = vec![
        Intent::Add(members(&["\"a\"", "\"b\""])),
        Intent::Remove(members(&["\"a\""])),
        Intent::Add(members(&["\"c\""])),
    ];
    let after = then(&empty, &made(1, 1, 20, &empty, swap));
    assert_eq!(shown(&after, "tags").as_deref(), Some(r#"["b","c"]"#));
}

#[test]
fn in_a_document_that_is_written_whole_counts_and_members_become_part_of_it() {
    let put = Intent::Put(fields(&[("n", "1"), ("tags", "[\"a\"]")]));
    let more = [
        put.clone(),
        Intent::Increment([(field("n"), 4)].into()),
        Intent::Add(members(&["\"b\""])),
        Intent::Remove(members(&["\"a\""])),
    ];
    let whole = made(1, 1, 10, &Document::default(), more.to_vec());
    assert_eq!(validate(Strategy::LastWriteWins, &whole.operation), Ok(()));
    let after = judge(Strategy::LastWriteWins, &Document::default(), &whole).document;
    assert_eq!((value(&after, "n"), value(&after, "tags")), (Some("5"), Some("[\"b\"]")));
    let partial = count(1, 1, &Document::default(), 1);
    assert!(validate(Strategy::LastWriteWins, &partial.operation).is_err());
}

#[test]
fn an_operation_that_contradicts_itself_or_leaves_the_exact_numbers_is_refused() {
    let increment = |amount| Intent::Increment([(field("n"), amount)].into());
    let most = MAX_SAFE_INTEGER as i64;
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    let named = |intents| made(1, 1, 10, &Document::default(), intents).operation;
    for intents in [
        vec![Intent::Set(fields(&[("n", "\"text\"")])), increment(1)],
        vec![Intent::Set(fields(&[("tags", "1")])), Intent::Add(members(&["1"]))],
        vec![increment(1), Intent::Add([(field("n"), vec![json("1")])].into())],
        vec![increment(most + 1)],
        vec![increment(i64::MIN)],
        vec![Intent::Set(fields(&[("n", &most.to_string())])), increment(1)],
        vec![Intent::Add(members(&[&deep]))],
        vec![Intent::Add(members(&["1"; 257]))],
    ] {
        assert!(validate(STRATEGY, &named(intents.clone())).is_err(), "{intents:?}");
    }
    assert_eq!(validate(STRATEGY, &named(vec![increment(-most)])), Ok(()));
}

#[test]
fn a_counter_that_would_leave_the_exact_numbers_is_told() {
    let empty = Document::default();
    let full = history(STRATEGY, &[&count(1, 1, &empty, MAX_SAFE_INTEGER as i64)]);
    assert_eq!(overflow(&full), None);
    assert!(overflow(&then(&full, &count(2, 1, &empty, 1))).is_some());
}

#[test]
fn a_hot_counter_stays_small_and_right() {
    let mut document = Document::default();
    for n in 1..=1_000u64 {
        document = then(&document, &count(n as u32 % 40, n, &Document::default(), 1));
    }
    assert_eq!(shown(&document, "n").as_deref(), Some("1000"));
    let register = &document.fields[&field("n")];
    assert_eq!(register.increments.len(), MAX_CONTRIBUTIONS);
    let newest = register.increments.iter().map(|increment| increment.rev.0).min();
    assert_eq!(newest, Some(1_001 - MAX_CONTRIBUTIONS as u64), "the oldest are the ones folded");
    // Whoever assigns without having seen the newest keeps those.
    let old = Offset(1_000 - MAX_CONTRIBUTIONS as u64);
    let mut assign = set(100, 1, 20, &Document::default(), &[("n", "0")]);
    assign.operation.base.seen = Some(StreamPosition { epoch: epoch(), offset: old });
    let after = then(&document, &assign);
    assert_eq!(shown(&after, "n"), Some(MAX_CONTRIBUTIONS.to_string()));
}

#[test]
fn a_large_set_keeps_its_members_in_its_value() {
    let mut document = Document::default();
    for n in 1..=100u64 {
        document = then(&document, &add(1, n, &document, &[&n.to_string()]));
    }
    let register = &document.fields[&field("tags")];
    assert_eq!(register.members.len(), MAX_CONTRIBUTIONS);
    assert_eq!(json(&shown(&document, "tags").unwrap()).as_array().unwrap().len(), 100);
    let after = then(&document, &remove(2, 1, &document, &["3", "99"]));
    assert_eq!(json(&shown(&after, "tags").unwrap()).as_array().unwrap().len(), 98);
}

#[test]
fn a_deletion_takes_counts_and_members_with_it() {
    let empty = Document::default();
    let counted = history(STRATEGY, &[&count(1, 1, &empty, 5)]);
    let gone = then(&counted, &delete(1, 2, 20, &counted));
    let late = judge(STRATEGY, &gone, &count(2, 1, &counted, 1));
    assert_eq!((late.outcome, late.document.is_alive()), (Outcome::Superseded {}, false));
}
