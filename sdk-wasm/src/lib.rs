//! The client in a browser.
//!
//! `sdk-core` decides what to store and to send; this crate gives it IndexedDB, WebSocket, `fetch`, timers and the
//! page's events, and offers the whole as one JavaScript class. It works in windows and in workers, touches nothing
//! of the browser before a client is opened, and talks JSON text to TypeScript so that no object is converted field
//! by field.
#![cfg(target_arch = "wasm32")]

mod decisions;
mod engine;
mod error;
mod held;
mod hints;
mod idb;
pub mod runtime;
pub mod store;
pub mod transport;

pub use engine::Engine;
