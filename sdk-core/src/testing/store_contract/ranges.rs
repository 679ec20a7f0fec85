//! Reads by range of ids.

use super::{Stores, document, key, open, write_replica};
use crate::{
    driver::Store,
    engine::storage::{MAX_QUERY, Query, ReplicaBatch, Scan},
};

async fn ids(
    store: &impl Store,
    collection: &str,
    from: Option<&str>,
    to: Option<&str>,
    limit: usize,
) -> Vec<String> {
    let bound = |id: Option<&str>| id.map(|id| key(collection, id).id);
    let collection = key(collection, "any").collection;
    let query = Query::Range { collection: collection.clone(), from: bound(from), to: bound(to), limit };
    let documents = store.read(query, Scan::NONE).await.expect("the replica can be read").documents;
    assert!(documents.iter().all(|document| document.key.collection == collection));
    documents.into_iter().map(|document| document.key.id.to_string()).collect()
}

async fn fill(store: &impl Store, collection: &str, ids: &[&str]) {
    let put = ids.iter().map(|id| document(collection, id, id)).collect();
    write_replica(store, ReplicaBatch { put, ..ReplicaBatch::default() }).await;
}

/// The lower bound is in the range, the upper is not, and neither need exist.
pub async fn a_range_is_half_open(stores: &impl Stores) {
    let store = open(stores).await;
    fill(&store, "cards", &["b", "d", "f", "h"]).await;
    // Neighbours on both sides must not leak in where a bound is absent.
    fill(&store, "card", &["z"]).await;
    fill(&store, "cards0", &["a"]).await;
    let cases: [(Option<&str>, Option<&str>, &[&str]); 7] = [
        (None, None, &["b", "d", "f", "h"]),
        (Some("d"), None, &["d", "f", "h"]),
        (None, Some("f"), &["b", "d"]),
        (Some("d"), Some("h"), &["d", "f"]),
        (Some("c"), Some("g"), &["d", "f"]),
        (Some("da"), None, &["f", "h"]),
        (None, Some("zz"), &["b", "d", "f", "h"]),
    ];
    for (from, to, expected) in cases {
        assert_eq!(ids(&store, "cards", from, to, MAX_QUERY).await, expected, "{from:?}..{to:?}");
    }
}

/// A limit keeps the first documents by id.
pub async fn a_range_has_its_first_documents_up_to_the_limit(stores: &impl Stores) {
    let store = open(stores).await;
    fill(&store, "cards", &["e", "a", "d", "b", "c"]).await;
    assert_eq!(ids(&store, "cards", None, None, 3).await, ["a", "b", "c"]);
    assert_eq!(ids(&store, "cards", Some("b"), None, 1).await, ["b"]);
    assert_eq!(ids(&store, "cards", Some("b"), Some("d"), 9).await, ["b", "c"]);
}

/// Nothing between the bounds, bounds that meet, bounds the wrong way round, a collection nobody knows: all
/// are empty, and none is an error.
pub async fn a_range_without_ids_is_empty(stores: &impl Stores) {
    let store = open(stores).await;
    fill(&store, "cards", &["a", "m", "z"]).await;
    let none: [String; 0] = [];
    for (from, to) in [("b", "c"), ("m", "m"), ("z", "a"), ("zz", "zzz")] {
        assert_eq!(ids(&store, "cards", Some(from), Some(to), 9).await, none, "{from}..{to}");
    }
    assert_eq!(ids(&store, "unknown", None, None, 9).await, none);
}

/// UTF-16, by which JavaScript and IndexedDB compare text, puts U+10000 and beyond before U+E000; UTF-8 does not.
pub async fn ids_are_ordered_by_the_bytes_of_their_utf8(stores: &impl Stores) {
    let store = open(stores).await;
    let sorted = [
        "Z",
        "a",
        "ab",
        "z",
        "\u{e9}",
        "\u{4e2d}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffee}",
        "\u{10000}",
        "\u{1f600}",
    ];
    assert!(sorted.is_sorted(), "the test lists them in the order of their bytes");
    let mut shuffled = sorted;
    shuffled.reverse();
    fill(&store, "cards", &shuffled).await;
    assert_eq!(ids(&store, "cards", None, None, MAX_QUERY).await, sorted);
    for (first, from) in sorted.iter().enumerate() {
        assert_eq!(
            ids(&store, "cards", Some(from), None, MAX_QUERY).await,
            &sorted[first..],
            "from {from:?}"
        );
        assert_eq!(ids(&store, "cards", None, Some(from), MAX_QUERY).await, &sorted[..first], "to {from:?}");
        assert_eq!(
            ids(&store, "cards", Some(from), None, 2).await,
            sorted[first..].iter().copied().take(2).collect::<Vec<_>>(),
            "two from {from:?}"
        );
    }
}

/// Nothing is normalised, folded, trimmed or cut, and no id reaches into another collection.
pub async fn ids_of_any_text_are_kept_apart(stores: &impl Stores) {
    let store = open(stores).await;
    let long = "\u{1f600}".repeat(32);
    let cut = "\u{1f600}".repeat(31);
    let ids_here = [
        "a",
        "A",
        " a",
        "a ",
        "a/b",
        "a\"b",
        "%",
        "_",
        "\u{e9}",
        "e\u{301}",
        "__proto__",
        "1",
        "01",
        &long,
        &cut,
    ];
    fill(&store, "cards", &ids_here).await;
    let mut sorted = ids_here.to_vec();
    sorted.sort_unstable();
    assert_eq!(ids(&store, "cards", None, None, MAX_QUERY).await, sorted);
    for id in ids_here {
        let found = store.read(Query::One(key("cards", id)), Scan::NONE).await.map(|rows| rows.documents);
        assert_eq!(found, Ok(vec![document("cards", id, id)]), "{id:?}");
    }
}
