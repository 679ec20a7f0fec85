//! What makes sense at all, checked before an operation is queued and again before it is applied.

use super::effect::Effect;
use crate::protocol::{
    Document, ErrorCode, FieldName, Intent, Json, MAX_FIELDS, MAX_INTENTS, MAX_SAFE_INTEGER, Operation,
    Register, Rejection, Strategy,
};

/// Bytes that an increment or an added member counts, beside its text, for who made it and when.
const CONTRIBUTION_BYTES: usize = 32;

/// Checks an operation by itself. The client refuses to queue, and the server rejects, what fails here.
///
/// # Errors
/// [`ErrorCode::InvalidOperation`] for no intents or too many, too many fields and members, numbers that do not fit,
/// counting what the same operation makes no number (or adding to what it makes no set), a partial edit in a
/// collection whose documents are written whole, or the resolution of a conflict in one that has none.
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
    } else if !intents.iter().all(fits) {
        "has an amount out of range or a member nested too deep"
    } else if Effect::of(intents).contradicts {
        "counts what is no number or too far, or adds to what is no set"
    } else if operation.resolves.is_some() && !strategy.has_conflicts() {
        "resolves a conflict in a collection that has none"
    } else if strategy == Strategy::LastWriteWins && !whole {
        "must put or delete the whole document in a last-write-wins collection"
    } else {
        return Ok(());
    };
    Err(Rejection { code: ErrorCode::InvalidOperation, message: format!("operation {problem}") })
}

/// Tells why a document is over its caps of [`MAX_FIELDS`] fields and `bytes` of names and values; increments and
/// members count what they take.
pub fn oversize(document: &Document, bytes: usize) -> Option<Rejection> {
    let text = |value: &Json| value.as_str().len();
    let size = |(name, register): (&FieldName, &Register)| {
        let members: usize = register.members.iter().map(|member| text(&member.what)).sum();
        let contributions = register.increments.len() + register.members.len();
        name.as_str().len()
            + register.value.as_ref().map_or(0, text)
            + members
            + contributions * CONTRIBUTION_BYTES
    };
    let used: usize = document.fields.iter().map(size).sum();
    if document.fields.len() <= MAX_FIELDS && used <= bytes {
        return None;
    }
    let message = format!("document would have {} fields with {used} bytes", document.fields.len());
    Some(Rejection { code: ErrorCode::DocumentTooLarge, message })
}

/// Tells which counter of a document has left the numbers that JavaScript holds exactly.
pub fn overflow(document: &Document) -> Option<Rejection> {
    let (name, _) = document.fields.iter().find(|(_, register)| register.is_out_of_range())?;
    let message = format!("the counter {name} would leave the whole numbers up to {MAX_SAFE_INTEGER}");
    Some(Rejection { code: ErrorCode::InvalidOperation, message })
}

fn fields_named(intent: &Intent) -> usize {
    match intent {
        Intent::Put(fields) | Intent::Set(fields) => fields.len(),
        Intent::Unset(names) => names.len(),
        Intent::Increment(amounts) => amounts.len(),
        Intent::Add(members) | Intent::Remove(members) => members.values().map(|all| all.len().max(1)).sum(),
        Intent::Delete {} => 0,
    }
}

/// Whether amounts are exact in JavaScript, and members leave room for the array around them.
fn fits(intent: &Intent) -> bool {
    match intent {
        Intent::Increment(amounts) => {
            amounts.values().all(|amount| amount.unsigned_abs() <= MAX_SAFE_INTEGER)
        }
        Intent::Add(members) => members.values().all(|all| Json::parse(Json::array(all).as_str()).is_ok()),
        _ => true,
    }
}
