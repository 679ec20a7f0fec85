//! Reads the workspace's own source and tells where it breaks the rules of `docs/ARCHITECTURE.md`.
//!
//! [`Source`] finds the paths and names in a file, [`rules`] says which of them are allowed, and the test
//! `tests/workspace.rs` applies the rules to the checkout.

pub mod rules;
mod source;

pub use source::{ParseError, Source};
