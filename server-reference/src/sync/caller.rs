//! Who makes a request.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

use super::Problem;
use crate::{
    auth::AuthError,
    clock::wall,
    limits::{Exceeded, Meter, Metered, Seat, Unit},
    service::Service,
    tenant::TenantScope,
    trace::on_behalf_of,
};

/// A request that has its place among those under way, by somebody whose token was verified. Both before its body is
/// read: who is nobody costs us nothing.
pub(crate) struct Caller {
    pub(crate) scope: TenantScope,
    /// Who is charged.
    pub(crate) meter: Arc<Meter>,
    _place: Place,
}

impl FromRequestParts<Arc<Service>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Problem> {
        let Metered(meter) = Metered::from_request_parts(parts, service).await?;
        let place = admit(service, &meter)?;
        let scope = match parts.extensions.remove() {
            // It is made under an access grant, and its token was looked at.
            Some(scope) => scope,
            None => authenticate(service, &meter, &parts.headers).await?,
        };
        let place = place.known(&meter)?;
        Ok(Self { scope, meter, _place: place })
    }
}

/// The place of a request among those under way: of all, of its address, and, once they are known, of its user and tenant.
pub(crate) struct Place {
    _seat: Seat,
    _known: Option<Seat>,
}

impl Place {
    /// The same, now that it is known who makes the request.
    pub(crate) fn known(self, meter: &Meter) -> Result<Self, Exceeded> {
        Ok(Self { _known: meter.known_seat(Unit::Requests)?, ..self })
    }
}

/// Gives a request its place, whoever makes it.
pub(crate) fn admit(service: &Service, meter: &Meter) -> Result<Place, Exceeded> {
    Ok(Place { _seat: meter.seat(Unit::Requests, &service.requests)?, _known: None })
}

/// Whose token a request has. From here on the request is charged to them.
pub(crate) async fn authenticate(
    service: &Service,
    meter: &Meter,
    headers: &HeaderMap,
) -> Result<TenantScope, Problem> {
    let claims = service.verifier.verify_renewed(bearer(headers)?, wall()).await.inspect_err(|error| {
        service.token_refused(meter, error);
    })?;
    let scope = TenantScope::of(claims);
    on_behalf_of(&scope);
    meter.identify(&scope, service.now())?;
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
