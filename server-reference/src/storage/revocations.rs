//! Tokens that were taken back, kept for as long as one of them could still live.

use std::sync::Arc;

use futures::future::BoxFuture;
use sdk_core::clock::Millis;
use serde_json::{Value, json};

use super::StorageError;
use crate::{
    access::{Access, SubjectRight},
    auth::{Revocation, Whose},
    tenant::TenantScope,
};

/// Revocations of one tenant.
pub const MAX_TENANT_REVOCATIONS: u64 = 10_000;
/// Revocations of one page.
pub const MAX_REVOCATIONS: usize = 1_000;

/// The revocations of every tenant, for those who may take tokens back. Each call of theirs is recorded, durably, with what it
/// does or before it shows anything.
pub trait Revocations: Send + Sync + 'static {
    /// Takes tokens back; durable when it resolves. What the tenant has then of that name is answered: a repetition takes back
    /// nothing more, and one that goes less far takes nothing away.
    ///
    /// # Errors
    /// See [`RevocationError`]; nothing was taken back.
    fn revoke(
        &self,
        scope: TenantScope,
        revocation: Revocation,
        now: Millis,
    ) -> BoxFuture<'_, Result<Revoking, RevocationError>>;

    /// At most `most` of the tenant's that the scope may make, behind one, by kind and name.
    ///
    /// # Errors
    /// See [`RevocationError`].
    fn revocations(
        &self,
        scope: TenantScope,
        after: Option<(Whose, String)>,
        most: usize,
        now: Millis,
    ) -> BoxFuture<'_, Result<Vec<Revoking>, RevocationError>>;

    /// Those of every tenant, for a server that starts.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    fn standing(&self, now: Millis) -> BoxFuture<'_, Result<Standing, StorageError>>;
}

/// Revocations with the tenants that have made them.
pub type Standing = Vec<(Arc<str>, Revocation)>;

/// A revocation that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoking {
    /// It.
    pub revocation: Revocation,
    /// When it was made last.
    pub at: Millis,
    /// By whom.
    pub by: String,
}

impl Revoking {
    /// It, as those see it who may.
    pub fn shown(&self) -> Value {
        let Self { revocation: Revocation { whose, name, before, until }, at, by } = self;
        let mut shown = json!({ whose.as_str(): name, "until": until.0, "at": at.0, "by": by });
        if *whose == Whose::Subject {
            shown["before"] = json!(before.0);
        }
        shown
    }
}

/// Why tokens were not taken back, or not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// The token does not let its subject do this.
    #[error("the token does not let its subject take back these tokens")]
    Forbidden,
    /// The tenant has as many as it may.
    #[error("the tenant has {MAX_TENANT_REVOCATIONS} revocations already")]
    TooMany,
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Whether a token lets its subject take back others. Sessions and tokens may be anybody's, so that they are for those alone
/// who may take back everybody's.
pub(crate) fn may_revoke(access: &Access, whose: Whose, name: &str) -> bool {
    match whose {
        Whose::Subject => access.subject(name, SubjectRight::Admin),
        Whose::Session | Whose::Token => access.every_subject(SubjectRight::Admin),
    }
}
