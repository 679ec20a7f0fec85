//! Errors over HTTP (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sdk_core::protocol::{ErrorCode, ProtocolError, Retry, encode};
use serde::Serialize;

use crate::{auth::AuthError, storage::StorageError};

/// Seconds after which something that may pass is worth another try.
const RETRY_AFTER: &str = "1";

/// An error as an HTTP response: a problem document with a stable `code`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(pub ProtocolError);

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: String,
    status: u16,
    code: ErrorCode,
    detail: &'a str,
}

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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self(ProtocolError { code, message, .. }) = &self;
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let title = code.as_str().replace('_', " ");
        let document =
            Document { kind: "about:blank", title, status: status.as_u16(), code: *code, detail: message };
        let mut response = (status, encode(&document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match code.retry() {
            Retry::Later => headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER)),
            Retry::Reauthenticate => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            Retry::Never => None,
        };
        response
    }
}
