//! JSON text (RFC 8259) of the protocol's own types.
//!
//! `serde_json` reads and writes anything; a browser downloads all of it, most of all the words of its errors and the
//! printing of numbers within them. This reads and writes what the protocol has: no floating point numbers, and every
//! type says what it is. What is understood is the same text, and a test holds both to each other.

mod read;
mod scan;
mod write;

pub(super) use read::read;
pub(super) use write::write;

/// By this name `serde_json` asks for, and hands over, a value as its text.
const RAW: &str = "$serde_json::private::RawValue";

#[cfg(test)]
mod tests;
