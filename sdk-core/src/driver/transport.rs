//! The network, the clock and the token under a client.

use std::future::Future;

use super::{MaybeSend, MaybeSync};
use crate::{
    clock::Millis,
    engine::{Now, TokenError},
    protocol::{IdempotencyKey, TransactionName},
};

/// Reaches one server, by WebSocket and by plain HTTP.
pub trait Transport: MaybeSend + MaybeSync + 'static {
    /// An open WebSocket.
    type Link: Link;

    /// Opens a WebSocket with [`SUBPROTOCOL`](crate::protocol::SUBPROTOCOL). Resolves when it is open and the
    /// server has agreed to the subprotocol. The caller limits the time.
    fn open(&self) -> impl Future<Output = Result<Self::Link, TransportError>> + MaybeSend;

    /// Sends `GET` to a path below the server's address. To drop the future ends the request. An answer of any status is an answer. Whenever more of its body
    /// has come, `each` may take of it what has come so far; where it says no, the request ends and there is no answer.
    fn get(
        &self,
        request: HttpGet,
        each: &Each<'_>,
    ) -> impl Future<Output = Result<HttpReply, TransportError>> + MaybeSend;

    /// Sends `POST` to a path below the server's address. To drop the future ends the request. An answer of any status is an answer.
    fn post(
        &self,
        request: HttpRequest,
    ) -> impl Future<Output = Result<HttpReply, TransportError>> + MaybeSend;
}

/// Carries critical transactions. A trait of its own: in a browser the package sends them past the engine.
pub trait Transact: Transport {
    /// Sends `POST` to the transaction of a name, with its key. An answer of any status is an answer.
    fn transact(
        &self,
        request: TransactionRequest,
    ) -> impl Future<Output = Result<HttpReply, TransportError>> + MaybeSend;
}

/// Takes from the bytes of an answer, and says whether more are wanted.
#[cfg(not(target_arch = "wasm32"))]
pub type Each<'a> = dyn Fn(&mut Vec<u8>) -> bool + Sync + 'a;
/// Takes from the bytes of an answer, and says whether more are wanted.
#[cfg(target_arch = "wasm32")]
pub type Each<'a> = dyn Fn(&mut Vec<u8>) -> bool + 'a;

/// One open WebSocket. It closes when the last owner drops it.
pub trait Link: MaybeSend + MaybeSync + 'static {
    /// Hands over one text frame. Does not wait; a link that is gone swallows it, and `receive` tells.
    fn send(&self, text: String);

    /// The next text frame; none when the link is closed, whatever the reason. Called by one task at a time.
    fn receive(&self) -> impl Future<Output = Option<String>> + MaybeSend;

    /// Closes it; `receive` then ends.
    fn close(&self);
}

/// A request with a JSON body.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Path below the server's address, such as `v1/push`.
    pub path: &'static str,
    /// Sent as `Authorization: Bearer`.
    pub token: String,
    /// JSON text.
    pub body: String,
}

/// Without the token, which must not reach a log.
impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRequest").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A call of a critical transaction.
#[derive(Clone, PartialEq, Eq)]
pub struct TransactionRequest {
    /// Which transaction.
    pub name: TransactionName,
    /// Sent as `Idempotency-Key`.
    pub key: IdempotencyKey,
    /// Sent as `Authorization: Bearer`.
    pub token: String,
    /// JSON text.
    pub body: String,
}

/// Without the token, which must not reach a log.
impl std::fmt::Debug for TransactionRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, key, .. } = self;
        f.debug_struct("TransactionRequest").field("name", name).field("key", key).finish_non_exhaustive()
    }
}

/// A request without a body.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpGet {
    /// Path and query below the server's address, such as `v1/snapshots/cards`.
    pub path: String,
    /// Sent as `Authorization: Bearer`.
    pub token: String,
    /// Whether the answer has to come from the server and not from a cache.
    pub bypass: bool,
    /// Whether the server answers when something happens, and may go on then, for up to 90 s.
    pub waits: bool,
}

/// Without the token, which must not reach a log.
impl std::fmt::Debug for HttpGet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpGet").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpReply {
    /// The HTTP status.
    pub status: u16,
    /// Those of the [`HEADERS`] that it has; of a transaction, of the [`TRANSACTION_HEADERS`].
    pub headers: Vec<(&'static str, String)>,
    /// The body as text. Beyond the transport's limit it is cut off, and then counts as an answer that did not come.
    pub body: String,
}

/// The headers of an answer that are passed on, in lower case.
pub const HEADERS: [&str; 7] = [
    "content-type",
    "retry-after",
    "stream-start-offset",
    "stream-next-offset",
    "stream-earliest-offset",
    "stream-up-to-date",
    "stream-closed",
];

/// The same of a transaction's answer.
pub const TRANSACTION_HEADERS: [&str; 3] = ["retry-after", "idempotency-key", "idempotent-replayed"];

impl HttpReply {
    /// One of its headers, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str())
    }

    /// The milliseconds of a `Retry-After` header.
    pub fn retry_after(&self) -> Option<u64> {
        Self::wait_of(self.header("retry-after")?)
    }

    /// The same of its text. Its other form, a date, is of no use to a machine whose clock may be wrong.
    pub(crate) fn wait_of(header: &str) -> Option<u64> {
        let seconds: u64 = header.trim().parse().ok()?;
        Some(seconds.saturating_mul(1_000))
    }
}

/// The network did not carry it; whether the other side saw it is unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// Why, in words.
    pub message: String,
    /// Milliseconds to wait at least before another try, if the server has said so to a WebSocket that it did not open.
    pub retry_after: Option<u64>,
}

impl TransportError {
    /// One after which nobody has said how long to wait.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_after: None }
    }
}

/// Time and tasks.
pub trait Runtime: MaybeSend + MaybeSync + 'static {
    /// Both clocks.
    fn now(&self) -> Now;

    /// Resolves after so many milliseconds, or later.
    fn sleep(&self, millis: Millis) -> impl Future<Output = ()> + MaybeSend + 'static;

    /// Runs a future to its end in the background.
    fn spawn(&self, task: impl Future<Output = ()> + MaybeSend + 'static);
}

/// Where the client gets its bearer token: the application.
pub trait TokenSource: MaybeSend + MaybeSync + 'static {
    /// A token to present now.
    fn token(&self) -> impl Future<Output = Result<String, TokenError>> + MaybeSend;
}
