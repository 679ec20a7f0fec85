//! `GET /openapi.yaml` and `GET /asyncapi.yaml`: what can be asked of this server, and what is said over a session.
//!
//! Both are written by hand, in `docs/`; the tests in `tests/api` hold them to the routes, the codes and the frames.

use std::sync::Arc;

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::service::Service;

/// OpenAPI 3.1.
const HTTP: &str = include_str!("../../docs/openapi.yaml");
/// AsyncAPI 3.0.
const SOCKET: &str = include_str!("../../docs/asyncapi.yaml");

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/openapi.yaml", get(async || yaml(HTTP)))
        .route("/asyncapi.yaml", get(async || yaml(SOCKET)))
}

/// RFC 9512.
fn yaml(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "application/yaml"), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}
