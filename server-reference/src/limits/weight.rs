//! Memory for what waits until its peer takes it, or until the rest of it has come.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::{Exceeded, Limit, Meter, Unit};
use crate::sync::Problem;

/// Bytes that nobody counts: a connection costs about as much.
const LIGHT: usize = 16 * 1024;
/// Bytes that one permit stands for.
pub(super) const PIECE: usize = 1024;

/// A part of the memory of the server, and of everybody whose it is, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Weight(
    #[expect(dead_code, reason = "they are held, and no more")] Vec<OwnedSemaphorePermit>,
);

/// The body of this answer is memory that all have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InCommon;

impl Meter {
    /// Memory for so many bytes. Little needs none.
    pub(crate) fn weigh(&self, bytes: usize) -> Result<Option<Weight>, Exceeded> {
        if bytes <= LIGHT {
            return Ok(None);
        }
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        let of_accounts = self.accounts().map(|account| (account.limit, account.memory()));
        let all = std::iter::once((Limit::Server, &self.limiter.memory)).chain(of_accounts);
        let mut held = Vec::with_capacity(4);
        for (limit, memory) in all {
            let permit = memory.clone().try_acquire_many_owned(pieces);
            held.push(permit.map_err(|_| self.limiter.no_place(limit, Unit::Memory))?);
        }
        Ok(Some(Weight(held)))
    }

    /// Bytes that hold their part of the memory until the last of them is gone.
    pub(crate) fn carry(&self, bytes: Bytes) -> Result<Bytes, Exceeded> {
        let weight = self.weigh(bytes.len())?;
        Ok(weight.map_or(bytes.clone(), |weight| Bytes::from_owner(Carried { bytes, _weight: weight })))
    }
}

struct Carried {
    bytes: Bytes,
    _weight: Weight,
}

impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Has the body of an answer hold its part of the memory until it is sent, and refuses the request where there is none.
pub(crate) async fn weighed(request: Request, next: Next) -> Response {
    let meter = request.extensions().get::<Arc<Meter>>().cloned();
    let response = next.run(request).await;
    let bytes = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let (Some(meter), Some(bytes)) = (meter, bytes) else { return response };
    if response.extensions().get::<InCommon>().is_some() {
        return response;
    }
    match meter.weigh(bytes) {
        Ok(None) => response,
        Ok(weight) => response.map(|body| Body::new(Weighed { body, weight })),
        Err(exceeded) => Problem::from(exceeded).into_response(),
    }
}

/// A body that comes in one piece.
struct Weighed {
    body: Body,
    weight: Option<Weight>,
}

impl HttpBody for Weighed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map_ok(|frame| {
            frame.map_data(|bytes| match self.weight.take() {
                Some(weight) => Bytes::from_owner(Carried { bytes, _weight: weight }),
                None => bytes,
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
