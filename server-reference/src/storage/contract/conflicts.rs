//! What every store promises of counters, sets, and collections whose collisions are conflicts.

use sdk_core::protocol::{
    Author, Base, Choice, Collision, DocKey, ErrorCode, Intent, Json, Judgement, Operation, Outcome,
    ResolvedBy, Resolves, Seq, Strategy, StreamPosition,
};

use super::{Store, judge, read, rejection, value};
use crate::{
    fixtures::{START, batch, client, collection, resume, scope, set},
    storage::{Batch, Page},
};

/// Judges operations on the manual collection `notes`, of a client that has the subject's name.
async fn decide(store: &Store, subject: &str, operations: Vec<Operation>) -> Vec<Judgement> {
    let number = subject.as_bytes()[0];
    let collections = vec![resume("notes", Strategy::Manual)];
    let batch = Batch { collections, ..batch(&scope("acme", subject), client(number), operations) };
    store.commit(batch).await.unwrap().judgements
}

fn note(seq: u64, id: &str, entries: &[(&str, &str)]) -> Operation {
    Operation { doc: DocKey::new("notes", id).unwrap(), ..set(seq, id, entries) }
}

/// The same operation by somebody who has read that far, as the end of a conflict.
fn resolved(operation: Operation, choice: Choice, seen: &Judgement) -> Operation {
    let base = Base { seen: seen.position.clone(), ..Base::default() };
    let resolves = Resolves { choice, by: ResolvedBy::Person, mine: Vec::new(), was: None };
    Operation { base, resolves: Some(resolves), ..operation }
}

async fn notes(store: &Store, after: Option<StreamPosition>) -> sdk_core::protocol::Changes {
    let page = Page { collection: collection("notes"), after, bytes: usize::MAX };
    store.changes(scope("acme", "ada"), page).await.unwrap()
}

fn collision(judgement: &Judgement) -> &Collision {
    match &judgement.outcome {
        Outcome::Conflicted(collision) => collision,
        other => panic!("not conflicted but {other:?}"),
    }
}

pub(crate) async fn a_collision_is_told_with_its_author_and_writes_nothing(store: Store) {
    let first = decide(&store, "ada", vec![note(1, "a", &[("x", "1"), ("y", "1")])]).await;
    let before = notes(&store, None).await;
    let mine = note(1, "a", &[("x", "2"), ("y", "1"), ("z", "2")]);
    let judgement = &decide(&store, "ben", vec![mine.clone()]).await[0];
    let author = Author { subject: "ada".into(), at: START.plus(1) };
    let x = "x".parse().unwrap();
    assert_eq!(*collision(judgement), Collision { fields: vec![x], theirs: Some(author) });
    assert_eq!(judgement.position, first[0].position, "the newest position there is");
    assert_eq!(notes(&store, None).await, before);
    // Nothing was bound to the id: made by somebody who has seen the other, it is another matter.
    let mut seeing = mine;
    seeing.base.seen = first[0].position.clone();
    assert_eq!(decide(&store, "ben", vec![seeing]).await[0].outcome, Outcome::Accepted {});
}

pub(crate) async fn a_lane_does_not_overtake_its_conflict_and_others_go_on(store: Store) {
    decide(&store, "ada", vec![note(1, "a", &[("x", "1")])]).await;
    let operations =
        vec![note(1, "a", &[("x", "2")]), note(2, "a", &[("free", "2")]), note(3, "b", &[("x", "2")])];
    let judgements = decide(&store, "ben", operations).await;
    assert_eq!(collision(&judgements[0]).fields.len(), 1);
    assert_eq!(*collision(&judgements[1]), Collision { fields: Vec::new(), theirs: None });
    assert_eq!(judgements[2].outcome, Outcome::Accepted {});
    assert_eq!(value(&notes(&store, None).await, "a", "free"), None);
}

pub(crate) async fn a_resolution_ends_the_conflict_once_and_for_all(store: Store) {
    decide(&store, "ada", vec![note(1, "a", &[("x", "1")])]).await;
    let mine = note(1, "a", &[("x", "2")]);
    let conflict = decide(&store, "ben", vec![mine.clone()]).await;
    let resolution = resolved(mine.clone(), Choice::Mine, &conflict[0]);
    let first = decide(&store, "ben", vec![resolution.clone()]).await;
    assert_eq!(first[0].outcome, Outcome::Accepted {});
    let after = notes(&store, None).await;
    assert_eq!(value(&after, "a", "x").as_deref(), Some("2"));
    // The former operation was still under way, and comes late.
    let late = decide(&store, "ben", vec![mine, resolution]).await;
    assert_eq!([&late[0], &late[1]], [&first[0]; 2], "in whatever form, it gets the same");
    assert_eq!(notes(&store, None).await, after);
}

pub(crate) async fn a_decision_that_comes_after_what_it_decided_was_applied_gets_its_judgement(store: Store) {
    decide(&store, "ada", vec![note(1, "a", &[("x", "1")])]).await;
    let mine = note(1, "a", &[("x", "2"), ("y", "2")]);
    let conflict = decide(&store, "ben", vec![mine.clone()]).await;
    // A copy of it was still under way, and comes when there is nothing left to collide with.
    decide(&store, "ada", vec![note(2, "a", &[("x", "2")])]).await;
    let first = decide(&store, "ben", vec![mine.clone()]).await;
    assert_eq!(first[0].outcome, Outcome::Accepted {});
    let after = notes(&store, None).await;
    let theirs = resolved(mine.clone(), Choice::Theirs, &conflict[0]);
    let merged = resolved(note(1, "a", &[("x", "3")]), Choice::Merged, &conflict[0]);
    assert_eq!(decide(&store, "ben", vec![theirs.clone()]).await, first);
    assert_eq!(decide(&store, "ben", vec![Operation { at: mine.at, ..merged }]).await, first);
    assert_eq!(notes(&store, None).await, after);
    // What a copy of the client made at another time is another operation.
    let other = Operation { at: (START.plus(9), 0).into(), ..theirs };
    assert_eq!(rejection(&decide(&store, "ben", vec![other]).await[0]), ErrorCode::OperationIdReused);
}

pub(crate) async fn whoever_takes_theirs_leaves_the_document_as_it_is(store: Store) {
    decide(&store, "ada", vec![note(1, "a", &[("x", "1")])]).await;
    let mine = note(1, "a", &[("x", "2"), ("free", "2")]);
    let conflict = decide(&store, "ben", vec![mine.clone()]).await;
    let yielded = decide(&store, "ben", vec![resolved(mine, Choice::Theirs, &conflict[0])]).await;
    assert_eq!(yielded[0].outcome, Outcome::Superseded {});
    let after = notes(&store, None).await;
    assert_eq!((value(&after, "a", "x").as_deref(), value(&after, "a", "free")), (Some("1"), None));
    assert_eq!(yielded[0].position, Some(after.to), "it took its place");
}

pub(crate) async fn a_resolution_that_the_document_outran_conflicts_again(store: Store) {
    decide(&store, "ada", vec![note(1, "a", &[("x", "1")])]).await;
    let mine = note(1, "a", &[("x", "2")]);
    let conflict = decide(&store, "ben", vec![mine.clone()]).await;
    decide(&store, "ada", vec![note(2, "a", &[("x", "3")])]).await;
    let again = decide(&store, "ben", vec![resolved(mine.clone(), Choice::Mine, &conflict[0])]).await;
    assert_eq!(collision(&again[0]).theirs.as_ref().map(|theirs| theirs.at), Some(START.plus(2)));
    let last = decide(&store, "ben", vec![resolved(mine, Choice::Mine, &again[0])]).await;
    assert_eq!(last[0].outcome, Outcome::Accepted {});
}

pub(crate) async fn deletions_and_unseen_edits_are_conflicts(store: Store) {
    let start = decide(&store, "ada", vec![note(1, "a", &[("x", "1")]), note(2, "b", &[("x", "1")])]).await;
    decide(&store, "ada", vec![note(3, "a", &[("x", "2")])]).await;
    let delete = |seq, id| Operation { intents: vec![Intent::Delete {}], ..note(seq, id, &[]) };
    decide(&store, "ada", vec![delete(4, "b")]).await;
    let mut blind = vec![delete(1, "a"), note(2, "b", &[("y", "1")])];
    blind.iter_mut().for_each(|operation| operation.base.seen = start[1].position.clone());
    let judgements = decide(&store, "ben", blind).await;
    assert_eq!(collision(&judgements[0]).fields, ["x".parse().unwrap()]);
    assert_eq!(collision(&judgements[1]).fields, ["y".parse().unwrap()]);
    assert!(judgements.iter().all(|judgement| collision(judgement).theirs.is_some()));
    // Both want it gone.
    assert_eq!(decide(&store, "ben", vec![delete(3, "b")]).await[0].outcome, Outcome::Accepted {});
}

pub(crate) async fn counts_and_members_of_all_writers_add_up(store: Store) {
    let operation = |seq, amount, tag: &str| Operation {
        intents: vec![
            Intent::Increment([("likes".parse().unwrap(), amount)].into()),
            Intent::Add([("tags".parse().unwrap(), vec![Json::parse(tag).unwrap()])].into()),
        ],
        ..note(seq, "a", &[])
    };
    for (subject, amount, tag) in [("ada", 1, "\"new\""), ("ben", 2, "\"hot\""), ("cleo", -1, "\"new\"")] {
        let judgements = decide(&store, subject, vec![operation(1, amount, tag)]).await;
        assert_eq!(judgements[0].outcome, Outcome::Accepted {});
        assert_eq!(decide(&store, subject, vec![operation(1, amount, tag)]).await, judgements);
    }
    let after = notes(&store, None).await;
    assert_eq!(value(&after, "a", "likes").as_deref(), Some("2"));
    assert_eq!(value(&after, "a", "tags").as_deref(), Some(r#"["hot","new"]"#));
}

pub(crate) async fn a_counter_stays_within_the_numbers_of_javascript(store: Store) {
    let most = (1i64 << 53) - 1;
    let count = |seq, amount| Operation {
        intents: vec![Intent::Increment([("n".parse().unwrap(), amount)].into())],
        ..set(seq, "a", &[])
    };
    let judgements =
        judge(&store, vec![count(1, most), count(2, 1), count(3, -most), count(4, most + 1)]).await;
    assert_eq!(judgements[0].outcome, Outcome::Accepted {});
    assert_eq!(rejection(&judgements[1]), ErrorCode::InvalidOperation);
    assert_eq!(judgements[2].outcome, Outcome::Accepted {});
    assert_eq!(rejection(&judgements[3]), ErrorCode::InvalidOperation);
    assert_eq!(value(&read(&store, None).await, "a", "n").as_deref(), Some("0"));
}

pub(crate) async fn only_conflicts_can_be_resolved(store: Store) {
    let first = judge(&store, vec![set(1, "a", &[("x", "1")])]).await;
    let operation = resolved(set(2, "a", &[("x", "2")]), Choice::Mine, &first[0]);
    let judgement = &judge(&store, vec![Operation { seq: Seq(2), ..operation }]).await[0];
    assert_eq!(rejection(judgement), ErrorCode::InvalidOperation);
}
