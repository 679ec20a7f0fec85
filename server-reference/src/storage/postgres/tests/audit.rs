//! The audit as an operator reads it and keeps it, who need not be on the machine of a server.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{
    auth::{Revocation, Whose},
    fixtures::{START, granted_in},
    storage::{
        attempts::{Attempt, AttemptLog},
        postgres::{Chains, audit_with_key, audited, migrate_groups},
        revocations::Revocations,
        sqlite::audit::{Audit, Checkpoint, DOCUMENTS, Finding, Office, Record},
    },
    tenant::TenantScope,
};

const OFFICE: Office<'_> = Office { subject: "olga", justification: "she asked", approver: "otto" };

fn admin(tenant: &str) -> TenantScope {
    granted_in(tenant, "root", serde_json::json!([{ "subject": "*", "may": "admin" }]))
}

/// With so many records of acme, and one of another.
async fn recorded(options: &Options, records: u64) -> Arc<PostgresStore> {
    let store = instance(options);
    for n in 1..=records {
        record(&store, "acme", n).await;
    }
    record(&store, "globex", 1).await;
    store
}

async fn record(store: &PostgresStore, tenant: &str, n: u64) {
    let at = START.plus(n);
    let revocation = Revocation::new(Whose::Subject, &format!("person{n}"), at, at);
    store.revoke(admin(tenant), revocation, at).await.unwrap();
}

/// Does something with the chains, apart from the runtime, as a command does.
fn at<T: Send>(store: &PostgresStore, work: impl FnOnce(&Chains) -> T + Send) -> T {
    let chains = store.chains();
    std::thread::scope(|threads| threads.spawn(|| work(&chains)).join().unwrap())
}

fn findings(audit: &Audit, kept: &[Checkpoint]) -> Vec<Finding> {
    assert_eq!(audit.verify("globex", kept, |_| {}).unwrap().findings, [], "another's chain is its own");
    audit.verify("acme", kept, |_| {}).unwrap().findings
}

fn records(audit: &Audit, tenant: &str) -> Vec<Record> {
    let mut records = Vec::new();
    audit.verify(tenant, &[], |record| records.push(record.clone())).unwrap();
    records
}

#[tokio::test]
async fn a_chain_is_read_and_verified_also_by_who_has_the_public_key_alone() {
    let options = fresh();
    // More than are brought at one time.
    let store = recorded(&options, 300).await;
    let public = at(&store, |chains| {
        let audit = chains.audit();
        assert_eq!(audit.tenants().unwrap(), ["acme", "globex"]);
        let kept = audit.checkpoint("acme").unwrap().unwrap();
        assert_eq!(findings(&audit, &[kept]), []);
        let found = records(&audit, "acme");
        assert_eq!(
            found.iter().map(|record| record.number).collect::<Vec<_>>(),
            (1..=300).collect::<Vec<_>>()
        );
        assert_eq!(found[299].target.as_deref(), Some("subject person300"));
        sqlite_key(&audit.verifier("acme"))
    });
    let other = sqlite_key(&Key::fleeting().unwrap().public().verifier("x"));
    std::thread::scope(|threads| {
        let look = || {
            let audit = audit_with_key(&options, DOCUMENTS, public).unwrap();
            assert_eq!(findings(&audit, &[]), []);
            let audit = audit_with_key(&options, DOCUMENTS, other).unwrap();
            assert_eq!(audit.verify("acme", &[], |_| {}).unwrap().findings, [Finding::Unsigned("head")]);
        };
        threads.spawn(look).join().unwrap();
    });
}

fn sqlite_key(verifier: &str) -> crate::storage::sqlite::audit::PublicKey {
    crate::storage::sqlite::audit::PublicKey::parse_all(verifier).unwrap()
}

#[tokio::test]
async fn what_was_done_to_a_chain_by_who_can_write_to_the_database_is_named() {
    let expected = [
        ("UPDATE audit SET action = 'did not' WHERE tenant = 'acme' AND number = 3", Finding::Changed(3)),
        (
            "UPDATE audit_parts SET text = 'eve' WHERE tenant = 'acme' AND number = 3 AND part = 0",
            Finding::PartChanged(3, "subject"),
        ),
        ("DELETE FROM audit WHERE tenant = 'acme' AND number IN (2, 3)", Finding::TakenOut(2, 3)),
        ("DELETE FROM audit WHERE tenant = 'acme' AND number > 3", Finding::CutOff(4, 5)),
        ("DELETE FROM audit_heads WHERE tenant = 'acme'", Finding::Unsigned("head")),
        ("UPDATE audit SET commitments = '' WHERE tenant = 'acme' AND number = 2", Finding::Damaged(1)),
    ];
    for (tamper, finding) in expected {
        let options = fresh();
        let store = recorded(&options, 5).await;
        owner(&options, |client| client.batch_execute(tamper).unwrap());
        let found = at(&store, |chains| findings(&chains.audit(), &[]));
        assert_eq!(found.first(), Some(&finding), "{tamper}");
    }
}

#[tokio::test]
async fn what_is_erased_or_pruned_leaves_a_whole_chain() {
    let options = fresh();
    let store = recorded(&options, 6).await;
    at(&store, |chains| {
        let kept = chains.audit().checkpoint("acme").unwrap().unwrap();
        assert_eq!(chains.kept().erase("acme", "person2", &OFFICE, START.plus(8)).unwrap(), 1);
        assert_eq!(findings(&chains.audit(), std::slice::from_ref(&kept)), []);
        assert_eq!(records(&chains.audit(), "acme")[1].erased, ["target"]);
        let pruned = chains.prune(START.plus(4), &OFFICE, START.plus(9)).unwrap();
        let told: Vec<_> =
            pruned.iter().map(|one| (one.chain, &*one.tenant, one.outcome.as_ref().unwrap())).collect();
        assert!(matches!(told[..], [(DOCUMENTS, "acme", (3, Some(_))), (DOCUMENTS, "globex", (1, Some(_)))]));
        let (_, start) = pruned[0].outcome.as_ref().unwrap();
        assert_eq!(findings(&chains.audit(), &[kept, start.clone().unwrap()]), []);
        let found = records(&chains.audit(), "acme");
        assert_eq!((found[0].number, &*found.last().unwrap().action), (4, "audit pruned"));
    });
    // It goes on behind what was pruned, and what was altered since is kept.
    record(&store, "acme", 10).await;
    let tamper = "UPDATE audit SET action = 'hid' WHERE tenant = 'acme' AND number = 5";
    owner(&options, |client| client.batch_execute(tamper).unwrap());
    at(&store, |chains| {
        assert_eq!(chains.audit().verify("acme", &[], |_| {}).unwrap().findings, [Finding::Changed(5)]);
        let pruned = chains.prune(START.plus(99), &OFFICE, START.plus(99)).unwrap();
        assert_eq!(pruned[0].outcome, Err(Finding::Changed(5)));
    });
}

#[tokio::test]
async fn what_instances_record_at_one_time_is_one_chain() {
    let options = fresh();
    let key = tempfile::tempdir().unwrap();
    let open = || {
        let audit_key = Key::beside(&key.path().join("db")).unwrap();
        PostgresStore::open(&options, Shared { audit_key, ..shared() }).unwrap()
    };
    let instances = [open(), open()];
    let count = AtomicUsize::new(0);
    let attempts = (0..40).map(|n| {
        let attempt = Attempt {
            tenant: "acme".into(),
            by: format!("eve{n}"),
            action: "administration",
            target: "x".into(),
        };
        instances[count.fetch_add(1, Ordering::Relaxed) % 2].refused(admin("acme"), attempt, START)
    });
    futures::future::try_join_all(attempts).await.unwrap();
    let verified = at(&instances[0], |chains| chains.audit().verify("acme", &[], |_| {}).unwrap());
    assert_eq!((verified.records, verified.findings), (40, vec![]));
}

#[test]
fn each_schema_has_chains() {
    let options = unmigrated();
    let by = Options { url: url("owner"), ..options.clone() };
    migrate(&by, "server").unwrap();
    migrate_transactions(&by.transactions(), "server").unwrap();
    migrate_groups(&by.groups(), "server").unwrap();
    for (chain, options) in audited(&options) {
        let chains = Chains::new(&options, chain, Key::fleeting().unwrap()).unwrap();
        assert!(chains.audit().tenants().unwrap().is_empty(), "{chain}");
        assert_eq!(chains.prune(START, &OFFICE, START).unwrap().len(), 0);
    }
}
