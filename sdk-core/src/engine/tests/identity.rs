//! A client whose id was used by a copy of it.

use super::*;
use crate::{
    protocol::Rejection,
    reconcile::{self, Write},
};

fn reused(seq: u64) -> ServerFrame {
    let reason = Rejection { code: ErrorCode::OperationIdReused, message: "used".into() };
    let judgement = Judgement {
        seq: Seq(seq),
        outcome: Outcome::Rejected(reason),
        position: None,
        by: None,
        event: None,
    };
    ServerFrame::Outcomes(Outcomes { judgements: vec![judgement] })
}

impl Bench {
    /// Three operations in flight, of which another copy has used the first one's id.
    fn cloned() -> (Self, LinkId) {
        let mut bench = Self::fresh();
        let link = bench.connect();
        for (ticket, id) in [(1, "a"), (2, "b"), (3, "c")] {
            bench.submit(ticket, id, 1);
        }
        bench.commit();
        assert_eq!(bench.pushed().len(), 3);
        bench.receive(link, reused(1));
        (bench, link)
    }
}

#[test]
fn another_id_is_taken_once_all_else_is_judged_and_only_the_rest_goes_out_under_it() {
    let (mut bench, link) = Bench::cloned();
    let former = bench.engine.client();
    bench.receive(link, accepted(2, 1));
    assert_eq!(bench.engine.client(), former, "one is still on its way");
    bench.receive(link, accepted(3, 2));
    bench.receive(link, changes(None, 2, "c"));
    assert!(bench.pushed().is_empty());
    let batches = bench.commit();
    let renewed = bench.engine.client();
    assert_ne!(renewed, former);
    let stored = batches.iter().filter_map(|batch| batch.meta.as_ref()).next_back().unwrap();
    assert!(stored.contains(&renewed.to_string()));
    let told = bench.events().into_iter().filter(|event| *event == Event::IdentityRenewed).count();
    assert_eq!((told, bench.engine.rejected().len()), (1, 0));
    bench.connect();
    let sent: Vec<_> = bench.pushed().iter().map(|operation| (operation.seq, operation.maker)).collect();
    assert_eq!(sent, [(Seq(1), Some(former))], "a copy may hold it too, and take yet another id");
}

#[test]
fn nothing_goes_out_under_an_id_that_is_not_durable() {
    let (mut bench, link) = Bench::cloned();
    bench.receive(link, accepted(2, 1));
    bench.receive(link, accepted(3, 2));
    bench.receive(link, changes(None, 2, "c"));
    let replica = |effect: &Effect| match effect {
        Effect::Commit(id, Batch::Replica(_)) => Some(*id),
        _ => None,
    };
    let ids = bench.take(replica);
    bench.input(Input::Committed(ids[0]));
    let outbox = |effect: &Effect| match effect {
        Effect::Commit(id, Batch::Outbox(batch)) => Some((*id, batch.meta.clone())),
        _ => None,
    };
    let (mut renewed, mut tries) = (false, 0);
    while tries < 5 && !renewed {
        tries += 1;
        for (id, meta) in bench.take(outbox) {
            renewed |= meta.is_some_and(|meta| meta.contains(&bench.engine.client().to_string()));
            bench.input(Input::StoreFailed(id, StoreError::Full("quota".into())));
        }
        bench.effects.clear();
        bench.later(60_000);
        assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Connect(_) | Effect::Http(..))));
    }
    bench.commit();
    bench.connect();
    assert_eq!(bench.pushed()[0].seq, Seq(1));
}

#[test]
fn an_id_that_is_used_again_at_once_is_a_fault_of_the_operation() {
    let (mut bench, link) = Bench::cloned();
    bench.receive(link, accepted(2, 1));
    bench.receive(link, accepted(3, 2));
    bench.receive(link, changes(None, 2, "c"));
    bench.commit();
    let link = bench.connect();
    bench.pushed();
    bench.receive(link, reused(1));
    assert_eq!(bench.engine.rejected()[0].seq, Seq(1));
}

#[test]
fn what_was_judged_in_the_name_of_a_copy_is_not_shown_twice_and_is_known_to_what_comes_later() {
    let stored = Stored { cursors: Some(vec![(cards(), at(1))]), ..Stored::default() };
    let mut bench = Bench::new(stored);
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    bench.load(vec![]);
    let link = bench.connect();
    let count = |bench: &mut Bench, ticket| {
        let likes = FieldName::new("likes").unwrap();
        let (doc, intents) = (key("a"), vec![Intent::Increment([(likes, 1)].into())]);
        bench.input(Input::Submit { ticket: Ticket(ticket), doc, schema: 0, intents, after: vec![] });
        bench.commit();
    };
    count(&mut bench, 1);
    let sent = bench.pushed().remove(0);
    let by = Dot { actor: ActorId(9), seq: Seq(1) };
    let judgement = Judgement {
        seq: Seq(1),
        outcome: Outcome::Accepted {},
        position: Some(at(3)),
        by: Some(by.actor),
        event: None,
    };
    bench.receive(link, ServerFrame::Outcomes(Outcomes { judgements: vec![judgement] }));
    let write = Write {
        operation: &sent,
        by,
        epoch: &at(0).epoch,
        rev: Offset(2),
        now: Millis(2_000),
        horizon: Offset(0),
    };
    let doc = reconcile::apply(Strategy::FieldLevel, &Document::default(), &write).document;
    let shown = |bench: &Bench| {
        let view = bench.engine.view(QueryId(1)).unwrap();
        view.documents[0].values().values().next().unwrap().as_str().to_owned()
    };
    // A page that is not the last: the operation stays laid over what may already contain it.
    bench.receive(
        link,
        ServerFrame::Changes(Changes {
            collection: cards(),
            from: Some(at(1)),
            to: at(2),
            documents: vec![Changed { id: DocumentId::new("a").unwrap(), doc }],
            recovered: true,
            more: true,
        }),
    );
    bench.commit();
    assert_eq!((shown(&bench), bench.engine.status().pending), ("1".to_owned(), 1));
    count(&mut bench, 2);
    assert_eq!(shown(&bench), "2");
    assert!(bench.pushed()[0].base.clock.covers(by));
}

#[test]
fn an_edit_upon_one_that_a_copy_had_sent_descends_from_it_also_if_its_document_is_not_at_hand() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.pushed();
    let by = Dot { actor: ActorId(9), seq: Seq(1) };
    let judgement = Judgement {
        seq: Seq(1),
        outcome: Outcome::Accepted {},
        position: Some(at(3)),
        by: Some(by.actor),
        event: None,
    };
    bench.receive(link, ServerFrame::Outcomes(Outcomes { judgements: vec![judgement] }));
    for ticket in [2, 3] {
        bench.submit(ticket, "a", 2);
        bench.commit();
    }
    let sent = bench.pushed();
    assert!(!sent.is_empty() && sent.iter().all(|operation| operation.base.clock.covers(by)), "{sent:?}");
}

#[test]
fn an_edit_that_waits_for_another_id_stays_in_view_whatever_came_under_this_one() {
    let mut bench = Bench::fresh();
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    bench.load(vec![]);
    let link = bench.connect();
    bench.submit(1, "a", 7);
    bench.commit();
    assert_eq!(bench.pushed().len(), 1);
    let likes = [(FieldName::new("likes").unwrap(), 1)];
    let intents = vec![Intent::Increment(likes.into())];
    bench.input(Input::Submit { ticket: Ticket(2), doc: key("a"), schema: 0, intents, after: vec![] });
    bench.commit();
    let sent = bench.pushed().remove(0);
    // The copy has used the first one's number, and the second was under way already.
    bench.receive(link, reused(1));
    bench.receive(link, accepted(2, 1));
    let by = Dot { actor: ActorId(3), seq: Seq(2) };
    let (epoch, now) = (at(0).epoch, Millis(2_000));
    let write = Write { operation: &sent, by, epoch: &epoch, rev: Offset(1), now, horizon: Offset(0) };
    let doc = reconcile::apply(Strategy::FieldLevel, &Document::default(), &write).document;
    let documents = vec![Changed { id: DocumentId::new("a").unwrap(), doc }];
    let (collection, to) = (cards(), at(1));
    let page = Changes { collection, from: None, to, documents, recovered: true, more: false };
    bench.receive(link, ServerFrame::Changes(page));
    bench.commit();
    let view = bench.engine.view(QueryId(1)).unwrap();
    let values = view.documents[0].values();
    let shown: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(shown, [("likes", "1"), ("n", "7")]);
    assert!(view.documents[0].pending);
}

#[test]
fn what_comes_after_an_edit_that_waits_for_another_id_is_shown_upon_it() {
    let mut bench = Bench::fresh();
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    bench.load(vec![]);
    let link = bench.connect();
    let intents = vec![Intent::Delete {}];
    bench.input(Input::Submit { ticket: Ticket(1), doc: key("a"), schema: 0, intents, after: vec![] });
    bench.commit();
    bench.submit(2, "a", 7);
    bench.commit();
    bench.receive(link, reused(1));
    let view = bench.engine.view(QueryId(1)).unwrap();
    assert_eq!(view.documents.len(), 1, "its maker knew of the deletion");
}
