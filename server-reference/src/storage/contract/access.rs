//! What a token's claim `access` does to reads and writes.

use sdk_core::protocol::{Outcome, Resume};
use serde_json::{Value, json};

use super::*;
use crate::fixtures::granted;

/// A scope of Ada's with one grant in `cards` for each prefix.
fn teams(prefixes: &[&str]) -> TenantScope {
    let grant = |prefix: &&str| json!({ "collection": "cards", "prefix": prefix });
    granted("ada", Value::from_iter(prefixes.iter().map(grant)))
}

fn page(after: Option<StreamPosition>) -> Page {
    Page { collection: collection("cards"), after, bytes: usize::MAX }
}

fn ids(changes: &Changes) -> Vec<&str> {
    changes.documents.iter().map(|changed| changed.id.as_str()).collect()
}

async fn fill(store: &Store) {
    judge(
        store,
        ["a/1", "b/1", "a/2"].into_iter().zip(1..).map(|(id, n)| set(n, id, &[("x", "1")])).collect(),
    )
    .await;
}

pub(crate) async fn what_a_claim_does_not_cover_is_neither_read_nor_written(store: Store) {
    fill(&store).await;
    let team = teams(&["a/"]);
    let seen = store.changes(team.clone(), page(None)).await.unwrap();
    assert_eq!((ids(&seen), seen.to.offset), (vec!["a/1", "a/2"], Offset(3)));

    let before = read(&store, None).await;
    let operations = vec![set(11, "b/1", &[("x", "666")]), set(12, "a/1", &[("x", "2")])];
    let judgements = store.commit(batch(&team, client(1), operations)).await.unwrap().judgements;
    assert_eq!(rejection(&judgements[0]), ErrorCode::Forbidden);
    assert_eq!(judgements[1].outcome, Outcome::Accepted {}, "the rest of the batch is left alone");
    let after = read(&store, Some(before.to)).await;
    assert_eq!(ids(&after), ["a/1"]);
}

pub(crate) async fn another_claim_is_another_history(store: Store) {
    fill(&store).await;
    let (narrow, wide) = (teams(&["a/"]), teams(&["a/", "b/"]));
    let seen = store.changes(wide.clone(), page(None)).await.unwrap();
    assert_eq!(ids(&seen), ["a/1", "b/1", "a/2"]);
    let narrowed = store.changes(narrow.clone(), page(Some(seen.to.clone()))).await.unwrap();
    assert!(!narrowed.recovered && narrowed.from.is_none());
    assert_eq!(ids(&narrowed), ["a/1", "a/2"]);
    let widened = store.changes(wide.clone(), page(Some(narrowed.to.clone()))).await.unwrap();
    assert!(!widened.recovered);
    assert_eq!(ids(&widened), ["a/1", "b/1", "a/2"]);

    // The same claim goes on, however it is written down.
    let same = store.changes(teams(&["b/", "a/", "a/x"]), page(Some(seen.to.clone()))).await.unwrap();
    assert!(same.recovered && same.documents.is_empty() && same.from == Some(seen.to));
    let whole = store.changes(ada(), page(Some(narrowed.to))).await.unwrap();
    assert!(!whole.recovered, "no claim is another history, too");
}

pub(crate) async fn a_collection_outside_the_claim_looks_the_same_whether_it_exists_or_not(store: Store) {
    fill(&store).await;
    let stranger = granted("ada", json!([{ "collection": "notes" }]));
    let collections =
        ["cards", "nowhere", "notes"].map(|name| resume(name, Strategy::LastWriteWins)).to_vec();
    let operations = vec![set(21, "a/1", &[("x", "666")])];
    let batch = Batch { collections, ..batch(&stranger, client(1), operations) };
    // It has another strategy, which would be told of a collection that can be seen.
    let committed = store.commit(batch).await.unwrap();
    assert_eq!(rejection(&committed.judgements[0]), ErrorCode::Forbidden);

    let known = read(&store, None).await.to;
    for name in ["cards", "nowhere"] {
        let page = |after| Page { collection: collection(name), after, bytes: usize::MAX };
        let first = store.changes(stranger.clone(), page(None)).await.unwrap();
        assert!(first.recovered && first.documents.is_empty() && !first.more);
        let emptied = store.changes(stranger.clone(), page(Some(known.clone()))).await.unwrap();
        assert_eq!((emptied.recovered, &emptied.from, &emptied.to), (false, &None, &first.to));
        let again = store.changes(stranger.clone(), page(Some(first.to.clone()))).await.unwrap();
        assert!(again.recovered && again.from == Some(first.to));
    }
    assert!(matches!(
        store.changes(ada(), Page { collection: collection("nowhere"), ..page(None) }).await,
        Err(StorageError::NoSuchCollection)
    ));
}

pub(crate) async fn a_small_portion_of_much_is_read_to_its_end_in_bounded_pages(store: Store) {
    let operations = (1..=5_000).map(|n| set(n, &format!("b/{n}"), &[("x", "1")])).collect();
    judge(&store, operations).await;
    judge(&store, vec![set(5_001, "a/1", &[("x", "1")])]).await;
    let team = teams(&["a/"]);
    let first = store.changes(team.clone(), page(None)).await.unwrap();
    assert!(first.more && first.documents.is_empty(), "a page looks at no more than so many documents");
    let second = store.changes(team, page(Some(first.to.clone()))).await.unwrap();
    assert_eq!((second.recovered, second.from.as_ref()), (true, Some(&first.to)));
    assert_eq!((ids(&second), second.more, second.to.offset), (vec!["a/1"], false, Offset(5_001)));
}

pub(crate) async fn judgements_and_bases_speak_of_the_history_that_their_client_knows(store: Store) {
    fill(&store).await;
    let team = teams(&["a/"]);
    let seen = store.changes(team.clone(), page(None)).await.unwrap().to;
    // Made by a clock that is behind, but in sight of what it changes.
    let mut late = Operation { at: Hlc::default(), ..set(1, "a/1", &[("x", "2")]) };
    late.base.seen = Some(seen.clone());
    let with = |after| {
        let collections = vec![Resume { after, ..resume("cards", Strategy::FieldLevel) }];
        Batch { collections, ..batch(&team, client(2), vec![late.clone()]) }
    };
    let judgements = store.commit(with(Some(seen.clone()))).await.unwrap().judgements;
    assert_eq!(judgements[0].outcome, Outcome::Accepted {});
    let position = judgements[0].position.clone().unwrap();
    assert_eq!((&position.epoch, position.offset), (&seen.epoch, Offset(4)));
    let again = store.commit(with(None)).await.unwrap().judgements;
    assert_eq!(again, judgements, "also when it is sent again, by a reader that has nothing");
    let read = store.changes(team, page(Some(seen))).await.unwrap();
    assert!(read.to.includes(&position.epoch, position.offset));
}
