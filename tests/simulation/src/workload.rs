//! What applications do.

use fastrand::Rng;
use sdk_core::{
    engine::storage::Query,
    protocol::{CollectionName, DocKey, DocumentId, FieldName, Fields, Intent, Json, Strategy},
};

use crate::plan::Plan;

/// The collections of every tenant. Two share their document ids.
pub(crate) fn collections() -> Vec<(CollectionName, Strategy)> {
    let named = [
        ("cards", Strategy::FieldLevel),
        ("lists", Strategy::FieldLevel),
        ("notes", Strategy::LastWriteWins),
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
    let (collection, strategy) = collections[random.usize(0..collections.len())].clone();
    let doc = DocKey { collection, id: document(random, plan) };
    let put = |random: &mut Rng| Intent::Put(fields(random, plan, tag));
    let intents = match (strategy, random.u8(0..20)) {
        (_, 0..3) => vec![Intent::Delete {}],
        (_, 3) => vec![Intent::Delete {}, put(random)],
        (Strategy::LastWriteWins, _) | (_, 4..8) => vec![put(random)],
        (_, 8..11) => vec![Intent::Unset(vec![field(random)])],
        (_, 11..13) => vec![Intent::Set(fields(random, plan, tag)), Intent::Unset(vec![field(random)])],
        _ => vec![Intent::Set(fields(random, plan, tag))],
    };
    (doc, intents)
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
    ["title", "text", "done", "at"][random.usize(0..4)].parse().expect("a field's name")
}

fn fields(random: &mut Rng, plan: &Plan, tag: u64) -> Fields {
    let value = |random: &mut Rng, number: usize| {
        let text = match random.u8(0..8) {
            0 => "null".to_owned(),
            1 => format!("{{\"tag\":[{tag},{number}]}}"),
            2..5 if plan.large => format!("\"{}{tag}\"", "x".repeat(random.usize(20_000..40_000))),
            _ => format!("\"{tag}.{number}\""),
        };
        Json::parse(text).expect("a value")
    };
    (0..random.usize(1..=3)).map(|number| (field(random), value(random, number))).collect()
}
