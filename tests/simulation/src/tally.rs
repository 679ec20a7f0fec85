//! What runs are counted by.

use serde::Serialize;

/// Counts of one run, or of many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Edits that applications asked for.
    pub submissions: u64,
    /// Edits that a client refused because it could not store them, or had no room.
    pub refused: u64,
    /// Operations that the server judged.
    pub operations: u64,
    /// Operations that it rejected.
    pub rejected: u64,
    /// Operations that came again after they were judged.
    pub repeated: u64,
    /// Processes of clients that were ended.
    pub client_crashes: u64,
    /// Processes of the server that were ended.
    pub server_crashes: u64,
    /// Everything else that went wrong on purpose.
    pub faults: u64,
    /// Commits and reads of clients that failed on purpose.
    pub disk_failures: u64,
    /// Those of them that had been carried out although they were reported as failed.
    pub phantoms: u64,
    /// Edits that were refused because storage was full.
    pub full: u64,
    /// Edits that were durable and went with a wiped storage before they were judged.
    pub wiped: u64,
    /// Edits that were laid into operations that were not sent.
    pub folded: u64,
    /// Changes that applications asked for of what was in their outboxes.
    pub amendments: u64,
    /// Operations that were withdrawn before they were sent.
    pub withdrawn: u64,
    /// Dead letters that were tried again.
    pub retried: u64,
    /// Operations that waited for others.
    pub dependents: u64,
    /// Those of them that waited in vain.
    pub orphaned: u64,
    /// Clients that were cloned.
    pub clones: u64,
    /// Clients whose storage was put back to what it once was.
    pub restores: u64,
    /// Ids that clients took because a copy had used their own.
    pub renewals: u64,
    /// Operations that went out under another id than they were made under, and had been judged.
    pub reunited: u64,
    /// Operations that the server called conflicted.
    pub conflicted: u64,
    /// Answers of persons and functions that were asked to decide.
    pub decided: u64,
    /// Records of decisions that were replayed.
    pub replayed: u64,
    /// Deleted documents that the server forgot.
    pub pruned: u64,
    /// HTTP requests.
    pub requests: u64,
    /// WebSockets that opened.
    pub connections: u64,
    /// Snapshots that the server made.
    pub snapshots: u64,
    /// Parts of snapshots that clients asked for.
    pub parts: u64,
    /// Those that were lost on the way, or on the way back.
    pub parts_lost: u64,
    /// Those that were damaged.
    pub parts_damaged: u64,
    /// Chunks that clients stored.
    pub chunks_stored: u64,
    /// Snapshots that took the place of what a client had.
    pub flips: u64,
    /// Those of them that had more than one chunk.
    pub flips_of_many: u64,
    /// Those of them of which an earlier process had stored the first chunks.
    pub resumed: u64,
    /// Snapshots of which a client had stored a part that it threw away.
    pub superseded: u64,
}

impl Tally {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        let Self {
            submissions,
            refused,
            operations,
            rejected,
            repeated,
            client_crashes,
            server_crashes,
            faults,
            disk_failures,
            phantoms,
            full,
            wiped,
            folded,
            amendments,
            withdrawn,
            retried,
            dependents,
            orphaned,
            clones,
            restores,
            renewals,
            reunited,
            conflicted,
            decided,
            replayed,
            pruned,
            requests,
            connections,
            snapshots,
            parts,
            parts_lost,
            parts_damaged,
            chunks_stored,
            flips,
            flips_of_many,
            resumed,
            superseded,
        } = other;
        self.submissions += submissions;
        self.refused += refused;
        self.operations += operations;
        self.rejected += rejected;
        self.repeated += repeated;
        self.client_crashes += client_crashes;
        self.server_crashes += server_crashes;
        self.faults += faults;
        self.disk_failures += disk_failures;
        self.phantoms += phantoms;
        self.full += full;
        self.wiped += wiped;
        self.folded += folded;
        self.amendments += amendments;
        self.withdrawn += withdrawn;
        self.retried += retried;
        self.dependents += dependents;
        self.orphaned += orphaned;
        self.clones += clones;
        self.restores += restores;
        self.renewals += renewals;
        self.reunited += reunited;
        self.conflicted += conflicted;
        self.decided += decided;
        self.replayed += replayed;
        self.pruned += pruned;
        self.requests += requests;
        self.connections += connections;
        self.snapshots += snapshots;
        self.parts += parts;
        self.parts_lost += parts_lost;
        self.parts_damaged += parts_damaged;
        self.chunks_stored += chunks_stored;
        self.flips += flips;
        self.flips_of_many += flips_of_many;
        self.resumed += resumed;
        self.superseded += superseded;
    }
}
