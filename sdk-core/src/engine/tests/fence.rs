//! Two clients over one store, each of which believes to be alone.

use super::*;
use storage::OutboxRecord;

impl Bench {
    /// The commit that is under way meets a store that another client has taken over.
    fn meet_fence(&mut self) {
        let ids = self.take(|effect| match effect {
            Effect::Commit(id, Batch::Outbox(_)) => Some(*id),
            _ => None,
        });
        self.input(Input::StoreFailed(ids[0], StoreError::Fenced));
    }

    fn asks_for_network(&self) -> bool {
        self.effects.iter().any(|effect| matches!(effect, Effect::Connect(_) | Effect::Http(..)))
    }

    /// As far as the welcome.
    fn greeted(&mut self) -> LinkId {
        self.input(Input::Wake);
        self.input(Input::Token(Ok("token".into())));
        let link = self.link();
        self.input(Input::LinkUp(link));
        self.receive(link, ServerFrame::Welcome(welcome("ada")));
        link
    }
}

#[test]
fn what_was_saved_before_another_client_took_the_store_over_is_sent_by_that_one_alone() {
    let mut first = Bench::fresh();
    first.submit(1, "a", 1);
    let saved = first.commit();
    let outbox = saved.iter().flat_map(|batch| batch.put.clone()).collect::<Vec<OutboxRecord>>();
    let meta = saved.into_iter().find_map(|batch| batch.meta);
    let mut second = Bench::new(Stored { outbox, meta, cursors: Some(vec![]), ..Stored::default() });

    // Both come online. Only the second one's commits succeed.
    first.greeted();
    assert!(first.pushed().is_empty(), "not before it knows");
    first.meet_fence();
    assert!(first.events().contains(&Event::Fenced));
    second.greeted();
    second.answer_fence();
    assert_eq!(second.pushed().len(), 1);
    assert!(first.pushed().is_empty());

    // And nothing brings the first one back.
    first.effects.clear();
    first.input(Input::Wake);
    first.later(600_000);
    first.input(Input::Network(true));
    assert!(!first.asks_for_network() && first.pushed().is_empty());
    assert_eq!(first.engine.status().problem.unwrap().code, ErrorCode::StorageUnavailable);
}

#[test]
fn a_client_that_learns_of_the_other_while_it_is_connected_sends_nothing_more() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    assert_eq!(bench.pushed().len(), 1);
    bench.submit(2, "b", 1);
    bench.meet_fence();
    assert!(bench.effects.contains(&Effect::Disconnect(link)));
    bench.effects.clear();
    bench.later(600_000);
    assert!(!bench.asks_for_network() && bench.pushed().is_empty());
}

#[test]
fn a_commit_from_before_the_connection_proves_nothing() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.pushed();
    bench.input(Input::LinkDown(link));
    bench.submit(2, "b", 1);
    bench.commit();
    bench.input(Input::Wake);
    let link = bench.link();
    bench.input(Input::LinkUp(link));
    bench.receive(link, ServerFrame::Welcome(welcome("ada")));
    assert!(bench.pushed().is_empty());
    bench.answer_fence();
    assert_eq!(bench.pushed().len(), 2);
}

#[test]
fn a_store_that_is_full_does_not_keep_what_is_in_it_from_being_sent() {
    let mut bench = Bench::fresh();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.greeted();
    let ids = bench.take(|effect| match effect {
        Effect::Commit(id, Batch::Outbox(_)) => Some(*id),
        _ => None,
    });
    bench.input(Input::StoreFailed(ids[0], StoreError::Full("quota".into())));
    assert_eq!(bench.pushed().len(), 1);
}
