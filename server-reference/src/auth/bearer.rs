//! What tells one token of a subject from another, for as long as anything is done in its name.

use aws_lc_rs::digest::{Context, SHA256};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use sdk_core::clock::Millis;

/// By which token somebody acts: what a revocation or the removal of a key is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bearer {
    /// The key that signed it; none of what outlives its token and counts without the key.
    pub(super) key: Option<KeyMark>,
    /// The claim `sid`.
    pub(crate) session: Option<Box<str>>,
    /// The claim `jti`.
    pub(crate) token: Option<Box<str>>,
    /// The claim `iat`. A token without one counts as older than any revocation.
    pub(crate) issued: Option<Millis>,
}

/// Stands for a key: two that are equal have one name, one algorithm and one material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct KeyMark([u8; 16]);

impl Bearer {
    /// The same of something that outlives its token: what it was made by may be revoked later, but its key is no longer of
    /// account.
    pub(crate) fn kept(session: Option<&str>, token: Option<&str>, issued: Option<Millis>) -> Self {
        Self { key: None, session: session.map(Into::into), token: token.map(Into::into), issued }
    }
}

impl KeyMark {
    pub(super) fn of(id: &str, algorithm: Algorithm, key: &DecodingKey) -> Self {
        let mut hash = Context::new(&SHA256);
        let algorithm = format!("{algorithm:?}");
        let (first, second): (&[u8], &[u8]) = match key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => (bytes, &[]),
            DecodingKeyKind::RsaModulusExponent { n, e } => (n, e),
        };
        for part in [id.as_bytes(), algorithm.as_bytes(), first, second] {
            // With its length, so that no two keys read alike.
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut mark = [0; 16];
        mark.copy_from_slice(&hash.finish().as_ref()[..16]);
        Self(mark)
    }
}
