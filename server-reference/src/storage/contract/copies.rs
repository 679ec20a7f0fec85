//! What every store promises of operations that several copies of one client hold: a device that was cloned, or put
//! back to an earlier state. Each copy takes an id of its own when it finds out, and names its former one as the maker
//! of what it made before.

use sdk_core::protocol::{
    Choice, DocKey, ErrorCode, Intent, Judgement, Operation, Outcome, ResolvedBy, Resolves, Seq, Strategy,
};

use super::{Store, ada, judge, read, rejection, value};
use crate::{
    fixtures::{START, batch, client, resume, scope, set},
    storage::Batch,
};

/// The client of this number sends an operation of the client 1.
async fn sent_by(store: &Store, number: u8, operation: &Operation) -> Judgement {
    let operation = Operation { maker: Some(client(1)), ..operation.clone() };
    store.commit(batch(&ada(), client(number), vec![operation])).await.unwrap().judgements.remove(0)
}

/// A judgement as it is, whoever asks.
fn in_any_name(judgement: Judgement) -> Judgement {
    Judgement { by: None, ..judgement }
}

pub(crate) async fn an_operation_of_several_copies_has_one_effect_whoever_sends_it_first(store: Store) {
    for (seq, order) in [(1, [1, 2, 3]), (2, [2, 1, 3]), (3, [3, 2, 1]), (4, [2, 3, 2])] {
        let operation = set(seq, "a", &[("x", "1")]);
        let first = sent_by(&store, order[0], &operation).await;
        assert_eq!(first.outcome, Outcome::Accepted {});
        let after = read(&store, None).await;
        for number in order {
            let again = sent_by(&store, number, &operation).await;
            assert_eq!(in_any_name(again), first, "{order:?}");
        }
        // The client 1 itself has no need to say who made it.
        assert_eq!(in_any_name(judge(&store, vec![operation]).await.remove(0)), first);
        assert_eq!(read(&store, None).await, after);
    }
}

pub(crate) async fn what_copies_made_under_one_id_are_as_many_operations(store: Store) {
    let one = set(1, "a", &[("one", "1")]);
    let other = Operation { at: (START.plus(9), 0).into(), ..set(1, "a", &[("other", "1")]) };
    let first = judge(&store, vec![one.clone()]).await.remove(0);
    let second = sent_by(&store, 2, &other).await;
    assert_eq!((&first.outcome, &second.outcome), (&Outcome::Accepted {}, &Outcome::Accepted {}));
    let after = read(&store, None).await;
    for number in [1, 2, 3] {
        assert_eq!(in_any_name(sent_by(&store, number, &one).await), first, "{number}");
        assert_eq!(in_any_name(sent_by(&store, number, &other).await), second, "{number}");
    }
    assert_eq!(read(&store, None).await, after);
    assert_eq!(["one", "other"].map(|name| value(&after, "a", name)), ["1", "1"].map(|one| Some(one.into())));
}

pub(crate) async fn a_copy_that_others_are_ahead_of_in_a_document_is_told_to_take_another_id(store: Store) {
    let behind = set(3, "a", &[("behind", "1")]);
    judge(&store, vec![set(5, "a", &[("ahead", "1")])]).await;
    let before = read(&store, None).await;
    assert_eq!(rejection(&judge(&store, vec![behind.clone()]).await[0]), ErrorCode::OperationIdReused);
    assert_eq!(read(&store, None).await, before);
    let first = sent_by(&store, 2, &behind).await;
    assert_eq!(first.outcome, Outcome::Accepted {}, "nothing was bound to the id");
    assert_eq!(in_any_name(judge(&store, vec![behind]).await.remove(0)), first);
    // Those behind it in its batch do not overtake it either.
    let lane = [set(2, "a", &[("y", "1")]), set(6, "a", &[("y", "2")])];
    let refused = judge(&store, lane.to_vec()).await;
    assert_eq!([&refused[0], &refused[1]].map(rejection), [ErrorCode::OperationIdReused; 2]);
    let elsewhere = judge(&store, vec![set(4, "b", &[("x", "1")])]).await;
    assert_eq!(elsewhere[0].outcome, Outcome::Accepted {}, "the order is that of each document");
}

pub(crate) async fn who_names_the_client_of_somebody_else_as_maker_reaches_nothing_of_theirs(store: Store) {
    let hers = set(1, "a", &[("x", "1")]);
    let first = judge(&store, vec![hers.clone()]).await.remove(0);
    let ben = scope("acme", "ben");
    let claimed = Operation { maker: Some(client(1)), ..set(2, "b", &[("his", "1")]) };
    let by_ben = async |operation: Operation| {
        store.commit(batch(&ben, client(2), vec![operation])).await.unwrap().judgements.remove(0)
    };
    assert_ne!(by_ben(Operation { maker: Some(client(1)), ..hers }).await.position, first.position);
    assert_eq!(by_ben(claimed).await.outcome, Outcome::Accepted {});
    // His claim to her number takes nothing from her, and neither does one to a client that nobody knows.
    let later = judge(&store, vec![set(2, "b", &[("hers", "1")])]).await;
    assert_eq!(later[0].outcome, Outcome::Accepted {});
    assert_eq!(value(&read(&store, None).await, "b", "hers").as_deref(), Some("1"));
    let unknown = Operation { maker: Some(client(99)), ..set(3, "b", &[("y", "1")]) };
    assert_eq!(by_ben(unknown).await.outcome, Outcome::Accepted {});
}

pub(crate) async fn a_conflict_that_several_copies_hold_is_decided_once(store: Store) {
    let notes = |subject: &str, number: u8, operation: &Operation| {
        let collections = vec![resume("notes", Strategy::Manual)];
        let maker = (subject == "ben").then(|| client(1));
        let doc = DocKey::new("notes", "a").unwrap();
        let operation = Operation { doc, maker, ..operation.clone() };
        Batch { collections, ..batch(&scope("acme", subject), client(number), vec![operation]) }
    };
    let committed = async |subject: &str, number: u8, operation: &Operation| {
        store.commit(notes(subject, number, operation)).await.unwrap().judgements.remove(0)
    };
    committed("ada", 9, &set(1, "a", &[("x", "1")])).await;
    let mine = set(1, "a", &[("x", "2")]);
    let conflict = committed("ben", 1, &mine).await;
    let mut decided = mine.clone();
    decided.base.seen = conflict.position;
    let by = |choice| Resolves { choice, by: ResolvedBy::Person, mine: Vec::new(), was: None };
    let first = committed("ben", 2, &Operation { resolves: Some(by(Choice::Mine)), ..decided.clone() }).await;
    assert_eq!(first.outcome, Outcome::Accepted {});
    let theirs = Operation { resolves: Some(by(Choice::Theirs)), ..decided };
    for number in [1, 2, 3] {
        let undecided = in_any_name(committed("ben", number, &mine).await);
        assert_eq!(undecided, first, "{number} has not heard of the decision");
        assert_eq!(in_any_name(committed("ben", number, &theirs).await), first, "{number} decides once more");
    }
}

pub(crate) async fn a_copy_is_told_in_whose_name_its_operation_was_judged(store: Store) {
    let deletion = Operation { intents: vec![Intent::Delete {}], ..set(2, "a", &[]) };
    judge(&store, vec![set(1, "a", &[("x", "1")])]).await;
    assert_eq!(sent_by(&store, 2, &deletion).await.by, None, "nobody else has sent it");
    let told = sent_by(&store, 3, &deletion).await;
    let changes = read(&store, None).await;
    let burial = changes.documents[0].doc.burial.as_ref().expect("it was deleted");
    assert_eq!(told.by, Some(burial.stamp.by.actor), "documents know it by this name");
    assert_eq!(sent_by(&store, 2, &deletion).await.by, None);
    // Whoever says so knows the deletion, and may write what comes after it.
    let mut later = Operation { seq: Seq(3), ..set(3, "a", &[("x", "2")]) };
    assert_eq!(sent_by(&store, 3, &later).await.outcome, Outcome::Superseded {});
    (later.seq, later.at) = (Seq(4), (START.plus(4), 0).into());
    later.base.clock.record(burial.stamp.by).unwrap();
    assert_eq!(sent_by(&store, 3, &later).await.outcome, Outcome::Accepted {});
    // One that was rejected is in no document.
    let nonsense = Operation { intents: Vec::new(), ..set(5, "a", &[]) };
    let rejected = sent_by(&store, 2, &nonsense).await;
    assert_eq!(sent_by(&store, 3, &nonsense).await, rejected);
}
