//! Who is calling: bearer tokens (RFC 7519), verified by the rules of RFC 8725.
//!
//! Each key has one algorithm, which the operator chose; what a token's header says is only compared with it. The
//! header's `kid` looks a key up in a map and is nothing more. Time is passed in, so a test needs no waiting.

mod keys;
mod known;
mod verifier;

pub use keys::{Key, KeyError, KeyFile};
pub use verifier::{AuthError, VerifiedClaims, Verifier};

#[cfg(test)]
mod tests;
