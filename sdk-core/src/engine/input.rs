//! What goes into the engine and what comes out of it.

use super::{
    Attendance, Event, Fetch, Migrated, Outdated, Subscription, TopicRead, TopicReply,
    storage::{Batch, Query, Rows, Scan, StoreError},
};
use crate::{
    clock::Millis,
    protocol::{
        ClientFrame, DocKey, Intent, Json, ProtocolError, PullReply, PullRequest, PushReply, PushRequest,
        Recipient, Seq, ServerFrame, TopicName, TopicPosition,
    },
    reconcile::{Conflict, Resolution},
    wire::transparent,
};

/// Both clocks at one moment. Timers run on the first; the second stamps operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since an arbitrary start; never goes back.
    pub monotonic: Millis,
    /// Unix time as this machine believes it; may be wrong and may jump.
    pub wall: Millis,
}

macro_rules! tickets {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        transparent!($name);
    )*};
}

tickets! {
    /// Names a submission until it has its `Seq`; chosen by the caller.
    Ticket;
    /// Names a live query, a reader of a topic or a way into a room; chosen by the caller.
    QueryId;
    /// Names a commit in flight.
    BatchId;
    /// Names a read in flight.
    ReadId;
    /// Names an attempt to open a WebSocket, and the link that came of it.
    LinkId;
    /// Names an HTTP request in flight.
    HttpId;
    /// Names a question about a conflict.
    ResolveId;
}

/// Everything that can happen to an engine.
#[derive(Debug)]
pub enum Input {
    /// The application edits a document.
    Submit {
        /// How the answer will name it.
        ticket: Ticket,
        /// The document.
        doc: DocKey,
        /// The version of the application's schema that it is written for. Of the client's own, or of another that a page
        /// beside it has: what is older is migrated before it is sent, what is newer goes as it is.
        schema: u32,
        /// What is to be done.
        intents: Vec<Intent>,
        /// Own operations that have to succeed before it is sent; at most
        /// [`MAX_PARENTS`](crate::outbox::MAX_PARENTS).
        after: Vec<Seq>,
    },
    /// The application publishes an event; answered like an edit.
    Publish {
        /// How the answer will name it.
        ticket: Ticket,
        /// Where it goes.
        topic: TopicName,
        /// A [whole](crate::protocol::complete_event) CloudEvent.
        event: Json,
        /// With a key it takes the place of an earlier event for the topic with the same key that was not sent.
        coalesce: Option<String>,
        /// Own operations that have to succeed before it is sent, as with an edit.
        after: Vec<Seq>,
    },
    /// The application changes its mind about an operation; answered like a submission.
    Amend(Ticket, Seq, Amendment),
    /// What is asked next under this ticket was found in the store, as the submission of this key. If its page is gone,
    /// as the last part says, an edit that is refused for good becomes a dead letter.
    Adopt(Ticket, String, bool),
    /// The application opens a room, or what is said to it.
    Attend(QueryId, Attendance),
    /// It wants to be seen in a room that it has open, in this state, or not to be seen.
    Present(QueryId, Option<Json>),
    /// It has taken messages up to this number.
    Heard(QueryId, u64),
    /// It says something to those who are there now; answered with [`Event::Sent`] or [`Event::Unsent`].
    Say(Ticket, Recipient, Json),
    /// The application drops an operation that was rejected, having seen it.
    Discard(Seq),
    /// The application wants to follow documents.
    Open(QueryId, Query),
    /// The application wants to read a topic.
    Subscribe(QueryId, Subscription),
    /// It has taken what it was shown of a topic, up to this position.
    Taken(QueryId, TopicPosition),
    /// It does not want to follow or read that any more.
    Close(QueryId),
    /// The application allows the network, or forbids it.
    Network(bool),
    /// A commit is durable.
    Committed(BatchId),
    /// A commit failed; nothing of it was written.
    StoreFailed(BatchId, StoreError),
    /// The store was closed under us, and what it held may be gone: all of it is to be written again.
    StoreTaken,
    /// A read's result.
    Loaded(ReadId, Result<Rows, StoreError>),
    /// The application's answer to [`Effect::FetchToken`].
    Token(Result<String, TokenError>),
    /// The WebSocket is open.
    LinkUp(LinkId),
    /// It could not be opened, and the next should not be for so many milliseconds at least.
    LinkRefused(LinkId, u64),
    /// It is closed.
    LinkDown(LinkId),
    /// A frame came.
    Received(LinkId, Result<ServerFrame, ProtocolError>),
    /// An HTTP request is over.
    HttpDone(HttpId, Result<Reply, HttpFailure>),
    /// The answer to [`Effect::Resolve`]; an error in words if there is none that makes sense.
    Resolved {
        /// Whose conflict it is.
        seq: Seq,
        /// Which question is answered.
        id: ResolveId,
        /// What was decided.
        resolution: Result<Resolution, String>,
        /// Milliseconds that it took.
        took: u64,
    },
    /// The answer to [`Effect::Migrate`]. One about an operation that is not what it was then counts for nothing.
    Migrated(Vec<Migrated>),
    /// A part of a snapshot came as text, or did not come.
    Fetched(HttpId, Result<String, HttpFailure>),
    /// Something came of [`Effect::ReadTopic`], where the answer goes on.
    TopicTold(HttpId, TopicReply),
    /// The answer to [`Effect::ReadTopic`], or its end if it went on.
    TopicRead(HttpId, Result<TopicReply, HttpFailure>),
    /// Something hints that the network may be back, or the page was woken.
    Wake,
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// What the application wants of an operation that it has submitted.
#[derive(Debug)]
pub enum Amendment {
    /// It shall do this instead, written for this version of the application's schema. A dead letter becomes a new
    /// operation.
    Edit(u32, Vec<Intent>),
    /// It shall publish this event, a whole one, instead. A dead letter becomes an operation again, in its place.
    Republish(Json),
    /// A dead letter shall be tried again: an edit as a new operation, an event as it was and in its place.
    Retry,
    /// Its conflict shall end so.
    Resolve(Resolution),
    /// It shall not be sent, or is forgotten as a dead letter.
    Abort,
}

/// Everything an engine can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write a batch; answer with `Committed` or `StoreFailed`.
    Commit(BatchId, Batch),
    /// Read documents and segments; answer with `Loaded`.
    Read(ReadId, Query, Scan),
    /// Ask the application for a token; answer with `Token`.
    FetchToken,
    /// Open a WebSocket; answer with `LinkUp` or `LinkRefused`. Any earlier one is closed.
    Connect(LinkId),
    /// Send a frame.
    Send(LinkId, ClientFrame),
    /// Close the WebSocket; no answer is needed.
    Disconnect(LinkId),
    /// Send an HTTP request; answer with `HttpDone`.
    Http(HttpId, Call),
    /// Ask the application's function how a conflict of this operation is to end; answer with `Resolved`.
    Resolve(Seq, ResolveId, Conflict),
    /// Ask the application what these operations do in its present schema; answer with `Migrated`.
    Migrate(Vec<Outdated>),
    /// Get a part of a snapshot by HTTP; answer with `Fetched`.
    Fetch(HttpId, Fetch),
    /// Read events of a topic by HTTP; answer with `TopicRead`.
    ReadTopic(HttpId, TopicRead),
    /// Tell the application.
    Emit(Event),
}

/// An HTTP request, with the token to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The bearer token.
    pub token: String,
    /// What to send.
    pub body: CallBody,
}

/// Without the token, which must not reach a log.
impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("body", &self.body).finish_non_exhaustive()
    }
}

/// The body of an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallBody {
    /// `POST /v1/push`
    Push(PushRequest),
    /// `POST /v1/pull`
    Pull(PullRequest),
}

/// The answer to an HTTP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a push.
    Push(PushReply),
    /// To a pull.
    Pull(PullReply),
}

/// Why an HTTP request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpFailure {
    /// It did not reach the server, or the answer did not come back.
    Unreachable,
    /// The server refused it.
    Refused(ProtocolError),
}

/// Why the application gave no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no token: {0}")]
pub struct TokenError(pub String);
