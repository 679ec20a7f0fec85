//! A deterministic simulation of the event bus: the real event log with its consumer groups and dead letters, on a disk,
//! with simulated time and chance. Whatever happens follows from a seed.
//!
//! After every step the log is held against a model: no event is handed out twice at a time, before it is due, or before
//! those of its key; a lease that is over changes nothing; the cursor never passes an unresolved event; a batch that is
//! sent again has no second effect; readers miss nothing that they are not told of. In the end all is worked on.

mod claims;
mod model;
mod operator;
mod program;
mod reader;
mod trace;
mod world;

pub use program::{Ended, program};
pub use trace::Trace;

/// Runs one seed; `verbose` tells every step.
pub fn run(seed: u64, verbose: bool) -> Ended {
    world::World::new(seed, verbose).run()
}
