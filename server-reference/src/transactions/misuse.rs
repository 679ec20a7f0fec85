//! Attempts to have a critical transaction in a way that there is not.

use std::sync::Arc;

use super::Figures;
use crate::{clock::wall, service::Service, storage::transactions::Misuse, tenant::TenantScope};

/// Counts an attempt and puts it on record.
pub(crate) async fn misused(service: Arc<Service>, scope: TenantScope, how: Misuse) {
    Figures::add(&service.transactions.figures.misused, 1);
    tracing::warn!(tenant = %scope.tenant(), subject = %scope.subject(), ?how, "a critical transaction was misplaced");
    if let Err(error) = service.transactions.store.misused(scope, how, wall()).await {
        tracing::error!(%error, "a misplaced transaction could not be put on record");
    }
}
