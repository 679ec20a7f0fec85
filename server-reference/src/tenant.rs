//! Whose data a call may touch.

use std::sync::Arc;

use sdk_core::{clock::Millis, protocol::Identity};

use crate::{
    access::Access,
    auth::{Bearer, VerifiedClaims},
};

/// The right to act within one tenant as one subject, on what its [`Access`] covers. It comes from a verified token alone, and every storage
/// method asks for it: code that has no scope can reach no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantScope {
    tenant: Arc<str>,
    subject: Arc<str>,
    expires: Millis,
    access: Access,
    bearer: Arc<Bearer>,
}

impl TenantScope {
    /// The scope that a verified token gives.
    pub fn of(claims: VerifiedClaims) -> Self {
        let (tenant, subject) = claims.names();
        let (access, bearer) = (claims.access().clone(), claims.bearer().clone());
        Self { tenant, subject, expires: claims.expires(), access, bearer }
    }

    /// The scope of something that was made under a verified token and outlives it.
    pub(crate) fn kept(tenant: Arc<str>, subject: Arc<str>, access: Access, bearer: Bearer) -> Self {
        Self { tenant, subject, expires: Millis(u64::MAX), access, bearer: Arc::new(bearer) }
    }

    /// The tenant.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// The person or program.
    pub fn subject(&self) -> &Arc<str> {
        &self.subject
    }

    /// What of the tenant's data it covers.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// By which token one acts.
    pub(crate) fn bearer(&self) -> &Bearer {
        &self.bearer
    }

    /// Unix time at which the scope ends.
    pub fn expires(&self) -> Millis {
        self.expires
    }

    /// Both names, as a welcome tells them.
    pub fn identity(&self) -> Identity {
        Identity { tenant: self.tenant.to_string(), subject: self.subject.to_string() }
    }
}
