//! The frames of a WebSocket session and the bodies of their HTTP twins.
//!
//! A frame is a JSON object with one key, its name. Unknown fields are ignored everywhere; an unknown frame is
//! ignored by a client (a newer server may say more) and refused by a server (it would lose something).

use super::{
    document::Changed,
    error::{ErrorCode, ProtocolError},
    event::Publication,
    ids::{ActorId, ClientId, CollectionName, Seq},
    limits::Limits,
    operation::Operation,
    outcome::Judgement,
    position::StreamPosition,
    room::{Enter, Leave, Message, RoomNews, Send, Sent},
    strategy::Strategy,
    subscription::{Ended, Events, Subscribe, Unsubscribe},
};
use crate::clock::Millis;
use crate::wire::{self, Decode, Reader, record, tagged};

/// The WebSocket subprotocol (RFC 6455, section 1.9).
pub const SUBPROTOCOL: &str = "webwaka.realtime.v1";
/// The protocol versions that this code speaks, newest first.
pub const VERSIONS: &[u32] = &[1];

/// From the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// First frame of a session: who is there, and how far it has read.
    Hello(Hello),
    /// Operations to judge.
    Push(Push),
    /// Events to append to topics.
    Publish(Publish),
    /// Asks for changes from a position on: to go on after `more`, or to mend a gap.
    Pull(Resume),
    /// Asks for the events of a topic.
    Subscribe(Subscribe),
    /// Asks for no more of them.
    Unsubscribe(Unsubscribe),
    /// Is in a room from now on, or in another state.
    Enter(Enter),
    /// Is not any more.
    Leave(Leave),
    /// Has something to say to those who are there now.
    Send(Send),
    /// Goes on by another token of the same subject.
    Refresh(Refresh),
    /// Answer to a ping.
    Pong {},
}

/// From the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFrame {
    /// Answer to a hello that was accepted, and to each refresh.
    Welcome(Welcome),
    /// Judgements, in the order of what was pushed or published.
    Outcomes(Outcomes),
    /// What is new in a collection.
    Changes(Changes),
    /// Events of a topic.
    Events(Events),
    /// No more of them will come.
    Ended(Ended),
    /// What is new in a room.
    Room(RoomNews),
    /// Somebody has something to say.
    Message(Message),
    /// What became of what was said.
    Sent(Sent),
    /// A frame was refused, or the session ends with this reason.
    Error(ProtocolError),
    /// The client sends more than it may, and is to wait.
    SlowDown(SlowDown),
    /// The session ends; nothing is wrong with the client.
    GoAway(GoAway),
    /// Are you there? Comes once per heartbeat.
    Ping {},
}

/// Who a client is, what it follows, and which versions it speaks.
#[derive(Clone, PartialEq, Eq)]
pub struct Hello {
    /// Protocol versions it speaks; the server picks the newest it shares.
    pub versions: Vec<u32>,
    /// The bearer token (RFC 7519). Never part of an address, never logged.
    pub token: String,
    /// Which installation this is.
    pub client: ClientId,
    /// The collections it follows, each with the position it has.
    pub resume: Vec<Resume>,
    /// Those that it holds still of what it was refused for good, its newest [`MAX_REJECTED`](super::MAX_REJECTED). The
    /// others are over. None from one that does not say.
    pub rejected: Option<Vec<Seq>>,
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { versions, token: _, client, resume, rejected } = self;
        f.debug_struct("Hello")
            .field("versions", versions)
            .field("client", client)
            .field("resume", resume)
            .field("rejected", rejected)
            .finish_non_exhaustive()
    }
}

/// Another token, by which the session goes on.
#[derive(Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The bearer token. As in a hello.
    pub token: String,
}

impl std::fmt::Debug for Refresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresh").finish_non_exhaustive()
    }
}

/// A collection and how far the reader is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Which collection.
    pub collection: CollectionName,
    /// How its writers resolve concurrent edits; settled by the first who names the collection.
    pub strategy: Strategy,
    /// The newest position the reader has; none for a reader that has nothing.
    pub after: Option<StreamPosition>,
}

/// The session is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol version of this session.
    pub version: u32,
    /// The client's name in vector clocks.
    pub actor: ActorId,
    /// Whom the token names; a client that holds another's data must not go on.
    pub identity: Identity,
    /// What the server accepts.
    pub limits: Limits,
    /// Milliseconds between the server's pings.
    pub heartbeat: u64,
    /// The server's Unix time in milliseconds.
    pub server_time: Millis,
    /// Milliseconds until the token ends, from a server that takes a [`Refresh`].
    pub token_ends: Option<u64>,
}

/// Tenant and subject of a verified token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The tenant.
    pub tenant: String,
    /// The person or program.
    pub subject: String,
}

/// A batch of operations, those of one lane in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The operations; none, where only `rejected` is said.
    pub operations: Vec<Operation>,
    /// As in a hello, once the client has dropped some of it. Not while it waits for an answer, which may say that something
    /// else is refused.
    pub rejected: Option<Vec<Seq>>,
}

/// Events for topics, those of one topic in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The events.
    pub publications: Vec<Publication>,
}

/// Judgements of what one frame held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcomes {
    /// One for each operation, in their order; or for each publication, but for those that come after a refused one of
    /// their topic.
    pub judgements: Vec<Judgement>,
}

/// The documents of a collection that changed between two positions, each in its newest state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Which collection.
    pub collection: CollectionName,
    /// The position these changes follow on; none if they start from nothing.
    pub from: Option<StreamPosition>,
    /// The position they lead to.
    pub to: StreamPosition,
    /// The documents, deleted ones included, by revision.
    pub documents: Vec<Changed>,
    /// Whether the history is continuous with the position the reader had. If not, what the reader has of the
    /// collection is to be thrown away first, and `from` is none.
    pub recovered: bool,
    /// Whether the server has more for the reader to pull.
    pub more: bool,
}

/// Why the server ends the session, and when to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoAway {
    /// In words.
    pub reason: String,
    /// Milliseconds to wait, at least; the client adds its own jitter.
    pub retry_after: u64,
}

/// The client is to send nothing for a while. What it has sent is dealt with; if it goes on, the session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowDown {
    /// Milliseconds to wait.
    pub wait: u64,
}

/// Body of `POST /v1/push`: a batch over plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRequest {
    /// Which installation this is.
    pub client: ClientId,
    /// The strategies of the collections written to.
    pub collections: Vec<Resume>,
    /// The operations.
    pub operations: Vec<Operation>,
    /// Events for topics.
    pub publications: Vec<Publication>,
}

/// Body of `POST /v1/pull`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// Which installation this is.
    pub client: ClientId,
    /// What to read, from where.
    pub collections: Vec<Resume>,
    /// As in a hello.
    pub rejected: Option<Vec<Seq>>,
}

/// Answer to `POST /v1/push`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushReply {
    /// As a welcome over WebSocket.
    pub welcome: Welcome,
    /// One for each operation, in their order, and then those of the publications.
    pub judgements: Vec<Judgement>,
}

/// Answer to `POST /v1/pull`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullReply {
    /// As a welcome over WebSocket.
    pub welcome: Welcome,
    /// One or more for each collection asked for.
    pub changes: Vec<Changes>,
    /// Of those that are still held as refused: what was applied all the same.
    pub judgements: Vec<Judgement>,
}

/// Reads JSON text of the protocol, with its caps.
///
/// # Errors
/// [`ErrorCode::TooDeep`] or [`ErrorCode::Malformed`]; the length is the transport's to limit.
pub fn decode<T: Decode>(text: &str) -> Result<T, ProtocolError> {
    wire::decode(text).map_err(|bad| {
        // Depth is the reason also where something else is wrong further up.
        let deep = Reader::new(text).skip().is_err_and(|bad| bad.is_too_deep());
        let code = if deep { ErrorCode::TooDeep } else { ErrorCode::Malformed };
        ProtocolError::new(code, bad.to_string())
    })
}

/// Reads a server's frame; `None` is a frame of a newer version, to be ignored.
///
/// # Errors
/// As [`decode`].
pub fn decode_server_frame(text: &str) -> Result<Option<ServerFrame>, ProtocolError> {
    match decode(text) {
        Ok(frame) => Ok(Some(frame)),
        Err(error) if error.code == ErrorCode::Malformed && is_unknown_frame(text) => Ok(None),
        Err(error) => Err(error),
    }
}

impl ServerFrame {
    /// What the frames are called.
    pub const NAMES: [&'static str; 12] = [
        "welcome", "outcomes", "changes", "events", "ended", "room", "message", "sent", "error", "slowDown",
        "goAway", "ping",
    ];
}

fn is_unknown_frame(text: &str) -> bool {
    let (mut reader, mut names, mut known) = (Reader::new(text), 0, false);
    let whole = reader.object(&mut |reader, name| {
        names += 1;
        known |= ServerFrame::NAMES.contains(&name);
        reader.skip().map(drop)
    });
    whole.and_then(|()| reader.end()).is_ok() && names == 1 && !known
}

tagged!(ClientFrame {
    "hello" => Hello,
    "push" => Push,
    "publish" => Publish,
    "pull" => Pull,
    "subscribe" => Subscribe,
    "unsubscribe" => Unsubscribe,
    "enter" => Enter,
    "leave" => Leave,
    "send" => Send,
    "refresh" => Refresh
} { "pong" => Pong });

tagged!(ServerFrame {
    "welcome" => Welcome,
    "outcomes" => Outcomes,
    "changes" => Changes,
    "events" => Events,
    "ended" => Ended,
    "room" => Room,
    "message" => Message,
    "sent" => Sent,
    "error" => Error,
    "slowDown" => SlowDown,
    "goAway" => GoAway
} { "ping" => Ping });

record!(Hello {
    versions: "versions";
    token: "token";
    client: "client";
    resume: "resume" or Vec::new();
    rejected: "rejected";
});

record!(Resume {
    collection: "collection";
    strategy: "strategy";
    after: "after";
});

record!(Welcome {
    version: "version";
    actor: "actor";
    identity: "identity";
    limits: "limits";
    heartbeat: "heartbeat";
    server_time: "serverTime";
    token_ends: "tokenEnds";
});

record!(Identity {
    tenant: "tenant";
    subject: "subject";
});

record!(Refresh {
    token: "token";
});

record!(Push {
    operations: "operations";
    rejected: "rejected";
});

record!(Publish {
    publications: "publications";
});

record!(Outcomes {
    judgements: "judgements";
});

record!(Changes {
    collection: "collection";
    from: "from";
    to: "to";
    documents: "documents";
    recovered: "recovered";
    more: "more" or false;
});

record!(GoAway {
    reason: "reason";
    retry_after: "retryAfter";
});

record!(SlowDown {
    wait: "wait";
});

record!(PushRequest {
    client: "client";
    collections: "collections";
    operations: "operations";
    publications: "publications", or_empty;
});

record!(PullRequest {
    client: "client";
    collections: "collections";
    rejected: "rejected";
});

record!(PushReply {
    welcome: "welcome";
    judgements: "judgements";
});

record!(PullReply {
    welcome: "welcome";
    changes: "changes";
    judgements: "judgements", or_empty;
});
