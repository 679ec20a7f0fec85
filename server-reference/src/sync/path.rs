//! What a path names.

use axum::{
    extract::{FromRequestParts, Path as Raw},
    http::request::Parts,
};
use sdk_core::protocol::{ErrorCode, ProtocolError};
use serde::de::DeserializeOwned;

use super::Problem;

/// The parts of a path. What they cannot be is refused as whatever else is: with a problem document.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Raw::from_request_parts(parts, state).await {
            Ok(Raw(named)) => Ok(Self(named)),
            Err(bad) => Err(ProtocolError::new(ErrorCode::Malformed, bad.body_text()).into()),
        }
    }
}
