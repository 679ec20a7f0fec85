//! A client whose id was used by a copy of it.

use super::*;
use crate::protocol::Rejection;

fn reused(seq: u64) -> ServerFrame {
    let reason = Rejection { code: ErrorCode::OperationIdReused, message: "used".into() };
    let judgement = Judgement { seq: Seq(seq), outcome: Outcome::Rejected(reason), position: None };
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
