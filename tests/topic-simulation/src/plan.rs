//! What a run is like: its size, its network, and which faults it has. All of it follows from the seed.

use fastrand::Rng;

/// Milliseconds that a healed run may take to come to rest. Dead links are noticed after 75 s, retries are up to a minute
/// apart, and a better way of reading is tried again after sixteen minutes at most.
pub(crate) const HEALING: u64 = 20 * 60_000;
/// Milliseconds within which a client notices what has become of its path, and gets on by what is left of it.
pub(crate) const NOTICED: u64 = 200_000;

/// The shape of one run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Clients.
    pub(crate) clients: usize,
    /// Topics.
    pub(crate) topics: usize,
    /// Milliseconds of work and faults before everything heals.
    pub(crate) busy: u64,
    /// Milliseconds between two acts of an application, at most.
    pub(crate) pace: u64,
    /// Milliseconds of a way through the network, at most.
    pub(crate) latency: u64,
    /// Milliseconds of a commit on a client, at most.
    pub(crate) disk_latency: u64,
    /// Milliseconds of a call of the server's log, at most.
    pub(crate) log_latency: u64,
    /// Events that a topic keeps; none keeps all.
    pub(crate) kept: Option<u64>,
    /// Whether the server's pages are so small that a few events are more than one.
    pub(crate) small: bool,
    /// How far a client's wall clock is off, at most.
    pub(crate) skew: u64,
    /// Milliseconds between two faults, at most.
    pub(crate) calm: u64,
    /// Milliseconds that a fault lasts, at most.
    pub(crate) lasts: u64,
    /// How often an operator looks at what clients were refused, per mille of the looks that are taken at a run.
    pub(crate) operator: u64,
    /// How often an application does so, per mille of its acts.
    pub(crate) care: u64,
    /// Which faults there are.
    pub(crate) faults: Vec<Fault>,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Every connection of a client breaks; it notices that of its WebSocket, or does not.
    Cut,
    /// Upgrades are refused.
    Refuse,
    /// Everything is answered with a page to log in on.
    Portal,
    /// Nothing gets through, and nobody says so.
    Silence,
    /// Nothing gets through, and that is told at once.
    Offline,
    /// Upgrades are refused, and a proxy keeps an answer until all of it is there.
    Buffering,
    /// Upgrades are refused, and a proxy ends what takes long.
    Impatience,
    /// Upgrades are refused, and answers come in part, damaged, or not at all.
    Damage,
    /// Upgrades are refused, and a proxy answers with what it has kept.
    Staleness,
    /// Upgrades are refused, and a proxy lets nothing wait: it has what is there now answered at once.
    Haste,
    /// A client's process ends and begins again.
    ClientCrash,
    /// A client's commits fail for a while, some of them though they were written.
    Disk,
    /// A client's process ends, and its storage has lied about its newest commits.
    Amnesia,
    /// A client's storage is copied onto another device; both go on.
    Copy,
    /// A client's process ends, and goes on from what its storage once was.
    PutBack,
    /// The server's process ends and begins again.
    ServerCrash,
    /// The server's process ends, and its log has lied about its newest commits: topics have lost their ends, within their
    /// epochs.
    ServerAmnesia,
    /// The server is told to stop, comes to its end, and begins again.
    ServerStop,
    /// The server's log fails for a while, sometimes though it has written.
    ServerDisk,
    /// The server goes on from a backup, in new epochs.
    Restore,
    /// A topic is deleted and made anew.
    Recreate,
    /// A topic is deleted, and made anew later, if not by who publishes to it.
    Delete,
    /// A topic is closed, and perhaps deleted and made anew later.
    Close,
    /// The topics are rid of what they need not keep, while much is appended.
    Flood,
}

const FAULTS: [Fault; 24] = [
    Fault::Cut,
    Fault::Refuse,
    Fault::Portal,
    Fault::Silence,
    Fault::Offline,
    Fault::Buffering,
    Fault::Impatience,
    Fault::Damage,
    Fault::Staleness,
    Fault::Haste,
    Fault::ClientCrash,
    Fault::Disk,
    Fault::Amnesia,
    Fault::Copy,
    Fault::PutBack,
    Fault::ServerCrash,
    Fault::ServerAmnesia,
    Fault::ServerStop,
    Fault::ServerDisk,
    Fault::Restore,
    Fault::Recreate,
    Fault::Delete,
    Fault::Close,
    Fault::Flood,
];

impl Plan {
    /// The plan of a seed. Each fault is in about half of the runs, so that rare pairs meet without the others.
    pub(crate) fn of(random: &mut Rng) -> Self {
        let pick = |random: &mut Rng, choices: &[u64]| choices[random.usize(0..choices.len())];
        Self {
            clients: random.usize(1..=3),
            topics: random.usize(1..=3),
            busy: random.u64(60_000..400_000),
            pace: pick(random, &[2_000, 8_000, 30_000]),
            latency: pick(random, &[2, 40, 400]),
            disk_latency: pick(random, &[1, 10, 300]),
            log_latency: pick(random, &[1, 10, 300]),
            kept: random.bool().then(|| random.u64(3..30)),
            small: random.bool(),
            skew: pick(random, &[0, 30_000, 365 * 24 * 3_600_000]),
            calm: pick(random, &[10_000, 40_000, 120_000]),
            lasts: pick(random, &[20_000, 120_000, 300_000]),
            operator: pick(random, &[0, 0, 200, 800]),
            care: pick(random, &[1_000, 100]),
            faults: FAULTS.into_iter().filter(|_| random.bool()).collect(),
        }
    }
}
