//! What goes into a session and what comes out of it.

use std::sync::Arc;

use sdk_core::{
    clock::Millis,
    protocol::{Changes, ClientId, CollectionName, ErrorCode, Judgement},
};

use super::{level::Level, publishing::Publishing};
use crate::{
    auth::AuthError,
    rooms::{Call, Mail},
    storage::{
        Advance, Batch, Committed, Page, StorageError,
        events::{LogError, News, Read, Slice, TopicName},
    },
    tenant::TenantScope,
};

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since an arbitrary start; never goes back. Timers run on it.
    pub monotonic: Millis,
    /// Unix time.
    pub wall: Millis,
}

/// Everything that can happen to a session.
#[derive(Debug)]
pub enum Input {
    /// A text frame came. Given only while [`Session::wants_frame`](super::session::Session::wants_frame).
    Received(String),
    /// The peer sent what no frame of this protocol can be: binary data, or more than the transport takes.
    Unreadable(ErrorCode),
    /// A ping or pong of the transport came, of so many bytes.
    Pinged(usize),
    /// The answer to [`Effect::Verify`].
    Verified(Result<TenantScope, AuthError>),
    /// The token of the session was taken back, or its key removed.
    Withdrawn(AuthError),
    /// The answer to [`Effect::Commit`].
    Committed(Result<Committed, StorageError>),
    /// The answer to [`Effect::Publish`].
    Published(Result<Vec<Option<Judgement>>, LogError>),
    /// The answer to [`Effect::Read`].
    Read(Result<Changes, StorageError>),
    /// A collection that the session follows moved on.
    Advanced(Arc<Advance>),
    /// Advances were dropped because this session did not keep up; any collection may have moved on.
    Lagged,
    /// The answer to [`Effect::ReadTopic`].
    TopicRead(Result<Slice, LogError>),
    /// A topic that the session follows moved on.
    Moved(Arc<News>),
    /// News were dropped; any topic may have moved on.
    MissedNews,
    /// Rooms or people have something for the session.
    Mail(Mail),
    /// The server stops.
    Shutdown,
    /// The time of [`Session::poll_timeout`](super::session::Session::poll_timeout) has come.
    Timeout,
}

/// Everything a session can ask for.
#[derive(Debug)]
pub enum Effect {
    /// Verify a token.
    Verify(String),
    /// Be told of advances of these collections from now on.
    Follow(TenantScope, Vec<CollectionName>),
    /// Commit a batch; one at a time.
    Commit(Batch),
    /// Publish events; one batch at a time.
    Publish(Publishing),
    /// Read a page; one at a time.
    Read(TenantScope, Page),
    /// Be told of a topic, too, from now on. Where one subscription stands in it may be moved on by others.
    FollowTopic(TenantScope, TopicName, u64, Arc<Level>),
    /// Be told of it no more.
    UnfollowTopic(TopicName),
    /// Read events; one read at a time.
    ReadTopic(TenantScope, TopicName, Read),
    /// A reader has all of a topic once what was sent before is out; then others may send it what comes next.
    Level(Arc<Level>),
    /// Count and record that a critical transaction came in a frame. The frame is refused.
    Misused(TenantScope),
    /// Record that this session was to go on by the token of somebody else, whose scope comes behind. It ends.
    Foreign(Box<(TenantScope, TenantScope)>),
    /// The session of this client can be reached by others, from now on.
    Attach(TenantScope, ClientId),
    /// Something is asked of the rooms; what comes of it is in the mail.
    Rooms(Call),
    /// Send a text frame.
    Send(Arc<str>),
    /// Close the connection, once what was sent before is out. The last effect of a session.
    Close(Closing),
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The server stops.
    GoingAway,
    /// The client was told this.
    Refused(ErrorCode),
}
