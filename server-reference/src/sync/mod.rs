//! The same over plain HTTP, for networks that let no WebSocket through: `POST /v1/push` and `POST /v1/pull`.
//!
//! Both go through the same commit and the same reads as a session, with the same limits, so a client may send an
//! operation over one way and repeat it over the other.

mod caller;
pub mod exchange;
mod path;
mod problem;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, BodyDataStream},
    extract::{Request, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use sdk_core::protocol::{ErrorCode, ProtocolError, encode};
use sdk_core::wire::Encode;
use tokio::time::timeout;

pub(crate) use caller::{Caller, admit, authenticate, bearer};
pub(crate) use path::Path;
pub use problem::Problem;
pub(crate) use problem::document;

use crate::{
    clock::wall, gateway::misplaced, service::Service, storage::transactions::Misuse, transactions::misused,
};

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// How long, and how many bytes of, a body that is too large is read on, and let go.
const LINGER: Duration = Duration::from_secs(2);
const LET_GO: usize = 8 * 1024 * 1024;

pub(crate) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/push", post(push)).route("/v1/pull", post(pull))
}

async fn push(
    State(service): State<Arc<Service>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let text = body(request.into_body(), service.limits.frame_bytes).await?;
    if let Err(error) = misplaced::check(&text) {
        misused(service, caller.scope, Misuse::Push).await;
        return Err(error.into());
    }
    // A judgement is about as long as what it is of.
    let room = caller.meter.room(text.len()).await?;
    let (documents, events) = (&*service.documents, &*service.events);
    let refusals = &*service.client_letters;
    let answer =
        exchange::push(documents, events, refusals, &service.limits, caller.scope, &text, wall()).await?;
    Ok(room.held_by(reply(&answer)))
}

async fn pull(
    State(service): State<Arc<Service>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let text = body(request.into_body(), service.limits.frame_bytes).await?;
    let room = caller.meter.room(service.limits.frame_bytes).await?;
    let answer = exchange::pull(&*service.documents, &service.limits, caller.scope, &text, wall()).await?;
    Ok(room.held_by(reply(&answer)))
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
                // To close on somebody who is still sending would reset the connection, and could destroy the answer.
                let _ = timeout(LINGER, let_go(&mut stream)).await;
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

async fn let_go(stream: &mut BodyDataStream) {
    let mut left = LET_GO;
    while let Some(Ok(chunk)) = stream.next().await
        && let Some(less) = left.checked_sub(chunk.len())
    {
        left = less;
    }
}

/// A successful answer.
pub(crate) fn reply(value: &impl Encode) -> Response {
    json(encode(value))
}

/// A successful answer that is JSON text.
pub(crate) fn json(text: String) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
