//! The same over plain HTTP, for networks that let no WebSocket through: `POST /v1/push` and `POST /v1/pull`.
//!
//! Both go through the same commit and the same reads as a session, with the same limits, so a client may send an
//! operation over one way and repeat it over the other.

pub mod exchange;
mod problem;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use sdk_core::protocol::{ErrorCode, ProtocolError, encode};
use sdk_core::wire::Encode;
use tokio::{sync::SemaphorePermit, time::timeout};

pub use problem::Problem;
pub(crate) use problem::document;

use crate::{auth::AuthError, clock::wall, service::Service, tenant::TenantScope};

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/push", post(push)).route("/v1/pull", post(pull))
}

async fn push(State(service): State<Arc<Service>>, request: Request) -> Result<Response, Problem> {
    let _permit = admit(&service)?;
    // Before the body is read: who is nobody costs us nothing.
    let scope = authenticate(&service, request.headers())?;
    let text = body(request.into_body(), service.limits.frame_bytes).await?;
    let answer = exchange::push(&*service.documents, &service.limits, scope, &text, wall()).await?;
    Ok(reply(&answer))
}

async fn pull(State(service): State<Arc<Service>>, request: Request) -> Result<Response, Problem> {
    let _permit = admit(&service)?;
    let scope = authenticate(&service, request.headers())?;
    let text = body(request.into_body(), service.limits.frame_bytes).await?;
    let answer = exchange::pull(&*service.documents, &service.limits, scope, &text, wall()).await?;
    Ok(reply(&answer))
}

pub(crate) fn admit(service: &Service) -> Result<SemaphorePermit<'_>, Problem> {
    let busy = |_| ProtocolError::new(ErrorCode::Overloaded, "too many requests at once; nothing was done");
    Ok(service.requests.try_acquire().map_err(busy)?)
}

pub(crate) fn authenticate(service: &Service, headers: &HeaderMap) -> Result<TenantScope, Problem> {
    let claims = service.verifier.verify(bearer(headers)?, wall()).inspect_err(|error| {
        tracing::info!(%error, "token refused");
    })?;
    Ok(TenantScope::of(claims))
}

/// The token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let (_, token) = bearer.ok_or_else(|| AuthError::Malformed("no bearer token".into()))?;
    Ok(token.trim())
}

/// The whole body as text, of at most `most` bytes.
pub(crate) async fn body(body: Body, most: usize) -> Result<String, ProtocolError> {
    let bytes = body_bytes(body, most).await?;
    String::from_utf8(bytes.into())
        .map_err(|_| ProtocolError::new(ErrorCode::Malformed, "the body is not UTF-8"))
}

/// The whole body, of at most `most` bytes. One that comes in one piece is not copied.
pub(crate) async fn body_bytes(body: Body, most: usize) -> Result<Bytes, ProtocolError> {
    let mut stream = body.into_data_stream();
    let read = async {
        let mut whole = Bytes::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| ProtocolError::new(ErrorCode::Malformed, "the body broke off"))?;
            if whole.len() + chunk.len() > most {
                let message = format!("a body may have {most} bytes here");
                return Err(ProtocolError::new(ErrorCode::FrameTooLarge, message));
            }
            whole = if whole.is_empty() {
                chunk
            } else {
                // Nobody else holds it, so that it grows in place.
                let mut more = BytesMut::from(whole);
                more.extend_from_slice(&chunk);
                more.freeze()
            };
        }
        Ok(whole)
    };
    timeout(BODY_DEADLINE, read)
        .await
        .unwrap_or_else(|_| Err(ProtocolError::new(ErrorCode::Timeout, "the body took too long")))
}

/// A successful answer.
pub(crate) fn reply(value: &impl Encode) -> Response {
    let mut response = encode(value).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
