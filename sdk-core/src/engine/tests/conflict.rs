//! Operations that collide with what others wrote.

use super::{amend::codes, *};
use crate::{
    clock::VectorClock,
    protocol::{Author, Choice, Collision, Fields, Register, ResolvedBy, Resolves},
    reconcile::{Conflict, Resolution},
};

impl Bench {
    /// A client that has met a conflict on the first of two edits of a document, whose other version it knows.
    pub(super) fn in_conflict(strategy: Strategy) -> (Self, LinkId, Vec<OutboxBatch>) {
        let mut bench = Self::with(strategy, Stored { cursors: Some(vec![]), ..Stored::default() });
        bench.input(Input::Open(QueryId(1), Query::all(cards())));
        let reads = bench.take(|effect| if let Effect::Read(id, ..) = effect { Some(*id) } else { None });
        bench.input(Input::Loaded(reads[0], Ok(Rows { documents: vec![], segments: vec![] })));
        let link = bench.connect();
        bench.submit(1, "a", 1);
        let mut batches = bench.commit();
        assert_eq!(bench.pushed().len(), 1);
        bench.submit(2, "a", 2);
        bench.submit(3, "b", 3);
        batches.extend(bench.commit());
        bench.receive(link, theirs(None, 5, 9));
        bench.receive(link, conflicted(1, 5));
        batches.extend(bench.commit());
        (bench, link, batches)
    }

    fn asked(&mut self) -> Vec<(Seq, ResolveId, Conflict)> {
        self.take(|effect| match effect {
            Effect::Resolve(seq, id, conflict) => Some((*seq, *id, conflict.clone())),
            _ => None,
        })
    }

    fn answer(&mut self, resolution: Result<Resolution, String>, took: u64) {
        let (seq, id, _) = self.asked().pop().expect("the function is asked");
        self.input(Input::Resolved { seq, id, resolution, took });
    }
}

fn value(number: u32) -> Json {
    Json::parse(number.to_string()).unwrap()
}

fn field() -> FieldName {
    FieldName::new("n").unwrap()
}

/// Somebody else has written the field.
pub(super) fn theirs(from: Option<u64>, to: u64, number: u32) -> ServerFrame {
    let by = Dot { actor: ActorId(9), seq: Seq(to) };
    let stamp = Stamp { at: Hlc { wall: Millis(900), counter: 0 }, by, rev: Offset(to) };
    let mut clock = VectorClock::default();
    clock.record(by).unwrap();
    let register = Register { value: Some(value(number)), stamp: Some(stamp), ..Register::default() };
    let doc = Document {
        rev: Offset(to),
        clock,
        fields: [(field(), register)].into(),
        written: Some(stamp),
        ..Document::default()
    };
    let ServerFrame::Changes(mut frame) = changes(from, to, "a") else { unreachable!() };
    frame.documents[0].doc = doc;
    ServerFrame::Changes(frame)
}

fn conflicted(seq: u64, offset: u64) -> ServerFrame {
    let author = Author { subject: "eve".into(), at: Millis(900) };
    let collision = Collision { fields: vec![field()], theirs: Some(author) };
    let outcome = Outcome::Conflicted(collision);
    let judgement = Judgement { seq: Seq(seq), outcome, position: Some(at(offset)), by: None, event: None };
    ServerFrame::Outcomes(Outcomes { judgements: vec![judgement] })
}

#[test]
fn a_conflict_rests_in_the_inbox_with_all_that_one_needs_to_decide_it() {
    let (mut bench, ..) = Bench::in_conflict(Strategy::Manual);
    let conflicts = bench.engine.conflicts();
    let [one] = &conflicts[..] else { panic!("{conflicts:?}") };
    assert_eq!((one.seq, &one.fields[..]), (Seq(1), &[field()][..]));
    let fields = |number| Some([(field(), value(number))].into());
    assert_eq!((&one.base, &one.mine, &one.theirs), (&Some([].into()), &fields(1), &fields(9)));
    assert_eq!(one.by.as_ref().unwrap().subject, "eve");
    assert_eq!((one.mine_at, bench.engine.status().conflicts), (Millis(1_000), 1));
    assert!(bench.events().contains(&Event::ConflictsChanged));
    let shown = bench.engine.view(QueryId(1)).unwrap().documents;
    assert_eq!([shown[0].conflicted, shown[1].conflicted], [true, false]);
}

#[test]
fn the_lane_of_a_conflict_waits_and_no_other() {
    let (mut bench, ..) = Bench::in_conflict(Strategy::Manual);
    let sent: Vec<Seq> = bench.pushed().iter().map(|operation| operation.seq).collect();
    assert_eq!(sent, [Seq(3)]);
}

#[test]
fn a_resolved_conflict_is_sent_again_under_its_number_and_its_lane_goes_on() {
    let (mut bench, link, _) = Bench::in_conflict(Strategy::Manual);
    bench.pushed();
    bench.amend(4, 1, Amendment::Resolve(Resolution::Merged([(field(), value(5))].into())));
    assert!(bench.pushed().is_empty(), "stored before it is sent");
    bench.commit();
    assert!(bench.events().contains(&Event::Submitted(Ticket(4), Seq(1))));
    let sent = bench.pushed();
    let [operation] = &sent[..] else { panic!("{sent:?}") };
    let Resolves { choice, by, .. } = operation.resolves.as_ref().unwrap();
    assert_eq!((operation.seq, *choice, *by), (Seq(1), Choice::Merged, ResolvedBy::Person));
    assert!(operation.base.clock.covers(Dot { actor: ActorId(9), seq: Seq(5) }));
    assert_eq!((operation.base.seen.clone(), bench.engine.status().conflicts), (Some(at(5)), 0));
    bench.receive(link, accepted(1, 6));
    assert_eq!(bench.pushed()[0].seq, Seq(2));
}

#[test]
fn a_conflict_survives_a_restart_and_its_document_is_read() {
    let (_, _, batches) = Bench::in_conflict(Strategy::Manual);
    let mut stored = Bench::stored(batches);
    stored.cursors = Some(vec![(cards(), at(5))]);
    let mut bench = Bench::with(Strategy::Manual, stored);
    assert_eq!(bench.engine.status().conflicts, 1);
    bench.input(Input::Timeout);
    bench.amend(4, 1, Amendment::Resolve(Resolution::TakeMine));
    assert_eq!(codes(&bench.events()), [(4, "not_ready")]);
    let reads = bench.take(|effect| match effect {
        Effect::Read(id, Query::One(doc), _) => Some((*id, doc.clone())),
        _ => None,
    });
    let [(read, doc)] = &reads[..] else { panic!("{reads:?}") };
    let ServerFrame::Changes(frame) = theirs(None, 5, 9) else { unreachable!() };
    let text = encode(&frame.documents[0].doc);
    bench.input(Input::Loaded(
        *read,
        Ok(Rows { documents: vec![StoredDocument { key: doc.clone(), text }], segments: vec![] }),
    ));
    let their = bench.engine.conflicts()[0].theirs.clone();
    assert_eq!(their, Some([(field(), value(9))].into()));
    bench.amend(5, 1, Amendment::Resolve(Resolution::TakeMine));
    bench.commit();
    assert_eq!(bench.engine.status().conflicts, 0);
}

#[test]
fn the_other_version_is_kept_up_to_date() {
    let (mut bench, link, _) = Bench::in_conflict(Strategy::Manual);
    bench.events();
    bench.receive(link, theirs(Some(5), 6, 10));
    bench.commit();
    assert!(bench.events().contains(&Event::ConflictsChanged));
    assert_eq!(bench.engine.conflicts()[0].theirs, Some([(field(), value(10))].into()));
}

#[test]
fn a_decision_that_could_not_be_saved_leaves_the_conflict() {
    let (mut bench, ..) = Bench::in_conflict(Strategy::Manual);
    bench.amend(4, 1, Amendment::Resolve(Resolution::TakeTheirs));
    bench.fail_commit();
    assert_eq!(codes(&bench.events()), [(4, "storage_full")]);
    assert_eq!(bench.engine.status().conflicts, 1);
}

#[test]
fn the_applications_function_decides_where_it_may() {
    let (mut bench, ..) = Bench::in_conflict(Strategy::Merge);
    bench.pushed();
    bench.answer(Ok(Resolution::Merged([(field(), value(5))].into())), 51);
    bench.commit();
    assert!(bench.events().contains(&Event::SlowResolver(key("a"), 51)));
    let sent = bench.pushed();
    assert_eq!(sent[0].resolves.as_ref().unwrap().by, ResolvedBy::Merger);
}

#[test]
fn a_function_that_gives_nothing_useful_leaves_the_conflict_to_a_person() {
    for answer in [Err("it threw".to_owned()), Ok(Resolution::Defer)] {
        let (mut bench, ..) = Bench::in_conflict(Strategy::Merge);
        bench.answer(answer, 0);
        let batches = bench.commit();
        assert!(bench.engine.conflicts()[0].problem.is_some());
        assert!(bench.asked().is_empty(), "it is not asked again");
        assert!(batches[0].put[0].text.contains("problem"), "nor after a restart");
        bench.amend(4, 1, Amendment::Resolve(Resolution::TakeMine));
        bench.commit();
        assert_eq!(bench.engine.status().conflicts, 0);
    }
}

#[test]
fn who_decides_about_an_older_version_is_asked_again() {
    let (mut bench, link, _) = Bench::in_conflict(Strategy::Merge);
    let (seq, id, _) = bench.asked().pop().unwrap();
    bench.receive(link, theirs(Some(5), 6, 10));
    bench.commit();
    bench.input(Input::Resolved { seq, id, resolution: Ok(Resolution::TakeMine), took: 0 });
    assert_eq!(bench.engine.status().conflicts, 1);
    let (_, _, conflict) = bench.asked().pop().unwrap();
    assert_eq!(conflict.theirs, Some([(field(), value(10))].into()));
}

#[test]
fn what_is_resolved_again_and_again_and_still_conflicts_is_left_to_a_person() {
    let (mut bench, link, _) = Bench::in_conflict(Strategy::Merge);
    for round in 0..8 {
        bench.answer(Ok(Resolution::TakeMine), 0);
        bench.commit();
        assert!(bench.pushed().iter().any(|operation| operation.seq == Seq(1)), "{round}");
        bench.receive(link, conflicted(1, 5));
        bench.commit();
    }
    assert!(bench.asked().is_empty());
    assert!(bench.engine.conflicts()[0].problem.is_some());
}

#[test]
fn a_late_copy_that_was_applied_after_all_ends_the_conflict() {
    let (mut bench, link, _) = Bench::in_conflict(Strategy::Manual);
    bench.pushed();
    let ServerFrame::Changes(mut frame) = theirs(Some(5), 6, 10) else { unreachable!() };
    frame.documents[0].doc.clock.record(Dot { actor: ActorId(3), seq: Seq(1) }).unwrap();
    bench.receive(link, ServerFrame::Changes(frame));
    bench.commit();
    assert_eq!(bench.engine.status().conflicts, 0);
    let sent = bench.pushed();
    assert_eq!((sent[0].seq, &sent[0].resolves), (Seq(1), &None), "it gets the judgement that is there");
}

#[test]
fn the_largest_operation_can_be_decided_either_way() {
    let limit = 600;
    for resolution in
        [Resolution::TakeMine, Resolution::TakeTheirs, Resolution::Merged([(field(), value(5))].into())]
    {
        let mut bench = Bench::with(Strategy::Manual, Stored { cursors: Some(vec![]), ..Stored::default() });
        bench.input(Input::Open(QueryId(1), Query::all(cards())));
        let reads = bench.take(|effect| if let Effect::Read(id, ..) = effect { Some(*id) } else { None });
        bench.input(Input::Loaded(reads[0], Ok(Rows { documents: vec![], segments: vec![] })));
        let link = bench.connect();
        bench.engine.config.operation_bytes = limit;
        let text = |length: usize| Json::parse(format!("\"{}\"", "x".repeat(length))).unwrap();
        let submit = |bench: &mut Bench, ticket: u64, length: usize| {
            let fields = [(field(), value(1)), (FieldName::new("text").unwrap(), text(length))].into();
            let intents = vec![Intent::Set(fields)];
            bench.input(Input::Submit {
                ticket: Ticket(ticket),
                doc: key("a"),
                schema: 0,
                intents,
                after: vec![],
            });
            bench.commit();
            codes(&bench.events())
        };
        // The longest text that is not refused.
        let most = (limit - 200..limit).rev().find(|length| submit(&mut bench, 1, *length).is_empty());
        assert!(most.is_some());
        assert_eq!(bench.pushed().len(), 1);
        bench.receive(link, theirs(None, 5, 9));
        bench.receive(link, conflicted(1, 5));
        bench.commit();
        bench.amend(4, 1, Amendment::Resolve(resolution));
        bench.commit();
        assert!(bench.events().contains(&Event::Submitted(Ticket(4), Seq(1))));
        let sent = bench.pushed();
        assert!(
            sent[0].payload().len() <= limit && sent[0].resolves.is_some(),
            "it is sent, and the server takes it"
        );
        assert_eq!(sent[0].at.wall, Millis(1_000));
    }
}

#[test]
fn an_edit_shows_whole_while_the_document_that_it_left_as_it_was_is_not_at_hand() {
    let mut bench = Bench::with(Strategy::Manual, Stored { cursors: Some(vec![]), ..Stored::default() });
    bench.submit(1, "a", 1);
    let mut stored = Bench::stored(bench.commit());
    stored.outbox[0].text = r#"{"operations":[{"op":{"seq":1,"doc":["cards","a"],"at":[5,0],
        "intents":[{"put":{"kept":1,"new":2}}],"base":{"was":{"kept":1}}},"attempts":0}]}"#
        .into();
    let mut later = Bench::with(Strategy::Manual, stored);
    assert_eq!(later.engine.status().damaged, 0);
    later.input(Input::Open(QueryId(1), Query::all(cards())));
    let view = later.engine.view(QueryId(1)).unwrap();
    let values = view.documents[0].values();
    assert_eq!(values.keys().map(FieldName::as_str).collect::<Vec<_>>(), ["kept", "new"]);
}

#[test]
fn what_an_edit_wrote_first_is_not_what_its_maker_saw_however_often_it_is_changed() {
    let mut bench = Bench::with(Strategy::Manual, Stored { cursors: Some(vec![]), ..Stored::default() });
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    let reads = bench.take(|effect| if let Effect::Read(id, ..) = effect { Some(*id) } else { None });
    bench.input(Input::Loaded(reads[0], Ok(Rows { documents: vec![], segments: vec![] })));
    let put = |other: u32| {
        vec![Intent::Put([(field(), value(1)), (FieldName::new("o").unwrap(), value(other))].into())]
    };
    let submit = |bench: &mut Bench, ticket: u64, id: &str, intents: Vec<Intent>| {
        let (ticket, doc) = (Ticket(ticket), key(id));
        bench.input(Input::Submit { ticket, doc, schema: 0, intents, after: vec![] });
        bench.commit();
    };
    submit(&mut bench, 1, "folded", set(1));
    submit(&mut bench, 2, "folded", put(2));
    submit(&mut bench, 3, "edited", set(1));
    bench.amend(4, 2, Amendment::Edit(0, put(2)));
    bench.commit();
    bench.connect();
    let sent = bench.pushed();
    assert_eq!(sent.len(), 2);
    for operation in sent {
        // With a value that was "seen" the field would count as left as it was, and nobody would write it.
        assert_eq!((operation.intents, operation.base.was), (put(2), Some(Fields::default())));
    }
}
