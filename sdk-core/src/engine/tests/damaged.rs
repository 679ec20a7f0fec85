//! An outbox of which not everything can be read.

use super::*;
use storage::OutboxRecord;

const BROKEN: &str = "{\"operations\":[{\"op\":{";

/// A store with one operation in each of three records.
fn three() -> Stored {
    let mut bench = Bench::fresh();
    let mut stored = Stored { cursors: Some(vec![]), ..Stored::default() };
    for (ticket, id) in ["a", "b", "c"].into_iter().enumerate() {
        bench.submit(ticket as u64, id, 1);
        write(&mut stored, bench.commit());
    }
    assert_eq!(stored.outbox.len(), 3);
    stored
}

fn write(stored: &mut Stored, batches: Vec<OutboxBatch>) {
    for batch in batches {
        stored.outbox.retain(|record| !batch.remove.contains(&record.key));
        for put in batch.put {
            stored.outbox.retain(|record| record.key != put.key);
            stored.outbox.push(put);
        }
        stored.outbox.sort_by_key(|record| record.key);
        stored.meta = batch.meta.or(stored.meta.take());
    }
}

/// A client with an id that none had before.
fn started(stored: &Stored, fresh: u8) -> Bench {
    let config = Config::new(vec![(cards(), Strategy::FieldLevel)], ClientId::from_random([fresh; 16]));
    let engine = Engine::restore(stored.clone(), config, 1);
    Bench { engine, now: 1_000, effects: vec![] }
}

fn documents(bench: &Bench) -> Vec<DocKey> {
    bench.engine.unsettled().into_iter().map(|operation| operation.doc).collect()
}

fn told(bench: &mut Bench) -> Vec<usize> {
    bench.input(Input::Wake);
    let damaged = |event| if let Event::StorageDamaged(records) = event { Some(records) } else { None };
    bench.events().into_iter().filter_map(damaged).collect()
}

#[test]
fn a_damaged_record_stays_as_it_is_and_the_others_go_on_under_the_same_id() {
    let mut stored = three();
    let before = Bench::new(stored.clone()).engine.client();
    stored.outbox[1].text = BROKEN.into();
    let damaged = stored.outbox[1].clone();

    let mut bench = started(&stored, 9);
    assert_eq!(told(&mut bench), [1]);
    assert_eq!((bench.engine.client(), bench.engine.status().damaged), (before, 1));
    assert_eq!(documents(&bench), [key("a"), key("c")]);
    // Neither an edit, nor writing all of the outbox anew, touches it.
    bench.submit(7, "d", 1);
    write(&mut stored, bench.commit());
    bench.input(Input::StoreTaken);
    write(&mut stored, bench.commit());
    assert_eq!(stored.outbox.iter().filter(|record| **record == damaged).count(), 1);
    assert_eq!(stored.outbox.len(), 4);
    // Told once a start.
    assert!(told(&mut bench).is_empty());
    assert_eq!(told(&mut started(&stored, 9)), [1]);
}

/// What holds whatever is wrong with the record of who the client is.
fn assert_succeeded(mut stored: Stored) {
    let old: Vec<OutboxRecord> = stored.outbox.clone();
    let mut bench = started(&stored, 9);
    assert_eq!(told(&mut bench), [3]);
    assert_eq!(bench.engine.client(), ClientId::from_random([9; 16]));
    assert!(documents(&bench).is_empty());
    bench.submit(7, "d", 1);
    write(&mut stored, bench.commit());
    assert_eq!(stored.outbox[..3], old);
    assert!(stored.outbox[3].key > old[2].key + 64, "{}", stored.outbox[3].key);

    // The next start knows which are whose.
    let mut again = started(&stored, 11);
    assert_eq!(told(&mut again), [3]);
    assert_eq!(again.engine.client(), ClientId::from_random([9; 16]));
    assert_eq!(documents(&again), [key("d")]);
}

#[test]
fn operations_of_a_client_whose_id_cannot_be_read_are_left_alone_by_the_next() {
    assert_succeeded(Stored { meta: Some("{\"client\":".into()), ..three() });
}

#[test]
fn operations_of_a_client_whose_id_is_gone_are_left_alone_by_the_next() {
    assert_succeeded(Stored { meta: None, ..three() });
}
