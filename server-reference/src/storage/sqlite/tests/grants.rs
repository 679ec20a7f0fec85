//! What the audit of a tenant has of the access grants to its data.

use serde_json::json;

use super::*;
use crate::{
    fixtures::START,
    storage::{
        contract::grants::{asked, boss, officer, sue},
        events::{LogError, Which},
        grants::{Act, Counted, Decision, Extent, GrantError, GrantId, WAITS},
        refusals::ClientLetters,
        sqlite::audit::{Audit, DOCUMENTS, Record},
    },
    tenant::TenantScope,
};

fn records(folder: &TempDir, tenant: &str) -> Vec<Record> {
    let audit = Audit::open(&folder.path().join("db"), DOCUMENTS).unwrap();
    let mut records = Vec::new();
    if !audit.tenants().unwrap().contains(&tenant.to_owned()) {
        return records;
    }
    let verified = audit.verify(tenant, &[], |record| records.push(record.clone())).unwrap();
    assert_eq!(verified.findings, []);
    records
}

#[tokio::test]
async fn what_becomes_of_a_grant_and_each_use_of_it_is_on_record_in_the_tenant() {
    let (store, folder) = opened();
    let id = || GrantId::from_random(7);
    let act = |by: TenantScope| {
        store.act(by, id(), Act { target: "GET /v1/dead".into(), extent: Extent::Read }, START)
    };
    store.request(sue(), asked(7, Extent::Read, true), START).await.unwrap();
    assert!(act(sue()).await.is_err(), "it waits");
    store.decide(boss(), id(), Decision::Approve, START).await.unwrap();
    let under = act(sue()).await.unwrap();
    // Whatever keeps records of its own says by whose leave it was.
    assert!(matches!(
        store.client_letters(under, Which::After(0, 10), START).await,
        Err(LogError::Forbidden)
    ));
    store.decide(sue(), id(), Decision::Withdraw, START).await.unwrap();
    assert!(act(sue()).await.is_err());

    let found = records(&folder, "acme");
    let seen: Vec<(&str, &str, Option<&str>, Option<&str>)> = found
        .iter()
        .map(|record| {
            let (subject, approver) = (record.subject.as_deref(), record.approver.as_deref());
            (&*record.action, &*record.outcome, subject, approver)
        })
        .collect();
    let (sue, boss) = (Some("operators/sue"), Some("operators/boss"));
    assert_eq!(
        seen,
        [
            ("access requested", "allowed", sue, None),
            ("access approved", "allowed", boss, boss),
            ("data accessed", "granted", sue, boss),
            ("access withdrawn", "allowed", sue, boss),
        ]
    );
    assert!(found.iter().all(|record| record.justification.as_deref() == Some("ticket 7")));
    let target = found[2].target.as_deref().unwrap();
    assert_eq!(target, format!("GET /v1/dead under {}", id().as_str()));
    assert!(found[0].target.as_deref().unwrap().contains(r#"[{"collection":"cards"}"#));
    assert_eq!(records(&folder, "operators"), []);
}

#[tokio::test]
async fn without_a_record_there_is_no_access() {
    let (store, folder) = opened();
    store.request(sue(), asked(7, Extent::Read, false), START).await.unwrap();
    let connection = rusqlite::Connection::open(folder.path().join("db")).unwrap();
    connection
        .execute_batch("CREATE TRIGGER no_room BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END")
        .unwrap();
    let act = Act { target: "GET /v1/dead".into(), extent: Extent::Read };
    let refused = store.act(sue(), GrantId::from_random(7), act, START).await;
    assert!(matches!(refused, Err(GrantError::Storage(StorageError::Unavailable(_)))), "{refused:?}");
    let asked = store.request(
        officer("ann", json!([{ "tenant": "acme", "may": "request" }])),
        asked(8, Extent::Read, false),
        START,
    );
    assert!(matches!(asked.await, Err(GrantError::Storage(_))));
}

#[tokio::test]
async fn grants_that_wait_and_are_in_force_are_counted_and_those_that_have_ended_once() {
    let (store, _folder) = opened();
    let count = |since: u64, now: u64| store.grant_count(START.plus(since), START.plus(now));
    for (number, waits) in [(1, true), (2, false), (3, false)] {
        store.request(sue(), asked(number, Extent::Read, waits), START).await.unwrap();
    }
    store.decide(sue(), GrantId::from_random(3), Decision::Withdraw, START).await.unwrap();
    let seen = |counted: Counted| (counted.pending, counted.active, counted.over);
    assert_eq!(seen(count(0, 599_999).await.unwrap()), (1, 1, 0));
    assert_eq!(seen(count(599_999, 600_000).await.unwrap()), (1, 0, 1), "its time is over");
    assert_eq!(seen(count(600_000, 700_000).await.unwrap()), (1, 0, 0));
    assert_eq!(seen(count(0, WAITS).await.unwrap()), (0, 0, 2), "nobody has approved in time");
    // A clock that went back counts nothing twice.
    let back = count(600_000, 5).await.unwrap();
    assert_eq!((back.over, back.until), (0, START.plus(600_000)));
}
