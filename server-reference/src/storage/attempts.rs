//! What was tried and refused, on the record of whom it was aimed at.

use std::sync::Arc;

use futures::future::BoxFuture;
use sdk_core::clock::Millis;

use super::StorageError;
use crate::tenant::TenantScope;

/// The record of what was refused. How many such records there may be is for the caller to see to.
pub trait AttemptLog: Send + Sync + 'static {
    /// Records that somebody tried something in vain; durable when it resolves.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    fn refused(
        &self,
        scope: TenantScope,
        attempt: Attempt,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>>;
}

/// What was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Whose record it is for: the tenant of who tried, or of what they tried to reach.
    pub tenant: Arc<str>,
    /// Who; empty for many.
    pub by: String,
    /// What.
    pub action: &'static str,
    /// To what, and how often.
    pub target: String,
}
