//! A few runs as a test; `cargo xtask sim --topics` runs hundreds.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// Seeds that are run twice. Among them are servers that are told to stop while several wait for that.
const SEEDS: u64 = 20;

#[test]
fn the_same_seed_is_the_same_run() {
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    let [one, other] = [0; 2].map(|_| topic_simulation::run(seed, false));
                    assert_eq!(
                        one.violation, None,
                        "replay: cargo xtask sim --topics --seed {seed} --verbose"
                    );
                    assert_eq!(one.hash, other.hash, "seed {seed}");
                }
            });
        }
    });
}
