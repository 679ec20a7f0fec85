//! One simulated client: a real engine, its storage, its clocks, and what its application has open.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::{
    clock::Millis,
    engine::{
        BatchId, Engine, LinkId, Now, QueryId,
        storage::{Batch, Query, StoreError},
    },
    outbox::OutboxLimits,
    protocol::ClientId,
};

use crate::{
    agenda::Time, disk::Disk, download::Downloads, network::ConnectionId, plan::Plan, reads::Reads,
    wishes::Wishes, workload,
};

/// Unix time at which every run begins.
pub(crate) const BEGINNING: u64 = 1_767_225_600_000;

/// A client, alive or between two lives.
pub(crate) struct Client {
    /// Which tenant it belongs to.
    pub(crate) tenant: usize,
    /// Its number among the clients of its tenant; those of two tenants with one number share everything but that.
    pub(crate) number: usize,
    /// Which copy of that client it is; 0 for the first.
    pub(crate) copy: u8,
    /// The engine; none while the process is down.
    pub(crate) engine: Option<Engine>,
    /// How often its process was started.
    pub(crate) life: u32,
    /// Its storage.
    pub(crate) disk: Disk,
    /// Commits that have not been carried out.
    pub(crate) writes: BTreeMap<u64, (BatchId, Batch)>,
    /// How far its wall clock is from the truth.
    pub(crate) skew: i64,
    /// When its monotonic clock was zero, before the run.
    pub(crate) uptime: u64,
    /// Timers do not fire before this time.
    pub(crate) asleep_until: Time,
    /// Commits and reads fail with this per mille.
    pub(crate) disk_trouble: u64,
    /// Commits that its storage has room for; none while there is enough.
    pub(crate) quota: Option<u64>,
    /// What its storage said when it last failed.
    pub(crate) disk_error: Option<StoreError>,
    /// The edit that its application has made last.
    pub(crate) newest: Option<u64>,
    /// Operations that could not be withdrawn.
    pub(crate) stayed: usize,
    /// What its application has asked of its outbox.
    pub(crate) wishes: Wishes,
    /// What its application did and saw.
    pub(crate) reads: Reads,
    /// What it fetches.
    pub(crate) downloads: Downloads,
    /// The WebSocket, or the attempt to open one.
    pub(crate) link: Option<(LinkId, Option<ConnectionId>)>,
    /// What its application has open.
    pub(crate) queries: BTreeMap<QueryId, Query>,
    /// Numbers that were given to queries.
    pub(crate) asked: u64,
    /// The timer that counts.
    pub(crate) timer: u64,
    /// When it fires.
    pub(crate) armed: Option<Time>,
    /// Timeouts in a row that did nothing.
    pub(crate) spins: u32,
    /// Inputs within the current second.
    pub(crate) inputs: (Time, u32),
    /// Attempts to connect within the current minute.
    pub(crate) attempts: (Time, u32),
    /// Whether the server has told its limits in this life.
    pub(crate) welcomed: bool,
    /// Operations that were sent over the current link and not judged.
    pub(crate) in_flight: BTreeSet<u64>,
}

impl Client {
    /// A client that was never started.
    pub(crate) fn new(tenant: usize, number: usize, skew: i64, uptime: u64, relaxed: usize) -> Self {
        Self {
            tenant,
            number,
            copy: 0,
            engine: None,
            life: 0,
            disk: Disk::new(relaxed),
            writes: BTreeMap::new(),
            skew,
            uptime,
            asleep_until: 0,
            disk_trouble: 0,
            quota: None,
            disk_error: None,
            newest: None,
            stayed: 0,
            wishes: Wishes::default(),
            reads: Reads::default(),
            downloads: Downloads::default(),
            link: None,
            queries: BTreeMap::new(),
            asked: 0,
            timer: 0,
            armed: None,
            spins: 0,
            inputs: (0, 0),
            attempts: (0, 0),
            welcomed: false,
            in_flight: BTreeSet::new(),
        }
    }

    /// Both of its clocks.
    pub(crate) fn now(&self, time: Time) -> Now {
        let wall = (BEGINNING + time).saturating_add_signed(self.skew);
        Now { monotonic: Millis(self.uptime + time), wall: Millis(wall) }
    }

    /// The simulated time of a moment on its monotonic clock.
    pub(crate) fn time_of(&self, at: Millis) -> Time {
        at.0.saturating_sub(self.uptime)
    }

    /// The engine's settings in this life.
    pub(crate) fn config(&self, plan: &Plan) -> sdk_core::engine::Config {
        let mut bytes = [0; 16];
        bytes[0] = 0xc1;
        bytes[13] = self.copy;
        bytes[14] = self.number as u8;
        bytes[15] = self.life as u8;
        let mut config = sdk_core::engine::Config::new(workload::collections(), ClientId::from_random(bytes));
        config.outbox = OutboxLimits { operations: plan.outbox, ..OutboxLimits::default() };
        config
    }

    /// The subject that it logs in as.
    pub(crate) fn subject(&self) -> String {
        format!("subject-{}", self.number)
    }
}

/// A tenant's name.
pub(crate) fn tenant(index: usize) -> String {
    // One is the other's beginning, and what follows would separate parts in a careless key.
    if index == 0 { "acme".to_owned() } else { "acme/1:cards".to_owned() }
}
