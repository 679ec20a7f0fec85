//! Judgements that come between the pages that bring their effect.

use super::*;

/// The values that show, by id of their document.
fn shown(bench: &Bench) -> Vec<(String, String)> {
    let documents = bench.engine.view(QueryId(1)).unwrap().documents;
    let value = |document: &ViewDocument| document.values().values().next().unwrap().as_str().to_owned();
    documents.iter().map(|document| (document.id.to_string(), value(document))).collect()
}

fn expected(values: &[(&str, &str)]) -> Vec<(String, String)> {
    values.iter().map(|(id, value)| ((*id).to_owned(), (*value).to_owned())).collect()
}

/// What another client wrote, at this revision.
fn written(rev: u64, value: u32) -> Document {
    let by = Dot { actor: ActorId(9), seq: Seq(rev) };
    let stamp = Stamp { at: Hlc { wall: Millis(900 + rev), counter: 0 }, by, rev: Offset(rev) };
    let value = Some(Json::parse(value.to_string()).unwrap());
    let fields =
        [(FieldName::new("n").unwrap(), Register { value, stamp: Some(stamp), ..Register::default() })];
    Document { rev: Offset(rev), written: Some(stamp), fields: fields.into(), ..Document::default() }
}

fn page(from: u64, to: u64, id: &str, doc: Document, more: bool) -> ServerFrame {
    let documents = vec![Changed { id: DocumentId::new(id).unwrap(), doc }];
    let (collection, from, to) = (cards(), Some(at(from)), at(to));
    ServerFrame::Changes(Changes { collection, from, to, documents, recovered: true, more })
}

fn stored(id: &str, document: &Document) -> StoredDocument {
    StoredDocument { key: key(id), text: encode(document) }
}

#[test]
fn an_edit_that_was_overwritten_meanwhile_stays_in_view_until_the_last_page() {
    let stored_at = |position| Stored { cursors: Some(vec![(cards(), position)]), ..Stored::default() };
    let mut bench = Bench::new(stored_at(at(5)));
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    bench.load(vec![stored("a", &written(5, 50))]);
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.receive(link, accepted(1, 6));
    // Somebody has written `a` once more, so that it is not in the page of what was written up to 7.
    bench.receive(link, page(5, 7, "b", written(7, 70), true));
    bench.commit();
    assert_eq!(shown(&bench), expected(&[("a", "1"), ("b", "70")]));
    assert_eq!(bench.engine.status().pending, 1);
    bench.receive(link, page(7, 9, "a", written(9, 90), false));
    bench.commit();
    assert_eq!(shown(&bench), expected(&[("a", "90"), ("b", "70")]));
    assert_eq!(bench.engine.status().pending, 0);
}

#[test]
fn a_restart_between_two_pages_settles_nothing_before_the_last_one() {
    let mut first = Bench::fresh();
    first.submit(1, "a", 1);
    let mut after = Bench::stored(first.commit());
    after.cursors = Some(vec![(cards(), at(7))]);
    let mut bench = Bench::new(after);
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    bench.load(vec![stored("a", &written(5, 50)), stored("b", &written(7, 70))]);
    let link = bench.connect();
    assert_eq!(bench.pushed().len(), 1);
    bench.receive(link, accepted(1, 6));
    assert_eq!(shown(&bench), expected(&[("a", "1"), ("b", "70")]));
    bench.receive(link, page(7, 9, "a", written(9, 90), false));
    bench.commit();
    assert_eq!(shown(&bench), expected(&[("a", "90"), ("b", "70")]));
    assert_eq!(bench.engine.status().pending, 0);
}

#[test]
fn an_answer_without_news_tells_that_a_page_was_the_last() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.receive(link, changes(None, 5, "a"));
    bench.receive(link, page(5, 7, "b", written(7, 70), true));
    bench.receive(link, accepted(1, 6));
    bench.commit();
    assert_eq!(bench.engine.status().pending, 1);
    let ServerFrame::Changes(mut nothing) = changes(Some(7), 7, "b") else { unreachable!() };
    nothing.documents.clear();
    bench.receive(link, ServerFrame::Changes(nothing));
    bench.commit();
    assert_eq!(bench.engine.status().pending, 0);
}

#[test]
fn an_answer_to_an_older_question_that_has_more_to_come_is_followed_by_another_question() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, changes(None, 5, "a"));
    bench.receive(link, changes(Some(5), 7, "a"));
    bench.commit();
    bench.frames();
    bench.receive(link, page(3, 6, "b", written(6, 60), true));
    let frames = bench.frames();
    let [ClientFrame::Pull(resume)] = &frames[..] else { panic!("no pull but {frames:?}") };
    assert_eq!(resume.after, Some(at(7)));
}
