//! Who sees which groups.

use super::*;

pub(crate) async fn groups_are_their_tenants_and_their_topics_readers(groups: Groups) {
    groups.with(&[plain(1)], rules()).await;
    let stranger = scope("other", "ada");
    let writer = granted("eve", serde_json::json!([{ "topic": "t", "may": "write" }]));
    for nobody in [stranger, writer] {
        let claim = Claim { worker: "w".into(), events: 1, bytes: 1, secret: "s".into(), chance: 0 };
        let answer = groups.groups.claim(nobody.clone(), group("g"), claim, START).await;
        assert!(matches!(answer, Err(LogError::NoSuchGroup)), "{answer:?}");
        let answer = groups.groups.group(nobody.clone(), group("g"), START).await;
        assert!(matches!(answer, Err(LogError::NoSuchGroup)), "{answer:?}");
        let answer = groups.groups.groups(nobody.clone(), None, 9, START).await.unwrap();
        assert!(answer.is_empty(), "{answer:?}");
        let answer = groups.groups.remove_group(nobody.clone(), group("g"), START).await;
        assert!(matches!(answer, Err(LogError::NoSuchGroup)), "{answer:?}");
        let new = NewGroup {
            topic: topic("t"),
            start: Start::Earliest,
            rules: rules(),
            redelivery: Default::default(),
        };
        let answer = groups.groups.make_group(nobody, group("h"), new, START).await;
        assert!(matches!(answer, Err(LogError::NoSuchTopic)), "{answer:?}");
    }
    let reader = granted("bob", serde_json::json!([{ "topic": "t", "may": "read" }]));
    let claim = Claim { worker: "w".into(), events: 1, bytes: 1, secret: "s".into(), chance: 0 };
    assert_eq!(numbers(&groups.groups.claim(reader, group("g"), claim, START).await.unwrap()), [1]);
}

pub(crate) async fn groups_are_listed_by_name_piece_by_piece(groups: Groups) {
    groups.with(&[plain(1)], rules()).await;
    groups.topic("u", NewTopic::default()).await;
    for (name, of) in [("b", "t"), ("a", "u"), ("c", "u")] {
        groups.make(name, of, Start::Earliest, rules()).await.unwrap();
    }
    groups.groups.remove_group(ada(), group("b"), START).await.unwrap();
    let list = async |who: &TenantScope, behind: Option<&str>, most| -> Vec<String> {
        let listed = groups.groups.groups(who.clone(), behind.map(group), most, START).await.unwrap();
        let of = |state: &Option<GroupState>| state.as_ref().unwrap().topic.as_str().to_owned();
        listed.iter().map(|(name, state)| format!("{} of {}", name.as_str(), of(state))).collect()
    };
    assert_eq!(list(&ada(), None, 9).await, ["a of u", "c of u", "g of t"]);
    assert_eq!(list(&ada(), None, 2).await, ["a of u", "c of u"]);
    assert_eq!(list(&ada(), Some("c"), 2).await, ["g of t"]);
    let reader = granted("bob", serde_json::json!([{ "topic": "t", "may": "read" }]));
    assert_eq!(list(&reader, None, 1).await, ["g of t"]);
}
