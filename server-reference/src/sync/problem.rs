//! Errors over HTTP (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sdk_core::protocol::{Json, ProtocolError, Retry};
use sdk_core::wire::Object;

use crate::{auth::AuthError, limits::Exceeded, storage::StorageError, trace::request_id};

/// Seconds after which something that may pass is worth another try.
const RETRY_AFTER: u64 = 1;

/// An error as an HTTP response: a problem document with a stable `code`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(pub ProtocolError);

impl From<ProtocolError> for Problem {
    fn from(error: ProtocolError) -> Self {
        Self(error)
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        Self(ProtocolError::from(&error))
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        Self(ProtocolError::from(&error))
    }
}

impl From<Exceeded> for Problem {
    fn from(error: Exceeded) -> Self {
        Self(ProtocolError::from(error))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(ProtocolError { code, message, retry_after }) = &self;
        let mut response = document(code.status(), code.as_str(), message, None);
        let headers = response.headers_mut();
        match code.retry() {
            Retry::Later => {
                let seconds = retry_after.map_or(RETRY_AFTER, |wait| wait.div_ceil(1_000));
                headers.insert(header::RETRY_AFTER, seconds.into())
            }
            Retry::Reauthenticate => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            Retry::Never => None,
        };
        response
    }
}

/// A problem document. Some have an `error` besides.
pub(crate) fn document(status: u16, code: &str, detail: &str, error: Option<Json>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let title = status.canonical_reason().unwrap_or("Error");
    let mut document = String::new();
    let mut object = Object::new(&mut document);
    object.field("type", &"about:blank");
    object.field("title", &title);
    object.field("status", &u32::from(status.as_u16()));
    object.field("code", &code);
    object.field("detail", &detail);
    object.field("error", &error);
    object.field("requestId", &request_id().as_deref().map(str::to_owned));
    object.end();
    let mut response = (status, document).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
