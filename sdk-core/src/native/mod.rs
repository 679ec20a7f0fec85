//! A client as a native program: a SQLite store, WebSocket and HTTP over tokio, the machine's clocks.
//!
//! [`NativeClient::open`] puts them together; each part also serves alone.

mod address;
mod client;
mod http;
mod link;
mod runtime;
mod sqlite;
mod tls;
mod tokens;
mod traces;
mod transport;

pub use address::InvalidServer;
pub use client::{Native, NativeClient, OpenError};
pub use link::NativeLink;
pub use runtime::TokioRuntime;
pub use sqlite::{SqliteOptions, SqliteStore};
pub use tokens::Tokens;
pub use transport::NativeTransport;

/// Bytes of one message from the server, eight times what one sends unless it is set up otherwise. What is longer
/// ends the link, or is cut off.
const MAX_MESSAGE: usize = 4 << 20;
