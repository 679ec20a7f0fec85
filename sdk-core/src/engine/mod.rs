//! The client as a pure state machine: no I/O, no clock, no randomness of its own.

mod input;
pub mod storage;

pub use input::{
    BatchId, Call, CallBody, Effect, Event, HttpFailure, HttpId, Input, LinkId, Now, QueryId, ReadId,
    Refusal, Reply, Ticket, TokenError,
};
