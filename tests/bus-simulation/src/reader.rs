//! Somebody who reads the topic for themselves.

use server_reference::storage::events::{After, LogError, Position, Read, Slice};

use crate::model::Model;

/// How far a reader has come, and how much it was told that it missed.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) at: Option<Position>,
    pub(crate) read: u64,
    pub(crate) missed: u64,
}

impl Reader {
    /// What it asks for next.
    pub(crate) fn question(&self, bytes: usize) -> Read {
        Read { after: self.at.map_or(After::Start, After::Position), bytes, within_epoch: true }
    }

    /// Takes an answer: events that follow on what it has, as they were appended, or how much is not kept any more.
    pub(crate) fn take(&mut self, answer: Result<Slice, LogError>, model: &Model) -> Result<(), String> {
        let have = self.at.map_or(0, |at| at.offset);
        match answer {
            Ok(slice) => {
                let first = slice.from.offset;
                if self.at.is_some() && first != have {
                    return Err(format!("a reader at {have} was answered from {first}"));
                }
                // Who begins with the earliest event has missed nothing that it knew of.
                self.read += first - have;
                for (number, body) in (first + 1..).zip(slice.events.iter()) {
                    let item = model.items.get(number as usize - 1);
                    if item.is_none_or(|item| item.body.as_bytes() != body) {
                        return Err(format!("a reader got another event as {number}"));
                    }
                    self.read += 1;
                }
                let end = first + slice.events.len() as u64;
                if slice.to.offset != end {
                    return Err(format!("a reader was told {} after {end}", slice.to.offset));
                }
                if slice.up_to_date != (end == model.tail()) {
                    return Err(format!("a reader at {end} of {} was told wrong", model.tail()));
                }
                self.at = Some(slice.to);
                Ok(())
            }
            Err(LogError::PositionTrimmed { earliest }) if have < model.trimmed => {
                if earliest.offset != model.trimmed {
                    return Err(format!(
                        "{} events are gone, and {} was told",
                        model.trimmed, earliest.offset
                    ));
                }
                self.missed += earliest.offset - have;
                self.at = Some(earliest);
                Ok(())
            }
            Err(error) => Err(format!("a reader at {have} was answered {error}")),
        }
    }
}
