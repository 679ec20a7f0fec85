//! Two histories written concurrently, and the merge of both by the core's own reconciliation.

#[cfg(target_arch = "wasm32")]
pub mod module;

use anyhow::{Context, Result, bail};
use sdk_core::{
    clock::{Dot, Millis},
    protocol::{ActorId, DocKey, Document, Epoch, Offset, Operation, Strategy},
    reconcile::{Write, apply},
    sorted::SortedMap,
    wire::decode,
};

/// What the histories are of. Each document has a common beginning, and is then edited by both writers.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Operations of each history.
    pub operations: usize,
    /// Documents they are spread over.
    pub documents: usize,
    /// Fields of a document; an operation writes one.
    pub fields: usize,
}

/// The operations of one writer, as JSON texts, as they would arrive. The writer had seen the beginning of each
/// document and its own operations, and nothing of the other's.
pub fn history(shape: Shape, writer: &str) -> Vec<String> {
    (0..shape.operations)
        .map(|index| {
            let (doc, field) = (index % shape.documents, (index * 7) % shape.fields);
            let (seq, wall) = (index + 1, 1_000 + index);
            format!(
                r#"{{"seq":{seq},"doc":["cards","card-{doc}"],"at":[{wall},0],"intents":[{{"set":{{"field-{field}":"{writer} wrote this, number {index}"}}}}],"base":{{"seen":{{"epoch":"e1","offset":{}}}}}}}"#,
                shape.documents
            )
        })
        .collect()
}

/// Decodes both histories and applies one after the other. Returns the documents.
///
/// # Errors
/// An operation that is none.
pub fn merge(histories: &[Vec<String>; 2]) -> Result<SortedMap<DocKey, Document>> {
    let epoch = Epoch::new("e1").context("a name of an epoch")?;
    let mut documents: SortedMap<DocKey, Document> = SortedMap::new();
    let mut rev = Document::default().rev;
    for (actor, history) in (2..).zip(histories) {
        for text in history {
            let operation: Operation = match decode(text) {
                Ok(operation) => operation,
                Err(bad) => bail!("not an operation: {bad}"),
            };
            rev = rev.next();
            let by = Dot { actor: ActorId(actor), seq: operation.seq };
            let (now, horizon) = (Millis(1_000_000), Offset::default());
            let write = Write { operation: &operation, by, epoch: &epoch, rev, now, horizon };
            let document = documents.get_or_insert_with(operation.doc.clone(), Document::default);
            *document = apply(Strategy::FieldLevel, document, &write).document;
        }
    }
    Ok(documents)
}
