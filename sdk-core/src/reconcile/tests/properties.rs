//! Generated histories: whatever order operations come in, as long as none comes before what its maker had seen, the
//! same document remains.

use proptest::prelude::{ProptestConfig, Strategy as _, any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::protocol::Members;

/// What a generated writer does next: sees everything so far or nothing new, then edits.
#[derive(Debug, Clone)]
struct Step {
    actor: u32,
    looks: bool,
    wall: u64,
    kind: u8,
    field: usize,
    item: u8,
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    let step = (0..4u32, any::<bool>(), 0..50u64, 0..20u8, 0..3usize, 0..3u8)
        .prop_map(|(actor, looks, wall, kind, field, item)| Step { actor, looks, wall, kind, field, item });
    prop::collection::vec(step, 1..9)
}

/// Names of fields that a writer may assign: all, or where collisions are conflicts only its own.
fn names(strategy: Strategy, actor: u32) -> [String; 3] {
    ["a", "b", "c"].map(|name| match strategy.has_conflicts() {
        true => format!("{name}{actor}"),
        false => name.into(),
    })
}

fn intents(strategy: Strategy, step: &Step, seq: u64) -> Vec<Intent> {
    let names = names(strategy, step.actor);
    let name = names[step.field].as_str();
    let shared = field(["a", "b", "c"][step.field]);
    let text = format!("\"{}-{seq}\"", step.actor);
    let item = json(&format!("\"{}\"", step.item));
    let members = || -> Members { [(shared.clone(), vec![item.clone()])].into() };
    let amount = i64::from(step.item) - 1;
    let increment = || Intent::Increment([(shared.clone(), amount)].into());
    let whole = strategy == Strategy::LastWriteWins;
    match step.kind {
        0 if !strategy.has_conflicts() => vec![Intent::Delete {}],
        1..=2 if !strategy.has_conflicts() => vec![Intent::Put(fields(&[(name, &text)]))],
        3 if whole => vec![Intent::Put(fields(&[(name, &text)])), increment(), Intent::Remove(members())],
        _ if whole => vec![Intent::Put(fields(&[(name, &text), ("z", &text)]))],
        4 => vec![Intent::Unset(vec![field(name)])],
        5..=8 => vec![increment()],
        9..=11 => vec![Intent::Add(members())],
        12..=13 => vec![Intent::Remove(members())],
        14 => vec![Intent::Set(fields(&[(name, "5")])), Intent::Unset(vec![field(&names[0])])],
        15 => vec![Intent::Set(fields(&[(name, "[\"0\", \"9\"]")]))],
        16 => vec![Intent::Set(fields(&[(name, "7")]))],
        _ => vec![Intent::Set(fields(&[(name, &text)]))],
    }
}

/// Makes operations as honest clients do: clocks that grow with what they see and do, lanes in order. In a collection that is
/// written whole the intents of the third kind contradict themselves now and then; those are left out.
fn generate(strategy: Strategy, steps: &[Step]) -> Vec<Made> {
    let mut all: Vec<Made> = Vec::new();
    let mut document = Document::default();
    let mut views = vec![Document::default(); 4];
    let mut newest = [0u64; 4];
    let mut heard = 0u64;
    for step in steps {
        let who = step.actor as usize;
        if step.looks {
            views[who] = document.clone();
            newest[who] = newest[who].max(heard);
        }
        newest[who] = (newest[who] + 1).max(step.wall);
        heard = heard.max(newest[who]);
        let seq = all.iter().filter(|made| made.actor == step.actor).count() as u64 + 1;
        let mut made = made(step.actor, seq, newest[who], &views[who], intents(strategy, step, seq));
        let saw = views[who].values().map(|(name, value)| (name.clone(), value));
        made.operation.base.was = Some(saw.collect());
        if validate(strategy, &made.operation).is_err() {
            continue;
        }
        document = judge(strategy, &document, &made).document;
        views[who] = judge(strategy, &views[who], &made).document;
        all.push(made);
    }
    all
}

/// Whether `later` knew of `earlier` when it was made, so that no replica can see them the other way round.
fn descends(later: &Made, earlier: &Made) -> bool {
    let dot = Dot { actor: ActorId(earlier.actor), seq: earlier.operation.seq };
    (later.actor == earlier.actor && later.operation.seq > earlier.operation.seq)
        || later.operation.base.clock.covers(dot)
}

/// A random order in which nothing comes before what it descends from.
fn shuffle(operations: &[Made], mut seed: u64) -> Vec<Made> {
    let mut left: Vec<Made> = operations.to_vec();
    let mut order = Vec::new();
    while !left.is_empty() {
        let ready: Vec<usize> =
            (0..left.len()).filter(|&i| !left.iter().any(|other| descends(&left[i], other))).collect();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.push(left.remove(ready[(seed >> 33) as usize % ready.len()]));
    }
    order
}

/// The state without what only tells the order of arrival.
fn settled(document: &Document) -> Document {
    let mut document = document.clone();
    document.rev = Offset(0);
    for register in document.fields.values_mut() {
        register.stamp.iter_mut().for_each(|stamp| stamp.rev = Offset(0));
        register.increments.iter_mut().for_each(|increment| increment.rev = Offset(0));
        register.members.iter_mut().for_each(|member| member.rev = Offset(0));
    }
    document.written.iter_mut().for_each(|stamp| stamp.rev = Offset(0));
    document.burial.iter_mut().for_each(|burial| burial.stamp.rev = Offset(0));
    document
}

fn in_any_order(
    strategy: Strategy,
    steps: &[Step],
    seed: u64,
) -> Result<(), proptest::test_runner::TestCaseError> {
    let operations = generate(strategy, steps);
    let straight = history(strategy, &operations.iter().collect::<Vec<_>>());
    let order = shuffle(&operations, seed);
    let shuffled = history(strategy, &order.iter().collect::<Vec<_>>());
    prop_assert_eq!(settled(&straight), settled(&shuffled), "order {:?}", order);
    // What a replica has already, it does not apply again: its clock tells.
    let again = order
        .iter()
        .filter(|made| !shuffled.clock.covers(Dot { actor: ActorId(made.actor), seq: made.operation.seq }));
    prop_assert_eq!(again.count(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn field_by_field_equal_operations_give_equal_documents_in_every_causal_order(
        steps in steps(), seed in any::<u64>()
    ) {
        in_any_order(Strategy::FieldLevel, &steps, seed)?;
    }

    #[test]
    fn whole_documents_are_equal_in_every_causal_order(steps in steps(), seed in any::<u64>()) {
        in_any_order(Strategy::LastWriteWins, &steps, seed)?;
    }

    #[test]
    fn what_does_not_collide_is_no_conflict_and_equal_in_every_causal_order(
        steps in steps(), seed in any::<u64>()
    ) {
        let mut document = Document::default();
        for made in shuffle(&generate(Strategy::Merge, &steps), seed) {
            let found = with_write(&document, &made, |write| collisions(Strategy::Merge, &document, write));
            prop_assert!(found.is_none(), "{:?} at {:?}", found, made);
            document = judge(Strategy::Merge, &document, &made).document;
        }
        in_any_order(Strategy::Merge, &steps, seed)?;
    }

    /// Two writers edit the same state without knowing of one another.
    #[test]
    fn a_collision_is_found_in_whichever_order_its_operations_come(steps in steps()) {
        let all = generate(Strategy::FieldLevel, &steps);
        let Some((last, others)) = all.split_last() else { return Ok(()) };
        let known = |made: &&Made| descends(last, made);
        let common: Vec<&Made> = others.iter().filter(known).collect();
        let base = history(Strategy::Manual, &common);
        for other in others.iter().filter(|made| !known(made) && made.actor != last.actor) {
            // Both were made of the same state.
            if !others.iter().all(|made| descends(other, made) == known(&made)) {
                continue;
            }
            let found = |first: &Made, second: &Made| {
                let document = judge(Strategy::Manual, &base, first).document;
                with_write(&document, second, |write| collisions(Strategy::Manual, &document, write)).is_some()
            };
            prop_assert_eq!(found(last, other), found(other, last), "{:?} and {:?}", last, other);
        }
    }
}
