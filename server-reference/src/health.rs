//! `GET /healthz`: whether this process is alive. `GET /readyz`: whether it should get traffic.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, response::Response, routing::get};
use sdk_core::protocol::{ErrorCode, ProtocolError};
use sdk_core::wire::record;
use tokio::time::timeout;

use crate::{
    service::Service,
    storage::{StorageError, events::LogError},
    sync::{Problem, reply},
};

/// How long the stores may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

struct Health {
    status: &'static str,
}

record!(out Health { status: "status"; });

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready))
}

/// Asks nothing of anybody: a process whose disk is full is not mended by being started again.
async fn alive() -> Response {
    reply(&Health { status: "ok" })
}

async fn ready(State(service): State<Arc<Service>>) -> Result<Response, Problem> {
    if service.stopping.is_cancelled() {
        return Err(ProtocolError::new(ErrorCode::Overloaded, "the server is stopping").into());
    }
    timeout(DEADLINE, stores(&service))
        .await
        .unwrap_or_else(|_| Err(StorageError::Unavailable("no answer in time".into())))?;
    Ok(reply(&Health { status: "ready" }))
}

/// Whether every store answers.
async fn stores(service: &Service) -> Result<(), StorageError> {
    service.documents.check().await?;
    service.transactions.store.check().await?;
    service.events.check().await.map_err(|error| match error {
        LogError::Storage(error) => error,
        other => StorageError::Unavailable(Box::new(other)),
    })
}
