//! A snapshot on its way into the store, and what waits meanwhile.

use super::*;
use crate::{
    protocol::{ChunkRef, ContentHash, Manifest},
    snapshot::Part,
};

/// A snapshot of one document a chunk.
struct Archive {
    manifest: Manifest,
    chunks: Vec<String>,
}

impl Archive {
    fn of(position: StreamPosition, documents: &[(&str, Document)]) -> Self {
        let text = |(id, doc): &(&str, Document)| {
            format!(r#"{{"salt":"s","documents":[{{"id":"{id}","doc":{}}}]}}"#, encode(doc))
        };
        let chunks: Vec<String> = documents.iter().map(text).collect();
        let reference = |(text, (id, _)): (&String, &(&str, Document))| ChunkRef {
            hash: ContentHash::of(text),
            bytes: text.len() as u64,
            documents: 1,
            last: DocumentId::new(id).unwrap(),
        };
        let references = chunks.iter().zip(documents).map(reference).collect();
        Self { manifest: Manifest::seal(cards(), position, references), chunks }
    }

    fn text(&self, part: &Part) -> String {
        match part {
            Part::Manifest(_) => encode(&self.manifest),
            Part::Chunk { index, .. } => self.chunks[*index].clone(),
        }
    }
}

impl Bench {
    /// The parts that are asked for.
    fn parts(&mut self) -> Vec<(HttpId, Part)> {
        self.take(|effect| match effect {
            Effect::Fetch(id, fetch) => Some((*id, fetch.part.clone())),
            _ => None,
        })
    }

    /// Answers as long as something is asked for.
    fn fetch_all(&mut self, archive: &Archive) {
        loop {
            let parts = self.parts();
            if parts.is_empty() {
                return;
            }
            for (id, part) in parts {
                self.input(Input::Fetched(id, Ok(archive.text(&part))));
            }
            self.commit();
        }
    }

    /// The one part that is asked for.
    fn part(&mut self) -> HttpId {
        let parts = self.parts();
        let [(id, _)] = parts[..] else { panic!("not one part but {parts:?}") };
        id
    }

    /// Comes back when a part that did not come is due again; fails if there is nothing to wait for then.
    fn wait_for_retry(&mut self) {
        self.later(500);
        let next = self.engine.poll_timeout().expect("a link is watched").0;
        assert!(next > self.now, "due at {next}, and nothing is done about it at {}", self.now);
    }
}

/// The first of several pages from nothing.
fn first_page(recovered: bool) -> ServerFrame {
    let ServerFrame::Changes(page) = changes(None, 1, "z") else { unreachable!() };
    ServerFrame::Changes(Changes { recovered, more: true, ..page })
}

fn document(rev: u64) -> Document {
    let by = Dot { actor: ActorId(9), seq: Seq(rev) };
    let stamp = Stamp { at: Hlc { wall: Millis(rev), counter: 0 }, by, rev: Offset(rev) };
    Document { rev: Offset(rev), written: Some(stamp), ..Document::default() }
}

#[test]
fn an_edit_stays_in_view_until_what_a_snapshot_brought_has_been_read() {
    let mut bench = Bench::fresh();
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    bench.load(vec![]);
    let link = bench.connect();
    bench.submit(1, "b", 1);
    bench.commit();
    bench.receive(link, first_page(true));
    bench.receive(link, accepted(1, 5));
    let archive = Archive::of(at(6), &[("a", document(3)), ("b", document(5))]);
    bench.fetch_all(&archive);
    let ids = |bench: &Bench| -> Vec<String> {
        let documents = bench.engine.view(QueryId(1)).unwrap().documents;
        documents.iter().map(|document| document.id.to_string()).collect()
    };
    assert_eq!(ids(&bench), ["b"], "stored, and not read");
    let ServerFrame::Changes(mut nothing) = changes(Some(6), 6, "a") else { unreachable!() };
    nothing.documents.clear();
    bench.receive(link, ServerFrame::Changes(nothing));
    bench.commit();
    assert_eq!((ids(&bench), bench.engine.status().pending), (vec!["b".to_owned()], 1));
    let read = bench.take(|effect| if let Effect::Read(id, ..) = effect { Some(*id) } else { None });
    let rows = Rows { documents: vec![], segments: archive.chunks };
    bench.input(Input::Loaded(*read.last().unwrap(), Ok(rows)));
    assert_eq!((ids(&bench), bench.engine.status().pending), (vec!["a".to_owned(), "b".to_owned()], 0));
}

#[test]
fn a_part_that_is_due_waits_for_the_token_without_turning_round() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, first_page(true));
    let archive = Archive::of(at(6), &[("a", document(3)), ("b", document(5))]);
    let manifest = bench.part();
    bench.input(Input::Fetched(manifest, Ok(archive.text(&Part::Manifest(None)))));
    let parts = bench.parts();
    let expired = ProtocolError::new(ErrorCode::TokenExpired, "expired");
    bench.input(Input::Fetched(parts[0].0, Err(HttpFailure::Refused(expired))));
    bench.input(Input::Fetched(parts[1].0, Err(HttpFailure::Unreachable)));
    let asked = |bench: &mut Bench| bench.take(|effect| (*effect == Effect::FetchToken).then_some(())).len();
    assert_eq!(asked(&mut bench), 1);
    bench.wait_for_retry();
    bench.input(Input::Token(Err(TokenError("not now".into()))));
    let again = bench.engine.poll_timeout().unwrap().0;
    bench.later(again - bench.now);
    assert_eq!(asked(&mut bench), 1);
    bench.input(Input::Token(Ok("new".into())));
    assert_eq!(bench.parts().len(), 2);
}

#[test]
fn a_part_that_is_due_waits_for_room_in_the_store_without_turning_round() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, first_page(true));
    let documents = ["a", "b", "c", "d", "e", "f"].map(|id| (id, document(3)));
    let archive = Archive::of(at(6), &documents);
    let manifest = bench.part();
    bench.input(Input::Fetched(manifest, Ok(archive.text(&Part::Manifest(None)))));
    // The store takes its time; what has come waits for it.
    let mut parts = bench.parts();
    for _ in 0..4 {
        let (id, part) = parts.remove(0);
        bench.input(Input::Fetched(id, Ok(archive.text(&part))));
        parts.extend(bench.parts());
    }
    assert_eq!(parts.len(), 1);
    bench.input(Input::Fetched(parts[0].0, Err(HttpFailure::Unreachable)));
    bench.wait_for_retry();
    assert!(bench.parts().is_empty());
    bench.commit();
    assert_eq!(bench.parts().len(), 2);
}

#[test]
fn a_query_that_waits_for_a_snapshot_is_read_also_if_the_store_fails_before_that() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, first_page(true));
    let archive = Archive::of(at(6), &[("a", document(3)), ("b", document(5))]);
    let manifest = bench.part();
    bench.input(Input::Fetched(manifest, Ok(archive.text(&Part::Manifest(None)))));
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    bench.take(|effect| matches!(effect, Effect::Read(..)).then_some(()));
    // The first chunk is on its way to the store, where the last one and the flip wait behind it.
    for (id, part) in bench.parts() {
        bench.input(Input::Fetched(id, Ok(archive.text(&part))));
    }
    let ids = bench.take(|effect| if let Effect::Commit(id, _) = effect { Some(*id) } else { None });
    bench.input(Input::StoreFailed(ids[0], StoreError::Full("quota".into())));
    bench.later(1_000);
    bench.commit();
    assert!(!bench.engine.view(QueryId(1)).unwrap().loaded);
    bench.load(vec![]);
    assert!(bench.engine.view(QueryId(1)).unwrap().loaded);
}

#[test]
fn a_snapshot_that_is_stored_while_its_collection_begins_anew_is_not_the_one_in_view() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, first_page(true));
    let archive = Archive::of(at(6), &[("a", document(3)), ("b", document(5))]);
    // All is stored but the commit that puts it in its place, which takes its time.
    let flip = loop {
        let parts = bench.parts();
        let is_over = parts.is_empty();
        for (id, part) in parts {
            bench.input(Input::Fetched(id, Ok(archive.text(&part))));
        }
        let commits = bench.take(|effect| match effect {
            Effect::Commit(id, Batch::Replica(batch)) => Some((*id, !batch.flip.is_empty())),
            Effect::Commit(id, Batch::Outbox(_)) => Some((*id, false)),
            _ => None,
        });
        assert!(!is_over || !commits.is_empty(), "there is nothing to go on with");
        if let Some((id, _)) = commits.iter().find(|(_, flips)| *flips) {
            break *id;
        }
        commits.into_iter().for_each(|(id, _)| bench.input(Input::Committed(id)));
    };
    let ServerFrame::Changes(other) = changes(None, 2, "z") else { unreachable!() };
    bench.receive(link, ServerFrame::Changes(Changes { recovered: false, ..other }));
    bench.input(Input::Committed(flip));
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    let scans = bench.take(|effect| if let Effect::Read(_, _, scan) = effect { Some(*scan) } else { None });
    assert_eq!(scans, [storage::Scan::NONE]);
}
