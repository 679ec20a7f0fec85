//! Who is calling: bearer tokens (RFC 7519), verified by the rules of RFC 8725.
//!
//! Each key has one algorithm, which the operator chose; what a token's header says is only compared with it. The
//! header's `kid` looks a key up in a map and is nothing more. Keys are named by the operator or come from a [document](Source) that
//! changes; a token counts for as long as its key does and it was not [taken back](Revoked). Time is passed in, so a test needs
//! no waiting.

mod bearer;
mod jwks;
mod keyring;
mod keys;
mod known;
mod revoked;
mod source;
mod strict;
mod verifier;

pub use bearer::Bearer;
pub use jwks::BadKeys;
pub use keys::{Key, KeyError, KeyFile};
pub use revoked::{Asked, BadRevocation, MAX_LIFE, Revocation, Revoked, Whose};
pub use source::{Pace, Source, SourceError};
pub use verifier::{AuthError, VerifiedClaims, Verifier, is_name};

#[cfg(test)]
mod tests;
