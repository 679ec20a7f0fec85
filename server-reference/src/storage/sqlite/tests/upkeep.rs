//! Old deletions, times from the future, and databases of an earlier version.

use sdk_core::{
    clock::{Hlc, Millis},
    protocol::{Intent, Judgement, MAX_SKEW, Offset, OpId, Operation, Seq, StreamPosition},
};
use serde_json::json;

use super::*;
use crate::{
    fixtures::{START, granted},
    storage::sqlite::audit::tests::UNDO,
    storage::{
        events::Which,
        refusals::{ClientChange, ClientFate},
    },
    tenant::TenantScope,
};

fn delete(seq: u64, id: &str) -> Operation {
    Operation { intents: vec![Intent::Delete {}], ..set(seq, id, &[]) }
}

fn commit_at(documents: &mut SqliteDocuments, scope: &TenantScope, now: Millis, operations: Vec<Operation>) {
    only(documents.commit_group(vec![Batch { now, ..batch(scope, client(1), operations) }])).unwrap();
}

fn after(position: &StreamPosition) -> Page {
    Page { after: Some(position.clone()), ..cards() }
}

fn count(documents: &SqliteDocuments) -> u64 {
    documents.connection.query_row("SELECT count(*) FROM documents", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_deletion_is_forgotten_once_it_is_old_and_whoever_missed_it_starts_anew() {
    let mut documents = in_memory();
    let ada = scope("acme", "ada");
    commit_at(&mut documents, &ada, START, vec![set(1, "a", &[("x", "1")]), set(2, "b", &[("x", "1")])]);
    let missed = documents.changes(&ada, &cards()).unwrap().to;
    commit_at(&mut documents, &ada, START.plus(10), vec![delete(3, "a")]);
    let heard = documents.changes(&ada, &cards()).unwrap().to;
    commit_at(&mut documents, &ada, START.plus(20), vec![delete(4, "b")]);

    assert_eq!(documents.prune(START.plus(9)).unwrap(), 0);
    assert_eq!(documents.prune(START.plus(10)).unwrap(), 1);
    assert_eq!(count(&documents), 1, "the younger deletion stays");
    assert!(!documents.changes(&ada, &after(&missed)).unwrap().recovered);
    let tail = documents.changes(&ada, &after(&heard)).unwrap();
    assert!(tail.recovered && tail.documents.len() == 1, "who heard of it goes on");
}

#[test]
fn a_slow_reader_that_began_after_the_pruning_reads_what_is_older_to_the_end() {
    for ada in
        [scope("acme", "ada"), granted("ada", serde_json::json!([{ "collection": "cards", "prefix": "d" }]))]
    {
        let mut documents = in_memory();
        let many = (1..=20).map(|n| set(n, &format!("d{n}"), &[("x", "\"some text\"")])).collect();
        commit_at(&mut documents, &ada, START, many);
        let old = documents.changes(&ada, &Page { bytes: 1, ..cards() }).unwrap().to;
        commit_at(&mut documents, &ada, START, vec![delete(21, "d20")]);
        assert_eq!(documents.prune(START).unwrap(), 1);
        assert!(!documents.changes(&ada, &after(&old)).unwrap().recovered);

        let (mut position, mut read) = (None, 0);
        loop {
            let page = Page { after: position, bytes: 1, ..cards() };
            let changes = documents.changes(&ada, &page).unwrap();
            assert!(changes.recovered, "at {:?}", page.after);
            read += changes.documents.len();
            position = Some(changes.to);
            if !changes.more {
                break;
            }
        }
        assert_eq!(read, 19);

        // A later pruning is another matter, for whoever had not read that far.
        commit_at(&mut documents, &ada, START, vec![delete(22, "d19")]);
        documents.prune(START).unwrap();
        assert!(!documents.changes(&ada, &after(&position.unwrap())).unwrap().recovered);
    }
}

#[test]
fn an_edit_of_a_document_that_is_forgotten_does_not_bring_it_back() {
    let mut documents = in_memory();
    let ada = scope("acme", "ada");
    commit_at(&mut documents, &ada, START, vec![set(1, "a", &[("x", "1")])]);
    let seen = documents.changes(&ada, &cards()).unwrap();
    commit_at(&mut documents, &ada, START, vec![delete(2, "a")]);
    assert_eq!(documents.prune(START).unwrap(), 1);
    let head = documents.changes(&ada, &cards()).unwrap().to;

    let edit = |seq, seen_to: &StreamPosition| {
        let mut edit = set(seq, "a", &[("x", "2")]);
        edit.base.clock = seen.documents[0].doc.clock.clone();
        edit.base.seen = Some(seen_to.clone());
        edit
    };
    let mut judge = |operation| {
        let batch = batch(&ada, client(2), vec![operation]);
        only(documents.commit_group(vec![batch])).unwrap().judgements.remove(0).outcome
    };
    assert_eq!(judge(edit(1, &seen.to)), Outcome::Superseded {});
    assert_eq!(judge(edit(2, &head)), Outcome::Accepted {}, "who knows of the deletion may");
}

#[test]
fn whoever_is_to_start_anew_is_told_judgements_in_the_history_that_begins() {
    let mut documents = in_memory();
    let ada = scope("acme", "ada");
    commit_at(&mut documents, &ada, START, vec![set(1, "a", &[("x", "1")])]);
    let missed = documents.changes(&ada, &cards()).unwrap().to;
    commit_at(&mut documents, &ada, START, vec![delete(2, "a"), set(3, "b", &[("x", "1")])]);
    let knew = documents.changes(&ada, &cards()).unwrap().to;
    assert_eq!(documents.prune(START).unwrap(), 1);

    let mut judged_at = |seq, stands: &StreamPosition| {
        let mut batch = batch(&ada, client(2), vec![set(seq, "c", &[("x", "1")])]);
        batch.collections[0].after = Some(stands.clone());
        only(documents.commit_group(vec![batch])).unwrap().judgements.remove(0).position.unwrap().epoch
    };
    let (anew, goes_on) = (judged_at(1, &missed), judged_at(2, &knew));
    assert_eq!(goes_on, knew.epoch);
    assert_eq!(
        anew,
        documents.changes(&ada, &after(&missed)).unwrap().to.epoch,
        "in the other it is nowhere"
    );
    assert_ne!(anew, missed.epoch);
}

#[test]
fn pruning_goes_in_slices() {
    let mut documents = in_memory();
    let ada = scope("acme", "ada");
    let more = UPKEEP_SLICE as u64 + 1;
    let operations = (1..=more).flat_map(|n| {
        let id = format!("d{n}");
        [set(2 * n - 1, &id, &[("x", "1")]), delete(2 * n, &id)]
    });
    commit_at(&mut documents, &ada, START, operations.collect());
    assert_eq!([(); 3].map(|()| documents.prune(START).unwrap()), [UPKEEP_SLICE, 1, 0]);
}

#[test]
fn a_document_that_lives_again_is_not_pruned() {
    let mut documents = in_memory();
    let ada = scope("acme", "ada");
    let operations = vec![set(1, "a", &[("x", "1")]), delete(2, "a"), set(3, "a", &[("x", "3")])];
    commit_at(&mut documents, &ada, START, operations);
    assert_eq!(documents.prune(START.plus(1_000)).unwrap(), 0);
    assert_eq!(documents.changes(&ada, &cards()).unwrap().documents.len(), 1);
}

#[tokio::test]
async fn a_running_store_prunes_all_that_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store =
        SqliteStore::open(&path, Limits::default(), counted_epochs(), Resolvers::default(), Box::new(|_| {}))
            .unwrap();
    let ada = scope("acme", "ada");
    let many = UPKEEP_SLICE as u64 * 2 + 5;
    let operations = (1..=many).map(|n| delete(n, &format!("d{n}"))).collect();
    store.commit(batch(&ada, client(1), operations)).await.unwrap();
    assert_eq!(store.prune(START).await.unwrap(), UPKEEP_SLICE * 2 + 5);
    assert!(store.changes(ada, cards()).await.unwrap().documents.is_empty());
}

#[test]
fn what_a_wrong_clock_stamped_is_brought_back_and_every_reader_hears_of_it() {
    let mut documents = in_memory();
    let ada = scope("acme", "ada");
    let year = 365 * 24 * 60 * 60 * 1_000;
    let dream = |seq, id: &str, ahead| Operation {
        at: Hlc { wall: START.plus(ahead), counter: 0 },
        ..set(seq, id, &[(&format!("f{seq}"), "1")])
    };
    // The server believed it to be a year later.
    let then = START.plus(year);
    let operations = vec![dream(1, "a", year), dream(2, "a", year + 5), delete(3, "gone")];
    commit_at(&mut documents, &ada, then, operations);
    commit_at(&mut documents, &ada, START, vec![dream(4, "b", MAX_SKEW)]);
    let before = documents.changes(&ada, &cards()).unwrap();

    assert_eq!(documents.heal(START).unwrap(), 1);
    let told = documents.changes(&ada, &after(&before.to)).unwrap();
    assert!(told.recovered);
    let [healed] = &told.documents[..] else { panic!("{told:?}") };
    assert_eq!((healed.id.as_str(), healed.doc.rev, told.to.offset), ("a", Offset(5), Offset(5)));
    let times: Vec<_> = healed.doc.fields.values().map(|register| register.stamp.unwrap().at).collect();
    assert_eq!(times, [0, 1].map(|counter| Hlc { wall: START, counter }), "in the order they had");
    assert_eq!(healed.doc.written.unwrap().at, times[1]);

    // A write of today wins again, though its maker had not seen the other.
    let today = Operation { at: Hlc { wall: START.plus(1), counter: 0 }, ..set(1, "a", &[("f1", "2")]) };
    only(documents.commit_group(vec![batch(&ada, client(2), vec![today])])).unwrap();
    let now = documents.changes(&ada, &after(&told.to)).unwrap();
    assert_eq!(now.documents[0].doc.values().next().unwrap().1.as_str(), "2");
    assert_eq!(documents.heal(START).unwrap(), 0);
    assert_eq!(documents.prune(START).unwrap(), 1, "the deletion counts as made now, not in a year");
}

#[test]
fn a_database_of_version_2_goes_on_with_all_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    let ada = scope("acme", "ada");
    let operations = || vec![batch(&ada, client(1), vec![set(1, "a", &[("x", "1")])])];
    drop(open(&new));
    let first = only(open(&old).commit_group(operations())).unwrap();
    let back =
        "DROP TABLE grants; DROP TABLE viewings; DROP TABLE origins; DROP TABLE refused; DROP TABLE refused_tenants; DROP TABLE audit; DROP TABLE audit_parts; DROP TABLE audit_heads; DROP TABLE audit_starts; DROP TABLE revocations; DROP INDEX judgements_by_maker;
        ALTER TABLE judgements DROP COLUMN maker; PRAGMA user_version = 2";
    Connection::open(&old).unwrap().execute_batch(back).unwrap();
    let again = only(open(&old).commit_group(operations())).unwrap();
    assert_eq!(again.judgements, first.judgements);
    assert_eq!(tables(&old), tables(&new), "it has all that a new one has");
}

#[test]
fn a_database_of_version_4_knows_what_was_refused_and_what_operators_have_applied() {
    let folder = tempfile::tempdir().unwrap();
    let (new, old) = (folder.path().join("new"), folder.path().join("old"));
    let (ada, narrow) = (scope("acme", "ada"), granted("ada", json!([{ "collection": "other" }])));
    drop(open(&new));
    let mut documents = open(&old);
    let refused = ["a", "b"].iter().zip(1..).map(|(id, seq)| set(seq, id, &[("x", "1")])).collect();
    only(documents.commit_group(vec![batch(&narrow, client(1), refused)])).unwrap();
    let letters = |documents: &mut SqliteDocuments| {
        documents.client_letters(&ada, Which::After(0, 9), START).unwrap().letters
    };
    let retry = |documents: &mut SqliteDocuments, id| {
        let (fates, _) = documents.change_client_letters(&ada, &ClientChange::Retry(id), START).unwrap();
        fates[0].1.clone()
    };
    let there = letters(&mut documents);
    assert_eq!(retry(&mut documents, there[0].id), ClientFate::Applied);
    drop(documents);
    let back =
        "DROP TABLE grants; DROP TABLE revocations; DROP TABLE viewings; DROP TABLE origins; DROP INDEX refused_by_origin; ALTER TABLE refused DROP COLUMN origin_client;
        ALTER TABLE refused DROP COLUMN origin_seq; ALTER TABLE refused DROP COLUMN event; PRAGMA user_version = 4";
    let older = Connection::open(&old).unwrap();
    older.execute_batch(back).unwrap();
    older.execute_batch(UNDO).unwrap();
    drop(older);

    let mut documents = open(&old);
    assert_eq!(tables(&old), tables(&new), "it has all that a new one has");
    let instead = |seq, of, id| {
        let replaces = Some(OpId { client: client(1), seq: Seq(of) }.into());
        Operation { replaces, ..set(seq, id, &[("x", "9")]) }
    };
    let again = batch(&ada, client(1), vec![instead(3, 1, "a"), instead(4, 2, "b")]);
    let told = only(documents.commit_group(vec![again])).unwrap().judgements;
    let at = |judgement: &Judgement| judgement.position.as_ref().map(|position| position.offset.0);
    assert_eq!((at(&told[0]), at(&told[1])), (Some(1), Some(2)), "the first was there, the second is new");
    assert_eq!(retry(&mut documents, there[1].id), ClientFate::Gone);
}

fn tables(path: &Path) -> Vec<String> {
    let there = Connection::open(path).unwrap();
    let mut names = there.prepare("SELECT name FROM sqlite_schema ORDER BY name").unwrap();
    names.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The tables of version 1.
const VERSION_1: &str = "
    CREATE TABLE clients (tenant TEXT NOT NULL, client TEXT NOT NULL, subject TEXT NOT NULL, actor INTEGER NOT NULL,
        PRIMARY KEY (tenant, client), UNIQUE (tenant, actor)) STRICT, WITHOUT ROWID;
    CREATE TABLE collections (key INTEGER PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, strategy TEXT NOT NULL,
        epoch TEXT NOT NULL, head INTEGER NOT NULL, UNIQUE (tenant, name)) STRICT;
    CREATE TABLE documents (collection INTEGER NOT NULL REFERENCES collections (key), id TEXT NOT NULL,
        rev INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY (collection, id)) STRICT;
    CREATE INDEX documents_by_rev ON documents (collection, rev);
    CREATE TABLE judgements (tenant TEXT NOT NULL, client TEXT NOT NULL, seq INTEGER NOT NULL,
        payload_hash BLOB NOT NULL, judgement TEXT NOT NULL, PRIMARY KEY (tenant, client, seq)) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;
";

#[test]
fn a_database_of_version_1_goes_on_with_all_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let ada = scope("acme", "ada");
    let operations = || vec![set(1, "a", &[("x", "1")]), set(2, "b", &[("x", "1")]), delete(3, "b")];
    let first = {
        let mut documents = open(&path);
        let first = only(documents.commit_group(vec![batch(&ada, client(1), operations())])).unwrap();
        // Back to what version 1 had of the same.
        let old = Connection::open(folder.path().join("old")).unwrap();
        old.execute_batch(VERSION_1).unwrap();
        old.execute("ATTACH ?1 AS new", [path.to_str().unwrap()]).unwrap();
        old.execute_batch(
            "INSERT INTO clients SELECT tenant, client, subject, actor FROM new.clients;
             INSERT INTO collections SELECT key, tenant, name, strategy, epoch, head FROM new.collections;
             INSERT INTO documents SELECT collection, id, rev, state FROM new.documents;
             INSERT INTO judgements SELECT tenant, client, seq, payload_hash, judgement FROM new.judgements;",
        )
        .unwrap();
        first
    };
    let mut documents = open(&folder.path().join("old"));
    assert_eq!(tables(&folder.path().join("old")), tables(&path), "it has all that a new one has");
    let again = only(documents.commit_group(vec![batch(&ada, client(1), operations())])).unwrap();
    assert_eq!(again.judgements, first.judgements);
    assert_eq!(documents.changes(&ada, &cards()).unwrap().documents.len(), 2);
    let deleted = START.plus(3);
    assert_eq!(documents.prune(Millis(deleted.0 - 1)).unwrap(), 0);
    assert_eq!(documents.prune(deleted).unwrap(), 1, "the deletion's own time stands in");
}
