//! Where in a topic a reader stands: the one cursor, as the Durable Streams protocol has it.

use std::{fmt, str::FromStr};

use crate::wire::{Bad, Decode, Encode, Reader, write_text};

/// One unbroken history of a topic. A later one is greater: it begins with the time at which it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogEpoch(pub u64);

/// So many events of an epoch are known. As text it has 33 bytes, and the order of the text is that of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPosition {
    /// The history that the offset counts in.
    pub epoch: LogEpoch,
    /// How many events come before.
    pub offset: u64,
}

/// A text that is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position that this server hands out")]
pub struct BadPosition;

impl TopicPosition {
    /// Before all events, in whichever epoch.
    pub const ZERO: Self = Self { epoch: LogEpoch(0), offset: 0 };

    /// So many events further in the same epoch, as far as offsets go.
    pub fn plus(self, events: u64) -> Self {
        Self { offset: self.offset.saturating_add(events), ..self }
    }
}

impl Encode for TopicPosition {
    fn write(&self, out: &mut String) {
        write_text(&self.to_string(), out);
    }
}

impl Decode for TopicPosition {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        let text = reader.string()?;
        text.parse().map_err(|_| reader.bad("not a position in a topic"))
    }
}

impl fmt::Display for TopicPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}_{:016x}", self.epoch.0, self.offset)
    }
}

impl FromStr for TopicPosition {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let number = |digits: &str| {
            let plain = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten().ok_or(BadPosition)
        };
        let (epoch, offset) = text.split_once('_').ok_or(BadPosition)?;
        Ok(Self { epoch: LogEpoch(number(epoch)?), offset: number(offset)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_sorts_as_text_and_comes_back_as_it_was() {
        let of = |epoch, offset| TopicPosition { epoch: LogEpoch(epoch), offset };
        let sorted = [TopicPosition::ZERO, of(1, 9), of(1, 10), of(16, 0), of(1 << 60, u64::MAX)];
        assert!(sorted.windows(2).all(|two| two[0] < two[1] && two[0].to_string() < two[1].to_string()));
        for position in sorted {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
    }

    #[test]
    fn what_was_never_handed_out_is_no_position() {
        let good = TopicPosition::ZERO.to_string();
        for bad in
            ["", "-1", "now", "0_0", &good.to_uppercase().replace('0', "A"), &good[1..], &format!("{good}0")]
        {
            assert_eq!(bad.parse::<TopicPosition>(), Err(BadPosition), "{bad}");
        }
        assert_eq!(good.replace('_', "-").parse::<TopicPosition>(), Err(BadPosition));
    }
}
