//! A deterministic simulation of the whole: real engines, the server's real sessions, handlers' logic and database,
//! on one thread, with simulated time, network, storage and chance. Whatever happens follows from a seed.
//!
//! Each run works and breaks things for a while, mends everything, waits until all has come to rest, and then holds
//! the database, every replica and everything that any application was told against each other and against a
//! reference model of its own (`model`). Cheap claims are held at every step (`checks`).

mod agenda;
mod amend;
mod archive;
mod checks;
mod client;
mod conflicts;
mod copies;
mod database;
mod deleted;
mod disk;
mod download;
mod drive;
mod end;
mod faults;
mod folds;
mod http;
mod ledger;
mod life;
mod model;
mod network;
mod plan;
mod reads;
mod records;
mod replays;
mod segments;
mod serve;
mod server;
mod storing;
mod tally;
mod trace;
mod wishes;
mod workload;
mod world;

pub use tally::Tally;
pub use trace::hash_of;
pub use world::{Ended, Violation};

/// How seeds are run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Every step is told.
    pub verbose: bool,
}

/// Runs one seed.
pub fn run(seed: u64, settings: Settings) -> Ended {
    world::World::new(seed, settings).run()
}
