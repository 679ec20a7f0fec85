//! How much everybody may do, where an operator has said nothing else.

use super::address::Proxies;

/// What may be sent, in a second and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Frames and requests a second.
    pub messages: u64,
    /// Bytes of them a second.
    pub bytes: u64,
    /// Seconds of both that may come at once.
    pub burst: u64,
}

/// What all together may do who have something in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// What they may send.
    pub rates: Rates,
    /// WebSockets, and readers that wait for events, at one time.
    pub connections: usize,
}

/// What a session, a user, a tenant and an address may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// One WebSocket session.
    pub session: Rates,
    /// All that one subject of a tenant does.
    pub user: Quota,
    /// All that one tenant does.
    pub tenant: Quota,
    /// All that comes from one address, whoever it is.
    pub address: Quota,
    /// WebSockets of one address that have not said a valid hello yet.
    pub greetings: usize,
    /// Bytes of memory for what peers do not take as fast as it is sent, and for what has not come as a whole; of one user,
    /// tenant or address, half of it.
    pub memory: usize,
    /// As how many messages of an address a token counts that is none.
    pub refused_token: u64,
    /// Who may say for whom they speak.
    pub proxies: Proxies,
}

const MEBI: u64 = 1024 * 1024;

const fn rates(messages: u64, bytes: u64) -> Rates {
    Rates { messages, bytes, burst: 10 }
}

impl Quotas {
    /// Room for a client that comes back with a full outbox, for states that change as fast as a mouse moves, for a person
    /// with many devices and tabs, and for an office or a mobile network behind one address.
    pub const DEFAULT: Self = Self {
        session: rates(1_000, 4 * MEBI),
        user: Quota { rates: rates(2_000, 8 * MEBI), connections: 100 },
        tenant: Quota { rates: rates(50_000, 128 * MEBI), connections: 5_000 },
        address: Quota { rates: rates(5_000, 32 * MEBI), connections: 1_000 },
        greetings: 64,
        memory: 256 * 1024 * 1024,
        refused_token: 100,
        proxies: Proxies::NONE,
    };
}

impl Default for Quotas {
    fn default() -> Self {
        Self::DEFAULT
    }
}
