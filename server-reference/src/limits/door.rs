//! Connections before they have said anything.

use std::{net::IpAddr, sync::Arc, time::Duration};

use sdk_core::clock::Millis;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Answer, Exceeded, Limit, Limiter, Seat, Unit};
use crate::service::MAX_SESSIONS;

/// Milliseconds after which another try is worth it where places were taken: they come back when somebody leaves.
const PLACES_RETRY: u64 = 5_000;
/// How long a connection waits for its turn when very many come at once.
const QUEUE: Duration = Duration::from_secs(5);
/// Connections of nobody who is known, of all addresses.
const STRANGERS: usize = 4_096;
/// Connections of all addresses: sessions, as many readers that wait, requests, and strangers.
const LINES: usize = 2 * MAX_SESSIONS as usize + 2 * STRANGERS;

/// Places for all who come.
#[derive(Debug)]
pub(super) struct Door {
    strangers: Arc<Semaphore>,
    lines: Arc<Semaphore>,
}

impl Default for Door {
    fn default() -> Self {
        Self { strangers: Arc::new(Semaphore::new(STRANGERS)), lines: Arc::new(Semaphore::new(LINES)) }
    }
}

impl Limiter {
    /// Whether a peer speaks for others. Its connections are not counted; those for whom it speaks are, by their requests.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.quotas.proxies.hold(peer)
    }

    /// A place for a connection; none that has to be held if it is a proxy's.
    pub(crate) fn line(&self, peer: IpAddr, now: Millis) -> Result<Option<Seat>, Exceeded> {
        let account = self.addresses.of(peer.into(), now);
        let Some(doorstep) = account.doorstep().filter(|_| !self.is_proxy(peer)) else { return Ok(None) };
        let take = |places: &Arc<Semaphore>, limit| {
            places.clone().try_acquire_owned().map_err(|_| self.no_place(limit, Unit::Lines))
        };
        let own = take(&doorstep.lines, Limit::Address)?;
        Ok(Some(Seat([own, take(&self.door.lines, Limit::Server)?])))
    }

    /// Waits for a place among those who are not known; none has to be held by a proxy.
    pub(crate) async fn stranger(&self, peer: IpAddr, now: Millis) -> Result<Option<Seat>, Exceeded> {
        let account = self.addresses.of(peer.into(), now);
        let Some(doorstep) = account.doorstep().filter(|_| !self.is_proxy(peer)) else { return Ok(None) };
        let own = self.turn(&doorstep.strangers, 1, Limit::Address, Unit::Strangers).await?;
        Ok(Some(Seat([own, self.turn(&self.door.strangers, 1, Limit::Server, Unit::Strangers).await?])))
    }

    /// Waits for so many places, but not for long. Who comes first has them first, however many they are.
    pub(super) async fn turn(
        &self,
        places: &Arc<Semaphore>,
        count: u32,
        limit: Limit,
        unit: Unit,
    ) -> Result<OwnedSemaphorePermit, Exceeded> {
        let turn = timeout(QUEUE, places.clone().acquire_many_owned(count)).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| self.no_place(limit, unit))
    }

    /// All places are taken.
    pub(super) fn no_place(&self, limit: Limit, unit: Unit) -> Exceeded {
        self.figures.add(limit, unit, Answer::Refused);
        Exceeded { limit, unit, wait: PLACES_RETRY }
    }
}
