//! Critical transactions where there are none: in a frame, or among what a client queues.
//!
//! Nobody can write one with the clients of this project. Whoever makes one by hand is told so, and it is on record.

use sdk_core::{
    protocol::{ErrorCode, ProtocolError},
    wire::{Bad, Reader},
};

/// The class as a peer may write it beside an operation or an event.
const MARK: &str = "\"D\"";

/// Refuses a frame, or the body of a push, with an operation or event that says `"class": "D"` of itself.
pub(crate) fn check(text: &str) -> Result<(), ProtocolError> {
    // Nearly no text has it, and only what has it is read once more.
    if text.contains("\"class\"") && is_marked(text) { Err(misplaced()) } else { Ok(()) }
}

/// What whoever sends one is told.
pub(crate) fn misplaced() -> ProtocolError {
    let message =
        "a critical transaction goes by POST /v1/transactions and in no other way; nothing was done";
    ProtocolError::new(ErrorCode::TransactionMisplaced, message)
}

fn is_marked(text: &str) -> bool {
    let mut marked = false;
    let read = Reader::new(text).object(&mut |reader, name| match name {
        "push" | "publish" => reader.object(&mut |reader, name| list(reader, name, &mut marked)),
        _ => list(reader, name, &mut marked),
    });
    // What is no JSON is refused as that.
    read.is_ok() && marked
}

fn list(reader: &mut Reader<'_>, name: &str, marked: &mut bool) -> Result<(), Bad> {
    match name {
        "operations" | "publications" => reader.array(&mut |reader| {
            reader.object(&mut |reader, name| {
                let value = reader.skip()?;
                *marked |= name == "class" && value == MARK;
                Ok(())
            })
        }),
        _ => reader.skip().map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_or_event_that_calls_itself_critical_is_found_and_nothing_else_is() {
        for marked in [
            r#"{"push":{"operations":[{"seq":1},{"seq":2,"class":"D"}]}}"#,
            r#"{"publish":{"publications":[{"class":"D","event":{}}]}}"#,
            r#"{"client":"x","operations":[],"publications":[{"class":"D"}]}"#,
        ] {
            assert_eq!(check(marked).unwrap_err().code, ErrorCode::TransactionMisplaced, "{marked}");
        }
        for other in [
            r#"{"push":{"operations":[{"seq":1,"intents":[{"set":{"class":"D"}}]}]}}"#,
            r#"{"publish":{"publications":[{"class":"B","event":{"class":"D"}}]}}"#,
            r#"{"push":{"operations":[{"class":"D"}]"#,
            r#"{"hello":{"class":"D"}}"#,
        ] {
            assert_eq!(check(other), Ok(()), "{other}");
        }
    }
}
