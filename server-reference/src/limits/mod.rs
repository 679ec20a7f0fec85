//! How much anybody may do: a session, a user, a tenant, an address, and whoever has not said yet who it is.
//!
//! Each has a token bucket for messages and one for bytes, and a number of connections and requests at one time. A
//! [`Meter`] charges all that a frame or a request concerns, over WebSocket and HTTP alike, so that there is one way to be
//! too fast and one answer to it: wait so long. Nothing waits in here, and nobody's limit is touched by what a tenant does
//! that is not their own.
//!
//! What was spent is in the memory of this process. Several servers that are to count together would share the
//! accounts (`account::Account`): they are asked "take so much" and answer "fine" or "wait so long", without waiting
//! themselves.

mod account;
mod address;
mod bucket;
mod door;
mod figures;
mod guard;
mod meter;
mod quotas;
mod weight;

use std::{
    net::IpAddr,
    sync::{Arc, Once},
};

use axum::http::HeaderMap;
use sdk_core::clock::Millis;
use tokio::sync::Semaphore;

pub use address::Proxies;
pub(crate) use bucket::{Spent, Unit, Verdict};
pub(crate) use figures::{Answer, Figures};
pub(crate) use guard::{Metered, guard};
pub use meter::Meter;
pub(crate) use meter::{Exceeded, Seat};
pub use quotas::{Quota, Quotas, Rates};
pub(crate) use weight::{Room, Weight, weighed};

use account::Accounts;
use address::Address;
use door::Door;
use weight::PIECE;

/// Whose limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Session,
    User,
    Tenant,
    Address,
    /// That of this process.
    Server,
}

/// What everybody has spent.
#[derive(Debug)]
pub struct Limiter {
    quotas: Quotas,
    /// Somebody has spoken for others who is not believed.
    untrusted: Once,
    users: Accounts<(Arc<str>, Arc<str>)>,
    tenants: Accounts<Arc<str>>,
    addresses: Accounts<Address>,
    door: Door,
    /// For what waits to be sent, and what has not come as a whole.
    memory: Arc<Semaphore>,
    /// Pieces of that of which one user, tenant or address may have so many.
    share: usize,
    /// For what is made of what was read, before it can be sent: as much again as anybody's share.
    making: Arc<Semaphore>,
    pub(crate) figures: Figures,
}

impl Limiter {
    /// Nobody has spent anything.
    pub fn new(quotas: Quotas) -> Arc<Self> {
        // So that no one takes all.
        let share = quotas.memory / PIECE / 2;
        Arc::new(Self {
            users: Accounts::new(Limit::User, quotas.user, share, None),
            tenants: Accounts::new(Limit::Tenant, quotas.tenant, share, None),
            addresses: Accounts::new(Limit::Address, quotas.address, share, Some(quotas.greetings)),
            untrusted: Once::new(),
            door: Door::default(),
            memory: Arc::new(Semaphore::new(quotas.memory / PIECE)),
            share,
            making: Arc::new(Semaphore::new(share)),
            figures: Figures::default(),
            quotas,
        })
    }

    /// Charges an address, and whoever turns out to be there.
    pub fn meter(self: &Arc<Self>, address: IpAddr, now: Millis) -> Meter {
        Meter::new(self.clone(), self.addresses.of(address.into(), now))
    }

    /// Where a request of a peer comes from.
    pub(crate) fn source(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let proxies = &self.quotas.proxies;
        if !proxies.hold(peer) && address::speaks_for_others(headers) {
            self.untrusted.call_once(|| {
                tracing::warn!(%peer, "not a trusted proxy, so all behind it count as one address: --trusted-proxy");
            });
        }
        proxies.source(peer, headers)
    }
}

impl Limit {
    pub(crate) const ALL: [Self; 5] = [Self::Session, Self::User, Self::Tenant, Self::Address, Self::Server];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::User => "user",
            Self::Tenant => "tenant",
            Self::Address => "address",
            Self::Server => "server",
        }
    }
}
