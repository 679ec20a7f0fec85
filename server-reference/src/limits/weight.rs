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
use sdk_core::protocol::ProtocolError;
use tokio::sync::OwnedSemaphorePermit;

use super::{Exceeded, Limit, Meter, Unit};
use crate::sync::Problem;

/// Bytes that nobody counts: a connection costs about as much.
const LIGHT: usize = 16 * 1024;
/// Bytes that one permit stands for.
pub(super) const PIECE: usize = 1024;

/// Bytes that an answer takes while it is made, for each of its own: what was read is there beside what is made of it.
const COPIES: usize = 2;

/// A part of the memory of the server, and of everybody whose it is, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Weight(Vec<OwnedSemaphorePermit>);

/// Room for an answer before anything of it is there: a turn to make it, which is short since no peer is waited for
/// meanwhile, and memory for what will wait until its peer takes it.
#[derive(Debug)]
pub(crate) struct Room {
    meter: Arc<Meter>,
    _turn: Option<OwnedSemaphorePermit>,
    weight: Option<Weight>,
}

impl Meter {
    /// Memory for so many bytes. Little needs none.
    pub(crate) fn weigh(&self, bytes: usize) -> Result<Option<Weight>, Exceeded> {
        if bytes <= LIGHT {
            return Ok(None);
        }
        let pieces = pieces(bytes);
        let of_accounts = self.accounts().map(|account| (account.limit, account.memory()));
        let all = std::iter::once((Limit::Server, &self.limiter.memory)).chain(of_accounts);
        let mut held = Vec::with_capacity(4);
        for (limit, memory) in all {
            let permit = memory.clone().try_acquire_many_owned(pieces);
            held.push(permit.map_err(|_| self.limiter.no_place(limit, Unit::Memory))?);
        }
        Ok(Some(Weight(held)))
    }

    /// Room for an answer of so many bytes at most. Waits for a turn, but not for long, and for memory not at all: who
    /// holds that is waiting for a peer. What is more than anybody may have is no reason to refuse an answer that will
    /// hardly be as long; should it be, it is refused once that is known. Little needs no room.
    pub(crate) async fn room(self: &Arc<Self>, most: usize) -> Result<Room, Exceeded> {
        let mut room = Room { meter: self.clone(), _turn: None, weight: None };
        if most > LIGHT {
            let share = self.limiter.share;
            let turn = pieces(most.saturating_mul(COPIES)).min(pieces(share * PIECE));
            room._turn =
                Some(self.limiter.turn(&self.limiter.making, turn, Limit::Server, Unit::Memory).await?);
            room.weight = self.weigh(most.min(share * PIECE))?;
        }
        Ok(room)
    }
}

impl Room {
    /// The answer is there, and has so many bytes. What it does not need of the room is free for others.
    fn filled(mut self, bytes: usize) -> Result<Option<Weight>, Exceeded> {
        match self.weight.take() {
            Some(weight) if bytes <= weight.bytes() => Ok(weight.cut(bytes)),
            // It is longer than was foreseen, or nothing was.
            less => {
                drop(less);
                self.meter.weigh(bytes)
            }
        }
    }

    /// The answer as bytes that hold their part of the memory until the last of them is gone.
    pub(crate) fn carry(self, bytes: Bytes) -> Result<Bytes, Exceeded> {
        let weight = self.filled(bytes.len())?;
        Ok(weight.map_or(bytes.clone(), |weight| Bytes::from_owner(Carried { bytes, _weight: weight })))
    }

    /// Gives its room to an answer, whose body then needs no other.
    pub(crate) fn held_by(self, mut response: Response) -> Response {
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl Weight {
    fn bytes(&self) -> usize {
        self.0.first().map_or(0, |permit| permit.num_permits() * PIECE)
    }

    /// So many bytes of it.
    fn cut(self, bytes: usize) -> Option<Self> {
        let needed = pieces(bytes) as usize;
        let cut = |mut permit: OwnedSemaphorePermit| {
            drop(permit.split(permit.num_permits().saturating_sub(needed)));
            permit
        };
        (bytes > LIGHT).then(|| Self(self.0.into_iter().map(cut).collect()))
    }
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
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
    let mut response = next.run(request).await;
    let room = response.extensions_mut().remove::<Arc<Room>>().and_then(Arc::into_inner);
    let bytes = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let (Some(meter), Some(bytes)) = (meter, bytes) else { return response };
    match room.map_or_else(|| meter.weigh(bytes), |room| room.filled(bytes)) {
        Ok(None) => response,
        Ok(weight) => response.map(|body| Body::new(Weighed { body, weight })),
        Err(exceeded) => {
            let message =
                "there is no memory for the answer, and what was asked for may have been done".into();
            Problem(ProtocolError { message, ..exceeded.into() }).into_response()
        }
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::http::StatusCode;
    use futures::FutureExt;
    use sdk_core::clock::Millis;

    use super::*;
    use crate::limits::{Limiter, Quotas};

    const MEBI: usize = 1024 * 1024;

    /// Of an address that may have a mebibyte, in a server that has two.
    fn meter() -> Arc<Meter> {
        let limiter = Limiter::new(Quotas { memory: 2 * MEBI, ..Quotas::DEFAULT });
        Arc::new(limiter.meter(Ipv4Addr::LOCALHOST.into(), Millis(0)))
    }

    fn others(meter: &Meter) -> Arc<Meter> {
        Arc::new(meter.limiter.meter(Ipv4Addr::UNSPECIFIED.into(), Millis(0)))
    }

    #[tokio::test]
    async fn what_an_answer_does_not_need_of_its_room_is_free_once_it_is_made() {
        let meter = meter();
        let room = meter.room(MEBI / 2).await.unwrap();
        let held = room.carry(vec![0; 64 * 1024].into()).unwrap();
        assert_eq!(meter.weigh(MEBI).unwrap_err().limit, Limit::Address);
        let rest = meter.weigh(MEBI - 64 * 1024).unwrap();
        assert!(meter.weigh(LIGHT + 1).is_err());
        drop((held, rest));
        assert!(meter.weigh(MEBI).unwrap().is_some());
    }

    #[tokio::test]
    async fn answers_are_made_in_turns_of_which_nobody_is_let_past() {
        let meter = meter();
        // Twice as much while it is made is all that there is.
        let first = meter.room(MEBI / 2).await.unwrap();
        let (other, third) = (others(&meter), others(&meter));
        let mut second = Box::pin(other.room(MEBI / 4));
        assert!((&mut second).now_or_never().is_none());
        // Less would have room, and is not let past.
        let mut last = Box::pin(third.room(LIGHT + 1));
        assert!((&mut last).now_or_never().is_none());
        assert!(third.room(LIGHT).now_or_never().is_some(), "little needs no turn");
        let held = first.carry(vec![0; MEBI / 2].into()).unwrap();
        let second = second.now_or_never().expect("its turn is no longer than the making").unwrap();
        assert!(last.now_or_never().expect("there is room for both").is_ok());
        drop((held, second));
    }

    #[tokio::test]
    async fn where_memory_is_held_by_others_nothing_is_made() {
        let meter = meter();
        let held = meter.weigh(MEBI).unwrap();
        assert_eq!(meter.room(MEBI / 2).await.unwrap_err().limit, Limit::Address);
        assert!(others(&meter).room(MEBI / 2).await.is_ok());
        drop(held);
        assert!(meter.room(MEBI / 2).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_that_may_be_longer_than_anybody_may_hold_is_refused_only_if_it_is() {
        let meter = meter();
        assert!(meter.room(100 * MEBI).await.unwrap().carry(vec![0; MEBI].into()).is_ok());
        assert!(meter.room(100 * MEBI).await.unwrap().carry(vec![0; MEBI + 1].into()).is_err());
        assert!(meter.room(1).await.unwrap().carry(vec![0; MEBI].into()).is_ok(), "longer than was foreseen");
    }

    #[tokio::test]
    async fn an_answer_holds_its_room_until_it_is_sent() {
        let meter = meter();
        let (own, asked) = (meter.clone(), meter.clone());
        let route = axum::routing::get(async move || {
            own.room(MEBI).await.unwrap().held_by(vec![0; MEBI - 1].into_response())
        });
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(asked);
        let router = axum::Router::new().fallback_service(route).layer(axum::middleware::from_fn(weighed));
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(meter.weigh(LIGHT + 1).is_err());
        let bytes = axum::body::to_bytes(response.into_body(), MEBI).await.unwrap();
        assert!(meter.weigh(LIGHT + 1).is_err(), "{} bytes are there", bytes.len());
        drop(bytes);
        assert!(meter.weigh(MEBI).is_ok());
    }
}
