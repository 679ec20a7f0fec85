//! What the unit tests have in common.

use sdk_core::{
    clock::{Hlc, Millis},
    protocol::{
        ClientId, CollectionName, DocKey, Epoch, FieldName, Fields, Intent, Json, Operation, Resume, Seq,
        Strategy,
    },
};

use crate::{dev::DevIssuer, storage::Batch, storage::sqlite::NewEpoch, tenant::TenantScope};

/// Unix time at which the tests begin.
pub(crate) const START: Millis = Millis(1_000_000);

pub(crate) fn issuer() -> DevIssuer {
    DevIssuer::from_secret([7; 32])
}

pub(crate) fn token(tenant: &str, subject: &str) -> String {
    issuer().mint(tenant, subject, 3_600, START).unwrap()
}

pub(crate) fn scope(tenant: &str, subject: &str) -> TenantScope {
    TenantScope::of(issuer().verifier().verify(&token(tenant, subject), START).unwrap())
}

/// A scope of the tenant `acme` with a claim `access`.
pub(crate) fn granted(subject: &str, access: serde_json::Value) -> TenantScope {
    TenantScope::of(issuer().verifier().verify(&granted_token(subject, access), START).unwrap())
}

/// The same in another tenant.
pub(crate) fn granted_in(tenant: &str, subject: &str, access: serde_json::Value) -> TenantScope {
    let grants: Vec<crate::access::Grant> = serde_json::from_value(access).unwrap();
    let token = issuer().mint_for(tenant, subject, Some(&grants), 3_600, START).unwrap();
    TenantScope::of(issuer().verifier().verify(&token, START).unwrap())
}

pub(crate) fn granted_token(subject: &str, access: serde_json::Value) -> String {
    let grants: Vec<crate::access::Grant> = serde_json::from_value(access).unwrap();
    issuer().mint_for("acme", subject, Some(&grants), 3_600, START).unwrap()
}

pub(crate) fn client(number: u8) -> ClientId {
    ClientId::from_random([number; 16])
}

pub(crate) fn collection(name: &str) -> CollectionName {
    CollectionName::new(name).unwrap()
}

pub(crate) fn fields(entries: &[(&str, &str)]) -> Fields {
    let entry = |(name, json): &(&str, &str)| (FieldName::new(name).unwrap(), Json::parse(*json).unwrap());
    entries.iter().map(entry).collect()
}

/// An operation that sets fields of a document in `cards`.
pub(crate) fn set(seq: u64, id: &str, entries: &[(&str, &str)]) -> Operation {
    Operation {
        seq: Seq(seq),
        doc: DocKey::new("cards", id).unwrap(),
        at: Hlc { wall: START.plus(seq), counter: 0 },
        schema: 0,
        intents: vec![Intent::Set(fields(entries))],
        base: Default::default(),
        maker: None,
        resolves: None,
        replaces: None,
    }
}

/// A collection as a reader knows it that has nothing of it.
pub(crate) fn resume(name: &str, strategy: Strategy) -> Resume {
    Resume { collection: collection(name), strategy, after: None }
}

/// A batch of one client of one subject, for `cards`.
pub(crate) fn batch(scope: &TenantScope, client: ClientId, operations: Vec<Operation>) -> Batch {
    let collections = vec![resume("cards", Strategy::FieldLevel)];
    Batch { scope: scope.clone(), client, collections, operations, holds: None, now: START }
}

/// Epochs with names that count.
pub(crate) fn counted_epochs() -> NewEpoch {
    let mut count = 0;
    Box::new(move || {
        count += 1;
        Epoch::new(&format!("epoch-{count}")).unwrap()
    })
}
