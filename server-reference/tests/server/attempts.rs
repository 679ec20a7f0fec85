//! What is tried in vain is on record, and cannot fill it.

use reqwest::{Client, StatusCode};
use sdk_core::protocol::{ClientFrame, Refresh};
use serde_json::json;
use server_reference::{
    data::DataFolder,
    storage::sqlite::audit::{Audit, Record},
};

use crate::support::Running;

/// The records of a tenant, once there are so many: some are written beside the answer.
async fn records(server: &Running, tenant: &str, count: usize) -> Vec<Record> {
    loop {
        let mut records = Vec::new();
        for (chain, path) in DataFolder::audited(server.data.path()) {
            let audit = Audit::open(&path, chain).unwrap();
            if audit.tenants().unwrap().contains(&tenant.to_owned()) {
                let verified = audit.verify(tenant, &[], |record| records.push(record.clone())).unwrap();
                assert_eq!(verified.findings, []);
            }
        }
        if records.len() >= count {
            return records;
        }
        tokio::task::yield_now().await;
    }
}

fn told(records: &[Record]) -> Vec<(&str, &str, Option<&str>, Option<&str>)> {
    records
        .iter()
        .map(|record| {
            (&*record.action, &*record.outcome, record.subject.as_deref(), record.target.as_deref())
        })
        .collect()
}

#[tokio::test]
async fn administration_that_is_refused_is_on_record_once_however_often_it_is_tried() {
    let server = Running::start().await;
    let eve = server.granted("acme", "eve", json!([{ "collection": "*" }]));
    let ask = async |method: reqwest::Method, path: &str, body: &str| {
        let request = Client::new().request(method, server.http(path)).bearer_auth(&eve);
        request.body(body.to_owned()).send().await.unwrap().status()
    };
    for _ in 0..20 {
        let status = ask(reqwest::Method::POST, "/v1/admin/revocations", r#"{"subject":"ada"}"#).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    assert_eq!(ask(reqwest::Method::GET, "/v1/dead", "").await, StatusCode::FORBIDDEN);
    assert_eq!(ask(reqwest::Method::GET, "/v1/groups/g/dead", "").await, StatusCode::NOT_FOUND);
    assert_eq!(ask(reqwest::Method::GET, "/v1/admin/grants", "").await, StatusCode::FORBIDDEN);
    let found = records(&server, "acme", 1).await;
    let first = ("administration", "refused", Some("eve"), Some("POST /v1/admin/revocations"));
    assert_eq!(told(&found), [first]);
    // How many they were is on record when the server ends.
    let data = server.data.path().to_owned();
    let folder = std::fs::canonicalize(&data).unwrap();
    let (server, kept) = server.ending();
    server.await.unwrap().unwrap();
    let mut all = Vec::new();
    let audit = Audit::open(&folder.join("webwaka.sqlite3"), "documents").unwrap();
    audit.verify("acme", &[], |record| all.push(record.clone())).unwrap();
    assert_eq!(all.len(), 2);
    assert!(all[1].target.as_deref().unwrap().contains("and 22 more since"), "{all:?}");
    drop(kept);
}

#[tokio::test]
async fn a_session_that_was_to_go_on_by_the_token_of_another_tenant_is_on_record_in_both() {
    let server = Running::start().await;
    let mut ada = server.session(1).await;
    ada.send(&ClientFrame::Refresh(Refresh { token: server.token("globex", "eve") })).await;
    ada.rest().await;
    let found = records(&server, "acme", 1).await;
    let own = ("session continued by another's token", "refused", Some("ada"), Some("globex/eve"));
    assert_eq!(told(&found), [own]);
    let found = records(&server, "globex", 1).await;
    let other = ("token used in another's session", "refused", Some("eve"), Some("acme/ada"));
    assert_eq!(told(&found), [other]);
}
