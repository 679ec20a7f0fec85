//! Rooms that several servers share: what they tell one another.
//!
//! Each server tells of those who are in a room at it, and hears of the others. Nothing of it is kept anywhere else: a server that
//! comes into a room asks, one that is not heard any more takes its members with it, and what was missed is told whole.

use std::{fmt, sync::Arc};

use sdk_core::{
    protocol::{ClientId, Json, MAX_SAFE_INTEGER, RoomName},
    wire::{record, tagged},
};

/// A server among those that share rooms, from when it began until it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServerId(u64);

impl ServerId {
    /// Of a number drawn by chance, of which the last 53 bits count.
    pub fn of(number: u64) -> Self {
        Self(number & MAX_SAFE_INTEGER)
    }

    /// It as a number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The number of a member. Servers count from numbers far apart, so none gives one that another has given.
    pub(super) fn member(self, count: u64) -> u64 {
        self.0.wrapping_add(count) & MAX_SAFE_INTEGER
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// When a client came, and to which server. Of two servers that have the same client the later has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) at: u64,
    pub(super) server: ServerId,
}

/// Somebody who is in a room at the server that tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    pub(super) client: ClientId,
    pub(super) id: u64,
    pub(super) user: String,
    /// When it came, in Unix time, or later than somebody who had the client before.
    pub(super) since: u64,
    /// None of who is not shown.
    pub(super) state: Option<Json>,
}

/// What a server tells the others of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Somebody is in it there from now on, and it knows nothing of the others.
    Ask {},
    /// Everybody who is in it there.
    All(Vec<Guest>),
    /// What is new.
    News(Changed),
    /// Something that was said, as the frame that members get.
    Said(String),
}

/// What is new of those who are in a room at one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Those who are new or in another state.
    pub(super) guests: Vec<Guest>,
    /// Those who are not there any more.
    pub(super) left: Vec<ClientId>,
}

record!(Guest {
    client: "client";
    id: "id";
    user: "user";
    since: "since";
    state: "state";
});

record!(Changed {
    guests: "guests", or_empty;
    left: "left", or_empty;
});

tagged!(Word { "all" => All, "news" => News, "said" => Said } { "ask" => Ask });

/// A tenant and the name of a room.
pub type Spot = (Arc<str>, RoomName);
/// A tenant and a subject.
pub type Person = (Arc<str>, Arc<str>);

/// The other servers. Nothing here waits.
pub trait Neighbours: fmt::Debug + Send + Sync {
    /// Somebody is in a room from now on: the others are asked, and heard.
    fn attend(&self, spot: &Spot);

    /// Nobody is in it any more.
    fn depart(&self, spot: &Spot);

    /// Tells the others something.
    fn tell(&self, spot: &Spot, word: Word);

    /// A person has a session here from now on, or none any more.
    fn present(&self, person: &Person, here: bool);

    /// Hands a frame to a person's sessions at the others, and says then to how many.
    fn write(&self, person: &Person, frame: Arc<str>, told: Box<dyn FnOnce(u64) + Send>);
}
