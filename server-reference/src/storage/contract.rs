//! What every store promises, as tests. `documents_contract!(open)` runs them all against a backend; `open` is an async
//! function that gives an empty store and a guard of whatever must outlive it.

mod access;
mod conflicts;
mod copies;
pub(crate) mod events;
mod forms;
pub(crate) mod grants;
pub(crate) mod groups;
pub(crate) mod refusals;
pub(crate) mod revocations;
pub(crate) mod transactions;

use std::sync::Arc;

use sdk_core::{
    clock::Hlc,
    protocol::{
        Changes, ErrorCode, Intent, Judgement, Limits, Offset, Operation, Outcome, Rejection, Seq, Strategy,
        StreamPosition,
    },
};

use super::{Batch, Documents, MAX_TENANT_COLLECTIONS, Page, StorageError};
use crate::{
    fixtures::{START, batch, client, collection, resume, scope, set},
    tenant::TenantScope,
};

pub(crate) use conflicts::*;
pub(crate) use copies::*;
pub(crate) use forms::*;

type Store = Arc<dyn Documents>;

macro_rules! documents_contract {
    ($open:path) => {
        documents_contract!(@tests $open:
            a_repeated_operation_gets_the_same_judgement_and_has_one_effect,
            an_id_with_another_payload_is_refused_and_the_first_stays,
            a_moved_base_does_not_change_what_an_id_is_bound_to,
            duplicates_within_one_batch_have_one_effect,
            a_rejected_operation_does_not_fail_its_batch_and_stays_rejected,
            offsets_count_every_operation_that_was_not_rejected,
            a_document_over_its_cap_is_rejected_and_unchanged,
            an_operation_over_its_cap_is_rejected,
            a_collection_that_was_not_named_is_not_written,
            the_first_to_name_a_collection_settles_its_strategy,
            a_tenants_collections_are_capped,
            a_client_id_belongs_to_the_subject_that_used_it_first,
            tenants_share_nothing,
            changes_are_documents_in_their_newest_state_by_revision,
            pages_follow_one_another_without_gap_or_repetition,
            a_page_without_room_tells_only_the_position,
            a_position_that_cannot_be_continued_is_not_recovered,
            an_advance_carries_exactly_what_was_committed,
            a_time_from_the_future_is_corrected,
            what_a_claim_does_not_cover_is_neither_read_nor_written,
            another_claim_is_another_history,
            a_collection_outside_the_claim_looks_the_same_whether_it_exists_or_not,
            a_small_portion_of_much_is_read_to_its_end_in_bounded_pages,
            judgements_and_bases_speak_of_the_history_that_their_client_knows,
            a_collision_is_told_with_its_author_and_writes_nothing,
            a_lane_does_not_overtake_its_conflict_and_others_go_on,
            a_resolution_ends_the_conflict_once_and_for_all,
            a_decision_that_comes_after_what_it_decided_was_applied_gets_its_judgement,
            whoever_takes_theirs_leaves_the_document_as_it_is,
            a_resolution_that_the_document_outran_conflicts_again,
            deletions_and_unseen_edits_are_conflicts,
            counts_and_members_of_all_writers_add_up,
            a_counter_stays_within_the_numbers_of_javascript,
            only_conflicts_can_be_resolved,
            an_operation_in_another_schema_gets_the_judgement_of_the_form_that_came_first,
            a_conflict_that_comes_in_another_schema_is_still_decided_once,
            another_schema_alone_makes_no_form_of_another_operation,
            an_operation_of_several_copies_has_one_effect_whoever_sends_it_first,
            what_copies_made_under_one_id_are_as_many_operations,
            a_copy_that_others_are_ahead_of_in_a_document_is_told_to_take_another_id,
            who_names_the_client_of_somebody_else_as_maker_reaches_nothing_of_theirs,
            a_conflict_that_several_copies_hold_is_decided_once,
            a_copy_is_told_in_whose_name_its_operation_was_judged,
        );
    };
    (@tests $open:path: $($name:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (store, _guard) = $open().await;
            $crate::storage::contract::$name(store).await;
        }
    )*};
}
pub(crate) use access::*;
pub(crate) use documents_contract;

fn ada() -> TenantScope {
    scope("acme", "ada")
}

async fn judge(store: &Store, operations: Vec<Operation>) -> Vec<Judgement> {
    store.commit(batch(&ada(), client(1), operations)).await.unwrap().judgements
}

async fn read(store: &Store, after: Option<StreamPosition>) -> Changes {
    read_page(store, after, usize::MAX).await
}

async fn read_page(store: &Store, after: Option<StreamPosition>, bytes: usize) -> Changes {
    store.changes(ada(), Page { collection: collection("cards"), after, bytes }).await.unwrap()
}

fn rejection(judgement: &Judgement) -> ErrorCode {
    match &judgement.outcome {
        Outcome::Rejected(Rejection { code, .. }) => *code,
        other => panic!("not rejected but {other:?}"),
    }
}

fn value(changes: &Changes, id: &str, field: &str) -> Option<String> {
    let document = &changes.documents.iter().find(|changed| changed.id.as_str() == id)?.doc;
    document.values().find(|(name, _)| name.as_str() == field).map(|(_, value)| value.as_str().to_owned())
}

pub(crate) async fn a_repeated_operation_gets_the_same_judgement_and_has_one_effect(store: Store) {
    let first = judge(&store, vec![set(1, "a", &[("x", "1")])]).await;
    judge(&store, vec![set(2, "a", &[("x", "2")])]).await;
    let after = read(&store, None).await;
    assert_eq!(judge(&store, vec![set(1, "a", &[("x", "1")])]).await, first);
    assert_eq!(read(&store, None).await, after);
    assert_eq!(value(&after, "a", "x").as_deref(), Some("2"));
}

pub(crate) async fn an_id_with_another_payload_is_refused_and_the_first_stays(store: Store) {
    let first = judge(&store, vec![set(1, "a", &[("x", "1")])]).await;
    let other = judge(&store, vec![set(1, "a", &[("x", "666")])]).await;
    assert_eq!(rejection(&other[0]), ErrorCode::OperationIdReused);
    assert_eq!(judge(&store, vec![set(1, "a", &[("x", "1")])]).await, first);
    assert_eq!(value(&read(&store, None).await, "a", "x").as_deref(), Some("1"));
}

pub(crate) async fn a_moved_base_does_not_change_what_an_id_is_bound_to(store: Store) {
    let first = judge(&store, vec![set(1, "a", &[("x", "1")])]).await;
    let mut moved = set(1, "a", &[("x", "1")]);
    moved.base.seen = first[0].position.clone();
    assert_eq!(judge(&store, vec![moved]).await, first);
}

pub(crate) async fn duplicates_within_one_batch_have_one_effect(store: Store) {
    let operation = set(1, "a", &[("x", "1")]);
    let judgements = judge(&store, vec![operation.clone(), operation, set(1, "a", &[("x", "2")])]).await;
    assert_eq!(judgements[0], judgements[1]);
    assert_eq!(rejection(&judgements[2]), ErrorCode::OperationIdReused);
    assert_eq!(read(&store, None).await.to.offset, Offset(1));
}

pub(crate) async fn a_rejected_operation_does_not_fail_its_batch_and_stays_rejected(store: Store) {
    let empty = Operation { intents: Vec::new(), ..set(2, "a", &[]) };
    let zero = Operation { seq: Seq(0), ..set(1, "a", &[("x", "0")]) };
    let huge = Operation { seq: Seq(u64::MAX), ..set(1, "a", &[("x", "0")]) };
    let operations = vec![set(1, "a", &[("x", "1")]), empty, zero, huge, set(3, "b", &[("x", "3")])];
    let judgements = judge(&store, operations.clone()).await;
    let codes: Vec<_> = judgements[1..4].iter().map(rejection).collect();
    assert_eq!(codes, [ErrorCode::InvalidOperation; 3]);
    assert_eq!(judgements[4].outcome, Outcome::Accepted {});
    assert_eq!(judge(&store, operations).await, judgements);
}

pub(crate) async fn offsets_count_every_operation_that_was_not_rejected(store: Store) {
    let late = Operation { at: Hlc::default(), ..set(1, "a", &[("x", "0")]) };
    judge(&store, vec![set(1, "a", &[("x", "1")]), Operation { intents: Vec::new(), ..set(2, "a", &[]) }])
        .await;
    let other = store.commit(batch(&ada(), client(2), vec![late])).await.unwrap().judgements;
    assert_eq!(other[0].outcome, Outcome::Superseded {});
    assert_eq!(other[0].position.as_ref().map(|position| position.offset), Some(Offset(2)));
    let changes = read(&store, None).await;
    assert_eq!(changes.to.offset, Offset(2));
    assert_eq!(changes.documents[0].doc.rev, Offset(2));
}

pub(crate) async fn a_document_over_its_cap_is_rejected_and_unchanged(store: Store) {
    let half = format!("\"{}\"", "x".repeat(Limits::default().document_bytes / 2));
    let operations = vec![
        set(1, "a", &[("one", half.as_str())]),
        set(2, "a", &[("two", half.as_str())]),
        set(3, "a", &[("z", "1")]),
    ];
    let judgements = judge(&store, operations).await;
    assert_eq!(rejection(&judgements[1]), ErrorCode::DocumentTooLarge);
    let changes = read(&store, None).await;
    let names: Vec<_> = changes.documents[0].doc.fields.keys().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(names, ["one", "z"]);
    assert_eq!(changes.to.offset, Offset(2));
}

pub(crate) async fn an_operation_over_its_cap_is_rejected(store: Store) {
    let whole = format!("\"{}\"", "x".repeat(Limits::default().operation_bytes));
    let judgements = judge(&store, vec![set(1, "a", &[("x", whole.as_str())])]).await;
    assert_eq!(rejection(&judgements[0]), ErrorCode::InvalidOperation);
    assert!(read(&store, None).await.documents.is_empty());
}

pub(crate) async fn a_collection_that_was_not_named_is_not_written(store: Store) {
    let judgements = store.commit(Batch {
        collections: Vec::new(),
        ..batch(&ada(), client(1), vec![set(1, "a", &[("x", "1")])])
    });
    assert_eq!(rejection(&judgements.await.unwrap().judgements[0]), ErrorCode::InvalidOperation);
    let page = Page { collection: collection("cards"), after: None, bytes: 1 };
    assert!(matches!(store.changes(ada(), page).await, Err(StorageError::NoSuchCollection)));
}

pub(crate) async fn the_first_to_name_a_collection_settles_its_strategy(store: Store) {
    judge(&store, vec![set(1, "a", &[("x", "1")])]).await;
    let collections = vec![resume("fresh", Strategy::FieldLevel), resume("cards", Strategy::LastWriteWins)];
    let other = Batch { collections, ..batch(&ada(), client(1), vec![set(2, "a", &[("x", "2")])]) };
    let error = store.commit(other).await.unwrap_err();
    assert!(
        matches!(&error, StorageError::StrategyMismatch { collection } if collection.as_str() == "cards")
    );
    let page = Page { collection: collection("fresh"), after: None, bytes: 1 };
    assert!(
        matches!(store.changes(ada(), page).await, Err(StorageError::NoSuchCollection)),
        "half a batch was kept"
    );
    assert_eq!(value(&read(&store, None).await, "a", "x").as_deref(), Some("1"));
}

pub(crate) async fn a_tenants_collections_are_capped(store: Store) {
    let collections =
        (0..=MAX_TENANT_COLLECTIONS).map(|n| resume(&format!("c{n}"), Strategy::FieldLevel)).collect();
    let error = store.commit(Batch { collections, ..batch(&ada(), client(1), vec![]) }).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooMany);
}

pub(crate) async fn a_client_id_belongs_to_the_subject_that_used_it_first(store: Store) {
    let first = store.commit(batch(&ada(), client(1), vec![])).await.unwrap().actor;
    let stolen =
        store.commit(batch(&scope("acme", "eve"), client(1), vec![set(1, "a", &[("x", "1")])])).await;
    assert!(matches!(stolen, Err(StorageError::ClientIdTaken)));
    assert_eq!(store.commit(batch(&ada(), client(1), vec![])).await.unwrap().actor, first);
    let second = store.commit(batch(&scope("acme", "bob"), client(2), vec![])).await.unwrap().actor;
    assert_ne!(first, second);
}

pub(crate) async fn tenants_share_nothing(store: Store) {
    judge(&store, vec![set(1, "a", &[("x", "1")])]).await;
    let other = scope("acme2", "ada");
    let page = Page { collection: collection("cards"), after: None, bytes: usize::MAX };
    assert!(matches!(store.changes(other.clone(), page.clone()).await, Err(StorageError::NoSuchCollection)));
    // The same client id, sequence and document, under another tenant: another client, another effect.
    let theirs = store.commit(batch(&other, client(1), vec![set(1, "a", &[("x", "2")])])).await.unwrap();
    assert_eq!(theirs.judgements[0].outcome, Outcome::Accepted {});
    assert_eq!(value(&store.changes(other, page).await.unwrap(), "a", "x").as_deref(), Some("2"));
    let ours = read(&store, None).await;
    assert_eq!(value(&ours, "a", "x").as_deref(), Some("1"));
    assert_ne!(theirs.judgements[0].position.as_ref().unwrap().epoch, ours.to.epoch);
}

pub(crate) async fn changes_are_documents_in_their_newest_state_by_revision(store: Store) {
    let first = judge(&store, vec![set(1, "a", &[("x", "1")]), set(2, "b", &[("x", "2")])]).await;
    judge(&store, vec![set(3, "a", &[("x", "3")])]).await;
    let all = read(&store, None).await;
    let revs: Vec<_> =
        all.documents.iter().map(|changed| (changed.id.to_string(), changed.doc.rev.0)).collect();
    assert_eq!(revs, [("b".into(), 2), ("a".into(), 3)]);
    assert!(all.recovered && !all.more && all.from.is_none());

    let after = first[1].position.clone();
    let tail = read(&store, after.clone()).await;
    assert_eq!(tail.from, after);
    assert_eq!(tail.documents, all.documents[1..]);
    assert!(read(&store, Some(all.to.clone())).await.documents.is_empty());

    let delete = Operation { intents: vec![Intent::Delete {}], ..set(4, "a", &[]) };
    judge(&store, vec![delete]).await;
    let deleted = read(&store, Some(all.to)).await;
    assert!(!deleted.documents[0].doc.is_alive());
}

pub(crate) async fn pages_follow_one_another_without_gap_or_repetition(store: Store) {
    let operations = (1..=100).map(|n| set(n, &format!("doc-{n}"), &[("x", "\"some text\"")])).collect();
    judge(&store, operations).await;
    let whole = read(&store, None).await;
    let (mut after, mut documents, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = read_page(&store, after.clone(), 1_000).await;
        assert_eq!(page.from, after);
        documents.extend(page.documents);
        pages += 1;
        after = Some(page.to);
        if !page.more {
            break;
        }
    }
    assert!(pages > 5, "{pages}");
    assert_eq!((documents, after), (whole.documents, Some(whole.to)));
}

pub(crate) async fn a_page_without_room_tells_only_the_position(store: Store) {
    judge(&store, vec![set(1, "a", &[("x", "1")])]).await;
    let none = read_page(&store, None, 0).await;
    assert!(none.documents.is_empty() && none.more);
    assert_eq!(none.to.offset, Offset(0));
    let one = read_page(&store, Some(none.to), 1).await;
    assert!(one.documents.len() == 1 && !one.more);
}

pub(crate) async fn a_position_that_cannot_be_continued_is_not_recovered(store: Store) {
    judge(&store, vec![set(1, "a", &[("x", "1")])]).await;
    let head = read(&store, None).await.to;
    let beyond = StreamPosition { offset: head.offset.next(), ..head.clone() };
    let foreign =
        StreamPosition { epoch: sdk_core::protocol::Epoch::new("another").unwrap(), ..head.clone() };
    let absurd = StreamPosition { offset: Offset(u64::MAX), ..head.clone() };
    for position in [beyond, foreign, absurd] {
        let changes = read(&store, Some(position)).await;
        assert!(!changes.recovered && changes.from.is_none());
        assert_eq!((changes.documents.len(), &changes.to), (1, &head));
    }
}

pub(crate) async fn an_advance_carries_exactly_what_was_committed(store: Store) {
    judge(&store, vec![set(1, "a", &[("x", "1")])]).await;
    let before = read(&store, None).await.to;
    let repeated_and_new = vec![set(1, "a", &[("x", "1")]), set(2, "b", &[("x", "2")])];
    let committed = store.commit(batch(&ada(), client(1), repeated_and_new)).await.unwrap();
    let [advance] = &committed.advances[..] else { panic!("{:?}", committed.advances) };
    let read = read(&store, Some(before.clone())).await;
    assert_eq!((&advance.from, &advance.to), (&before, &read.to));
    let frame = sdk_core::protocol::decode_server_frame(&advance.news.as_ref().unwrap().frame).unwrap();
    assert_eq!(frame, Some(sdk_core::protocol::ServerFrame::Changes(read)));

    let nothing_new = store.commit(batch(&ada(), client(1), vec![set(2, "b", &[("x", "2")])])).await.unwrap();
    assert!(nothing_new.advances.is_empty());
}

pub(crate) async fn a_time_from_the_future_is_corrected(store: Store) {
    let dream = Hlc { wall: START.plus(1_000_000_000), counter: 0 };
    judge(&store, vec![Operation { at: dream, ..set(1, "a", &[("x", "1")]) }]).await;
    let changes = read(&store, None).await;
    assert_eq!(changes.documents[0].doc.written.unwrap().at.wall, START);
}
