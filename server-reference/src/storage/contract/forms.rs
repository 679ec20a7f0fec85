//! What every store promises of operations that an application has brought up to another version of its schema, after
//! they may have been sent.

use sdk_core::protocol::{Choice, DocKey, ErrorCode, Operation, Outcome, ResolvedBy, Resolves, Strategy};

use super::{Store, judge, read, rejection, value};
use crate::{
    fixtures::{START, batch, client, resume, scope, set},
    storage::Batch,
};

fn form(schema: u32, entries: &[(&str, &str)]) -> Operation {
    Operation { schema, ..set(1, "a", entries) }
}

pub(crate) async fn an_operation_in_another_schema_gets_the_judgement_of_the_form_that_came_first(
    store: Store,
) {
    let first = judge(&store, vec![form(1, &[("title", "1")])]).await;
    let after = read(&store, None).await;
    // Two versions later, of which the one between was sent as well; and the first, which was still under way.
    for schema in [3, 2, 1] {
        let name = if schema == 1 { "title" } else { "name" };
        assert_eq!(judge(&store, vec![form(schema, &[(name, "1")])]).await, first, "{schema}");
    }
    assert_eq!(read(&store, None).await, after, "no other form has an effect");

    // What was rejected once stays so, whatever becomes of it.
    let empty = Operation { seq: sdk_core::protocol::Seq(2), intents: Vec::new(), ..form(1, &[]) };
    let rejected = judge(&store, vec![empty.clone()]).await;
    let mended = Operation { seq: empty.seq, at: empty.at, ..form(2, &[("title", "2")]) };
    assert_eq!(judge(&store, vec![mended]).await, rejected);
    assert_eq!(read(&store, None).await, after);
}

pub(crate) async fn a_conflict_that_comes_in_another_schema_is_still_decided_once(store: Store) {
    let notes = |subject: &str, operation: Operation| {
        let collections = vec![resume("notes", Strategy::Manual)];
        let number = subject.as_bytes()[0];
        Batch { collections, ..batch(&scope("acme", subject), client(number), vec![operation]) }
    };
    let note = |schema: u32, value: &str| Operation {
        doc: DocKey::new("notes", "a").unwrap(),
        ..form(schema, &[("x", value)])
    };
    store.commit(notes("ada", note(0, "1"))).await.unwrap();
    for schema in [1, 2] {
        let judgements = store.commit(notes("ben", note(schema, "2"))).await.unwrap().judgements;
        assert!(matches!(judgements[0].outcome, Outcome::Conflicted(_)), "nothing is bound to the id");
    }
    let seen = store.commit(notes("ada", note(0, "1"))).await.unwrap().judgements[0].position.clone();
    let resolves = Resolves { choice: Choice::Mine, by: ResolvedBy::Person, mine: Vec::new(), was: None };
    let mut decided = Operation { resolves: Some(resolves), ..note(2, "2") };
    decided.base.seen = seen;
    let first = store.commit(notes("ben", decided.clone())).await.unwrap().judgements;
    assert_eq!(first[0].outcome, Outcome::Accepted {});
    let later = Operation { schema: 3, ..decided };
    assert_eq!(store.commit(notes("ben", later)).await.unwrap().judgements, first);
}

pub(crate) async fn another_schema_alone_makes_no_form_of_another_operation(store: Store) {
    let first = judge(&store, vec![form(1, &[("x", "1")])]).await;
    let after = read(&store, None).await;
    let others = [
        ("of the same schema", form(1, &[("x", "666")])),
        ("of another time", Operation { at: (START.plus(9), 0).into(), ..form(2, &[("x", "666")]) }),
        ("on another document", Operation { schema: 2, ..set(1, "b", &[("x", "666")]) }),
        (
            "in another collection",
            Operation { doc: DocKey::new("notes", "a").unwrap(), ..form(2, &[("x", "666")]) },
        ),
    ];
    for (which, other) in others {
        let judged = judge(&store, vec![other]).await;
        assert_eq!(rejection(&judged[0]), ErrorCode::OperationIdReused, "{which}");
    }
    assert_eq!(judge(&store, vec![form(1, &[("x", "1")])]).await, first);
    let now = read(&store, None).await;
    assert_eq!((value(&now, "a", "x").as_deref(), now), (Some("1"), after));
}
