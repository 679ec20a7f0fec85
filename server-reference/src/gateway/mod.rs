//! The WebSocket side: a connection's logic, and the socket around it.

mod follow;
mod frame;
mod input;
mod level;
pub(crate) mod misplaced;
mod open;
pub(crate) mod publishing;
pub mod session;
mod socket;
#[cfg(test)]
mod tests;
mod topics;
pub(crate) mod upgrade;
mod websocket;
mod work;

pub use frame::CLIENT_FRAMES;
pub(crate) use frame::{check_rejected, too_many_operations};
