//! What there is to do about tokens: to take them back, and to change one for a ticket.

mod revocations;
pub(crate) mod tickets;

use std::sync::Arc;

use axum::Router;

use crate::service::Service;

pub(crate) fn routes() -> Router<Arc<Service>> {
    revocations::routes().merge(tickets::routes())
}
