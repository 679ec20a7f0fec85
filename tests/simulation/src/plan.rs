//! What a run is like: its size, its network, and which faults it has. All of it follows from the seed.

use fastrand::Rng;
use sdk_core::protocol::Limits;

use server_reference::snapshot::Sizes;

use crate::{agenda::Time, archive::Cuts};

/// Simulated milliseconds that a healed run may take to become quiet. Dead links are noticed after 75 s, and
/// retries are up to a minute apart.
pub(crate) const HEALING: Time = 15 * 60_000;
/// Simulated milliseconds that a quiet run goes on, so that whatever still travels arrives.
pub(crate) const AFTERMATH: Time = 150_000;

/// Operations of an outbox that is often full.
const TIGHT: usize = 12;
/// A year in milliseconds.
const YEAR: u64 = 365 * 24 * 3_600_000;

/// The shape of one run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Clients of each tenant. Two tenants use the same client ids, subjects and document names.
    pub(crate) clients: Vec<usize>,
    /// Documents that are written in each collection.
    pub(crate) documents: usize,
    /// Simulated milliseconds of work and faults before everything heals.
    pub(crate) busy: Time,
    /// Milliseconds between two acts of an application, at most.
    pub(crate) pace: u64,
    /// Operations submitted at once, at most.
    pub(crate) burst: usize,
    /// Latency of a frame one way, at most.
    pub(crate) latency: u64,
    /// Milliseconds of a commit on a client, at most.
    pub(crate) disk_latency: u64,
    /// Milliseconds between two group commits of the server, at most.
    pub(crate) server_latency: u64,
    /// How far a client's wall clock is off, at most, either way.
    pub(crate) skew: u64,
    /// How far the server's is while it is wrong.
    pub(crate) server_skew: u64,
    /// Whether tokens come from a machine whose clock is right all the time.
    pub(crate) issuer_apart: bool,
    /// Newest commits of a client's replica that a crash may take back, at most.
    pub(crate) relaxed: usize,
    /// Operations that an outbox holds.
    pub(crate) outbox: usize,
    /// Whether some values are so large that a document meets its limit.
    pub(crate) large: bool,
    /// What the server accepts. Small limits make many pages, and documents that are over theirs.
    pub(crate) limits: Limits,
    /// Milliseconds between two faults, at most.
    pub(crate) calm: u64,
    /// Whether the server's resolver lets those who come later have their way in some documents. Not where that might meet
    /// a document's limit: what cannot be applied is left to the client's side.
    pub(crate) takes_mine: bool,
    /// Whether the server has that resolver; otherwise each client decides.
    pub(crate) server_resolves: bool,
    /// Which faults there are.
    pub(crate) faults: Vec<Fault>,
    /// Per mille of HTTP requests and replies that are lost, doubled or late.
    pub(crate) http_trouble: u64,
    /// The same of parts of snapshots, which may be damaged besides.
    pub(crate) part_trouble: u64,
    /// Whether the server makes snapshots; without, what is more than a page comes page by page.
    pub(crate) snapshots: bool,
    /// How snapshots are cut.
    pub(crate) cuts: Cuts,
    /// Whether what an old connection carried may arrive after it was cut.
    pub(crate) stragglers: bool,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A connection breaks; both sides notice sooner or later, or never.
    Cut,
    /// Nothing gets from a client to the server, or back, or neither, for a while.
    Partition,
    /// WebSockets are refused for a while, HTTP works.
    RefuseWebSocket,
    /// A client's process ends and begins again.
    ClientCrash,
    /// The server's process ends and begins again.
    ServerCrash,
    /// The server stops in good order and begins again.
    ServerStop,
    /// A client's commits fail for a while, with or without having written.
    Disk,
    /// A client's storage has room for a few more commits, and then no more for a while.
    Quota,
    /// A client's process ends, and when it begins again its storage is gone, all of it or a part.
    Wipe,
    /// A client's process ends, and its storage is cloned: from then on there are two of it.
    Clone,
    /// A client's process ends, and its storage is what it was at an earlier time.
    Restore,
    /// A client's wall clock jumps, ahead or back.
    ClockStep,
    /// The server's wall clock is wrong for a while.
    ServerClock,
    /// A client's timers stand still for a while, as when a machine sleeps.
    Sleep,
    /// The server cannot write for a while.
    ServerDisk,
    /// The server forgets to answer some commits for a while.
    LostAnswers,
    /// The server's commits wait for a while.
    Hang,
    /// The server forgets what was deleted until a short while ago.
    Prune,
    /// The server is restored from a backup into a new history. Needs all clients' judged operations to be in it.
    NewEpoch,
}

const FAULTS: [Fault; 19] = [
    Fault::Cut,
    Fault::Partition,
    Fault::RefuseWebSocket,
    Fault::ClientCrash,
    Fault::ServerCrash,
    Fault::ServerStop,
    Fault::Disk,
    Fault::Quota,
    Fault::Wipe,
    Fault::Clone,
    Fault::Restore,
    Fault::ClockStep,
    Fault::ServerClock,
    Fault::Sleep,
    Fault::ServerDisk,
    Fault::LostAnswers,
    Fault::Hang,
    Fault::Prune,
    Fault::NewEpoch,
];

/// Usual, but for frames so small that what is more than a few documents comes as a snapshot.
const NARROW: Limits = Limits {
    frame_bytes: 4_096,
    batch_operations: 128,
    operation_bytes: 2_048,
    document_bytes: 128 * 1024,
    in_flight_operations: 512,
    rooms: 0,
};

const SMALL: Limits = Limits {
    frame_bytes: 4_096,
    batch_operations: 3,
    operation_bytes: 2_048,
    document_bytes: 90,
    in_flight_operations: 6,
    rooms: 0,
};

impl Plan {
    /// Whether an outbox may be full.
    pub(crate) fn is_tight(&self) -> bool {
        self.outbox == TIGHT
    }

    /// The plan of a seed. Each fault is in about half of the runs, so that rare pairs meet without the others.
    pub(crate) fn of(random: &mut Rng) -> Self {
        let small = random.u8(0..3) == 0;
        let tenants = if random.u8(0..3) == 0 { 2 } else { 1 };
        let clients = (0..tenants).map(|_| random.usize(2..=if tenants == 1 { 5 } else { 3 })).collect();
        let pick = |random: &mut Rng, choices: &[u64]| choices[random.usize(0..choices.len())];
        let large = !small && random.u8(0..12) == 0;
        let narrow = !small && !large && random.u8(0..2) == 0;
        let cuts = Cuts {
            sizes: Sizes {
                least: random.choice([1, 300]).unwrap_or(1),
                most: random.choice([400, 900, 3_000]).unwrap_or(400),
                one_in: random.u32(1..=4),
            },
            tail: random.choice([400, 1_500, 20_000]).unwrap_or(400),
        };
        Self {
            clients,
            documents: random.usize(if narrow { 4..=20 } else { 1..=5 }),
            busy: random.u64(20_000..200_000),
            pace: pick(random, &[2_000, 8_000, 20_000]),
            burst: random.usize(1..=4),
            latency: pick(random, &[2, 40, 400, 3_000]),
            disk_latency: pick(random, &[1, 10, 200, 2_000]),
            server_latency: pick(random, &[1, 10, 300]),
            skew: pick(random, &[0, 2_000, 30_000, 300_000, YEAR]),
            server_skew: pick(random, &[30_000, 3_600_000, YEAR]),
            issuer_apart: random.u8(0..4) == 0,
            relaxed: random.choice([0, 4, 64]).unwrap_or_default(),
            outbox: if random.u8(0..5) == 0 { TIGHT } else { 10_000 },
            large,
            takes_mine: !small && !large,
            server_resolves: random.bool(),
            limits: match (small, narrow) {
                (true, _) => SMALL,
                (_, true) => NARROW,
                _ => Limits::default(),
            },
            calm: pick(random, &[3_000, 12_000, 40_000]),
            snapshots: random.u8(0..8) > 0,
            faults: FAULTS.into_iter().filter(|_| random.bool()).collect(),
            http_trouble: pick(random, &[0, 50, 300]),
            part_trouble: pick(random, &[0, 30, 150]),
            cuts,
            stragglers: random.bool(),
        }
    }
}
