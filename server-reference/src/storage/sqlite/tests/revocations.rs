//! Room for revocations, in a store that has no disk to wait for.

use sdk_core::clock::Millis;
use serde_json::json;

use super::in_memory;
use crate::{
    auth::{MAX_LIFE, Revocation, Whose},
    fixtures::{START, granted},
    storage::{
        revocations::{MAX_TENANT_REVOCATIONS, RevocationError},
        sql::revocations,
    },
};

#[test]
fn revocations_of_a_tenant_are_capped_and_room_comes_back() {
    let (mut documents, admin) = (in_memory(), granted("root", json!([{ "subject": "*", "may": "admin" }])));
    let mut revoke = |name: &str, now: Millis| {
        let revocation = Revocation::new(Whose::Token, name, now, now);
        documents.within(|connection, _| revocations::revoke(connection, &admin, &revocation, now))
    };
    for n in 0..MAX_TENANT_REVOCATIONS {
        revoke(&format!("t{n}"), START).unwrap();
    }
    let error = revoke("more", START).unwrap_err();
    assert!(matches!(error, RevocationError::TooMany), "{error}");
    assert!(revoke("t7", START).is_ok(), "what is there needs no room");
    assert!(revoke("more", START.plus(MAX_LIFE + 1)).is_ok());
}
