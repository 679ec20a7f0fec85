//! An outbox as it is found in a store, whatever has happened to that.

use std::str::from_utf8;

use bolero::check;
use sdk_core::{
    outbox::{Entry, Outbox, OutboxLimits},
    protocol::{CollectionName, Limits},
};

use crate::within_bounds;

fn restored<'a>(records: impl Iterator<Item = (u64, &'a str)>) -> Outbox {
    let careful = vec![CollectionName::new("cards").expect("it is a name")];
    Outbox::restore(records, OutboxLimits::default(), 1, careful)
}

/// Records are lines. What can be read is the same when it was written anew; what cannot is neither written over nor removed.
#[test]
fn outboxes() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = from_utf8(input) else { return };
        let records = || (1..).step_by(10).zip(text.lines());
        let mut outbox = within_bounds(input.len(), || restored(records()));
        let readable = |(_, text): &(u64, &str)| restored([(1, *text)].into_iter()).unreadable() == 0;
        let (good, bad): (Vec<_>, Vec<_>) = records().partition(readable);
        assert_eq!(outbox.unreadable(), bad.len());
        let before: Vec<Entry> = outbox.entries().cloned().collect();
        assert_eq!(outbox.pending() + outbox.rejected(), before.len());

        outbox.rewrite_all();
        let mut stored: Vec<(u64, String)> =
            good.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
        if let Some(flushed) = outbox.flush() {
            let touched = flushed.remove.iter().chain(flushed.put.iter().map(|(key, _)| key));
            assert!(touched.clone().all(|key| bad.iter().all(|(bad, _)| bad != key)));
            stored.retain(|(key, _)| touched.clone().all(|touched| touched != key));
            stored.extend(flushed.put);
        }
        outbox.confirm();
        let again = restored(stored.iter().map(|(key, text)| (*key, text.as_str())));
        assert_eq!((again.unreadable(), again.entries().cloned().collect::<Vec<_>>()), (0, before));

        // Everything goes out, or waits for something; and nothing goes out twice.
        let mut sent = Vec::new();
        loop {
            let batch = outbox.take_batch(&Limits::default(), usize::MAX, None);
            if batch.is_empty() {
                break;
            }
            sent.extend(batch.operations.iter().map(|operation| operation.seq));
            sent.extend(batch.publications.iter().map(|publication| publication.seq));
        }
        let count = sent.len();
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent.len(), count);
    });
}
