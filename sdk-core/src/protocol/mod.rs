//! Protocol version 1: identifiers, positions, operations, documents, frames, errors, limits.
//!
//! Client and server share these types; `docs/protocol.md` describes them for other implementations, and
//! `tests/vectors` holds one file per frame that both sides are tested against.

mod document;
mod error;
mod event;
mod frame;
mod ids;
mod intent;
mod json;
mod limits;
mod operation;
mod outcome;
mod position;
mod room;
mod shown;
mod snapshot;
mod strategy;
mod subscription;
mod topic;
mod trace;

pub use document::{Burial, Changed, Contribution, Document, Register, Stamp};
pub use error::{ErrorCode, ProtocolError, Retry};
pub use event::{EventName, MAX_ATTRIBUTE, MAX_ATTRIBUTES, Publication, complete_event};
pub use frame::{
    Changes, ClientFrame, GoAway, Hello, Identity, Outcomes, Publish, PullReply, PullRequest, Push,
    PushReply, PushRequest, Refresh, Resume, SUBPROTOCOL, ServerFrame, SlowDown, VERSIONS, Welcome, decode,
    decode_server_frame,
};
pub use ids::{
    ActorId, ClientId, CollectionName, DocKey, DocumentId, Epoch, FieldName, IdempotencyKey, InvalidId,
    MAX_SAFE_INTEGER, OpId, RoomName, Seq, TopicName, TransactionName,
};
pub use intent::{Fields, Intent, Members};
pub use json::{Json, JsonError, MAX_DEPTH};
pub use limits::{
    Limits, MAX_COLLECTIONS, MAX_FIELDS, MAX_FIRST_FRAME, MAX_INTENTS, MAX_MESSAGE, MAX_REJECTED, MAX_ROOMS,
    MAX_SKEW, MAX_STATE, MAX_TOPICS,
};
pub use operation::{Base, Choice, Operation, ResolvedBy, Resolves};
pub use outcome::{Author, Collision, Judgement, Outcome, Rejection};
pub use position::{Offset, StreamPosition};
pub use room::{Enter, Leave, Member, Message, Recipient, RoomNews, Send, Sent};
pub use snapshot::{ChunkRef, ContentHash, InvalidHash, Manifest, read_chunk, read_manifest};
pub use strategy::Strategy;
pub use subscription::{EndReason, Ended, Events, Start, Subscribe, Unsubscribe};
pub use topic::{BadPosition, LogEpoch, TopicPosition};
pub use trace::{is_traceparent, with_traceparent};

pub use crate::wire::encode;
