//! What a page left in the store before it was gone, and no client will ever take.

use super::*;
use storage::Adopted;

impl Bench {
    /// Asks under a ticket for what a page that is gone has left in the store.
    fn adopt(&mut self, ticket: u64, key: &str, ask: Input) -> Vec<OutboxBatch> {
        self.input(Input::Adopt(Ticket(ticket), key.into(), true));
        self.input(ask);
        self.commit()
    }
}

#[test]
fn a_submission_that_is_refused_for_good_and_whose_page_is_gone_becomes_a_dead_letter() {
    let mut bench = Bench::fresh();
    let (doc, intents) = (DocKey::new("unknown", "a").unwrap(), set(1));
    let (ticket, after) = (Ticket(1), vec![]);
    let ask = Input::Submit { ticket, doc: doc.clone(), schema: 3, intents: intents.clone(), after };
    let batches = bench.adopt(1, "left", ask);
    let adopted: Vec<Adopted> = batches.iter().flat_map(|batch| batch.adopted.clone()).collect();
    assert_eq!(adopted, [Adopted { key: "left".into(), seq: Seq(1) }], "in the commit that keeps it");
    let message = Refusal::UnknownCollection.to_string();
    let reason = Rejection { code: ErrorCode::InvalidOperation, message };
    let events = bench.events();
    assert!(events.contains(&Event::Submitted(Ticket(1), Seq(1))));
    assert!(events.contains(&Event::Settled(Seq(1), Some(doc), Outcome::Rejected(reason.clone()))));

    bench.connect();
    assert!(bench.pushed().is_empty(), "nobody sends it");
    let meta = batches.iter().find_map(|batch| batch.meta.clone());
    let outbox = batches.into_iter().flat_map(|batch| batch.put).collect();
    let later = Bench::new(Stored { outbox, meta, cursors: Some(vec![]), ..Stored::default() });
    for engine in [&bench.engine, &later.engine] {
        let rejected = engine.rejected();
        let [dead] = &rejected[..] else { panic!("{rejected:?}") };
        assert_eq!((&dead.reason, &dead.intents, dead.schema, dead.attempts), (&reason, &intents, 3, 0));
        assert_eq!(engine.status().pending, 0);
    }
}

#[test]
fn an_edit_that_comes_too_late_from_a_page_that_is_gone_becomes_a_dead_letter_of_its_document() {
    let mut bench = Bench::fresh();
    bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    assert_eq!(bench.pushed().len(), 1);
    let edit = |ticket, seq| Input::Amend(Ticket(ticket), Seq(seq), Amendment::Edit(0, set(2)));
    bench.adopt(2, "left", edit(2, 1));
    let rejected = bench.engine.rejected();
    assert_eq!((rejected[0].doc.clone(), &rejected[0].intents), (key("a"), &set(2)));
    // Of an operation that nobody knows, or from a page that is there, it is only refused.
    bench.adopt(3, "unknown", edit(3, 77));
    bench.input(edit(4, 1));
    assert_eq!(bench.engine.status().rejected, 1);
    let refused = |ticket| Event::Refused(Ticket(ticket), Refusal::TooLate);
    let events = bench.events();
    assert!(events.contains(&refused(3)) && events.contains(&refused(4)));
}

#[test]
fn an_edited_operation_counts_among_the_unsettled_while_the_change_is_saved() {
    let mut bench = Bench::fresh();
    bench.submit(1, "a", 1);
    assert!(bench.engine.unsettled().is_empty(), "it may yet fail to be saved");
    bench.commit();
    bench.input(Input::Amend(Ticket(2), Seq(1), Amendment::Edit(0, set(2))));
    assert_eq!(bench.engine.unsettled().len(), 1);
}
