//! What makes sense at all, checked before an operation is queued and again before it is applied.

use crate::protocol::{
    Document, ErrorCode, Intent, MAX_FIELDS, MAX_INTENTS, MAX_SAFE_INTEGER, Operation, Rejection, Strategy,
};

/// Checks an operation by itself. The client refuses to queue, and the server rejects, what fails here.
///
/// # Errors
/// [`ErrorCode::InvalidOperation`] for no intents or too many, too many fields, numbers that do not fit, or a
/// partial edit in a collection whose documents are written whole.
pub fn validate(strategy: Strategy, operation: &Operation) -> Result<(), Rejection> {
    let intents = &operation.intents;
    let named: usize = intents.iter().map(fields_named).sum();
    let whole = matches!(intents.first(), Some(Intent::Put(_) | Intent::Delete {}));
    let problem = if intents.is_empty() {
        "has no intents"
    } else if intents.len() > MAX_INTENTS {
        "has too many intents"
    } else if named > MAX_FIELDS {
        "names too many fields"
    } else if operation.seq.0 == 0
        || operation.seq.0 > MAX_SAFE_INTEGER
        || operation.at.wall.0 > MAX_SAFE_INTEGER
    {
        "has a number out of range"
    } else if strategy == Strategy::LastWriteWins && !whole {
        "must put or delete the whole document in a last-write-wins collection"
    } else {
        return Ok(());
    };
    Err(Rejection { code: ErrorCode::InvalidOperation, message: format!("operation {problem}") })
}

/// Tells why a document is over its caps of [`MAX_FIELDS`] fields and `bytes` of names and values.
pub fn oversize(document: &Document, bytes: usize) -> Option<Rejection> {
    let used: usize = document
        .fields
        .iter()
        .map(|(name, register)| {
            name.as_str().len() + register.value.as_ref().map_or(0, |value| value.as_str().len())
        })
        .sum();
    if document.fields.len() <= MAX_FIELDS && used <= bytes {
        return None;
    }
    let message = format!("document would have {} fields with {used} bytes", document.fields.len());
    Some(Rejection { code: ErrorCode::DocumentTooLarge, message })
}

fn fields_named(intent: &Intent) -> usize {
    match intent {
        Intent::Put(fields) | Intent::Set(fields) => fields.len(),
        Intent::Unset(names) => names.len(),
        Intent::Delete {} => 0,
    }
}
