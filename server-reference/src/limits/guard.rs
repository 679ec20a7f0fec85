//! What every HTTP request passes before anything looks at it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{Extensions, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use sdk_core::protocol::{ErrorCode, ProtocolError};

use super::Meter;
use crate::{line::Wire, service::Service, sync::Problem};

/// The meter of a request.
pub(crate) struct Metered(pub(crate) Arc<Meter>);

impl<S: Sync> FromRequestParts<S> for Metered {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let meter = parts.extensions.get::<Arc<Meter>>().cloned();
        let missing = || ProtocolError::new(ErrorCode::Internal, "this route is not guarded");
        Ok(Self(meter.ok_or_else(missing)?))
    }
}

/// Counts a request, and what comes of its body, and refuses it where its address has sent too much.
pub(crate) async fn guard(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let line = request.extensions().get::<ConnectInfo<Wire>>().map(|ConnectInfo(wire)| wire.clone());
    let source = service.limiter.source(peer(request.extensions()), request.headers());
    let meter = service.limiter.meter(source, service.now()).over(line);
    if let Err(exceeded) = meter.admit(service.now()) {
        return Problem::from(exceeded).into_response();
    }
    let meter = Arc::new(meter);
    request.extensions_mut().insert(meter.clone());
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let counted = |body| Body::new(Counted { body, meter, service });
    next.run(request.map(counted)).await
}

/// Who is at the other end. Where a listener does not tell, all are one.
fn peer(extensions: &Extensions) -> IpAddr {
    let line = extensions.get::<ConnectInfo<Wire>>().map(|ConnectInfo(wire)| wire.peer());
    let other = || extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
    line.or_else(other).map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip())
}

/// A body that is charged as it comes. One that is under way is read to its end: it has a cap of its own, and what it owes
/// is paid before the next.
struct Counted {
    body: Body,
    meter: Arc<Meter>,
    service: Arc<Service>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
        {
            self.meter.take(self.service.now(), 0, bytes.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
