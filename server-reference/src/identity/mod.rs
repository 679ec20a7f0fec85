//! What there is to do about tokens: to take them back, to change one for a ticket, and to reach another tenant by one.

pub mod grants;
mod page;
mod revocations;
pub(crate) mod tickets;

use std::sync::Arc;

use axum::Router;
use sdk_core::protocol::{ErrorCode, ProtocolError};

pub use revocations::Code;

use crate::service::Service;

pub(crate) fn routes() -> Router<Arc<Service>> {
    grants::routes().merge(revocations::routes()).merge(tickets::routes())
}

fn malformed(problem: &str) -> ProtocolError {
    ProtocolError::new(ErrorCode::Malformed, problem)
}
