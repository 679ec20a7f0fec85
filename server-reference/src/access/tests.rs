use serde_json::{Value, json};

use super::*;

fn access(claim: Value) -> Result<Access, BadAccess> {
    Access::granted(serde_json::from_value(claim).unwrap())
}

fn portion(claim: Value, collection: &str) -> Portion {
    access(claim).unwrap().portion(&CollectionName::new(collection).unwrap())
}

#[test]
fn a_collection_that_no_grant_names_is_nothing() {
    let claim = json!([{ "collection": "cards" }, { "collection": "team-*", "prefix": "a/" }]);
    assert_eq!(portion(claim.clone(), "cards"), Portion::Whole);
    assert_eq!(portion(claim.clone(), "team-7"), Portion::Under(vec!["a/".into()]));
    for other in ["card", "cards2", "team"] {
        assert_eq!(portion(claim.clone(), other), Portion::Nothing, "{other}");
    }
    assert_eq!(portion(json!([]), "cards"), Portion::Nothing);
    assert_eq!(portion(json!([{ "collection": "*" }]), "cards"), Portion::Whole);
}

#[test]
fn grants_of_one_collection_add_up_and_their_order_does_not_matter() {
    let grants = |prefixes: &[&str]| -> Value {
        prefixes.iter().map(|prefix| json!({ "collection": "c", "prefix": prefix })).collect()
    };
    let one = portion(grants(&["b/", "a/", "a/x", "b/"]), "c");
    assert_eq!(one, Portion::Under(vec!["a/".into(), "b/".into()]));
    assert_eq!(one.mark(), portion(grants(&["a/", "b/"]), "c").mark());
    assert_ne!(one.mark(), portion(grants(&["a/"]), "c").mark());
    // Joined without their lengths, these two would look the same.
    assert_ne!(portion(grants(&["a", "bc"]), "c").mark(), portion(grants(&["ab", "c"]), "c").mark());
    assert_eq!(portion(grants(&["b/", ""]), "c"), Portion::Whole);
    let holds = |id: &str| one.holds(&DocumentId::new(id).unwrap());
    assert!(holds("a/1") && holds("b/") && !holds("c/1") && !holds("a"));
}

#[test]
fn a_claim_that_cannot_be_meant_is_refused() {
    let many: Value = (0..=MAX_GRANTS).map(|n| json!({ "collection": format!("c{n}") })).collect();
    assert_eq!(access(many), Err(BadAccess::TooMany));
    for collection in ["", "Cards", "a*b", "**"] {
        assert_eq!(access(json!([{ "collection": collection }])), Err(BadAccess::Collection), "{collection}");
    }
    let bad = json!([{ "collection": "c", "prefix": "\u{1}" }]);
    assert_eq!(access(bad), Err(BadAccess::Prefix));
    assert!(serde_json::from_value::<Vec<Grant>>(json!([{ "collection": "c", "mode": "read" }])).is_err());
}

#[test]
fn a_topic_is_granted_by_name_or_beginning_and_for_reading_or_writing() {
    let access = access(json!([
        { "topic": "orders/*", "may": "read" },
        { "topic": "orders/eu", "may": "write" },
        { "topic": "chat" },
        { "topic": "chat", "may": "admin" },
        { "collection": "notes" },
    ]))
    .unwrap();
    let may = |name| (access.topic(name, Right::Read), access.topic(name, Right::Write));
    assert_eq!(may("orders/eu"), (true, true));
    assert_eq!(may("orders/us"), (true, false));
    assert_eq!(may("chat"), (true, true));
    assert!(access.topic("chat", Right::Admin), "to administer is granted by its name alone");
    assert!(!access.topic("orders/us", Right::Admin) && !access.topic("orders/eu", Right::Admin));
    for other in ["orders", "chat/1", "notes"] {
        assert_eq!(may(other), (false, false), "{other}");
    }
    assert_eq!(access.portion(&CollectionName::new("chat").unwrap()), Portion::Nothing);
}

#[test]
fn a_grant_of_topics_that_cannot_be_meant_is_refused() {
    for topic in ["", "a//b", "../a", "a*b", "__ds/*", "**"] {
        assert_eq!(access(json!([{ "topic": topic }])), Err(BadAccess::Topic), "{topic}");
    }
    for grant in [
        json!({ "topic": "a", "may": "delete" }),
        json!({ "topic": "a", "collection": "b" }),
        json!({ "topic": "a", "prefix": "b" }),
        json!({}),
    ] {
        assert!(serde_json::from_value::<Grant>(grant.clone()).is_err(), "{grant}");
    }
}

#[test]
fn a_room_is_granted_for_being_there_and_for_sending() {
    let access = access(json!([
        { "room": "board-*" },
        { "room": "halls/*", "may": "join" },
        { "room": "desk", "may": "send" },
        { "topic": "chat" },
    ]))
    .unwrap();
    let may = |name: &str| {
        let name = RoomName::new(name).unwrap();
        (access.room(&name, RoomRight::Join), access.room(&name, RoomRight::Send))
    };
    assert_eq!(may("board-7"), (true, true));
    assert_eq!(may("halls/1"), (true, false));
    assert_eq!(may("desk"), (false, true));
    for other in ["board", "halls", "chat", "desk/1"] {
        assert_eq!(may(other), (false, false), "{other}");
    }
    assert!(!access.topic("board-7", Right::Read));
    assert!(Access::Everything.room(&RoomName::new("any").unwrap(), RoomRight::Send));
}

#[test]
fn a_transaction_is_granted_by_name_or_beginning() {
    let access = access(json!([{ "transaction": "ledger.*" }, { "transaction": "book" }])).unwrap();
    let may = |name: &str| access.transaction(&TransactionName::new(name).unwrap());
    assert!(may("ledger.transfer") && may("ledger.") && may("book"));
    assert!(!may("ledger") && !may("book2") && !may("pay"));
    let none = Access::granted(Vec::new()).unwrap();
    assert!(!none.transaction(&TransactionName::new("book").unwrap()));
    assert!(Access::Everything.transaction(&TransactionName::new("book").unwrap()));
}

#[test]
fn to_take_back_the_tokens_of_others_has_to_be_named() {
    let access = access(json!([{ "subject": "team/*" }, { "subject": "*", "may": "admin" }])).unwrap();
    assert!(access.subject("team/ada", SubjectRight::Send));
    assert!(!access.subject("bob", SubjectRight::Send));
    assert!(access.subject("bob", SubjectRight::Admin) && !access.administers_any());
    assert!(Access::Everything.subject("bob", SubjectRight::Send));
    assert!(!Access::Everything.subject("bob", SubjectRight::Admin));
}

#[test]
fn a_grant_of_what_no_name_can_be_is_refused() {
    let bad = [
        (json!({ "room": "a//b" }), BadAccess::Room),
        (json!({ "room": "a*b" }), BadAccess::Room),
        (json!({ "room": "" }), BadAccess::Room),
        (json!({ "transaction": "Ledger" }), BadAccess::Transaction),
        (json!({ "transaction": ".*" }), BadAccess::Transaction),
        (json!({ "transaction": "" }), BadAccess::Transaction),
        (json!({ "subject": "" }), BadAccess::Subject),
        (json!({ "subject": "a\u{0}" }), BadAccess::Subject),
        (json!({ "subject": "x".repeat(129) }), BadAccess::Subject),
    ];
    for (grant, error) in bad {
        assert_eq!(access(json!([grant])), Err(error), "{grant}");
    }
    for grant in [
        json!({ "room": "a", "may": "admin" }),
        json!({ "room": "a", "prefix": "b" }),
        json!({ "room": "a", "topic": "b" }),
        json!({ "transaction": "a", "may": "send" }),
        json!({ "subject": "a", "may": "join" }),
    ] {
        assert!(serde_json::from_value::<Grant>(grant.clone()).is_err(), "{grant}");
    }
}
