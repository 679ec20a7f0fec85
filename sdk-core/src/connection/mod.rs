//! The link: when to open a WebSocket, when to give one up, when plain HTTP has to do, and how to climb back.
//!
//! A transport is judged by what it delivered. A WebSocket counts once the server's welcome came over it; until
//! then HTTP may work in its place, and the WebSocket is tried again in the background.

mod backoff;
mod ladder;
mod poll;
mod socket;

pub use backoff::Backoff;
pub use ladder::{Ladder, Rung};
pub use poll::Poll;
pub use socket::{Phase, Silence, Socket};
