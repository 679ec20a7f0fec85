//! What can go wrong before an edit is durable.

use crate::{engine::Refusal, protocol::InvalidId};

/// The client was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is closed")]
pub struct Closed;

/// A value cannot be a document or a field.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It has no JSON form.
    #[error("the value has no JSON form")]
    Json(#[from] serde_json::Error),
    /// A document or a patch is an object.
    #[error("a document must be a JSON object")]
    NotAnObject,
    /// A value nests too deep.
    #[error(transparent)]
    Value(#[from] crate::protocol::JsonError),
    /// It is no CloudEvent.
    #[error("not a CloudEvent: {0}")]
    Event(crate::wire::Bad),
    /// A field, or a transaction, has an unacceptable name.
    #[error(transparent)]
    Name(#[from] InvalidId),
}

/// An edit was not taken. Nothing of it was stored, and it will never be sent, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The document's id is unacceptable.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// The value is unacceptable.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The client refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The client was closed meanwhile; whether the edit was stored is unknown.
    #[error(transparent)]
    Closed(#[from] Closed),
}
