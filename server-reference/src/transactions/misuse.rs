//! Attempts to have a critical transaction in a way that there is not.

use std::sync::Arc;

use super::Figures;
use crate::{attempts::Way, service::Service, storage::transactions::Misuse, tenant::TenantScope};

/// Counts an attempt and puts it on record.
pub(crate) async fn misused(service: Arc<Service>, scope: TenantScope, how: Misuse) {
    Figures::add(&service.transactions.figures.misused, 1);
    tracing::warn!(tenant = %scope.tenant(), subject = %scope.subject(), ?how, "a critical transaction was misplaced");
    service.attempted(&scope, None, Way::Misplaced(how), how.as_str()).await;
}
