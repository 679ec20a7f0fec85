//! Caps of the protocol. Those in [`Limits`] are a server's to choose; the others hold everywhere.

use crate::wire::record;

/// Intents in one operation.
pub const MAX_INTENTS: usize = 32;
/// Fields in one document, unset ones included.
pub const MAX_FIELDS: usize = 256;
/// Collections that one session follows.
pub const MAX_COLLECTIONS: usize = 64;
/// Topics that one session subscribes to at one time.
pub const MAX_TOPICS: usize = 64;
/// Rooms that one session is in, if the server does not say otherwise; and that a client is in.
pub const MAX_ROOMS: usize = 32;
/// Bytes of the state in which somebody is in a room.
pub const MAX_STATE: usize = 4 * 1024;
/// Bytes of a message between people.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// Milliseconds that an operation's time may lie ahead of the server's before it is corrected.
pub const MAX_SKEW: u64 = 60_000;
/// Bytes of one frame or body before its sender has authenticated.
pub const MAX_FIRST_FRAME: usize = 16 * 1024;

/// Dead letters that a client names when it says which it still holds: its newest ones.
pub const MAX_REJECTED: usize = 128;

/// What a server accepts, told in its welcome. Sizes are bytes of JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One frame or request body.
    pub frame_bytes: usize,
    /// Operations in one batch.
    pub batch_operations: usize,
    /// One operation.
    pub operation_bytes: usize,
    /// One document with all its fields.
    pub document_bytes: usize,
    /// Operations sent and not yet judged.
    pub in_flight_operations: usize,
    /// Rooms that one session is in. None, where a server says nothing of them: it would not know the frames.
    pub rooms: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 512 * 1024,
            batch_operations: 128,
            operation_bytes: 128 * 1024,
            document_bytes: 128 * 1024,
            in_flight_operations: 512,
            rooms: MAX_ROOMS,
        }
    }
}

impl Limits {
    /// The same, but for numbers with which nothing could ever be sent.
    pub fn usable(self) -> Self {
        Self {
            batch_operations: self.batch_operations.max(1),
            in_flight_operations: self.in_flight_operations.max(1),
            ..self
        }
    }
}

record!(Limits {
    frame_bytes: "frameBytes" or Limits::default().frame_bytes;
    batch_operations: "batchOperations" or Limits::default().batch_operations;
    operation_bytes: "operationBytes" or Limits::default().operation_bytes;
    document_bytes: "documentBytes" or Limits::default().document_bytes;
    in_flight_operations: "inFlightOperations" or Limits::default().in_flight_operations;
    rooms: "rooms" or 0;
});
