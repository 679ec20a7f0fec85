//! Segments: many documents in one record, beside those that stand alone.

use super::{Stores, cursor, document, key, open, write_replica};
use crate::{
    driver::Store,
    engine::storage::{Clear, Generation, Query, ReplicaBatch, Rows, Scan, Segment},
    protocol::CollectionName,
};

const OLD: Generation = Generation(1);
const NEW: Generation = Generation(2);

fn name(collection: &str) -> CollectionName {
    key(collection, "any").collection
}

/// A segment whose text says where it belongs.
fn segment(collection: &str, generation: Generation, last: &str) -> Segment {
    let text = format!("{collection} {} up to {last}", generation.0);
    Segment { collection: name(collection), generation, last: key(collection, last).id, text }
}

async fn stage(store: &impl Store, stage: Vec<Segment>) {
    write_replica(store, ReplicaBatch { stage, ..ReplicaBatch::default() }).await;
}

async fn rows(store: &impl Store, query: Query, generation: Generation, segments: usize) -> Rows {
    store.read(query, Scan { generation, segments }).await.expect("the replica can be read")
}

/// The largest ids of the segments that a range reads.
async fn lasts(
    store: &impl Store,
    generation: Generation,
    from: Option<&str>,
    to: Option<&str>,
    segments: usize,
) -> Vec<String> {
    let bound = |id: Option<&str>| id.map(|id| key("cards", id).id);
    let query = Query::Range { collection: name("cards"), from: bound(from), to: bound(to), limit: 100 };
    let texts = rows(store, query, generation, segments).await.segments;
    texts.iter().filter_map(|text| Some(text.rsplit_once(' ')?.1.to_owned())).collect()
}

/// From, to, how many segments at most, and the largest ids of those that are read.
type Case = (Option<&'static str>, Option<&'static str>, usize, &'static [&'static str]);

/// Those that end in the range, and the one that reaches beyond it; no more than asked for.
pub async fn a_range_reads_the_segments_that_reach_into_it(stores: &impl Stores) {
    let store = open(stores).await;
    // Neighbours on all sides must not leak in.
    let foreign = [segment("card", OLD, "z"), segment("cards0", OLD, "a"), segment("cards", NEW, "e")];
    let own = ["p", "d", "\u{1f600}", "h", "\u{ffee}"].map(|last| segment("cards", OLD, last));
    stage(&store, foreign.into_iter().chain(own).collect()).await;
    let cases: [Case; 9] = [
        (None, None, 9, &["d", "h", "p", "\u{ffee}", "\u{1f600}"]),
        (None, None, 2, &["d", "h"]),
        (Some("d"), None, 2, &["d", "h"]),
        (Some("da"), None, 2, &["h", "p"]),
        (Some("a"), Some("b"), 9, &["d"]),
        (Some("a"), Some("d"), 9, &["d"]),
        (Some("a"), Some("e"), 9, &["d", "h"]),
        (Some("e"), Some("q"), 2, &["h", "p"]),
        (Some("q"), Some("b"), 9, &[]),
    ];
    for (from, to, segments, expected) in cases {
        assert_eq!(lasts(&store, OLD, from, to, segments).await, expected, "{from:?}..{to:?}, {segments}");
    }
    assert_eq!(lasts(&store, NEW, None, None, 9).await, ["e"]);
    assert_eq!(lasts(&store, Generation::NONE, None, None, 9).await, Vec::<String>::new());
}

/// One document is in the first segment that does not end before it.
pub async fn one_document_reads_its_segment(stores: &impl Stores) {
    let store = open(stores).await;
    let segments = vec![segment("cards", OLD, "d"), segment("cards", OLD, "h")];
    let put = vec![document("cards", "e", "alone")];
    write_replica(
        &store,
        ReplicaBatch { stage: segments.clone(), put: put.clone(), ..ReplicaBatch::default() },
    )
    .await;
    for (id, at) in [("a", Some(0)), ("d", Some(0)), ("da", Some(1)), ("e", Some(1)), ("i", None)] {
        let found = rows(&store, Query::One(key("cards", id)), OLD, 1).await;
        let segments = at.map(|at: usize| segments[at].text.clone()).into_iter().collect();
        let documents = if id == "e" { put.clone() } else { Vec::new() };
        assert_eq!(found, Rows { documents, segments }, "{id}");
    }
}

/// Segments under way are not in view and touch nothing that is.
pub async fn staged_segments_stand_beside_what_is_there(stores: &impl Stores) {
    let store = open(stores).await;
    let put = vec![document("cards", "a", "old")];
    write_replica(
        &store,
        ReplicaBatch {
            put: put.clone(),
            stage: vec![segment("cards", OLD, "c")],
            cursors: vec![cursor("cards", 3)],
            notes: vec![(name("cards"), "first".into())],
            ..ReplicaBatch::default()
        },
    )
    .await;
    write_replica(
        &store,
        ReplicaBatch {
            stage: vec![segment("cards", NEW, "b"), segment("notes", NEW, "b")],
            notes: vec![(name("cards"), "second".into()), (name("notes"), "other".into())],
            ..ReplicaBatch::default()
        },
    )
    .await;
    let found = rows(&store, Query::all(name("cards")), OLD, 9).await;
    assert_eq!(found, Rows { documents: put, segments: vec!["cards 1 up to c".into()] });
    let stored = store.load().await.expect("the store can be loaded");
    assert_eq!(stored.cursors, Some(vec![cursor("cards", 3)]));
    let mut notes = stored.notes;
    notes.sort();
    assert_eq!(notes, [(name("cards"), "second".to_owned()), (name("notes"), "other".to_owned())]);
}

/// One batch takes away the documents and the old generation, and sets cursor and note.
pub async fn a_flip_replaces_a_collection_in_one_batch(stores: &impl Stores) {
    let store = open(stores).await;
    let put = vec![document("cards", "a", "old"), document("notes", "a", "stays")];
    let old = ["cards", "notes"].map(|name| segment(name, OLD, "z"));
    let new = ["cards", "notes"].map(|name| segment(name, NEW, "z"));
    write_replica(
        &store,
        ReplicaBatch {
            put,
            stage: old.into_iter().chain(new).collect(),
            cursors: vec![cursor("cards", 3), cursor("notes", 3)],
            ..ReplicaBatch::default()
        },
    )
    .await;
    let flip = ReplicaBatch {
        flip: vec![name("cards")],
        drop: vec![(name("cards"), OLD)],
        put: vec![document("cards", "b", "new")],
        cursors: vec![cursor("cards", 9)],
        notes: vec![(name("cards"), "flipped".into())],
        ..ReplicaBatch::default()
    };
    write_replica(&store, flip).await;
    let all = |collection: &str| Query::all(name(collection));
    assert_eq!(rows(&store, all("cards"), OLD, 9).await.segments, Vec::<String>::new());
    let found = rows(&store, all("cards"), NEW, 9).await;
    let expected =
        Rows { documents: vec![document("cards", "b", "new")], segments: vec!["cards 2 up to z".into()] };
    assert_eq!(found, expected);
    assert_eq!(
        rows(&store, all("notes"), OLD, 9).await,
        Rows { documents: vec![document("notes", "a", "stays")], segments: vec!["notes 1 up to z".into()] },
        "another collection is not touched"
    );
    let stored = store.load().await.expect("the store can be loaded");
    let mut cursors = stored.cursors.expect("the replica is not broken");
    cursors.sort_by(|(left, _), (right, _)| left.cmp(right));
    assert_eq!(cursors, [cursor("cards", 9), cursor("notes", 3)]);
    assert_eq!(stored.notes, [(name("cards"), "flipped".to_owned())]);
}

/// Clearing takes segments and notes as well: of some collections, or of all.
pub async fn clearing_takes_segments_and_notes(stores: &impl Stores) {
    let store = open(stores).await;
    let names = ["card", "cards", "cards-2"];
    let fill = ReplicaBatch {
        stage: names.iter().flat_map(|name| [segment(name, OLD, "m"), segment(name, NEW, "m")]).collect(),
        notes: names.iter().map(|text| (name(text), (*text).to_owned())).collect(),
        ..ReplicaBatch::default()
    };
    write_replica(&store, fill).await;
    let clear = Clear::Collections(vec![name("cards")]);
    write_replica(&store, ReplicaBatch { clear, ..ReplicaBatch::default() }).await;
    for (collection, kept) in [("card", 1), ("cards", 0), ("cards-2", 1)] {
        for generation in [OLD, NEW] {
            let found = rows(&store, Query::all(name(collection)), generation, 9).await;
            assert_eq!(found.segments.len(), kept, "{collection}");
        }
    }
    let mut notes = store.load().await.expect("the store can be loaded").notes;
    notes.sort();
    assert_eq!(notes, ["card", "cards-2"].map(|text| (name(text), text.to_owned())));
    write_replica(&store, ReplicaBatch { clear: Clear::All, ..ReplicaBatch::default() }).await;
    assert_eq!(rows(&store, Query::all(name("card")), OLD, 9).await, Rows::default());
    assert_eq!(store.load().await.expect("the store can be loaded").notes, []);
}
