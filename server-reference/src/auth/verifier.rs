//! Verification of one token.

use std::{collections::BTreeMap, sync::Arc};

use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, errors::ErrorKind};
use sdk_core::{
    clock::Millis,
    protocol::{ErrorCode, ProtocolError},
};
use serde::Deserialize;

use super::{
    keys::Key,
    known::{Known, mark},
};
use crate::access::{Access, Grant};

/// Milliseconds by which an issuer's clock may be ahead of ours.
const NOT_BEFORE_LEEWAY: u64 = 30_000;
/// Bytes of a tenant's or subject's name.
const MAX_NAME: usize = 128;

/// What a token said, once it is known to be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedClaims {
    tenant: Arc<str>,
    subject: Arc<str>,
    expires: Millis,
    access: Access,
}

impl VerifiedClaims {
    /// The tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The person or program.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Tenant and subject, to be shared.
    pub(crate) fn names(&self) -> (Arc<str>, Arc<str>) {
        (self.tenant.clone(), self.subject.clone())
    }

    /// What it lets its subject read and write.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Unix time at which the token ends.
    pub fn expires(&self) -> Millis {
        self.expires
    }
}

/// Why a token was refused. For the log; a client is told only what it can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// Not a token, or one with claims missing or of the wrong type.
    #[error("token is malformed: {0}")]
    Malformed(String),
    /// Its `kid` names no key, or it has none where several keys are configured.
    #[error("token names no known key")]
    UnknownKey,
    /// Its header does not have the algorithm of its key.
    #[error("token has another algorithm than its key")]
    WrongAlgorithm,
    /// It demands an extension (`crit`) that is not understood here.
    #[error("token demands an unknown extension")]
    UnknownExtension,
    /// The signature is not the key's.
    #[error("token has a wrong signature")]
    WrongSignature,
    /// Issued by somebody else.
    #[error("token has another issuer")]
    WrongIssuer,
    /// Issued for somebody else.
    #[error("token has another audience")]
    WrongAudience,
    /// It is over.
    #[error("token has expired")]
    Expired,
    /// Its time has not come.
    #[error("token is not valid yet")]
    NotYetValid,
}

impl From<&AuthError> for ProtocolError {
    fn from(error: &AuthError) -> Self {
        match error {
            AuthError::Expired => Self::new(ErrorCode::TokenExpired, "the token has expired"),
            _ => Self::new(ErrorCode::Unauthenticated, "no valid token"),
        }
    }
}

/// Verifies tokens of one issuer for one audience.
pub struct Verifier {
    keys: BTreeMap<String, (DecodingKey, Validation)>,
    known: Known,
}

/// What a token says, at whatever time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claimed {
    claims: VerifiedClaims,
    not_before: Millis,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    tenant: String,
    exp: u64,
    nbf: u64,
    access: Option<Vec<Grant>>,
}

impl Verifier {
    /// A verifier with the keys it trusts. Of two keys with one id the later stays.
    pub fn new(issuer: &str, audience: &str, keys: impl IntoIterator<Item = Key>) -> Self {
        let entry = |key: Key| {
            let mut validation = Validation::new(key.algorithm);
            validation.set_issuer(&[issuer]);
            validation.set_audience(&[audience]);
            validation.set_required_spec_claims(&["iss", "aud", "exp", "nbf", "sub"]);
            // Both are checked below, against the time that is passed in.
            validation.validate_exp = false;
            validation.validate_nbf = false;
            (key.id, (key.decoding, validation))
        };
        Self { keys: keys.into_iter().map(entry).collect(), known: Known::default() }
    }

    /// Verifies a token at a Unix time. One that was verified before is known again, for as long as it is valid.
    ///
    /// # Errors
    /// Whatever is wrong with it; see [`AuthError`].
    pub fn verify(&self, token: &str, now: Millis) -> Result<VerifiedClaims, AuthError> {
        let mark = mark(token);
        if let Some(known) = self.known.get(&mark) {
            return known.at(now);
        }
        let claimed = self.claims(token)?;
        let claims = claimed.clone().at(now)?;
        self.known.add(mark, claimed);
        Ok(claims)
    }

    /// What a token says, if it is by one of the keys.
    fn claims(&self, token: &str) -> Result<Claimed, AuthError> {
        let header = decode_header(token).map_err(refusal)?;
        if header.crit.is_some() {
            return Err(AuthError::UnknownExtension);
        }
        let (decoding, validation) = match &header.kid {
            Some(id) => self.keys.get(id),
            None if self.keys.len() == 1 => self.keys.values().next(),
            None => None,
        }
        .ok_or(AuthError::UnknownKey)?;
        if !validation.algorithms.contains(&header.alg) {
            return Err(AuthError::WrongAlgorithm);
        }
        let Claims { sub, tenant, exp, nbf, access } =
            decode::<Claims>(token, decoding, validation).map_err(refusal)?.claims;
        for (claim, name) in [("sub", &sub), ("tenant", &tenant)] {
            if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
                return Err(AuthError::Malformed(format!(
                    "{claim} must be 1 to {MAX_NAME} bytes of plain text"
                )));
            }
        }
        let access = match access.map(Access::granted) {
            None => Access::Everything,
            Some(access) => access.map_err(|bad| AuthError::Malformed(bad.to_string()))?,
        };
        let (expires, not_before) = (Millis(exp.saturating_mul(1000)), Millis(nbf.saturating_mul(1000)));
        let claims = VerifiedClaims { tenant: tenant.into(), subject: sub.into(), expires, access };
        Ok(Claimed { claims, not_before })
    }
}

impl Claimed {
    /// The claims, if they hold at a time.
    fn at(self, now: Millis) -> Result<VerifiedClaims, AuthError> {
        if self.not_before > now.plus(NOT_BEFORE_LEEWAY) {
            return Err(AuthError::NotYetValid);
        }
        if self.claims.expires <= now {
            return Err(AuthError::Expired);
        }
        Ok(self.claims)
    }

    #[cfg(test)]
    pub(super) fn for_test(subject: &str, expires: Millis) -> Self {
        let (tenant, subject) = ("acme".into(), subject.into());
        let claims = VerifiedClaims { tenant, subject, expires, access: Access::Everything };
        Self { claims, not_before: Millis(0) }
    }
}

fn refusal(error: jsonwebtoken::errors::Error) -> AuthError {
    match error.kind() {
        ErrorKind::InvalidSignature => AuthError::WrongSignature,
        ErrorKind::InvalidIssuer => AuthError::WrongIssuer,
        ErrorKind::InvalidAudience => AuthError::WrongAudience,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => AuthError::WrongAlgorithm,
        // None of these names a key or repeats the token.
        _ => AuthError::Malformed(error.to_string()),
    }
}
