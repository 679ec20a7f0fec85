//! Verification of one token.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use jsonwebtoken::{decode, errors::ErrorKind};
use sdk_core::{
    clock::Millis,
    protocol::{ErrorCode, ProtocolError},
};
use serde::Deserialize;

use super::{
    bearer::Bearer,
    keyring::Keyring,
    keys::Key,
    known::{Known, mark},
    revoked::{MAX_LIFE, Revoked},
    source::Source,
    strict::{self, Head},
};
use crate::{
    access::{Access, Grant},
    office::{Charge, Office},
    tenant::TenantScope,
};

/// Milliseconds by which an issuer's clock may be ahead of ours.
const LEEWAY: u64 = 30_000;
/// Bytes of a tenant's or subject's name.
const MAX_NAME: usize = 128;

/// What a token said, once it is known to be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedClaims {
    tenant: Arc<str>,
    subject: Arc<str>,
    expires: Millis,
    access: Access,
    office: Office,
    bearer: Arc<Bearer>,
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

    /// In which tenants it lets its subject ask for access, or approve of it.
    pub fn office(&self) -> &Office {
        &self.office
    }

    /// By which token that is so.
    pub(crate) fn bearer(&self) -> &Arc<Bearer> {
        &self.bearer
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
    /// More bytes than a token has.
    #[error("token is too long")]
    TooLong,
    /// Its header brings a key, or says where one is. Nobody but the operator says what is trusted.
    #[error("token brings a key of its own")]
    BringsKey,
    /// It is for another use, or encrypted, compressed or encoded in another way.
    #[error("token is of another type")]
    WrongType,
    /// The keys cannot be had at the moment, so that nothing is known of the token.
    #[error("the keys of tokens are not known at the moment")]
    NoKeys,
    /// It was taken back.
    #[error("token was revoked")]
    Revoked,
    /// Its key is not trusted any more.
    #[error("the key of the token was removed")]
    KeyRemoved,
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

impl AuthError {
    /// The same in a word, to count by.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLong => "too_long",
            Self::BringsKey => "brings_key",
            Self::WrongType => "wrong_type",
            Self::NoKeys => "no_keys",
            Self::Revoked => "revoked",
            Self::KeyRemoved => "key_removed",
            Self::UnknownKey => "unknown_key",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownExtension => "unknown_extension",
            Self::WrongSignature => "wrong_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
        }
    }
}

impl From<&AuthError> for ProtocolError {
    fn from(error: &AuthError) -> Self {
        match error {
            AuthError::Expired => Self::new(ErrorCode::TokenExpired, "the token has expired"),
            AuthError::NoKeys => {
                Self::new(ErrorCode::Overloaded, "tokens cannot be verified at the moment; nothing was done")
            }
            _ => Self::new(ErrorCode::Unauthenticated, "no valid token"),
        }
    }
}

/// Verifies tokens of one issuer for one audience.
pub struct Verifier {
    keys: Keyring,
    known: Known,
    revoked: Arc<Revoked>,
    source: Option<Source>,
    /// Whether the source has none to give.
    without_keys: AtomicBool,
}

/// What a token says, at whatever time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claimed {
    claims: VerifiedClaims,
    not_before: Millis,
}

#[derive(Deserialize)]
struct Claims {
    /// Compared by the library, which would take a list as well.
    #[serde(rename = "iss")]
    _iss: String,
    sub: String,
    tenant: String,
    exp: u64,
    nbf: u64,
    iat: Option<u64>,
    sid: Option<String>,
    jti: Option<String>,
    access: Option<Vec<Grant>>,
    superadmin: Option<Vec<Charge>>,
}

impl Verifier {
    /// A verifier with the keys it trusts. Of two keys with one id the later stays.
    pub fn new(issuer: &str, audience: &str, keys: impl IntoIterator<Item = Key>) -> Self {
        Self {
            keys: Keyring::new(issuer, audience, keys),
            known: Known::default(),
            revoked: Arc::default(),
            source: None,
            without_keys: AtomicBool::new(false),
        }
    }

    /// The same with keys of a document besides, which [`Self::keep_fresh`] has read.
    #[must_use]
    pub fn with_source(self, source: Option<Source>) -> Self {
        Self { without_keys: source.is_some().into(), source, ..self }
    }

    /// What was taken back.
    pub fn revoked(&self) -> &Arc<Revoked> {
        &self.revoked
    }

    /// Reads the document of keys, and again from time to time, for as long as it is polled.
    pub async fn keep_fresh(&self) -> Infallible {
        let Some(source) = &self.source else { return pending().await };
        source
            .run(|keys| {
                self.without_keys.store(keys.is_none(), Ordering::Release);
                if self.keys.replace(keys.unwrap_or_default()) {
                    self.revoked.tell();
                }
            })
            .await
    }

    /// Verifies a token at a Unix time. One that was verified before is known again, for as long as it is valid.
    ///
    /// # Errors
    /// Whatever is wrong with it; see [`AuthError`].
    pub fn verify(&self, token: &str, now: Millis) -> Result<VerifiedClaims, AuthError> {
        let mark = mark(token);
        let claims = match self.known.get(&mark) {
            Some(known) => known.at(now)?,
            None => {
                let claimed = self.claims(token, now)?;
                let claims = claimed.clone().at(now)?;
                self.known.add(mark, claimed);
                claims
            }
        };
        self.counts(claims.tenant(), claims.subject(), claims.bearer())?;
        Ok(claims)
    }

    /// The same, after the document of keys was read once more if it may have a key that was not known yet.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn verify_renewed(&self, token: &str, now: Millis) -> Result<VerifiedClaims, AuthError> {
        match (self.verify(token, now), &self.source) {
            (Err(AuthError::UnknownKey | AuthError::NoKeys), Some(source)) => {
                source.renew().await;
                self.verify(token, now)
            }
            (verified, _) => verified,
        }
    }

    /// Whether what was verified once still counts, as far as its time is not over.
    ///
    /// # Errors
    /// [`AuthError::KeyRemoved`] or [`AuthError::Revoked`].
    pub(crate) fn stands(&self, scope: &TenantScope) -> Result<(), AuthError> {
        let holder = scope.holder();
        self.counts(&holder.tenant, &holder.subject, scope.bearer())
    }

    fn counts(&self, tenant: &str, subject: &str, bearer: &Bearer) -> Result<(), AuthError> {
        if bearer.key.is_some_and(|key| !self.keys.holds(key)) {
            return Err(AuthError::KeyRemoved);
        }
        if self.revoked.covers(tenant, subject, bearer) { Err(AuthError::Revoked) } else { Ok(()) }
    }

    /// Resolves once a scope does not count any more because its token was taken back, or its key removed.
    pub(crate) async fn withdrawn(&self, scope: &TenantScope) -> AuthError {
        let mut changes = self.revoked.changes();
        loop {
            if let Err(error) = self.stands(scope) {
                return error;
            }
            if changes.changed().await.is_err() {
                // Nobody is left who could take it back.
                return pending().await;
            }
        }
    }

    /// What a token says, if it is by one of the keys.
    fn claims(&self, token: &str, now: Millis) -> Result<Claimed, AuthError> {
        let Head { key, algorithm } = strict::head(token)?;
        let Some(trusted) = self.keys.find(key.as_deref(), self.source.is_none()) else {
            let unknown = self.without_keys.load(Ordering::Acquire);
            return Err(if unknown { AuthError::NoKeys } else { AuthError::UnknownKey });
        };
        if !trusted.validation.algorithms.contains(&algorithm) {
            return Err(AuthError::WrongAlgorithm);
        }
        let Claims { sub, tenant, exp, nbf, iat, sid, jti, access, superadmin, .. } =
            decode::<Claims>(token, &trusted.decoding, &trusted.validation).map_err(refusal)?.claims;
        let named =
            [("sub", Some(&sub)), ("tenant", Some(&tenant)), ("sid", sid.as_ref()), ("jti", jti.as_ref())];
        for (claim, name) in named {
            if name.is_some_and(|name| !is_name(name)) {
                return Err(AuthError::Malformed(format!(
                    "{claim} must be 1 to {MAX_NAME} bytes of plain text"
                )));
            }
        }
        let access = match access.map(Access::granted) {
            None => Access::Everything,
            Some(access) => access.map_err(|bad| AuthError::Malformed(bad.to_string()))?,
        };
        let office = superadmin.map_or_else(|| Ok(Office::default()), Office::of);
        let office = office.map_err(|bad| AuthError::Malformed(bad.to_string()))?;
        let millis = |seconds: u64| Millis(seconds.saturating_mul(1000));
        let issued = iat.map(millis);
        if issued.is_some_and(|issued| issued > now.plus(LEEWAY)) {
            // It would be younger than any revocation.
            return Err(AuthError::NotYetValid);
        }
        // A revocation is not remembered for longer than this.
        let longest = issued.unwrap_or(millis(nbf)).0.saturating_add(MAX_LIFE);
        let bearer = Bearer {
            key: Some(trusted.mark),
            session: sid.map(Into::into),
            token: jti.map(Into::into),
            issued,
        };
        let claims = VerifiedClaims {
            tenant: tenant.into(),
            subject: sub.into(),
            expires: Millis(millis(exp).0.min(longest)),
            access,
            office,
            bearer: Arc::new(bearer),
        };
        Ok(Claimed { claims, not_before: millis(nbf) })
    }
}

/// Whether a text can be the name of a subject, a tenant, a session or a token.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control)
}

impl Claimed {
    /// The claims, if they hold at a time.
    fn at(self, now: Millis) -> Result<VerifiedClaims, AuthError> {
        if self.not_before > now.plus(LEEWAY) {
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
        let (access, bearer) = (Access::Everything, Arc::default());
        let office = Office::default();
        let claims = VerifiedClaims { tenant, subject, expires, access, office, bearer };
        Self { claims, not_before: Millis(0) }
    }
}

fn refusal(error: jsonwebtoken::errors::Error) -> AuthError {
    match error.kind() {
        ErrorKind::InvalidSignature => AuthError::WrongSignature,
        ErrorKind::InvalidIssuer => AuthError::WrongIssuer,
        ErrorKind::InvalidAudience => AuthError::WrongAudience,
        ErrorKind::InvalidAlgorithm => AuthError::WrongAlgorithm,
        // None of these names a key or repeats the token.
        _ => AuthError::Malformed(error.to_string()),
    }
}
