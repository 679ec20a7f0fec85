//! Edits that fold, and operations that are edited, tried again, withdrawn.

use super::*;
use crate::protocol::Rejection;

impl Bench {
    fn after(&mut self, ticket: u64, id: &str, parents: &[u64]) {
        let after = parents.iter().copied().map(Seq).collect();
        let (ticket, doc) = (Ticket(ticket), key(id));
        self.input(Input::Submit { ticket, doc, schema: 0, intents: set(1), after });
    }

    pub(super) fn amend(&mut self, ticket: u64, seq: u64, amendment: Amendment) {
        self.input(Input::Amend(Ticket(ticket), Seq(seq), amendment));
    }

    pub(super) fn fail_commit(&mut self) {
        let ids = self.take(|effect| if let Effect::Commit(id, _) = effect { Some(*id) } else { None });
        self.input(Input::StoreFailed(ids[0], StoreError::Full("quota".into())));
    }

    /// What a document of one field shows.
    pub(super) fn shown(&self, id: &str) -> Option<String> {
        let documents = self.engine.view(QueryId(1)).unwrap().documents;
        let document = documents.into_iter().find(|document| document.id.as_str() == id)?;
        document.values().values().next().map(|value| value.as_str().to_owned())
    }

    pub(super) fn looking() -> Self {
        let mut bench = Self::fresh();
        bench.input(Input::Open(QueryId(1), Query::all(cards())));
        bench
    }

    /// A restart with what the batches have written.
    fn restarted(batches: Vec<OutboxBatch>) -> Self {
        Self::new(Self::stored(batches))
    }

    pub(super) fn stored(batches: Vec<OutboxBatch>) -> Stored {
        let mut stored = Stored { cursors: Some(vec![]), ..Stored::default() };
        for batch in batches {
            stored.outbox.retain(|record| !batch.remove.contains(&record.key));
            for record in batch.put {
                stored.outbox.retain(|old| old.key != record.key);
                stored.outbox.push(record);
            }
            stored.meta = batch.meta.or(stored.meta);
        }
        stored.outbox.sort_by_key(|record| record.key);
        stored
    }
}

pub(super) fn rejected(seq: u64) -> ServerFrame {
    let reason = Rejection { code: ErrorCode::DocumentTooLarge, message: "big".into() };
    let judgement = Judgement {
        seq: Seq(seq),
        outcome: Outcome::Rejected(reason),
        position: None,
        by: None,
        event: None,
    };
    ServerFrame::Outcomes(Outcomes { judgements: vec![judgement] })
}

pub(super) fn codes(events: &[Event]) -> Vec<(u64, &'static str)> {
    let code = |event: &Event| match event {
        Event::Settled(seq, _, Outcome::Rejected(reason)) => Some((seq.0, reason.code.as_str())),
        Event::Refused(ticket, refusal) => Some((ticket.0, refusal.code())),
        _ => None,
    };
    events.iter().filter_map(code).collect()
}

#[test]
fn edits_of_a_document_that_were_not_sent_become_one_operation() {
    let mut bench = Bench::looking();
    bench.submit(1, "a", 1);
    bench.commit();
    for (ticket, value) in [(2, 2), (3, 3), (4, 4)] {
        bench.submit(ticket, "a", value);
        bench.commit();
    }
    let events = bench.events();
    (1..=4).for_each(|n| assert!(events.contains(&Event::Submitted(Ticket(n), Seq(1))), "{n}"));
    assert_eq!((bench.engine.status().pending, bench.shown("a")), (1, Some("4".into())));
    let link = bench.connect();
    let pushed = bench.pushed();
    assert_eq!((pushed.len(), &pushed[0].intents), (1, &set(4)));
    bench.receive(link, accepted(1, 5));
    bench.submit(5, "a", 5);
    bench.commit();
    assert_eq!(bench.pushed()[0].seq, Seq(2), "what was sent takes no more edits");
}

#[test]
fn an_edit_that_could_not_be_saved_leaves_the_one_it_was_folded_into() {
    let mut bench = Bench::looking();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.submit(2, "a", 2);
    bench.fail_commit();
    assert_eq!(codes(&bench.events()), [(2, "storage_full")]);
    assert_eq!((bench.engine.status().pending, bench.shown("a")), (1, Some("1".into())));
    bench.later(60_000);
    bench.commit();
    bench.connect();
    assert_eq!(bench.pushed()[0].intents, set(1));
}

#[test]
fn an_edit_of_another_state_of_the_document_is_another_operation() {
    let mut bench = Bench::looking();
    let link = bench.connect();
    bench.engine.limits.in_flight_operations = 1;
    bench.submit(1, "z", 1);
    bench.submit(2, "a", 1);
    bench.commit();
    assert_eq!(bench.pushed().len(), 1, "the other one waits");
    let mut clock = crate::clock::VectorClock::default();
    clock.record(Dot { actor: ActorId(9), seq: Seq(1) }).unwrap();
    let doc = Document { rev: Offset(5), clock, ..Document::default() };
    let ServerFrame::Changes(mut changes) = changes(None, 5, "a") else { unreachable!() };
    changes.documents[0].doc = doc;
    bench.receive(link, ServerFrame::Changes(changes));
    bench.commit();
    bench.submit(3, "a", 2);
    bench.commit();
    assert!(bench.events().contains(&Event::Submitted(Ticket(3), Seq(3))));
}

#[test]
fn what_comes_from_storage_may_have_been_sent_and_takes_no_more_edits() {
    let mut bench = Bench::fresh();
    bench.submit(1, "a", 1);
    let mut bench = Bench::restarted(bench.commit());
    bench.submit(2, "a", 2);
    bench.amend(3, 1, Amendment::Abort);
    bench.commit();
    assert_eq!(bench.engine.status().pending, 2);
    assert_eq!(codes(&bench.events()), [(3, "too_late")]);
}

#[test]
fn folding_can_be_switched_off() {
    let mut config = Config::new(vec![(cards(), Strategy::FieldLevel)], ClientId::from_random([7; 16]));
    config.coalesce = false;
    let mut bench = Bench::fresh();
    bench.engine = Engine::restore(Stored { cursors: Some(vec![]), ..Stored::default() }, config, 1);
    for ticket in [1, 2] {
        bench.submit(ticket, "a", 1);
        bench.commit();
    }
    assert_eq!(bench.engine.status().pending, 2);
}

#[test]
fn an_operation_that_others_depend_on_takes_no_more_edits() {
    let mut bench = Bench::fresh();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.after(2, "b", &[1]);
    bench.commit();
    bench.submit(3, "a", 2);
    bench.commit();
    assert!(bench.events().contains(&Event::Submitted(Ticket(3), Seq(3))));
}

#[test]
fn an_edited_operation_keeps_its_place_and_goes_out_as_edited() {
    let mut bench = Bench::looking();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.amend(2, 1, Amendment::Edit(0, set(9)));
    assert!(!bench.events().contains(&Event::Submitted(Ticket(2), Seq(1))), "durable before it is reported");
    bench.connect();
    assert!(bench.pushed().is_empty(), "and before it is sent");
    bench.commit();
    assert!(bench.events().contains(&Event::Submitted(Ticket(2), Seq(1))));
    assert_eq!(bench.pushed()[0].intents, set(9));
    bench.amend(3, 1, Amendment::Edit(0, set(8)));
    assert_eq!(codes(&bench.events()), [(3, "too_late")]);
}

#[test]
fn a_change_waits_for_the_commit_under_way() {
    let mut bench = Bench::looking();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.amend(2, 1, Amendment::Edit(0, set(2)));
    bench.amend(3, 1, Amendment::Edit(0, set(3)));
    bench.fail_commit();
    bench.commit();
    let events = bench.events();
    assert_eq!(codes(&events), [(2, "storage_full")]);
    assert!(events.contains(&Event::Submitted(Ticket(3), Seq(1))));
    assert_eq!(bench.shown("a"), Some("3".into()));
}

#[test]
fn a_withdrawn_operation_is_never_sent_and_its_dependents_fail() {
    let mut bench = Bench::looking();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.after(2, "b", &[1]);
    bench.commit();
    bench.events();
    bench.amend(3, 1, Amendment::Abort);
    assert!(codes(&bench.events()).is_empty(), "durable before it is reported");
    let batches = bench.commit();
    let events = bench.events();
    assert!(events.contains(&Event::Submitted(Ticket(3), Seq(1))));
    assert_eq!(codes(&events), [(1, "aborted"), (2, "dependency_failed")]);
    assert_eq!(batches[0].remove.len() + batches[0].put.len(), 2, "both in one commit");
    bench.connect();
    assert!(bench.pushed().is_empty());
    assert_eq!((bench.shown("a"), bench.shown("b")), (None, None));
}

#[test]
fn what_is_discarded_before_its_end_was_told_ends_all_the_same() {
    let mut bench = Bench::looking();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.after(2, "b", &[1]);
    bench.commit();
    bench.amend(3, 1, Amendment::Abort);
    bench.events();
    bench.input(Input::Discard(Seq(2)));
    assert!(codes(&bench.events()).is_empty(), "it comes back if that cannot be saved");
    bench.commit();
    assert_eq!(codes(&bench.events()), [(1, "aborted"), (2, "aborted")]);
    bench.commit();
    assert_eq!((bench.engine.status().rejected, bench.engine.status().pending), (0, 0));
}

#[test]
fn a_dead_letter_tells_when_and_how_often_and_is_tried_again_under_another_number() {
    let mut bench = Bench::looking();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.pushed();
    bench.receive(link, rejected(1));
    bench.commit();
    let dead = bench.engine.rejected();
    assert_eq!((dead[0].seq, dead[0].attempts, dead[0].at), (Seq(1), 1, Millis(1_000)));
    bench.amend(2, 1, Amendment::Retry);
    bench.commit();
    assert!(bench.events().contains(&Event::Submitted(Ticket(2), Seq(2))));
    assert_eq!((bench.pushed()[0].seq, bench.engine.status().rejected), (Seq(2), 0));
    bench.amend(3, 2, Amendment::Retry);
    assert_eq!(codes(&bench.events()), [(3, "too_late")]);
}

#[test]
fn a_dead_letter_can_be_mended_and_dropped() {
    let mut bench = Bench::looking();
    let link = bench.connect();
    for (ticket, id) in [(1, "a"), (2, "b")] {
        bench.submit(ticket, id, 1);
    }
    bench.commit();
    bench.pushed();
    bench.receive(link, rejected(1));
    bench.receive(link, rejected(2));
    bench.amend(3, 1, Amendment::Edit(0, set(7)));
    bench.amend(4, 2, Amendment::Abort);
    bench.commit();
    assert_eq!(bench.pushed()[0].intents, set(7));
    let status = bench.engine.status();
    assert_eq!((status.pending, status.rejected), (1, 0));
}

#[test]
fn who_would_depend_on_what_is_dead_or_unknown_is_refused() {
    let mut bench = Bench::looking();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.after(2, "b", &[1]);
    bench.commit();
    bench.pushed();
    bench.receive(link, rejected(1));
    bench.after(3, "c", &[1]);
    bench.after(4, "d", &[99]);
    bench.after(5, "e", &[1; 17]);
    let refused = [(2, "invalid_operation"), (1, "document_too_large"), (3, "dependency_failed")];
    let expected = [&refused[..], &[(4, "invalid_operation"), (5, "invalid_operation")]].concat();
    assert_eq!(codes(&bench.events()), expected);
}

#[test]
fn nothing_can_wait_for_an_operation_that_is_being_withdrawn() {
    let mut bench = Bench::fresh();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.input(Input::Amend(Ticket(2), Seq(1), Amendment::Abort));
    let (doc, intents, after) = (key("b"), set(1), vec![Seq(1)]);
    bench.input(Input::Submit { ticket: Ticket(3), doc, schema: 0, intents, after });
    let refused = Event::Refused(Ticket(3), Refusal::DependencyFailed { parent: Seq(1) });
    assert!(bench.events().contains(&refused), "it would be sent without the other");
    bench.commit();
}

#[test]
fn what_could_not_be_changed_is_sent_once_it_is_stored_as_it_was() {
    for amendment in [|| Amendment::Edit(0, set(2)), || Amendment::Abort] {
        let mut bench = Bench::fresh();
        bench.submit(1, "a", 1);
        bench.commit();
        bench.input(Input::Amend(Ticket(2), Seq(1), amendment()));
        let commits = bench.take(|effect| if let Effect::Commit(id, _) = effect { Some(*id) } else { None });
        bench.input(Input::StoreFailed(commits[0], StoreError::Failed("written all the same".into())));
        bench.connect();
        assert!(bench.pushed().is_empty(), "what is stored may be the change");
        bench.later(60_000);
        bench.commit();
        bench.connect();
        assert_eq!(bench.pushed()[0].intents, set(1));
    }
}

#[test]
fn a_dead_letter_that_somebody_has_applied_all_the_same_leaves_with_its_effect() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    for (ticket, id) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.submit(ticket, id, 1);
    }
    bench.commit();
    bench.pushed();
    bench.receive(link, rejected(1));
    bench.receive(link, rejected(2));
    bench.commit();
    bench.events();
    bench.input(Input::LinkDown(link));
    bench.later(120_000);
    let link = bench.link();
    bench.frames();
    bench.input(Input::LinkUp(link));
    let frames = bench.frames();
    let [ClientFrame::Hello(hello)] = &frames[..] else { panic!("a hello: {frames:?}") };
    assert_eq!(hello.rejected, Some(vec![Seq(2), Seq(1)]), "it says which it holds, the newest first");
    bench.receive(link, ServerFrame::Welcome(welcome("ada")));
    // A refusal that is repeated changes nothing.
    bench.receive(link, rejected(2));
    bench.receive(link, accepted(1, 7));
    bench.receive(link, changes(None, 7, "a"));
    bench.commit();
    let told = Event::Settled(Seq(1), Some(key("a")), Outcome::Accepted {});
    assert!(bench.events().contains(&told));
    let dead: Vec<Seq> = bench.engine.rejected().iter().map(|dead| dead.seq).collect();
    assert_eq!(dead, [Seq(2)]);
}
