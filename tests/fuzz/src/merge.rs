//! Writes of a document that know nothing of one another.

use std::str::from_utf8;

use bolero::check;
use sdk_core::{
    clock::{Dot, Hlc, Millis},
    protocol::{
        ActorId, Base, DocKey, Document, Epoch, Intent, Offset, Operation, Seq, Strategy, decode, encode,
    },
    reconcile::{Write, apply, collisions, overflow, validate},
};

/// Writers that are looked at; more make an input slow and say no more.
const WRITERS: usize = 6;
const STRATEGIES: [Strategy; 4] =
    [Strategy::LastWriteWins, Strategy::FieldLevel, Strategy::Merge, Strategy::Manual];

fn operation(actor: u32, at: u64, base: &Document, intents: Vec<Intent>) -> (u32, Operation) {
    let operation = Operation {
        seq: Seq(1),
        doc: DocKey::new("cards", "one").expect("it is a name"),
        at: Hlc { wall: Millis(at), counter: 0 },
        schema: 0,
        intents,
        base: Base { clock: base.clock.clone(), ..Base::default() },
        maker: None,
        resolves: None,
        replaces: None,
    };
    (actor, operation)
}

/// The document after a write; none where it meets a conflict or a limit, for then the order does matter.
fn after(strategy: Strategy, document: &Document, (actor, operation): &(u32, Operation)) -> Option<Document> {
    let epoch = Epoch::new("e1").expect("it is a name");
    let write = Write {
        operation,
        by: Dot { actor: ActorId(*actor), seq: operation.seq },
        epoch: &epoch,
        rev: document.rev.next(),
        now: Millis(1_000_000),
        horizon: Offset(0),
    };
    if collisions(strategy, document, &write).is_some() {
        return None;
    }
    let document = apply(strategy, document, &write).document;
    assert!(document.clock.covers(write.by));
    overflow(&document).is_none().then_some(document)
}

fn history<'a>(
    strategy: Strategy,
    start: &Document,
    operations: impl Iterator<Item = &'a (u32, Operation)>,
) -> Option<Document> {
    let mut document = start.clone();
    for operation in operations {
        document = after(strategy, &document, operation)?;
    }
    Some(settled(document))
}

/// The state without what only tells the order of arrival.
fn settled(mut document: Document) -> Document {
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

/// The first line is the strategy's number and what was there before; each other is what one writer does, as intents. In
/// whatever order they come, the same document remains, and it is the same when it was stored.
#[test]
fn of_concurrent_writes() {
    check!().with_iterations(0).for_each(|input: &[u8]| {
        let Ok(text) = from_utf8(input) else { return };
        let mut lines = text.lines();
        let Some(first) = lines.next() else { return };
        let (number, first) = first.split_at_checked(1).unwrap_or_default();
        let strategy = STRATEGIES[number.bytes().map(usize::from).sum::<usize>() % STRATEGIES.len()];
        let valid = |operation: &(u32, Operation)| validate(strategy, &operation.1).is_ok();
        let empty = Document::default();
        let start = decode(first).ok().map(|intents| operation(99, 500, &empty, intents)).filter(valid);
        let start = start.and_then(|start| after(strategy, &empty, &start)).unwrap_or_default();
        let operations: Vec<_> = (1..)
            .zip(lines)
            .filter_map(|(actor, line)| {
                let (at, line) = line.split_at_checked(1)?;
                Some(operation(actor, 480 + u64::from(at.as_bytes()[0]), &start, decode(line).ok()?))
            })
            .filter(valid)
            .take(WRITERS)
            .collect();
        let Some(straight) = history(strategy, &start, operations.iter()) else { return };
        for turn in 0..operations.len() {
            let (head, tail) = operations.split_at(turn);
            let turned = history(strategy, &start, tail.iter().chain(head));
            let back = history(strategy, &start, tail.iter().chain(head).rev());
            for document in [turned, back].into_iter().flatten() {
                assert_eq!(document, straight, "{operations:?}");
            }
        }
        assert_eq!(decode(&encode(&straight)).as_ref(), Ok(&straight));
    });
}
