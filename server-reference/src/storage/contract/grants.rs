//! What every store promises that keeps access grants, as tests. `grants_contract!(open)` runs them all against a backend; `open`
//! is an async function that gives an empty store and a guard of whatever must outlive it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    access::{Portion, Right},
    fixtures::{START, collection, issuer, scope},
    storage::grants::{
        AccessGrant, Act, Asked, Decision, Extent, GrantError, GrantId, GrantState, Grants, LISTED,
        MAX_OWN_GRANTS, Reach, WAITS,
    },
    tenant::TenantScope,
};

type Store = Arc<dyn Grants>;

macro_rules! grants_contract {
    ($open:path) => {
        grants_contract!(@tests $open:
            a_grant_gives_what_it_is_for_and_ends_with_its_time,
            a_grant_that_needs_approval_is_nothing_before_somebody_else_has_given_it,
            what_was_decided_stays_and_is_answered_again,
            a_grant_is_used_by_its_holder_alone_and_while_the_office_lasts,
            grants_are_shown_to_those_whom_they_concern,
            requests_have_bounds_and_room_comes_back,
            what_is_said_of_a_grant_is_kept_as_it_is,
        );
    };
    (@tests $open:path: $($name:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (store, _guard) = $open().await;
            $crate::storage::contract::grants::$name(store).await;
        }
    )*};
}
pub(crate) use grants_contract;

/// Somebody of the operators' tenant with a claim `superadmin`.
pub(crate) fn officer(subject: &str, charges: Value) -> TenantScope {
    let charges: Vec<_> = serde_json::from_value(charges).unwrap();
    let token = issuer().mint_super_admin("operators", subject, &charges, 3_600, START).unwrap();
    TenantScope::of(issuer().verifier().verify(&token, START).unwrap())
}

pub(crate) fn sue() -> TenantScope {
    officer("sue", json!([{ "tenant": "ac*", "may": "request" }]))
}

pub(crate) fn boss() -> TenantScope {
    officer("boss", json!([{ "tenant": "acme", "may": "approve" }, { "tenant": "acme", "may": "request" }]))
}

pub(crate) fn asked(number: u128, may: Extent, needs_approval: bool) -> Asked {
    let scope = json!([{ "collection": "cards" }, { "topic": "orders/*", "may": "read" }]);
    Asked {
        id: GrantId::from_random(number),
        tenant: "acme".into(),
        justification: "ticket 7".into(),
        scope: Reach::new(serde_json::from_value(scope).unwrap()).unwrap(),
        may,
        seconds: 600,
        needs_approval,
    }
}

fn id(number: u128) -> GrantId {
    GrantId::from_random(number)
}

async fn act(
    store: &Store,
    by: TenantScope,
    number: u128,
    extent: Extent,
    at: u64,
) -> Result<TenantScope, GrantError> {
    let act = Act { target: "GET /v1/streams/orders/1".into(), extent };
    store.act(by, id(number), act, START.plus(at)).await
}

async fn ask(store: &Store, number: u128, needs_approval: bool) -> AccessGrant {
    store.request(sue(), asked(number, Extent::Read, needs_approval), START).await.unwrap()
}

async fn decide(
    store: &Store,
    by: TenantScope,
    number: u128,
    what: Decision,
) -> Result<AccessGrant, GrantError> {
    store.decide(by, id(number), what, START.plus(10)).await.map(|decided| decided.grant)
}

pub(crate) async fn a_grant_gives_what_it_is_for_and_ends_with_its_time(store: Store) {
    let grant = ask(&store, 1, false).await;
    assert_eq!((grant.state, grant.ends), (GrantState::Active, START.plus(600_000)));
    let under = act(&store, sue(), 1, Extent::Read, 5).await.unwrap();
    assert_eq!((&**under.tenant(), &**under.subject()), ("acme", "operators/sue"));
    assert_eq!(under.expires(), START.plus(600_000));
    assert!(under.topic("orders/1", Right::Read) && !under.topic("orders/1", Right::Write));
    assert!(!under.topic("orders/1", Right::Admin) && !under.topic("other", Right::Read));
    assert_eq!(under.access().portion(&collection("cards")), Portion::Whole);
    assert_eq!(under.access().portion(&collection("other")), Portion::Nothing);
    assert!(!under.office().is_held(), "it gives no office in the tenant");
    let over = act(&store, sue(), 1, Extent::Read, 600_000).await;
    assert!(matches!(over, Err(GrantError::Unusable(tenant)) if &*tenant == "acme"));
    let shown = store.grant(sue(), id(1), START.plus(600_000)).await.unwrap();
    assert_eq!(shown.state, GrantState::Over);
}

pub(crate) async fn a_grant_that_needs_approval_is_nothing_before_somebody_else_has_given_it(store: Store) {
    let pending = ask(&store, 1, true).await;
    assert_eq!((pending.state, pending.ends), (GrantState::Pending, START.plus(WAITS)));
    assert!(matches!(act(&store, sue(), 1, Extent::Read, 1).await, Err(GrantError::Unusable(_))));
    // Not by who asked, also with the office to approve; nor by who has none.
    store.request(boss(), asked(2, Extent::Read, true), START).await.unwrap();
    assert!(matches!(decide(&store, boss(), 2, Decision::Approve).await, Err(GrantError::Own)));
    assert!(matches!(decide(&store, sue(), 1, Decision::Approve).await, Err(GrantError::Own)));
    for nobody in [officer("eve", json!([{ "tenant": "other", "may": "approve" }])), scope("acme", "boss")] {
        assert!(matches!(decide(&store, nobody, 1, Decision::Approve).await, Err(GrantError::NoSuchGrant)));
    }
    let approved = decide(&store, boss(), 1, Decision::Approve).await.unwrap();
    assert_eq!((approved.state, approved.ends), (GrantState::Active, START.plus(10 + 600_000)));
    assert_eq!(approved.decided_by.unwrap().to_string(), "operators/boss");
    assert!(act(&store, sue(), 1, Extent::Read, 11).await.is_ok());
    assert!(matches!(act(&store, sue(), 1, Extent::Administer, 11).await, Err(GrantError::Unusable(_))));
    // One that nobody looked at in time is over.
    ask(&store, 3, true).await;
    let late = store.decide(boss(), id(3), Decision::Approve, START.plus(WAITS)).await;
    assert!(matches!(late, Err(GrantError::Decided(GrantState::Over))));
}

pub(crate) async fn what_was_decided_stays_and_is_answered_again(store: Store) {
    for number in [1, 2, 3, 4] {
        ask(&store, number, true).await;
    }
    let refused = decide(&store, boss(), 1, Decision::Refuse).await.unwrap();
    assert_eq!(decide(&store, boss(), 1, Decision::Refuse).await.unwrap(), refused);
    let again = store.decide(boss(), id(1), Decision::Refuse, START.plus(10)).await.unwrap();
    assert!(!again.anew && store.decide(boss(), id(4), Decision::Refuse, START).await.unwrap().anew);
    let other = decide(&store, boss(), 1, Decision::Approve).await;
    assert!(matches!(other, Err(GrantError::Decided(GrantState::Refused))));
    let approved = decide(&store, boss(), 2, Decision::Approve).await.unwrap();
    assert_eq!(decide(&store, boss(), 2, Decision::Approve).await.unwrap(), approved, "it lasts no longer");
    let withdrawn = decide(&store, sue(), 2, Decision::Withdraw).await.unwrap();
    assert_eq!((withdrawn.state, withdrawn.decided_by), (GrantState::Withdrawn, approved.decided_by));
    assert!(matches!(act(&store, sue(), 2, Extent::Read, 11).await, Err(GrantError::Unusable(_))));
    assert!(decide(&store, boss(), 3, Decision::Withdraw).await.is_ok(), "who may approve may take back");
    let again = decide(&store, sue(), 2, Decision::Approve).await;
    assert!(matches!(again, Err(GrantError::Own)));
}

pub(crate) async fn a_grant_is_used_by_its_holder_alone_and_while_the_office_lasts(store: Store) {
    ask(&store, 1, false).await;
    let namesake = TenantScope::of({
        let charges: Vec<_> = serde_json::from_value(json!([{ "tenant": "*", "may": "request" }])).unwrap();
        let token = issuer().mint_super_admin("other", "sue", &charges, 3_600, START).unwrap();
        issuer().verifier().verify(&token, START).unwrap()
    });
    for other in [boss(), namesake, scope("acme", "operators/sue")] {
        assert!(matches!(act(&store, other, 1, Extent::Read, 1).await, Err(GrantError::NoSuchGrant)));
    }
    let demoted = officer("sue", json!([{ "tenant": "globex", "may": "request" }]));
    assert!(matches!(act(&store, demoted, 1, Extent::Read, 1).await, Err(GrantError::Unusable(_))));
    assert!(act(&store, sue(), 1, Extent::Read, 1).await.is_ok());
    let elsewhere = Asked { tenant: "globex".into(), ..asked(2, Extent::Read, false) };
    assert!(matches!(store.request(sue(), elsewhere, START).await, Err(GrantError::Forbidden)));
    let nobody = store.request(scope("operators", "ann"), asked(3, Extent::Read, false), START).await;
    assert!(matches!(nobody, Err(GrantError::Forbidden)));
}

pub(crate) async fn grants_are_shown_to_those_whom_they_concern(store: Store) {
    for number in [1, 2, 3] {
        ask(&store, number, true).await;
    }
    let listed = async |by: TenantScope, after: Option<u128>, most: usize| {
        let found = store.grants(by, after.map(id), most, START).await?;
        Ok::<_, GrantError>(found.into_iter().map(|grant| grant.id).collect::<Vec<_>>())
    };
    assert_eq!(listed(sue(), None, 10).await.unwrap(), [id(3), id(2), id(1)]);
    assert_eq!(listed(boss(), None, 2).await.unwrap(), [id(3), id(2)]);
    assert_eq!(listed(boss(), Some(2), 2).await.unwrap(), [id(1)]);
    let other =
        officer("eve", json!([{ "tenant": "ac*", "may": "request" }, { "tenant": "b*", "may": "approve" }]));
    assert_eq!(listed(other.clone(), None, 10).await.unwrap(), []);
    assert!(matches!(store.grant(other, id(1), START).await, Err(GrantError::NoSuchGrant)));
    assert!(matches!(store.grant(sue(), id(9), START).await, Err(GrantError::NoSuchGrant)));
    assert!(matches!(listed(scope("acme", "ada"), None, 10).await, Err(GrantError::Forbidden)));
}

pub(crate) async fn requests_have_bounds_and_room_comes_back(store: Store) {
    for number in 0..MAX_OWN_GRANTS {
        ask(&store, number.into(), number % 2 == 0).await;
    }
    let more = |number, at| store.request(sue(), asked(number, Extent::Read, true), START.plus(at));
    assert!(matches!(more(100, 0).await, Err(GrantError::TooMany)));
    assert!(store.request(boss(), asked(101, Extent::Read, true), START).await.is_ok());
    decide(&store, sue(), 0, Decision::Withdraw).await.unwrap();
    assert!(more(102, 10).await.is_ok());
    assert!(more(103, WAITS).await.is_ok(), "the others are over");
    assert!(more(104, WAITS + LISTED + 1).await.is_ok());
    let gone = store.grant(sue(), id(1), START.plus(WAITS + LISTED + 1)).await;
    assert!(matches!(gone, Err(GrantError::NoSuchGrant)), "what ended long ago is forgotten");
}

pub(crate) async fn what_is_said_of_a_grant_is_kept_as_it_is(store: Store) {
    let nasty = ["a\0b", "\u{1}\u{2}", "'; --", "\\0", "\u{202e}\u{10ffff}", &"x".repeat(4_000)];
    for (number, text) in (1..).zip(nasty) {
        let tenant = format!("acme{}", text.chars().take(100).collect::<String>());
        let everywhere = || officer("sue", json!([{ "tenant": "*", "may": "request" }]));
        let asked = Asked {
            tenant: (&*tenant).into(),
            justification: text.into(),
            ..asked(number, Extent::Read, false)
        };
        let made = store.request(everywhere(), asked, START).await.unwrap();
        assert_eq!((&*made.tenant, &*made.justification), (&*tenant, text));
        assert_eq!(store.grant(everywhere(), id(number), START).await.unwrap(), made);
        let act = Act { target: text.into(), extent: Extent::Read };
        let under = store.act(everywhere(), id(number), act, START).await.unwrap();
        assert_eq!(&**under.tenant(), &*tenant);
    }
}
