use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::fixtures::{START, scope};

/// Takes a database back to the one chain that versions before had.
pub(in crate::storage::sqlite) const UNDO: &str = "
    DROP TABLE audit; DROP TABLE audit_parts; DROP TABLE audit_heads; DROP TABLE audit_starts;
    CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, tenant TEXT NOT NULL,
        subject TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
";

const OFFICE: Office<'_> = Office { subject: "olga", justification: "she asked", approver: "otto" };

/// A database with an audit alone.
struct Book {
    path: PathBuf,
    connection: Connection,
    _folder: TempDir,
}

impl Book {
    /// With so many records of acme, and one of another.
    fn with(records: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(TABLE).unwrap();
        enable(&connection, key(Some(&path)).unwrap(), TOPICS).unwrap();
        let book = Self { path, connection, _folder: folder };
        (1..=records).for_each(|n| book.record("acme", n));
        book.record("globex", 1);
        book
    }

    fn record(&self, tenant: &str, n: u64) {
        record(&self.connection, &scope(tenant, "ada"), "did", &format!("thing {n}"), START.plus(n)).unwrap();
    }

    fn audit(&self) -> Audit {
        Audit::open(&self.path, TOPICS).unwrap()
    }

    fn findings(&self, kept: &[Checkpoint]) -> Vec<Finding> {
        let audit = self.audit();
        assert_eq!(audit.verify("globex", kept, |_| {}).unwrap().findings, [], "another's chain is its own");
        audit.verify("acme", kept, |_| {}).unwrap().findings
    }

    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        self.audit().verify("acme", &[], |record| records.push(record.clone())).unwrap();
        records
    }

    fn checkpoint(&self) -> Checkpoint {
        self.audit().checkpoint("acme").unwrap().unwrap()
    }

    /// As somebody does who can write to the file.
    fn tamper(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }
}

#[test]
fn what_is_recorded_is_read_and_whole() {
    let book = Book::with(3);
    let kept = book.checkpoint();
    book.record("acme", 4);
    assert_eq!(book.findings(&[kept, book.checkpoint()]), []);
    let records = book.records();
    let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!((records[3].subject.as_deref(), records[3].target.as_deref()), (Some("ada"), Some("thing 4")));
}

#[test]
fn a_record_that_is_changed_is_named() {
    let book = Book::with(5);
    book.tamper("UPDATE audit SET action = 'did not' WHERE tenant = 'acme' AND number = 3");
    assert_eq!(book.findings(&[]), [Finding::Changed(3)]);

    let book = Book::with(5);
    book.tamper("UPDATE audit_parts SET text = 'eve' WHERE tenant = 'acme' AND number = 3 AND part = 0");
    assert_eq!(book.findings(&[]), [Finding::PartChanged(3, "subject")]);
}

#[test]
fn records_that_are_taken_out_or_cut_off_are_named() {
    let book = Book::with(5);
    book.tamper("DELETE FROM audit WHERE tenant = 'acme' AND number IN (2, 3)");
    assert_eq!(book.findings(&[])[0], Finding::TakenOut(2, 3));

    let book = Book::with(5);
    let kept = book.checkpoint();
    book.tamper("DELETE FROM audit WHERE tenant = 'acme' AND number >= 4");
    assert_eq!(book.findings(&[]), [Finding::CutOff(4, 5)]);
    assert_eq!(book.findings(&[kept]), [Finding::CutOff(4, 5), Finding::Short(5, 3)]);
}

#[test]
fn records_that_changed_places_are_named() {
    let book = Book::with(5);
    let swap = "UPDATE audit SET number = 99 WHERE tenant = 'acme' AND number = 2;
        UPDATE audit SET number = 2 WHERE tenant = 'acme' AND number = 3;
        UPDATE audit SET number = 3 WHERE tenant = 'acme' AND number = 99;
        UPDATE audit_parts SET number = 99 WHERE tenant = 'acme' AND number = 2;
        UPDATE audit_parts SET number = 2 WHERE tenant = 'acme' AND number = 3;
        UPDATE audit_parts SET number = 3 WHERE tenant = 'acme' AND number = 99;";
    book.tamper(swap);
    assert_eq!(book.findings(&[]), [Finding::Moved(2, 3), Finding::Moved(3, 2), Finding::WrongHead(5)]);
}

#[test]
fn who_has_no_key_cannot_sign_a_shorter_or_another_chain() {
    let book = Book::with(5);
    book.tamper("DELETE FROM audit WHERE tenant = 'acme' AND number >= 4");
    let head = Head::replay(&book.connection, "acme", None).unwrap();
    let sql = "UPDATE audit_heads SET count = ?1, hash = ?2, tree = ?3 WHERE tenant = 'acme'";
    book.connection.execute(sql, (3, &head.hash, head.tree.bytes())).unwrap();
    assert_eq!(book.findings(&[]), [Finding::Unsigned("head")]);
    // Nor does the server sign it for them: what it signs from then on says so.
    book.record("acme", 6);
    assert_eq!(book.findings(&[]), [Finding::TakenOut(4, 5), Finding::Noted(6)]);
    assert_eq!(book.records()[3].action, ALTERED);

    let book = Book::with(5);
    book.tamper("DELETE FROM audit_heads WHERE tenant = 'acme'");
    assert_eq!(book.findings(&[]), [Finding::Unsigned("head")]);
}

#[test]
fn a_whole_chain_that_was_rewritten_with_the_key_is_not_what_a_checkpoint_stands_for() {
    let book = Book::with(2);
    let early = book.checkpoint();
    (3..=5).for_each(|n| book.record("acme", n));
    let late = book.checkpoint();
    // Back to a state that was signed once, and on from there in another way.
    let cut = "DELETE FROM audit WHERE tenant = 'acme' AND number >= 3;
        DELETE FROM audit_parts WHERE tenant = 'acme' AND number >= 3";
    book.tamper(cut);
    Head::replay(&book.connection, "acme", None)
        .unwrap()
        .save(&book.connection, "acme", "audit_heads")
        .unwrap();
    assert_eq!(book.findings(&[]), [], "it is what the server once was");
    assert_eq!(book.findings(&[early.clone(), late.clone()]), [Finding::Short(5, 2)]);
    (13..=15).for_each(|n| book.record("acme", n));
    assert_eq!(book.findings(&[late, early]), [Finding::Rewritten(3, 5)]);
}

#[test]
fn a_checkpoint_is_a_signed_note_that_only_its_key_makes() {
    let book = Book::with(3);
    let kept = book.checkpoint();
    let text = kept.to_string();
    assert_eq!(Checkpoint::parse(&text), Some(kept.clone()));
    assert_eq!(Checkpoint::parse_all(&format!("{text}\n{text}")).unwrap().len(), 2);
    let forged = Checkpoint::parse(&text.replace("\n3\n", "\n2\n")).unwrap();
    assert_eq!(book.findings(&[forged]), [Finding::Unsigned("checkpoint")]);
    for bad in ["", "a\n3\nAA==\n\n", &text.replace("\n3\n", "\n03\n"), &text.replace("\u{2014}", "-")] {
        assert_eq!(Checkpoint::parse(bad), None, "{bad:?}");
    }
    // As https://c2sp.org/signed-note says: the key's id is a hash of its name and itself.
    let origin = kept.origin();
    let verifier = book.audit().verifier("acme");
    let [name, id, key] = *verifier.splitn(3, '+').collect::<Vec<_>>() else { panic!("{verifier}") };
    assert_eq!((name, id.len(), key.len()), (origin, 8, 44));
    // No two tenants have one name, whatever theirs are.
    let key = key_of(&book);
    let names =
        ["a b", "a+b", "a%20b", "a/b", "a\nb", "\u{430}", "a"].map(|tenant| key.origin(TOPICS, tenant));
    assert!(names.iter().all(|name| !name.contains([' ', '+', '\n'])));
    let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
}

fn key_of(book: &Book) -> PublicKey {
    key(Some(&book.path)).unwrap().public()
}

#[test]
fn what_is_erased_is_gone_from_the_file_and_the_chain_is_whole() {
    let book = Book::with(2);
    let revoke =
        |target: &str| record(&book.connection, &scope("acme", "olga"), "tokens revoked", target, START);
    revoke("subject ada").unwrap();
    revoke("subject adam").unwrap();
    let kept = book.checkpoint();
    let erased = Kept::open(&book.path, TOPICS).unwrap().erase("acme", "ada", &OFFICE, START).unwrap();
    assert_eq!(erased, 3);
    assert_eq!(book.findings(&[kept]), []);
    let records = book.records();
    assert_eq!((records[0].subject.as_deref(), &*records[0].erased), (None, &["subject"][..]));
    assert_eq!(records[0].target.as_deref(), Some("thing 1"));
    assert_eq!((records[2].target.as_deref(), &*records[2].erased), (None, &["target"][..]));
    assert_eq!(records[3].target.as_deref(), Some("subject adam"));
    let last = records.last().unwrap();
    assert_eq!((&*last.action, last.approver.as_deref()), ("personal data erased", Some("otto")));
    let of_acme = "SELECT count(*) FROM audit_parts WHERE tenant = 'acme' AND text = 'ada'";
    let left: u64 = book.connection.query_row(of_acme, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn what_is_old_is_pruned_up_to_a_signed_head() {
    let book = Book::with(6);
    let kept = book.checkpoint();
    let mut office = Kept::open(&book.path, TOPICS).unwrap();
    assert_eq!(office.prune("acme", START, &OFFICE, START.plus(9)).unwrap(), 0);
    assert_eq!(office.prune("acme", START.plus(4), &OFFICE, START.plus(9)).unwrap(), 3);
    let start = book.audit().start("acme").unwrap().unwrap();
    assert_eq!(book.findings(&[kept.clone(), start]), []);
    assert_eq!(book.records()[0].number, 4);
    book.record("acme", 10);
    assert_eq!(office.prune("acme", START.plus(99), &OFFICE, START.plus(99)).unwrap(), 5);
    assert_eq!(book.findings(&[kept]), []);
    assert_eq!(book.records().len(), 1, "that it was pruned");

    // What was never signed is no beginning, and what was altered is kept for who looks into it.
    book.tamper("UPDATE audit_starts SET tree = zeroblob(length(tree)) WHERE tenant = 'acme'");
    assert!(book.findings(&[]).contains(&Finding::Unsigned("beginning")));
    assert!(office.prune("acme", START.plus(999), &OFFICE, START).is_err());
}

#[test]
fn a_chain_of_before_is_moved_to_its_tenants_with_what_it_came_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let mut connection = Connection::open(&path).unwrap();
    connection.execute_batch(&format!("{TABLE}{UNDO}")).unwrap();
    let mut last = Vec::new();
    for (id, tenant) in ["acme", "globex", "acme"].iter().enumerate() {
        let texts = [tenant, "ada", "did", "that"].map(str::to_owned);
        last = before::hash(&last, START.0, &texts).to_vec();
        let sql = "INSERT INTO audit VALUES (?1, ?2, ?3, 'ada', 'did', 'that', ?4)";
        connection.execute(sql, (id + 1, START.0, tenant, &last)).unwrap();
    }
    connection.execute_batch(&format!("{SET_ASIDE}{TABLE}")).unwrap();
    enable(&connection, key(Some(&path)).unwrap(), TOPICS).unwrap();
    adopt(&mut connection).unwrap();
    adopt(&mut connection).unwrap();
    let audit = Audit::open(&path, TOPICS).unwrap();
    let mut records = Vec::new();
    let verified = audit.verify("acme", &[], |record| records.push(record.clone())).unwrap();
    assert_eq!((verified.records, verified.findings), (3, vec![]));
    assert_eq!((records[1].at, records[1].subject.as_deref()), (START.0, Some("ada")));
    let head = format!("intact, head {}", crate::data::hex(&last));
    assert_eq!(records[2].target.as_deref(), Some(&*head));
    assert_eq!(audit.verify("globex", &[], |_| {}).unwrap().records, 2);
}

/// Cloudflare's implementations of signed notes, checkpoints and Merkle trees (azul) are not ours: what they take, others take.
#[test]
fn a_head_is_what_another_implementation_takes_for_one() {
    use signed_note::{Note, StandardVerifier, VerifierList};
    use tlog_tiles::tlog;

    struct Stored(Vec<tlog::Hash>);
    impl tlog::HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
            Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
        }
    }

    let book = Book::with(13);
    let note = Note::from_bytes(book.checkpoint().to_string().as_bytes()).unwrap();
    let verifier = StandardVerifier::new(&book.audit().verifier("acme")).unwrap();
    let (signed, unknown) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((signed.len(), unknown.len()), (1, 0));
    let other = StandardVerifier::new(&book.audit().verifier("globex")).unwrap();
    assert!(note.verify(&VerifierList::new(vec![Box::new(other)])).is_err());

    let head = tlog_tiles::checkpoint::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((head.size(), head.extension()), (13, ""));
    assert!(head.origin().starts_with("webwaka-audit/") && head.origin().ends_with("/topics/acme"));
    let mut tree = Stored(Vec::new());
    let sql = "SELECT hash FROM audit WHERE tenant = 'acme' ORDER BY number";
    let mut leaves = book.connection.prepare(sql).unwrap();
    let leaves = leaves.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    for (number, leaf) in (0..).zip(leaves) {
        let hashes = tlog::stored_hashes(number, &leaf.unwrap(), &tree).unwrap();
        tree.0.extend(hashes);
    }
    assert_eq!(tlog::tree_hash(13, &tree).unwrap(), *head.hash());
}

#[test]
fn who_has_the_public_key_alone_verifies_as_well() {
    let book = Book::with(3);
    let kept = book.checkpoint();
    let (acme, globex) = (book.audit().verifier("acme"), book.audit().verifier("globex"));
    let public = PublicKey::parse_all(&format!("{acme}\n{globex}\n")).unwrap();
    assert_eq!(public, key_of(&book));
    let elsewhere = book.path.with_file_name("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let copy = elsewhere.join("db");
    book.connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    let audit = Audit::with_key(&copy, TOPICS, public).unwrap();
    assert_eq!(audit.verify("acme", std::slice::from_ref(&kept), |_| {}).unwrap().findings, []);
    assert!(!elsewhere.join("audit-key").exists(), "no key is made where there is none");
    drop(audit);
    let connection = Connection::open(&copy).unwrap();
    connection.execute("UPDATE audit SET action = 'hid' WHERE tenant = 'acme' AND number = 2", []).unwrap();
    let audit = Audit::with_key(&copy, TOPICS, public).unwrap();
    assert_ne!(audit.verify("acme", &[kept], |_| {}).unwrap().findings, []);
    for bad in ["", "x", &acme[1..], &format!("{acme}\n{}", Key::fleeting().unwrap().public().verifier("x"))]
    {
        assert_eq!(PublicKey::parse_all(bad), None, "{bad}");
    }
}

#[test]
fn the_chains_of_a_folder_are_pruned_and_one_that_was_altered_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut connections = Vec::new();
    for (chain, path) in crate::data::DataFolder::audited(folder.path()) {
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(&format!("PRAGMA journal_mode = WAL; {TABLE}")).unwrap();
        enable(&connection, key(Some(&path)).unwrap(), chain).unwrap();
        for (tenant, at) in [("acme", 1), ("acme", 500), ("young", 500)] {
            record(&connection, &scope(tenant, "ada"), "did", "this", START.plus(at)).unwrap();
        }
        connections.push(connection);
    }
    connections[1]
        .execute("UPDATE audit SET action = 'hid' WHERE tenant = 'acme' AND number = 1", [])
        .unwrap();
    let pruned = prune_all(folder.path(), START.plus(100), &OFFICE, START.plus(900)).unwrap();
    let told: Vec<(&str, &str, Result<u64, &Finding>)> = pruned
        .iter()
        .map(|Pruned { chain, tenant, outcome }| {
            (
                *chain,
                &**tenant,
                outcome.as_ref().map(|(count, start)| {
                    assert!(start.is_some(), "what was removed is vouched for");
                    *count
                }),
            )
        })
        .collect();
    let changed = Finding::Changed(1);
    assert_eq!(
        told,
        [(DOCUMENTS, "acme", Ok(1)), (TOPICS, "acme", Err(&changed)), (TRANSACTIONS, "acme", Ok(1))]
    );
    let again = prune_all(folder.path(), START.plus(100), &OFFICE, START.plus(900)).unwrap();
    assert_eq!(again.len(), 1, "nothing is left to be removed but there");
    let path = folder.path().join("webwaka.sqlite3");
    let verified = Audit::open(&path, DOCUMENTS).unwrap().verify("acme", &[], |_| {}).unwrap();
    assert_eq!((verified.records, verified.pruned, verified.findings), (3, 1, vec![]));
}
