//! Stable error codes. Programs decide by code; the words beside it are for people.

use crate::wire::{Bad, Decode, Encode, Reader, record, write_text};

/// What a caller should do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same again fails again.
    Never,
    /// Again, with backoff or after the delay the error names.
    Later,
    /// Again, with a new token.
    Reauthenticate,
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal, $retry:ident;)*) => {
        /// Why something was refused. Each has a stable text, an HTTP status and retry advice.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "typescript", derive(tsify::Tsify))]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* #[cfg_attr(feature = "typescript", serde(rename = $text))] $variant,)*
            /// A code that this version does not know; treated as permanent.
            #[cfg_attr(feature = "typescript", serde(rename = "unknown"))]
            Unknown,
        }

        impl ErrorCode {
            /// Every code of this version.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Unknown => "unknown" }
            }

            /// The code of a text.
            pub fn of(text: &str) -> Self {
                match text { $($text => Self::$variant,)* _ => Self::Unknown }
            }

            /// The status of an HTTP response with this code.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* Self::Unknown => 500 }
            }

            /// What to do about it.
            pub fn retry(self) -> Retry {
                match self { $(Self::$variant => Retry::$retry,)* Self::Unknown => Retry::Never }
            }
        }
    };
}

error_codes! {
    /// Not a frame or body of this protocol.
    Malformed = "malformed", 400, Never;
    /// No protocol version in common.
    UnsupportedVersion = "unsupported_version", 400, Never;
    /// A frame or body over its limit.
    FrameTooLarge = "frame_too_large", 413, Never;
    /// Nested deeper than allowed.
    TooDeep = "too_deep", 400, Never;
    /// More operations than a batch may hold, or more collections than a session may follow.
    TooMany = "too_many", 413, Never;
    /// A frame that is not allowed at this point of the session.
    UnexpectedFrame = "unexpected_frame", 400, Never;
    /// A critical transaction in a frame or among what is queued: it goes by `POST /v1/transactions` alone.
    TransactionMisplaced = "transaction_misplaced", 400, Never;
    /// No first frame within the deadline, or no answer to heartbeats.
    Timeout = "timeout", 408, Later;
    /// No token, or one that does not verify.
    Unauthenticated = "unauthenticated", 401, Reauthenticate;
    /// The token was good and is not any more.
    TokenExpired = "token_expired", 401, Reauthenticate;
    /// Not allowed to this subject; also said of what does not exist.
    Forbidden = "forbidden", 403, Never;
    /// The client id belongs to another subject.
    ClientIdTaken = "client_id_taken", 403, Never;
    /// The id was used for another operation before.
    OperationIdReused = "operation_id_reused", 409, Never;
    /// An operation that makes no sense.
    InvalidOperation = "invalid_operation", 422, Never;
    /// The document would be over its limit.
    DocumentTooLarge = "document_too_large", 413, Never;
    /// The collection was set up with another strategy.
    StrategyMismatch = "strategy_mismatch", 409, Never;
    /// There is no such topic, or none for this subject.
    NoSuchTopic = "no_such_topic", 404, Never;
    /// The topic is closed.
    TopicClosed = "topic_closed", 409, Never;
    /// The topic was deleted, and is kept for its forks only.
    TopicDeleted = "topic_deleted", 410, Never;
    /// The topic took as many events as it ever can.
    TopicFull = "topic_full", 409, Never;
    /// The tenant has as many topics as it may.
    TooManyTopics = "too_many_topics", 429, Never;
    /// The topic's events are not JSON.
    ContentTypeMismatch = "content_type_mismatch", 409, Never;
    /// Not a CloudEvent.
    BadEvent = "bad_event", 400, Never;
    /// An event over its limit.
    EventTooLarge = "event_too_large", 413, Never;
    /// The topic has another event of that source and id.
    EventIdReused = "event_id_reused", 409, Never;
    /// The application withdrew the operation before it was sent. A client says so to itself.
    Aborted = "aborted", 409, Never;
    /// An operation that this one depends on was not applied. A client says so to itself.
    DependencyFailed = "dependency_failed", 424, Never;
    /// The operation could not be brought up to the application's present schema. A client says so to itself.
    MigrationFailed = "migration_failed", 422, Never;
    /// The application dropped the operation when it brought others up to its present schema. A client says so to
    /// itself.
    MigrationDropped = "migration_dropped", 409, Never;
    /// Too fast.
    RateLimited = "rate_limited", 429, Later;
    /// What was sent to this session was not taken as fast as it came.
    SlowConsumer = "slow_consumer", 429, Later;
    /// The server is busy, or is stopping.
    Overloaded = "overloaded", 503, Later;
    /// The server cannot store at this moment; nothing was done.
    StorageUnavailable = "storage_unavailable", 503, Later;
    /// A fault of the server's own; nothing was acknowledged.
    Internal = "internal", 500, Later;
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of a whole frame, request or session, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ProtocolError {
    /// The stable reason.
    pub code: ErrorCode,
    /// The reason in words.
    pub message: String,
    /// How long to wait before another try, in milliseconds.
    pub retry_after: Option<u64>,
}

impl ProtocolError {
    /// An error without a delay of its own.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }
}

impl Encode for ErrorCode {
    fn write(&self, out: &mut String) {
        write_text(self.as_str(), out);
    }
}

impl Decode for ErrorCode {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Bad> {
        reader.string().map(|text| Self::of(&text))
    }
}

record!(ProtocolError {
    code: "code";
    message: "message";
    retry_after: "retryAfter";
});
