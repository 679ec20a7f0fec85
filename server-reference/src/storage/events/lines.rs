//! Topics as consumer groups see them that are kept in another place: each event by its number, the first of which is 1.

use std::sync::Arc;

use bytes::Bytes;
use sdk_core::clock::Millis;

use super::{After, Answer, ContentType, LogEpoch, Position, Redelivery, TopicName};

/// An event's number, when it was committed, and what it is.
pub type Numbered = (u64, Millis, Bytes);

/// A topic at one moment.
#[derive(Debug, Clone)]
pub struct LineState {
    /// What it is called.
    pub name: TopicName,
    /// What its positions are of.
    pub epoch: LogEpoch,
    /// What its events are made of.
    pub content_type: ContentType,
    /// What its groups do about events that fail, where they do not say so themselves.
    pub redelivery: Redelivery,
    /// Events up to here are not kept any more.
    pub earliest: Position,
    /// Events that it has ever had.
    pub tail: u64,
}

impl LineState {
    /// The position after an event.
    pub fn at(&self, number: u64) -> Position {
        Position { epoch: self.epoch, offset: number }
    }
}

/// A topic at one moment, told apart from others of its name and from what it was itself before it lost its end.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What no other topic of that name has or had. It stays when another epoch begins.
    pub id: String,
    /// Events up to here are in each epoch the same. Where another epoch begins because the log may have lost its end, this is
    /// the end that it has then, or what it was before if that is less.
    pub sure: u64,
    /// What it is now.
    pub state: LineState,
}

/// An epoch of a topic.
#[derive(Debug, Clone)]
pub struct LineRef {
    /// Whose topic.
    pub tenant: Arc<str>,
    /// Which one.
    pub topic: TopicName,
    /// In which epoch. Where the topic has another by now, nothing is answered but
    /// [`PositionLost`](super::LogError::PositionLost).
    pub epoch: LogEpoch,
    /// When it is asked about.
    pub now: Millis,
}

/// A log whose topics are shared by groups that are not in its database. Whoever asks has found out who may. What is answered
/// is never older than what was answered before, to whichever instance.
pub trait Lines: Send + Sync + 'static {
    /// A topic as it is. Counts as use of it, if that is said.
    ///
    /// # Errors
    /// [`NoSuchTopic`](super::LogError::NoSuchTopic) or [`Deleted`](super::LogError::Deleted) if it is not there any more.
    fn line(&self, tenant: Arc<str>, topic: TopicName, used: bool, now: Millis) -> Answer<'_, Standing>;

    /// The offset after which to read.
    fn offset(&self, of: LineRef, after: After) -> Answer<'_, u64>;

    /// Some of the events after an offset, or after the earliest that is kept: at least one if there is any, and not more bytes
    /// than asked for otherwise.
    fn take(&self, of: LineRef, after: u64, most: usize, bytes: usize) -> Answer<'_, Vec<Numbered>>;

    /// Those of some events that are kept, in the order of their naming: at least one if there is any, and not more bytes than
    /// asked for otherwise.
    fn pick(&self, of: LineRef, numbers: Vec<u64>, bytes: usize) -> Answer<'_, Vec<Numbered>>;

    /// The offset, not below another, after which the events have at most so many bytes.
    fn newest_within(&self, of: LineRef, from: u64, bytes: u64) -> Answer<'_, u64>;
}
