//! What applications do.

use fastrand::Rng;
use sdk_core::{
    engine::storage::Query,
    protocol::{CollectionName, DocKey, DocumentId, FieldName, Fields, Intent, Json, Strategy},
};

use crate::plan::Plan;

/// The collection whose conflicts the server's resolver decides.
pub(crate) const RESOLVED: &str = "plans";

/// What that resolver decides of a document: whether the one who comes later has his way.
pub(crate) fn takes_mine(document: &str) -> bool {
    document.ends_with(['0', '2', '4'])
}

/// The collections of every tenant. They share their document ids.
pub(crate) fn collections() -> Vec<(CollectionName, Strategy)> {
    let named = [
        ("cards", Strategy::FieldLevel),
        ("lists", Strategy::FieldLevel),
        ("notes", Strategy::LastWriteWins),
        (RESOLVED, Strategy::Merge),
        ("drafts", Strategy::Manual),
    ];
    named.map(|(name, strategy)| (name.parse().expect("a collection's name"), strategy)).to_vec()
}

/// How documents of a collection are written.
pub(crate) fn strategy(collection: &CollectionName) -> Strategy {
    let found = collections().into_iter().find(|(name, _)| name == collection);
    found.map(|(_, strategy)| strategy).expect("only collections of the workload are written to")
}

/// An edit of some document.
pub(crate) fn edit(random: &mut Rng, plan: &Plan, tag: u64) -> (DocKey, Vec<Intent>) {
    let collections = collections();
    let collection = collections[random.usize(0..collections.len())].0.clone();
    let doc = DocKey { collection, id: document(random, plan) };
    let intents = intents(random, plan, &doc.collection, tag);
    (doc, intents)
}

/// What an edit of a document in that collection does.
pub(crate) fn intents(random: &mut Rng, plan: &Plan, collection: &CollectionName, tag: u64) -> Vec<Intent> {
    let large = plan.large;
    let put = |random: &mut Rng| Intent::Put(fields(random, large, tag));
    match (strategy(collection), random.u8(0..20)) {
        (_, 0..3) => vec![Intent::Delete {}],
        (_, 3) => vec![Intent::Delete {}, put(random)],
        (Strategy::LastWriteWins, _) | (_, 4..8) => vec![put(random)],
        (_, 8..11) => vec![Intent::Unset(vec![field(random)])],
        (_, 11..13) => vec![Intent::Set(fields(random, large, tag)), Intent::Unset(vec![field(random)])],
        (_, 13..17) => contribution(random),
        _ => vec![Intent::Set(fields(random, large, tag))],
    }
}

/// What goes on with an edit of a document in that collection: as likely as not it counts on.
pub(crate) fn more(random: &mut Rng, plan: &Plan, collection: &CollectionName, tag: u64) -> Vec<Intent> {
    let counts = strategy(collection) != Strategy::LastWriteWins && random.bool();
    if counts { contribution(random) } else { intents(random, plan, collection, tag) }
}

/// Something that counts or goes into a set, or what that meets: an assignment of such a field.
fn contribution(random: &mut Rng) -> Vec<Intent> {
    let (likes, tags) = (name("likes"), name("tags"));
    let some = |random: &mut Rng| {
        let count = random.usize(1..=2);
        let tag = |_| Json::parse(["\"a\"", "\"b\"", "\"c\""][random.usize(0..3)]).expect("a tag");
        (0..count).map(tag).collect::<Vec<Json>>()
    };
    let count = |random: &mut Rng| Intent::Increment([(likes.clone(), random.i64(-3..=5))].into());
    match random.u8(0..12) {
        0..4 => vec![count(random)],
        4..7 => vec![Intent::Add([(tags, some(random))].into())],
        7 | 8 => vec![Intent::Remove([(tags, some(random))].into())],
        9 => vec![count(random), Intent::Add([(tags.clone(), some(random))].into()), count(random)],
        10 => vec![Intent::Set([(likes, Json::parse("10").expect("a number"))].into())],
        _ if random.bool() => vec![Intent::Set([(tags, Json::array(&some(random)))].into())],
        // A value that neither counts nor members fit.
        _ => vec![Intent::Set(
            [(if random.bool() { likes } else { tags }, Json::parse("true").expect("a value"))].into(),
        )],
    }
}

/// Something to look at.
pub(crate) fn query(random: &mut Rng, plan: &Plan) -> Query {
    let collections = collections();
    let collection = collections[random.usize(0..collections.len())].0.clone();
    match random.u8(0..4) {
        0 => Query::One(DocKey { collection, id: document(random, plan) }),
        1 => Query::Range { collection, from: None, to: None, limit: random.usize(1..=3) },
        2 => {
            let (from, to) = (Some(document(random, plan)), random.bool().then(|| document(random, plan)));
            Query::Range { collection, from, to, limit: random.usize(1..=4) }
        }
        _ => Query::all(collection),
    }
}

fn document(random: &mut Rng, plan: &Plan) -> DocumentId {
    format!("doc-{}", random.usize(0..plan.documents)).parse().expect("a document's id")
}

fn field(random: &mut Rng) -> FieldName {
    name(["title", "text", "done", "at"][random.usize(0..4)])
}

fn name(text: &str) -> FieldName {
    text.parse().expect("a field's name")
}

fn fields(random: &mut Rng, large: bool, tag: u64) -> Fields {
    let value = |random: &mut Rng, number: usize| {
        let text = match random.u8(0..8) {
            0 => "null".to_owned(),
            1 => format!("{{\"tag\":[{tag},{number}]}}"),
            2..5 if large => format!("\"{}{tag}\"", "x".repeat(random.usize(20_000..40_000))),
            _ => format!("\"{tag}.{number}\""),
        };
        Json::parse(text).expect("a value")
    };
    (0..random.usize(1..=3)).map(|number| (field(random), value(random, number))).collect()
}
