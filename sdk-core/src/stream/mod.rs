//! Reading a topic: one subscription as a state machine, whoever carries its frames.
//!
//! A reader keeps what came until the application has taken it, up to a limit; then it asks for no more, and goes on
//! after its position once there is room. What it hands out follows on one another, or says that something is missing.

mod reader;

pub use reader::{Item, Over, Reader, Shown};
