//! Histories that end, and what is shown and settled meanwhile.

use super::*;
use crate::protocol::PullReply;

#[test]
fn a_judgement_of_a_former_epoch_settles_with_the_present_one() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, changes(None, 5, "a"));
    bench.submit(1, "a", 1);
    bench.commit();
    bench.frames();
    // Committed before the server began anew; the answer was lost then, and is repeated now.
    let position = StreamPosition { epoch: Epoch::new("former").unwrap(), offset: Offset(3) };
    let judgement = Judgement {
        seq: Seq(1),
        outcome: Outcome::Accepted {},
        position: Some(position),
        by: None,
        event: None,
    };
    bench.receive(link, ServerFrame::Outcomes(Outcomes { judgements: vec![judgement] }));
    assert_eq!(bench.engine.status().pending, 1, "either epoch may be the later one");
    assert!(matches!(&bench.frames()[..], [ClientFrame::Pull(resume)] if resume.after == Some(at(5))));
    bench.receive(link, changes(Some(5), 5, "a"));
    assert_eq!(bench.engine.status().pending, 0);
}

#[test]
fn an_edit_stays_in_view_while_the_replica_is_fetched_again() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, changes(None, 5, "a"));
    bench.commit();
    bench.submit(1, "a", 1);
    bench.commit();
    // Its maker had read past this write, whose stamp is later.
    let stamp = Stamp {
        at: Hlc { wall: Millis(9_000), counter: 0 },
        by: Dot { actor: ActorId(9), seq: Seq(1) },
        rev: Offset(5),
    };
    let register =
        Register { value: Some(Json::parse("2").unwrap()), stamp: Some(stamp), ..Register::default() };
    let fields = [(FieldName::new("n").unwrap(), register)].into();
    let document = Document { rev: Offset(5), fields, written: Some(stamp), ..Document::default() };
    bench.input(Input::Open(QueryId(1), Query::One(key("a"))));
    let reads = bench.take(|effect| if let Effect::Read(id, ..) = effect { Some(*id) } else { None });
    let stored = StoredDocument { key: key("a"), text: encode(&document) };
    bench.input(Input::Loaded(reads[0], Ok(Rows { documents: vec![stored], segments: vec![] })));
    let shown = |bench: &Bench| {
        let view = bench.engine.view(QueryId(1)).unwrap();
        view.documents[0].values().values().map(|value| value.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&bench), ["1"]);
    bench.receive(link, changes(Some(5), 6, "b"));
    let ids = bench.take(|effect| if let Effect::Commit(id, _) = effect { Some(*id) } else { None });
    bench.input(Input::StoreFailed(ids[0], StoreError::Full("quota".into())));
    assert_eq!(shown(&bench), ["1"]);
}

#[test]
fn a_history_that_does_not_go_on_is_reported_and_fetched_anew() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, changes(None, 5, "a"));
    bench.commit();
    let anew = Changes {
        collection: cards(),
        from: None,
        to: StreamPosition { epoch: Epoch::new("f").unwrap(), offset: Offset(2) },
        documents: vec![],
        recovered: false,
        more: false,
    };
    bench.receive(link, ServerFrame::Changes(anew));
    assert!(bench.events().contains(&Event::NotRecovered(cards())));
    let cleared = |effect: &Effect| match effect {
        Effect::Commit(_, Batch::Replica(batch)) => Some(batch.clear.clone()),
        _ => None,
    };
    assert_eq!(bench.take(cleared), [storage::Clear::Collections(vec![cards()])]);
}

#[test]
fn the_answer_to_an_older_question_settles_nothing_before_its_effect_is_there() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, changes(None, 5, "a"));
    bench.submit(1, "a", 1);
    bench.commit();
    bench.receive(link, accepted(1, 7));
    // Asked for before the server had the operation, by a reader of a former history.
    let mut late = changes(None, 6, "b");
    if let ServerFrame::Changes(changes) = &mut late {
        changes.recovered = false;
    }
    bench.receive(link, late);
    bench.commit();
    assert_eq!(bench.engine.status().pending, 1);
    bench.receive(link, changes(Some(6), 7, "a"));
    bench.commit();
    assert_eq!(bench.engine.status().pending, 0);
}

#[test]
fn what_is_read_of_a_replica_that_is_thrown_away_does_not_outlive_it() {
    let mut bench = Bench::new(Stored { cursors: Some(vec![(cards(), at(5))]), ..Stored::default() });
    let read = |effect: &Effect| if let Effect::Read(id, ..) = effect { Some(*id) } else { None };
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    let reads = bench.take(read);
    bench.input(Input::Loaded(reads[0], Err(StoreError::Failed("the disk is ill".into()))));
    bench.input(Input::Open(QueryId(2), Query::all(cards())));
    let by = Dot { actor: ActorId(9), seq: Seq(1) };
    let stamp = Stamp { at: Hlc { wall: Millis(1), counter: 0 }, by, rev: Offset(1) };
    let text = encode(&Document { rev: Offset(1), written: Some(stamp), ..Document::default() });
    let documents = vec![StoredDocument { key: key("gone"), text }];
    let reads = bench.take(read);
    bench.input(Input::Loaded(reads[0], Ok(Rows { documents, segments: vec![] })));
    let shown = |bench: &Bench| bench.engine.view(QueryId(2)).unwrap().documents.len();
    assert_eq!(shown(&bench), 1, "until the new history is here");
    bench.later(60_000);
    bench.commit();
    let link = bench.connect();
    bench.receive(link, changes(None, 6, "other"));
    bench.commit();
    assert_eq!(shown(&bench), 0);
}

#[test]
fn a_read_from_before_the_replica_was_emptied_brings_nothing_back() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, changes(None, 5, "a"));
    bench.commit();
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    let reads = |bench: &mut Bench| {
        bench.take(|effect| if let Effect::Read(id, ..) = effect { Some(*id) } else { None })
    };
    let early = reads(&mut bench);
    bench.receive(link, changes(Some(5), 6, "b"));
    let ids = bench.take(|effect| if let Effect::Commit(id, _) = effect { Some(*id) } else { None });
    bench.input(Input::StoreFailed(ids[0], StoreError::Full("quota".into())));
    bench.later(60_000);
    bench.commit();
    let stamp = Stamp {
        at: Hlc { wall: Millis(900), counter: 0 },
        by: Dot { actor: ActorId(9), seq: Seq(1) },
        rev: Offset(5),
    };
    let ghost = Document { rev: Offset(5), written: Some(stamp), ..Document::default() };
    let rows =
        Rows { documents: vec![StoredDocument { key: key("a"), text: encode(&ghost) }], segments: vec![] };
    bench.input(Input::Loaded(early[0], Ok(rows)));
    assert!(!bench.engine.view(QueryId(1)).unwrap().loaded, "what is there now has yet to be read");
    let late = reads(&mut bench);
    bench.input(Input::Loaded(late[0], Ok(Rows { documents: vec![], segments: vec![] })));
    let view = bench.engine.view(QueryId(1)).unwrap();
    assert_eq!((view.loaded, view.documents), (true, vec![]));
}

#[test]
fn a_judgement_keeps_its_place_when_the_store_fails() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.pushed();
    bench.receive(link, accepted(1, 6));
    bench.receive(link, changes(None, 3, "b"));
    let ids = bench.take(|effect| if let Effect::Commit(id, _) = effect { Some(*id) } else { None });
    bench.input(Input::StoreFailed(ids[0], StoreError::Full("quota".into())));
    // The answer to a question that the server had read for before it judged.
    bench.receive(link, changes(None, 5, "b"));
    bench.later(60_000);
    bench.commit();
    assert_eq!(bench.engine.status().pending, 1, "what was stored does not contain it");
    bench.receive(link, changes(Some(5), 6, "a"));
    bench.commit();
    assert_eq!(bench.engine.status().pending, 0);
}

#[test]
fn an_answer_to_a_hello_that_http_has_outrun_does_not_take_the_replica_back() {
    let stored = Stored { cursors: Some(vec![(cards(), at(5))]), ..Stored::default() };
    let mut bench = Bench::new(stored);
    let epoch = Epoch::new("later").unwrap();
    let position = |offset| StreamPosition { epoch: epoch.clone(), offset: Offset(offset) };
    let anew = |offset, more| Changes {
        collection: cards(),
        from: None,
        to: position(offset),
        documents: vec![],
        recovered: false,
        more,
    };
    // The first WebSocket does not open, so that HTTP stands in; the second one is slow to be welcomed.
    bench.input(Input::Wake);
    bench.input(Input::Token(Ok("token".into())));
    let link = bench.link();
    bench.input(Input::LinkDown(link));
    bench.input(Input::Wake);
    let link = bench.link();
    bench.frames();
    bench.input(Input::LinkUp(link));
    assert!(
        matches!(&bench.frames()[..], [ClientFrame::Hello(hello)] if hello.resume[0].after == Some(at(5)))
    );
    let calls = bench.take(|effect| if let Effect::Http(id, _) = effect { Some(*id) } else { None });
    let reply = PullReply { welcome: welcome("ada"), changes: vec![anew(20, false)], judgements: vec![] };
    bench.input(Input::HttpDone(*calls.last().expect("HTTP stands in"), Ok(Reply::Pull(reply))));
    bench.commit();
    assert!(bench.events().iter().any(|event| matches!(event, Event::NotRecovered(_))));
    bench.receive(link, ServerFrame::Welcome(welcome("ada")));
    bench.answer_fence();
    // What the server read for the hello is from before.
    bench.receive(link, ServerFrame::Changes(anew(12, true)));
    assert!(!bench.events().iter().any(|event| matches!(event, Event::NotRecovered(_))));
    let frames = bench.frames();
    assert!(
        matches!(&frames[..], [ClientFrame::Pull(resume)] if resume.after == Some(position(20))),
        "{frames:?}"
    );
    // That one is meant.
    bench.receive(link, ServerFrame::Changes(anew(3, false)));
    assert!(bench.events().iter().any(|event| matches!(event, Event::NotRecovered(_))));
}
