//! An outbox that is deleted while it is open.

use super::*;
use storage::OutboxRecord;

impl Bench {
    /// Fails the commit of the outbox that is under way.
    fn fail(&mut self, error: StoreError) {
        let ids = self.take(|effect| match effect {
            Effect::Commit(id, Batch::Outbox(_)) => Some(*id),
            _ => None,
        });
        self.input(Input::StoreFailed(ids[0], error));
    }
}

/// A client that starts with just what these batches wrote.
fn restarted(batches: Vec<OutboxBatch>) -> Bench {
    let mut stored = Stored { cursors: Some(vec![]), ..Stored::default() };
    for batch in batches {
        stored.outbox.retain(|record| !batch.remove.contains(&record.key));
        for OutboxRecord { key, text } in batch.put {
            stored.outbox.retain(|record| record.key != key);
            stored.outbox.push(OutboxRecord { key, text });
        }
        stored.meta = batch.meta.or(stored.meta);
    }
    Bench::new(stored)
}

#[test]
fn an_outbox_that_was_deleted_is_written_anew_with_all_that_is_not_settled() {
    let mut bench = Bench::fresh();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.submit(2, "b", 2);
    bench.commit();
    bench.submit(3, "c", 3);
    bench.fail(StoreError::Lost);
    let events = bench.events();
    assert!(events.contains(&Event::StorageLost));
    // Nothing was kept of the one that met the deletion.
    assert!(events.contains(&Event::Refused(Ticket(3), Refusal::NotDurable(StoreError::Lost))));

    bench.later(60_000);
    let mut again = restarted(bench.commit());
    assert_eq!(again.engine.client(), bench.engine.client());
    let documents = |bench: &Bench| -> Vec<DocKey> {
        bench.engine.unsettled().into_iter().map(|operation| operation.doc).collect()
    };
    assert_eq!(documents(&again), [key("a"), key("b")]);
    // Numbers go on where they were: the next one is no number that was ever given out.
    let newest = bench.engine.unsettled().last().unwrap().seq;
    again.submit(4, "d", 4);
    again.commit();
    assert!(again.engine.unsettled().last().unwrap().seq > newest);
}

#[test]
fn an_outbox_that_was_closed_under_us_is_looked_after_without_waiting_for_an_edit() {
    let mut bench = Bench::fresh();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.input(Input::StoreTaken);
    let again = restarted(bench.commit());
    assert_eq!(again.engine.unsettled(), bench.engine.unsettled());
    assert_eq!(again.engine.client(), bench.engine.client());
}
