//! What the embedded store promises beyond the contract.

mod conflicts;
mod grants;
mod revocations;
mod upkeep;

use std::{path::Path, sync::Arc};

use sdk_core::protocol::{ErrorCode, Limits, Outcome};
use tempfile::TempDir;

use super::*;
use crate::{
    fixtures::{batch, client, collection, counted_epochs, scope, set},
    storage::{
        Documents,
        contract::{
            documents_contract,
            grants::grants_contract,
            refusals::{Letters, refusals_contract},
            revocations::revocations_contract,
        },
        grants::Grants,
        revocations::Revocations,
    },
};

fn opened() -> (Arc<SqliteStore>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store =
        SqliteStore::open(&path, Limits::default(), counted_epochs(), Resolvers::default(), Box::new(|_| {}))
            .unwrap();
    (Arc::new(store), folder)
}

async fn store() -> (Arc<dyn Documents>, TempDir) {
    let (store, folder) = opened();
    (store, folder)
}

documents_contract!(store);

async fn letters() -> (Letters, TempDir) {
    let (store, folder) = opened();
    (Letters { documents: store.clone(), letters: store }, folder)
}

refusals_contract!(letters);

async fn revoking() -> (Arc<dyn Revocations>, TempDir) {
    let (store, folder) = opened();
    (store, folder)
}

revocations_contract!(revoking);

async fn granting() -> (Arc<dyn Grants>, TempDir) {
    let (store, folder) = opened();
    (store, folder)
}

grants_contract!(granting);

fn open(path: &Path) -> SqliteDocuments {
    SqliteDocuments::open(path, Limits::default(), counted_epochs()).unwrap()
}

fn in_memory() -> SqliteDocuments {
    SqliteDocuments::in_memory(Limits::default(), counted_epochs()).unwrap()
}

fn cards() -> Page {
    Page { collection: collection("cards"), after: None, bytes: usize::MAX }
}

fn only(mut results: Vec<Result<Committed, StorageError>>) -> Result<Committed, StorageError> {
    assert_eq!(results.len(), 1);
    results.remove(0)
}

#[test]
fn a_commit_reaches_the_disk_before_it_returns() {
    let folder = tempfile::tempdir().unwrap();
    let documents = open(&folder.path().join("db"));
    let pragma = |name: &str| -> String {
        documents
            .connection
            .query_row(&format!("PRAGMA {name}"), [], |row| {
                row.get::<_, rusqlite::types::Value>(0).map(|value| format!("{value:?}"))
            })
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
    assert_eq!(pragma("synchronous"), "Integer(2)");
}

#[test]
fn what_was_acknowledged_is_there_after_reopening_and_a_repeat_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let ada = scope("acme", "ada");
    let operation = || batch(&ada, client(1), vec![set(1, "a", &[("x", "1")])]);
    let first = only(open(&path).commit_group(vec![operation()])).unwrap();
    let mut reopened = open(&path);
    let again = only(reopened.commit_group(vec![operation()])).unwrap();
    assert_eq!((again.judgements, again.actor), (first.judgements, first.actor));
    assert_eq!(reopened.changes(&ada, &cards()).unwrap().to.offset.0, 1);
}

#[test]
fn a_batch_that_fails_takes_nothing_from_the_others_of_its_group() {
    let mut documents = in_memory();
    let (ada, eve) = (scope("acme", "ada"), scope("acme", "eve"));
    let results = documents.commit_group(vec![
        batch(&ada, client(1), vec![set(1, "a", &[("x", "1")])]),
        batch(&eve, client(1), vec![set(2, "a", &[("x", "666")])]),
        batch(&eve, client(2), vec![set(1, "b", &[("x", "2")])]),
    ]);
    assert!(matches!(results[..], [Ok(_), Err(StorageError::ClientIdTaken), Ok(_)]));
    let changes = documents.changes(&ada, &cards()).unwrap();
    assert_eq!((changes.documents.len(), changes.to.offset.0), (2, 2));
}

#[test]
fn a_full_disk_acknowledges_nothing_and_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mut documents = open(&folder.path().join("db"));
    let ada = scope("acme", "ada");
    only(documents.commit_group(vec![batch(&ada, client(1), vec![set(1, "a", &[("x", "1")])])])).unwrap();
    let before = documents.changes(&ada, &cards()).unwrap();

    let pages: i64 = documents.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    documents.connection.pragma_update(None, "max_page_count", pages + 1).unwrap();
    let big = format!("\"{}\"", "x".repeat(100_000));
    let too_much = || batch(&ada, client(1), vec![set(2, "b", &[("x", big.as_str())])]);
    let small = || batch(&ada, client(2), vec![set(1, "c", &[("x", "1")])]);
    let error = only(documents.commit_group(vec![too_much()])).unwrap_err();
    assert_eq!(error.code(), ErrorCode::StorageUnavailable);
    // Whatever of a group is acknowledged is there, and whatever is not has left nothing.
    let results = documents.commit_group(vec![small(), too_much()]);
    let kept = results.iter().filter(|result| result.is_ok()).count();
    assert!(results[1].is_err());
    let after = documents.changes(&ada, &cards()).unwrap();
    assert_eq!(after.documents.len(), before.documents.len() + kept);

    documents.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    let judgements = only(documents.commit_group(vec![too_much()])).unwrap().judgements;
    assert_eq!(judgements[0].outcome, Outcome::Accepted {});
}

#[test]
fn after_renewed_epochs_no_old_position_is_recovered() {
    let mut documents = in_memory();
    let ada = scope("acme", "ada");
    only(documents.commit_group(vec![batch(&ada, client(1), vec![set(1, "a", &[("x", "1")])])])).unwrap();
    let before = documents.changes(&ada, &cards()).unwrap();
    assert_eq!(documents.renew_epochs().unwrap(), 1);
    let after = documents.changes(&ada, &Page { after: Some(before.to), ..cards() }).unwrap();
    assert!(!after.recovered);
    assert_eq!(after.documents, before.documents);
}

#[test]
fn an_actor_given_out_after_the_backup_is_nobody_elses_after_its_restoration() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backup) = (folder.path().join("db"), folder.path().join("backup"));
    let actor = |documents: &mut SqliteDocuments, tenant: &str, number: u8| {
        let batch = batch(&scope(tenant, "ada"), client(number), vec![set(1, "a", &[("x", "1")])]);
        only(documents.commit_group(vec![batch])).unwrap().actor
    };
    let mut documents = open(&path);
    actor(&mut documents, "acme", 1);
    documents.connection.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    let lost = [actor(&mut documents, "acme", 2), actor(&mut documents, "later", 1)];

    let mut restored = open(&backup);
    restored.renew_epochs().unwrap();
    let new = [actor(&mut restored, "acme", 3), actor(&mut restored, "later", 4)];
    assert!(new.iter().all(|actor| !lost.contains(actor)), "{new:?} and {lost:?}");
    assert_ne!(actor(&mut restored, "acme", 5), new[0]);
}

#[test]
fn a_database_of_another_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    open(&path).connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(SqliteDocuments::open(&path, Limits::default(), counted_epochs()).is_err());
}

#[tokio::test]
async fn advances_are_told_in_the_order_of_commits_before_the_acknowledgement() {
    let folder = tempfile::tempdir().unwrap();
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = told.clone();
    let on_advance: OnAdvance = Box::new(move |advance| log.lock().unwrap().push(advance.clone()));
    let store = SqliteStore::open(
        &folder.path().join("db"),
        Limits::default(),
        counted_epochs(),
        Resolvers::default(),
        on_advance,
    )
    .unwrap();
    let ada = scope("acme", "ada");
    let commits = (1..=20).map(|n| store.commit(batch(&ada, client(n), vec![set(1, "a", &[("x", "1")])])));
    let results = futures::future::join_all(commits).await;
    assert!(results.iter().all(Result::is_ok));
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 20);
    assert!(told.windows(2).all(|pair| pair[0].to == pair[1].from));
}

#[test]
fn what_was_judged_before_is_looked_up_however_much_there_is() {
    let documents = in_memory();
    let sql = ["EXPLAIN QUERY PLAN ", sql::EARLIER].concat();
    let mut plan = documents.connection.prepare(&sql).unwrap();
    let steps = plan.query_map(("acme", "ada", "ada", 1), |row| row.get::<_, String>("detail")).unwrap();
    let searches: Vec<_> =
        steps.map(Result::unwrap).filter(|step| step.contains("SEARCH") || step.contains("SCAN")).collect();
    assert_eq!(searches.len(), 2, "{searches:?}");
    assert!(searches.iter().all(|search| search.contains("seq=?")), "{searches:?}");
}
