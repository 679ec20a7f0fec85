//! What every store promises that keeps revocations, as tests. `revocations_contract!(open)` runs them all against a backend;
//! `open` is an async function that gives an empty store and a guard of whatever must outlive it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    auth::{MAX_LIFE, Revocation, Whose},
    fixtures::{START, granted, scope},
    storage::revocations::{RevocationError, Revocations, Revoking},
    tenant::TenantScope,
};

type Store = Arc<dyn Revocations>;

macro_rules! revocations_contract {
    ($open:path) => {
        revocations_contract!(@tests $open:
            what_was_taken_back_stays_taken_back_until_no_such_token_can_live,
            a_repetition_takes_back_nothing_more_and_what_goes_less_far_takes_nothing_away,
            only_who_may_administer_subjects_takes_their_tokens_back,
            revocations_are_listed_in_pages_to_those_who_may_make_them,
            tenants_take_back_their_own_tokens_only,
            names_of_every_form_are_kept_as_they_are,
        );
    };
    (@tests $open:path: $($name:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (store, _guard) = $open().await;
            $crate::storage::contract::revocations::$name(store).await;
        }
    )*};
}
pub(crate) use revocations_contract;

fn admin() -> TenantScope {
    granted("root", json!([{ "subject": "*", "may": "admin" }]))
}

fn of(whose: Whose, name: &str, now: u64) -> Revocation {
    Revocation::new(whose, name, START.plus(now), START.plus(now))
}

async fn revoke(
    store: &Store,
    scope: TenantScope,
    revocation: Revocation,
) -> Result<Revoking, RevocationError> {
    store.revoke(scope, revocation, START).await
}

async fn names(store: &Store, after: Option<(Whose, String)>, most: usize) -> Vec<(Whose, Box<str>)> {
    let found = store.revocations(admin(), after, most, START).await.unwrap();
    found.into_iter().map(|kept| (kept.revocation.whose, kept.revocation.name)).collect()
}

pub(crate) async fn what_was_taken_back_stays_taken_back_until_no_such_token_can_live(store: Store) {
    for (whose, name) in [(Whose::Subject, "ada"), (Whose::Session, "s1"), (Whose::Token, "t1")] {
        let kept = revoke(&store, admin(), of(whose, name, 5)).await.unwrap();
        assert_eq!((kept.revocation, &*kept.by, kept.at), (of(whose, name, 5), "root", START));
    }
    let standing = |at| {
        let store = store.clone();
        async move { store.standing(START.plus(at)).await.unwrap().len() }
    };
    assert_eq!((standing(0).await, standing(MAX_LIFE + 4).await, standing(MAX_LIFE + 5).await), (3, 3, 0));
    let found = store.standing(START).await.unwrap();
    assert!(found.contains(&("acme".into(), of(Whose::Session, "s1", 5))), "{found:?}");
}

pub(crate) async fn a_repetition_takes_back_nothing_more_and_what_goes_less_far_takes_nothing_away(
    store: Store,
) {
    let first = revoke(&store, admin(), of(Whose::Subject, "ada", 100)).await.unwrap();
    let again = |before: u64| {
        let revocation = Revocation { before: START.plus(before), ..of(Whose::Subject, "ada", 500) };
        revoke(&store, admin(), revocation)
    };
    assert_eq!(again(100).await.unwrap(), first);
    assert_eq!(again(50).await.unwrap(), first);
    assert_eq!(again(200).await.unwrap().revocation.before, START.plus(200));
    let token = revoke(&store, admin(), of(Whose::Token, "t", 1)).await.unwrap();
    assert_eq!(revoke(&store, admin(), of(Whose::Token, "t", 900)).await.unwrap(), token);
    assert_eq!(names(&store, None, 10).await.len(), 2);
}

pub(crate) async fn only_who_may_administer_subjects_takes_their_tokens_back(store: Store) {
    let refused = async |scope: TenantScope, whose, name| {
        let error = revoke(&store, scope, of(whose, name, 1)).await.unwrap_err();
        assert!(matches!(error, RevocationError::Forbidden), "{error}");
    };
    let team = || granted("lead", json!([{ "subject": "team/*", "may": "admin" }]));
    // A token for everything is what ordinary people have who have no claim.
    for other in
        [scope("acme", "ada"), granted("eve", json!([{ "subject": "*" }, { "topic": "*", "may": "admin" }]))]
    {
        refused(other.clone(), Whose::Subject, "ada").await;
        let listed = store.revocations(other, None, 10, START).await;
        assert!(matches!(listed, Err(RevocationError::Forbidden)));
    }
    refused(team(), Whose::Subject, "boss").await;
    // They could be anybody's.
    refused(team(), Whose::Session, "team/s").await;
    refused(team(), Whose::Token, "team/t").await;
    assert!(revoke(&store, team(), of(Whose::Subject, "team/ada", 1)).await.is_ok());
    assert!(store.standing(START).await.unwrap().len() == 1);
}

pub(crate) async fn revocations_are_listed_in_pages_to_those_who_may_make_them(store: Store) {
    for name in ["a", "b", "team/c"] {
        revoke(&store, admin(), of(Whose::Subject, name, 1)).await.unwrap();
    }
    revoke(&store, admin(), of(Whose::Session, "s", 1)).await.unwrap();
    let first = names(&store, None, 2).await;
    assert_eq!(first, [(Whose::Session, "s".into()), (Whose::Subject, "a".into())]);
    let rest = names(&store, Some((Whose::Subject, "a".into())), 10).await;
    assert_eq!(rest, [(Whose::Subject, "b".into()), (Whose::Subject, "team/c".into())]);
    let team = granted("lead", json!([{ "subject": "team/*", "may": "admin" }]));
    let seen = store.revocations(team, None, 10, START).await.unwrap();
    assert_eq!(seen.len(), 1);
}

pub(crate) async fn tenants_take_back_their_own_tokens_only(store: Store) {
    revoke(&store, admin(), of(Whose::Subject, "ada", 1)).await.unwrap();
    let standing = store.standing(START).await.unwrap();
    assert_eq!(standing.iter().map(|(tenant, _)| &**tenant).collect::<Vec<_>>(), ["acme"]);
    let access: Value = json!([{ "subject": "*", "may": "admin" }]);
    let other = crate::fixtures::granted_in("other", "root", access);
    assert_eq!(store.revocations(other.clone(), None, 10, START).await.unwrap(), []);
    revoke(&store, other, of(Whose::Subject, "ada", 9)).await.unwrap();
    let mine = store.revocations(admin(), None, 10, START).await.unwrap();
    assert_eq!(mine[0].revocation, of(Whose::Subject, "ada", 1));
}

pub(crate) async fn names_of_every_form_are_kept_as_they_are(store: Store) {
    // In their order, byte by byte.
    let long = "x".repeat(300);
    let nasty = [
        "\0",
        "\0\0",
        "\0a",
        "\u{1}",
        "\u{1}\u{1}",
        "\u{1}\u{2}",
        "\u{2}",
        "\t",
        "\r\n",
        " ",
        "%_",
        "'; DROP TABLE x",
        "A",
        "\\",
        "\\x00",
        "a",
        "a\0",
        "a\0b",
        "a\u{1}",
        "a\u{1}b",
        "ab",
        &long,
        "{}",
        "\u{7f}",
        "\u{e9}",
        "e\u{301}",
        "\u{430}",
        "\u{202e}",
        "\u{feff}",
        "\u{fffd}",
        "\u{1f600}",
        "\u{10ffff}",
    ];
    let mut sorted: Vec<&str> = nasty.to_vec();
    sorted.sort_unstable();
    for name in nasty {
        let kept = revoke(&store, admin(), of(Whose::Subject, name, 5)).await.unwrap();
        assert_eq!(&*kept.revocation.name, name);
        // It is found again, and not another.
        assert_eq!(revoke(&store, admin(), of(Whose::Subject, name, 5)).await.unwrap(), kept);
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = names(&store, after, 5).await;
        let Some(last) = page.last() else { break };
        after = Some((last.0, last.1.to_string()));
        seen.extend(page.into_iter().map(|(_, name)| name));
    }
    assert_eq!(seen.iter().map(|name| &**name).collect::<Vec<_>>(), sorted);
    assert_eq!(store.standing(START).await.unwrap().len(), nasty.len());
}
