//! The topic that a group shares, as its log has it.

use bytes::Bytes;
use sdk_core::clock::Millis;

use crate::storage::events::{After, LineState, LogError, Numbered};

/// The events of a topic by their numbers, the first of which is 1.
pub(in crate::storage) trait Line {
    fn state(&self) -> &LineState;

    /// The offset after which to read.
    fn offset(&self, after: After) -> Result<u64, LogError>;

    /// One event, if it is kept.
    fn event(&self, number: u64) -> Result<Option<(Millis, Bytes)>, LogError>;

    /// Some of the events after an offset: at least one if there is any, and not more bytes than asked for otherwise.
    fn take(&self, after: u64, most: usize, bytes: usize) -> Result<Vec<Numbered>, LogError>;

    /// The offset, not below another, after which the events have at most so many bytes.
    fn newest_within(&self, from: u64, bytes: u64) -> Result<u64, LogError>;
}
