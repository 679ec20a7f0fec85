//! Operations that an earlier version of the application has left.

use super::*;
use crate::{
    protocol::{Choice, Rejection},
    reconcile::Resolution,
};

/// The number that an operation gets after a restart: those that were reserved before are passed over.
const NEXT: u64 = 1_025;

impl Bench {
    fn submit_at(&mut self, schema: u32, ticket: u64, id: &str, value: u32) {
        let (ticket, doc) = (Ticket(ticket), key(id));
        self.input(Input::Submit { ticket, doc, schema, intents: set(value), after: vec![] });
    }

    fn field_level(schema: u32, stored: Stored) -> Self {
        let mut bench = Self::at_schema(schema, Strategy::FieldLevel, stored);
        bench.input(Input::Open(QueryId(1), Query::all(cards())));
        bench.load(vec![]);
        bench
    }

    /// What the engine wants migrated.
    fn questions(&mut self) -> Vec<Outdated> {
        let asked = |effect: &Effect| match effect {
            Effect::Migrate(outdated) => Some(outdated.clone()),
            _ => None,
        };
        self.take(asked).into_iter().flatten().collect()
    }

    /// Answers a question by the application's migrations, each of which multiplies by ten.
    fn migrate(&mut self, outdated: Vec<Outdated>) {
        let schema = self.engine.config.schema;
        self.input(Input::Migrated(outdated.into_iter().map(|one| tenfold(one, schema)).collect()));
    }

    fn refuse(&mut self, outdated: &Outdated) {
        let (seq, at) = (outdated.seq, outdated.at);
        let intents = Err(migration_failed("no such form".into()));
        self.input(Input::Migrated(vec![Migrated { seq, at, intents }]));
    }
}

fn tenfold(Outdated { seq, at, schema, intents, .. }: Outdated, to: u32) -> Migrated {
    let factor = 10_u32.pow(to - schema);
    Migrated { seq, at, intents: Ok(set(number(&intents) * factor)) }
}

fn number(intents: &[Intent]) -> u32 {
    let [Intent::Set(fields)] = intents else { panic!("{intents:?}") };
    fields.values().next().unwrap().as_str().parse().unwrap()
}

/// An edit of `a` to 1 by a client at schema 1, as its store has it.
fn left_behind() -> Stored {
    let mut bench = Bench::field_level(1, Bench::stored(vec![]));
    bench.submit_at(1, 1, "a", 1);
    Bench::stored(bench.commit())
}

/// The store after these batches.
fn upon(stored: Stored, batches: Vec<OutboxBatch>) -> Stored {
    let before = OutboxBatch { put: stored.outbox, meta: stored.meta, ..OutboxBatch::default() };
    Bench::stored([vec![before], batches].concat())
}

fn forms(operations: &[Operation]) -> Vec<(u64, u32, u32)> {
    operations.iter().map(|one| (one.seq.0, one.schema, number(&one.intents))).collect()
}

#[test]
fn what_an_earlier_schema_has_left_is_migrated_then_stored_and_only_then_sent() {
    let stored = left_behind();
    let mut bench = Bench::field_level(3, stored.clone());
    let outdated = bench.questions();
    assert_eq!((outdated[0].schema, &outdated[0].doc, number(&outdated[0].intents)), (1, &key("a"), 1));
    bench.connect();
    assert!(bench.pushed().is_empty() && bench.questions().is_empty(), "it waits for one answer");
    bench.migrate(outdated);
    assert_eq!(bench.shown("a").as_deref(), Some("100"));
    assert!(bench.pushed().is_empty(), "it is not durable as it stands");
    let batches = bench.commit();
    let sent = bench.pushed();
    assert_eq!(forms(&sent), [(1, 3, 100)]);
    assert!(batches[0].put[0].text.contains(&encode(&sent[0].intents)));
    let [operation] = &Bench::new(stored).engine.unsettled()[..] else { panic!("one was left") };
    assert_eq!((operation.seq, sent[0].at.wall), (sent[0].seq, Millis(1_000)), "all else of it stays");
}

#[test]
fn who_starts_the_engine_can_ask_first_so_that_nobody_sees_the_old_form() {
    let mut bench = Bench::at_schema(2, Strategy::FieldLevel, left_behind());
    let outdated = bench.engine.outdated();
    bench.migrate(outdated);
    assert!(bench.questions().is_empty());
    bench.input(Input::Open(QueryId(1), Query::all(cards())));
    assert_eq!(bench.shown("a").as_deref(), Some("10"));
}

#[test]
fn a_crash_before_the_new_form_is_durable_asks_again_and_one_after_it_does_not() {
    let mut stored = left_behind();
    let mut bench = Bench::field_level(2, stored.clone());
    let outdated = bench.questions();
    bench.migrate(outdated.clone());
    let mut again = Bench::field_level(2, stored.clone());
    let asked = again.questions();
    assert_eq!(asked, outdated);
    again.migrate(asked);
    let batches = again.commit();
    stored.outbox = batches[0].put.clone();
    assert!(Bench::field_level(2, stored.clone()).questions().is_empty());
    // The version after that takes it from there.
    let mut later = Bench::field_level(3, stored);
    let outdated = later.questions();
    assert_eq!((outdated[0].schema, number(&outdated[0].intents)), (2, 10));
    later.migrate(outdated);
    later.connect();
    later.commit();
    assert_eq!(forms(&later.pushed()), [(1, 3, 100)]);
}

#[test]
fn a_form_that_cannot_be_stored_is_not_sent_and_neither_is_the_old_one() {
    let mut bench = Bench::field_level(2, left_behind());
    let outdated = bench.questions();
    bench.connect();
    bench.migrate(outdated);
    bench.fail_commit();
    let again = bench.questions();
    bench.migrate(again);
    assert!(bench.pushed().is_empty());
    bench.submit_at(2, 2, "a", 7);
    bench.later(60_000);
    bench.commit();
    assert_eq!(forms(&bench.pushed()), [(1, 2, 10), (NEXT, 2, 7)], "and the lane kept its order");
}

#[test]
fn one_that_cannot_be_migrated_is_a_dead_letter_as_it_was_and_its_lane_goes_on() {
    let stored = left_behind();
    let mut bench = Bench::field_level(2, stored.clone());
    let outdated = bench.questions();
    bench.connect();
    bench.submit_at(2, 2, "a", 7);
    bench.commit();
    assert!(bench.pushed().is_empty());
    bench.refuse(&outdated[0]);
    let batches = bench.commit();
    assert_eq!(forms(&bench.pushed()), [(NEXT, 2, 7)]);
    let dead = bench.engine.rejected();
    assert_eq!((dead[0].schema, number(&dead[0].intents)), (1, 1));
    assert_eq!(dead[0].reason.code, ErrorCode::MigrationFailed);
    let settled = |event: &Event| matches!(event, Event::Settled(Seq(1), _, Outcome::Rejected(_)));
    assert!(bench.events().iter().any(settled));
    // A later version of the application does better, and it is tried again there.
    let mut later = Bench::field_level(3, upon(stored, batches));
    let outdated = later.questions();
    assert!(outdated.iter().all(|one| one.seq != Seq(1)), "a dead letter is left alone");
    later.migrate(outdated);
    later.amend(3, 1, Amendment::Retry);
    later.commit();
    let outdated = later.questions();
    let revived = outdated.last().unwrap();
    assert_eq!((revived.schema, number(&revived.intents)), (1, 1));
    later.input(Input::Migrated(vec![tenfold(revived.clone(), 3)]));
    later.commit();
    let shown = later.engine.unsettled();
    assert_eq!(number(&shown.last().unwrap().intents), 100);
}

#[test]
fn a_form_that_is_too_large_or_makes_no_sense_leaves_a_dead_letter() {
    for (limit, intents) in [(10, set(1_000_000)), (10_000, vec![])] {
        let mut bench = Bench::field_level(2, left_behind());
        let outdated = bench.questions().remove(0);
        bench.engine.config.operation_bytes =
            if limit == 10 { limit } else { bench.engine.config.operation_bytes };
        let (seq, at) = (outdated.seq, outdated.at);
        bench.input(Input::Migrated(vec![Migrated { seq, at, intents: Ok(intents) }]));
        let [dead] = &bench.engine.rejected()[..] else { panic!("it is kept") };
        assert_eq!((dead.reason.code, number(&dead.intents)), (ErrorCode::MigrationFailed, 1));
    }
}

#[test]
fn a_full_outbox_keeps_the_old_form_as_a_dead_letter() {
    let stored = left_behind();
    let mut config = Config::new(vec![(cards(), Strategy::FieldLevel)], ClientId::from_random([7; 16]));
    config.schema = 2;
    config.outbox.bytes = stored.outbox[0].text.len();
    let mut bench = Bench { engine: Engine::restore(stored, config, 1), now: 1_000, effects: vec![] };
    let outdated = bench.engine.outdated().remove(0);
    let long = Json::parse(format!("\"{}\"", "x".repeat(1_000))).unwrap();
    let intents = Ok(vec![Intent::Set([(FieldName::new("n").unwrap(), long)].into())]);
    bench.input(Input::Migrated(vec![Migrated { seq: outdated.seq, at: outdated.at, intents }]));
    let [dead] = &bench.engine.rejected()[..] else { panic!("it is kept") };
    assert_eq!(number(&dead.intents), 1);
    assert!(dead.reason.message.contains("outbox"), "{}", dead.reason.message);
}

#[test]
fn what_depends_on_one_that_cannot_be_migrated_fails_with_it() {
    let mut first = Bench::field_level(1, Bench::stored(vec![]));
    first.submit_at(1, 1, "a", 1);
    let mut batches = first.commit();
    let (doc, intents, after) = (key("b"), set(2), vec![Seq(1)]);
    first.input(Input::Submit { ticket: Ticket(2), doc, schema: 1, intents, after });
    batches.extend(first.commit());
    let mut bench = Bench::field_level(2, Bench::stored(batches));
    let outdated = bench.questions();
    bench.refuse(&outdated[0]);
    let codes: Vec<ErrorCode> = bench.engine.rejected().iter().map(|dead| dead.reason.code).collect();
    assert_eq!(codes, [ErrorCode::MigrationFailed, ErrorCode::DependencyFailed]);
    bench.input(Input::Migrated(vec![tenfold(outdated[1].clone(), 2)]));
    assert_eq!(bench.engine.status().pending, 0, "an answer about a dead letter counts for nothing");
}

#[test]
fn what_a_newer_version_has_left_is_sent_as_it_is() {
    let mut newer = Bench::field_level(4, Bench::stored(vec![]));
    newer.submit_at(4, 1, "a", 1);
    let stored = Bench::stored(newer.commit());
    let mut bench = Bench::field_level(3, stored.clone());
    assert!(bench.questions().is_empty());
    bench.submit_at(3, 2, "a", 2);
    bench.connect();
    let batches = bench.commit();
    assert_eq!(forms(&bench.pushed()), [(1, 4, 1), (NEXT, 3, 2)]);
    assert!(batches.iter().all(|batch| batch.put.iter().all(|record| record.key != stored.outbox[0].key)));
}

#[test]
fn what_a_page_beside_this_one_submits_in_its_own_schema_is_migrated_and_never_folded_with_another() {
    let mut bench = Bench::field_level(3, Bench::stored(vec![]));
    bench.submit_at(3, 1, "a", 5);
    bench.submit_at(1, 2, "a", 1);
    bench.submit_at(4, 3, "a", 9);
    bench.connect();
    bench.commit();
    assert_eq!(forms(&bench.pushed()), [(1, 3, 5)], "the others wait behind the one that is outdated");
    let outdated = bench.questions();
    bench.migrate(outdated);
    bench.commit();
    assert_eq!(forms(&bench.pushed()), [(2, 3, 100), (3, 4, 9)]);
}

#[test]
fn an_answer_about_what_an_operation_is_not_any_more_counts_for_nothing() {
    let mut bench = Bench::field_level(2, Bench::stored(vec![]));
    bench.submit_at(1, 1, "a", 1);
    bench.commit();
    let outdated = bench.questions();
    // Another edit of that page goes into the first while the application is asked.
    bench.now += 1;
    bench.submit_at(1, 2, "a", 2);
    bench.commit();
    bench.migrate(outdated);
    let again = bench.questions();
    assert_eq!(again.iter().map(|one| number(&one.intents)).collect::<Vec<_>>(), [2]);
    bench.migrate(again);
    bench.connect();
    bench.commit();
    assert_eq!(forms(&bench.pushed()), [(1, 2, 20)]);
}

#[test]
fn a_conflict_stays_one_and_is_decided_upon_the_new_form() {
    let (bench, _, batches) = Bench::in_conflict(Strategy::Manual);
    drop(bench);
    let mut bench = Bench::at_schema(1, Strategy::Manual, Bench::stored(batches));
    let outdated = bench.engine.outdated();
    assert_eq!(outdated.len(), 3);
    bench.migrate(outdated);
    assert_eq!(bench.engine.status().conflicts, 1);
    let link = bench.connect();
    bench.receive(link, super::conflict::theirs(None, 5, 9));
    bench.commit();
    assert_eq!(bench.engine.conflicts()[0].mine.as_ref().unwrap().values().next().unwrap().as_str(), "10");
    bench.frames();
    bench.amend(9, 1, Amendment::Resolve(Resolution::TakeMine));
    bench.commit();
    let sent = bench.pushed();
    assert_eq!(forms(&sent[..1]), [(1, 1, 10)]);
    assert_eq!(sent[0].resolves.as_ref().unwrap().choice, Choice::Mine);
}

#[test]
fn a_client_takes_no_other_id_while_a_form_that_may_have_been_sent_is_not_durable() {
    let mut first = Bench::field_level(1, Bench::stored(vec![]));
    ["a", "b"].into_iter().enumerate().for_each(|(n, id)| first.submit_at(1, n as u64, id, 1));
    let mut bench = Bench::field_level(2, Bench::stored(first.commit()));
    let outdated = bench.questions();
    bench.input(Input::Migrated(vec![tenfold(outdated[0].clone(), 2)]));
    let link = bench.connect();
    let commits = bench.take(|effect| match effect {
        Effect::Commit(id, Batch::Outbox(_)) => Some(*id),
        _ => None,
    });
    bench.input(Input::Committed(commits[0]));
    bench.answer_fence();
    assert_eq!(forms(&bench.pushed()), [(1, 2, 10)]);
    let before = bench.engine.client();
    let reason = Rejection { code: ErrorCode::OperationIdReused, message: "used".into() };
    let judgement =
        Judgement { seq: Seq(1), outcome: Outcome::Rejected(reason), position: None, by: None, event: None };
    let again = bench.questions();
    bench.migrate(again);
    bench.receive(link, ServerFrame::Outcomes(Outcomes { judgements: vec![judgement] }));
    assert_eq!(bench.engine.client(), before, "the second may have been applied under this one");
    bench.commit();
    assert_eq!(forms(&bench.pushed()), [(2, 2, 10)]);
    assert_eq!(bench.engine.client(), before);
    bench.receive(link, accepted(2, 1));
    bench.receive(link, changes(None, 1, "b"));
    bench.commit();
    assert_ne!(bench.engine.client(), before, "all is judged that may have been sent");
}

/// What became of an operation on its way: the form that the server judged, and how often it came.
#[derive(Debug, Default)]
struct Judged(std::collections::BTreeMap<Seq, (Hlc, u32, u32)>);

impl Judged {
    /// Judges what is not judged, and answers for the rest as the server does.
    fn judge(&mut self, operation: &Operation) {
        let form = (operation.at, operation.schema, number(&operation.intents));
        let first = self.0.entry(operation.seq).or_insert(form);
        assert_eq!(first.0, operation.at, "its time is what tells it from another operation");
        assert!(first.1 != form.1 || *first == form, "in one schema it has one form: {first:?} {form:?}");
    }
}

#[test]
fn whatever_crashes_fails_and_is_upgraded_each_edit_is_judged_once_and_in_the_schema_of_its_sender() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut schema, mut disk, mut judged) = (1, Bench::stored(vec![]), Judged::default());
        let mut durable = std::collections::BTreeSet::new();
        for ticket in 0..6_u64 {
            // A life: migrate, edit, save or not, send or not, be answered or not.
            let mut bench = Bench::field_level(schema, disk.clone());
            bench.now += ticket;
            let upgraded = bench.questions();
            if random.u8(0..4) > 0 {
                bench.migrate(upgraded);
            }
            if random.bool() {
                bench.submit_at(random.u32(1..=schema), ticket, ["a", "b"][random.usize(0..2)], 1);
            }
            bench.connect();
            for _ in 0..random.u8(0..6) {
                let commits = bench.take(|effect| match effect {
                    Effect::Commit(id, Batch::Outbox(batch)) => Some((*id, batch.clone())),
                    _ => None,
                });
                for (id, batch) in commits {
                    if random.u8(0..4) == 0 {
                        bench.input(Input::StoreFailed(id, StoreError::Full("quota".into())));
                        continue;
                    }
                    disk = upon(disk, vec![batch]);
                    bench.input(Input::Committed(id));
                }
                let outdated = bench.questions();
                bench.migrate(outdated);
                let sent = bench.pushed();
                for operation in &sent {
                    assert_eq!(operation.schema, schema, "seed {seed}: {operation:?}");
                    let text = encode(&(operation.at, schema, &operation.intents));
                    let text =
                        text.trim_matches(['[', ']']).split_once("],").map_or(&*text, |(_, rest)| rest);
                    let intents = text.split_once(',').map_or(text, |(_, rest)| rest);
                    let stored = disk.outbox.iter().any(|record| record.text.contains(intents));
                    assert!(stored, "seed {seed}: {operation:?} is sent and not stored");
                    judged.judge(operation);
                }
                bench.later(60_000);
            }
            let kept = Bench::field_level(schema, disk.clone()).engine.unsettled();
            durable.extend(kept.iter().map(|one| one.seq));
            schema += random.u32(0..2);
        }
        let mut last = Bench::field_level(schema, disk);
        let outdated = last.questions();
        last.migrate(outdated);
        last.connect();
        last.commit();
        last.pushed().iter().for_each(|operation| judged.judge(operation));
        assert_eq!(
            judged.0.keys().copied().collect::<std::collections::BTreeSet<_>>(),
            durable,
            "seed {seed}"
        );
        for (seq, (_, at, value)) in &judged.0 {
            assert!(*value >= 1 && at <= &schema, "seed {seed}: {seq:?}");
        }
    }
}
