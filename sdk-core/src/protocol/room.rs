//! The frames of live presence and of messages between people. Nothing of them is stored, on either side.

use super::{json::Json, subscription::EndReason};
use crate::wire::{record, tagged};

/// Enters a room, or changes the state in which one is there; the newest state counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enter {
    /// Which room. Text, so that a name that cannot be one is answered by itself.
    pub room: String,
    /// What the others see; without it one is told of them and not seen. At most [`MAX_STATE`](super::MAX_STATE) bytes.
    pub state: Option<Json>,
}

/// Leaves a room. What the server has sent before it heard of that may still arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// Which room.
    pub room: String,
}

/// A message for those who are there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    /// The client's name for it, which the answer has.
    pub id: u64,
    /// Who is to have it.
    pub to: Recipient,
    /// What it says; at most [`MAX_MESSAGE`](super::MAX_MESSAGE) bytes.
    pub data: Json,
}

/// Who is to have a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// Whoever else is in a room that the sender is in.
    Room(String),
    /// Every session of a person.
    User(String),
}

/// What is new in a room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomNews {
    /// Which room.
    pub room: String,
    /// The reader's own number among the members; in the first answer to an [`Enter`].
    pub me: Option<u64>,
    /// Whether `members` are all there are, and not those that have changed.
    pub full: bool,
    /// The members that are new, or have another state.
    pub members: Vec<Member>,
    /// The numbers of those that are not seen any more.
    pub left: Vec<u64>,
    /// The reader is not in the room, or is no longer, for this reason.
    pub over: Option<EndReason>,
}

/// Somebody in a room, at one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The number, which is nobody else's as long as the server runs.
    pub id: u64,
    /// The subject of the token.
    pub user: String,
    /// The newest state.
    pub state: Json,
}

/// A message that somebody has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The room that it went to; none if it went to a person.
    pub room: Option<String>,
    /// The sender, as the token names them.
    pub from: String,
    /// What it says.
    pub data: Json,
}

/// What became of a [`Send`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Which one.
    pub id: u64,
    /// Sessions that it went to.
    pub count: u64,
    /// Why it went to nobody.
    pub reason: Option<EndReason>,
}

record!(Enter {
    room: "room";
    state: "state";
});

record!(Leave {
    room: "room";
});

record!(Send {
    id: "id";
    to: "to";
    data: "data";
});

tagged!(Recipient { "room" => Room, "user" => User } {});

record!(RoomNews {
    room: "room";
    me: "me";
    full: "full" or false;
    members: "members", or_empty;
    left: "left", or_empty;
    over: "over";
});

record!(Member {
    id: "id";
    user: "user";
    state: "state";
});

record!(Message {
    room: "room";
    from: "from";
    data: "data";
});

record!(Sent {
    id: "id";
    count: "count" or 0;
    reason: "reason";
});
