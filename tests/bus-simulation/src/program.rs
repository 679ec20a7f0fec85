//! Runs seeds: `--seed N [--verbose]` or `--seeds COUNT|A..B`.

use std::{
    ops::Range,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The first claim that did not hold.
    pub violation: Option<String>,
    /// Of all that happened.
    pub hash: u64,
}

/// Runs the seeds that the command line names, as many at once as there are cores. `name` is for people, `flag` is what
/// `cargo xtask sim` knows the simulator by.
pub fn program(name: &str, flag: &str, run: fn(u64, bool) -> Ended) -> ExitCode {
    let Some((seeds, verbose)) = parse(std::env::args().skip(1)) else {
        eprintln!("usage: (--seed N | --seeds COUNT|A..B) [--verbose]");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let (next, failed, hash) = (AtomicU64::new(seeds.start), AtomicU64::new(0), AtomicU64::new(0));
    let threads = if verbose { 1 } else { thread::available_parallelism().map_or(1, Into::into) };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let ended = run(seed, verbose);
                    hash.fetch_xor(ended.hash.rotate_left((seed % 64) as u32), Ordering::Relaxed);
                    if let Some(violation) = ended.violation {
                        failed.fetch_add(1, Ordering::Relaxed);
                        println!("seed {seed} FAILED: {violation}");
                        println!("  replay: cargo xtask sim {flag} --seed {seed} --verbose");
                    }
                }
            });
        }
    });
    let (failed, hash) = (failed.into_inner(), hash.into_inner());
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{name}: {} seeds in {seconds:.1} s, {failed} failures, hash {hash:016x}",
        seeds.end - seeds.start
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<(Range<u64>, bool)> {
    let (mut seeds, mut verbose) = (None, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seed" => {
                let seed: u64 = arguments.next()?.parse().ok()?;
                seeds = Some(seed..seed.checked_add(1)?);
            }
            "--seeds" => {
                let text = arguments.next()?;
                let (first, end) = text.split_once("..").unwrap_or(("0", &text));
                seeds = Some(first.parse().ok()?..end.parse().ok()?);
            }
            "--verbose" => verbose = true,
            _ => return None,
        }
    }
    Some((seeds?, verbose))
}
