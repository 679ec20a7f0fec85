//! The parts of a client that runs as a native program: a SQLite store, WebSocket and HTTP over tokio, clocks.

mod sqlite;

pub use sqlite::{SqliteOptions, SqliteStore};
