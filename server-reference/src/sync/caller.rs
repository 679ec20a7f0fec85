//! Who makes a request.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use sdk_core::protocol::{ErrorCode, ProtocolError};
use tokio::sync::OwnedSemaphorePermit;

use super::Problem;
use crate::{auth::AuthError, clock::wall, service::Service, tenant::TenantScope, trace::on_behalf_of};

/// A request that has its place among those under way, by somebody whose token was verified. Both before its body is
/// read: who is nobody costs us nothing.
pub(crate) struct Caller {
    pub(crate) scope: TenantScope,
    _permit: OwnedSemaphorePermit,
}

impl FromRequestParts<Arc<Service>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Problem> {
        let permit = admit(service)?;
        Ok(Self { scope: authenticate(service, &parts.headers).await?, _permit: permit })
    }
}

pub(crate) fn admit(service: &Service) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = |_| ProtocolError::new(ErrorCode::Overloaded, "too many requests at once; nothing was done");
    Ok(service.requests.clone().try_acquire_owned().map_err(busy)?)
}

pub(crate) async fn authenticate(service: &Service, headers: &HeaderMap) -> Result<TenantScope, Problem> {
    let claims = service.verifier.verify_renewed(bearer(headers)?, wall()).await.inspect_err(|error| {
        service.token_refused(error);
    })?;
    let scope = TenantScope::of(claims);
    on_behalf_of(&scope);
    Ok(scope)
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
