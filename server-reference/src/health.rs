//! `GET /healthz`: whether this server should get traffic.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, response::Response, routing::get};
use sdk_core::protocol::{ErrorCode, ProtocolError};
use sdk_core::wire::record;
use tokio::time::timeout;

use crate::{
    service::Service,
    sync::{Problem, reply},
};

/// How long the store may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

struct Health {
    status: &'static str,
}

record!(out Health { status: "status"; });

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/healthz", get(health))
}

async fn health(State(service): State<Arc<Service>>) -> Result<Response, Problem> {
    if *service.stopping.borrow() {
        return Err(ProtocolError::new(ErrorCode::Overloaded, "the server is stopping").into());
    }
    timeout(DEADLINE, service.documents.check())
        .await
        .unwrap_or_else(|_| Err(crate::storage::StorageError::Unavailable("no answer in time".into())))?;
    Ok(reply(&Health { status: "ok" }))
}
