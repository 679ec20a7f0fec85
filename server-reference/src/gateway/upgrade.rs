//! How an HTTP request becomes a session.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Extension, RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
    routing::get,
};
use hyper_util::rt::TokioIo;
use sdk_core::protocol::{ErrorCode, MAX_FIRST_FRAME, ProtocolError, SUBPROTOCOL};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tracing::Instrument;

use super::{socket::Connection, websocket::WebSocket};
use crate::{
    identity::tickets::admitted,
    limits::{Metered, Unit},
    line::Wire,
    service::Service,
    sync::Problem,
    trace,
};

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/realtime", get(upgrade))
}

async fn upgrade(
    State(service): State<Arc<Service>>,
    wire: Option<Extension<ConnectInfo<Wire>>>,
    RawQuery(query): RawQuery,
    Metered(meter): Metered,
    mut request: Request,
) -> Result<Response, Problem> {
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && !origin.to_str().is_ok_and(|origin| service.origins.allow(origin))
    {
        tracing::info!(?origin, "origin refused");
        return Err(ProtocolError::new(ErrorCode::Forbidden, "this origin is not allowed").into());
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let mut response = create_response_with_body(&request, Body::empty)
        .map_err(|error| ProtocolError::new(ErrorCode::Malformed, error.to_string()))?;
    if !offers_protocol(request.headers()) {
        let message = format!("the WebSocket must offer the subprotocol {SUBPROTOCOL}");
        return Err(ProtocolError::new(ErrorCode::UnsupportedVersion, message).into());
    }
    let protocol = HeaderValue::from_static(SUBPROTOCOL);
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    let seat = meter.seat(Unit::Connections, &service.sessions)?;
    let greeting = meter.greet(&service.greetings).await?;

    let ticket = admitted(&service, &meter, query.as_deref())?.map(Box::new);
    let wire = wire.map(|Extension(ConnectInfo(wire))| wire);
    if let Some(wire) = &wire {
        wire.expect(MAX_FIRST_FRAME, &meter);
    }
    let going_on = async move {
        let _seat = seat;
        // Otherwise the peer has gone before it could be told that it may.
        if let Ok(upgraded) = upgrade.await {
            let limits = service.limits;
            // A frame of events has one at least, however large.
            let most_out = limits.frame_bytes.max(service.streams.event_bytes);
            let socket = WebSocket::new(TokioIo::new(upgraded), limits.frame_bytes, most_out).await;
            // In a place of its own, once: what a task holds has room for all that it ever holds.
            let mut connection = Box::new(Connection::new(service, socket, meter, greeting, ticket, wire));
            connection.run().await;
        }
    };
    tokio::spawn(going_on.instrument(trace::session()));
    Ok(response)
}

/// Whether our protocol is among those that a client speaks.
fn offers_protocol(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    offers
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|name| name.trim_ascii() == SUBPROTOCOL.as_bytes())
}
