//! The frames by which a session reads topics.

use super::{json::Json, topic::TopicPosition};
use crate::{
    clock::Millis,
    wire::{record, tagged},
};

/// Asks for the events of a topic, and for those that are yet to come. With the `sub` of a subscription that there is,
/// it goes on from another place: after [`Events::more`], or to mend a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// The client's name for it, new with each subscription of a session.
    pub sub: u64,
    /// Which topic. Text, so that a name that cannot be one is answered by itself.
    pub topic: String,
    /// Where to begin.
    pub start: Start,
}

/// Where a reader of a topic begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With what comes after a position, as text.
    After(String),
    /// With what was appended at this Unix time or later.
    Time(Millis),
    /// With the earliest event that is kept.
    Earliest {},
    /// With what is yet to come.
    Latest {},
}

impl From<TopicPosition> for Start {
    fn from(position: TopicPosition) -> Self {
        Self::After(position.to_string())
    }
}

impl Start {
    /// The position after which it is.
    pub fn position(&self) -> Option<TopicPosition> {
        if let Self::After(text) = self { text.parse().ok() } else { None }
    }
}

/// Ends a subscription. What the server has sent before it heard of that may still arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Which one.
    pub sub: u64,
}

/// Events that follow one another. The first has the position one after `from`, and so on; the last has `to`, which may
/// be the first position of another epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// Of which subscription.
    pub sub: u64,
    /// The position they follow on.
    pub from: TopicPosition,
    /// The position they lead to.
    pub to: TopicPosition,
    /// The events.
    pub events: Vec<Json>,
    /// Whether nothing is missing between the reader's position and these events.
    pub recovered: bool,
    /// How many events are missing, where that is known.
    pub missed: Option<u64>,
    /// Whether there are more, which the reader is to ask for.
    pub more: bool,
}

/// A subscription is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which one.
    pub sub: u64,
    /// Why; none if the topic is closed and all of it was sent.
    pub reason: Option<EndReason>,
}

/// Why a topic cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct EndReason {
    /// A stable code, one of those that requests about topics are refused with.
    pub code: String,
    /// In words.
    pub message: String,
}

record!(Subscribe {
    sub: "sub";
    topic: "topic";
    start: "start";
});

tagged!(Start { "after" => After, "time" => Time } { "earliest" => Earliest, "latest" => Latest });

record!(Unsubscribe {
    sub: "sub";
});

record!(Events {
    sub: "sub";
    from: "from";
    to: "to";
    events: "events";
    recovered: "recovered" or true;
    missed: "missed";
    more: "more" or false;
});

record!(Ended {
    sub: "sub";
    reason: "reason";
});

record!(EndReason {
    code: "code";
    message: "message" or String::new();
});
