//! Runs seeds: `simulation --seed N [--verbose]` or `simulation --seeds COUNT|A..B`, with `--json` for a last line that
//! a program can read.

use std::{
    ops::Range,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use serde::Serialize;
use simulation::{Ended, Settings, Tally, hash_of, run};

const USAGE: &str = "usage: simulation (--seed N | --seeds COUNT|A..B) [--verbose] [--json]";

struct Arguments {
    seeds: Range<u64>,
    settings: Settings,
    json: bool,
}

#[derive(Serialize)]
struct Report {
    seeds: u64,
    failures: Vec<u64>,
    steps: u64,
    #[serde(flatten)]
    tally: Tally,
    hash: String,
    seconds: f64,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let ends = run_all(&arguments);
    let report = report(&ends, began.elapsed().as_secs_f64());
    print(&report);
    if arguments.json {
        println!("{}", serde_json::to_string(&report).expect("a report is plain data"));
    }
    if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every seed, each on one thread, as many at once as there are cores. Returns them in order.
fn run_all(arguments: &Arguments) -> Vec<(u64, Ended)> {
    let next = AtomicU64::new(arguments.seeds.start);
    let ends = Mutex::new(Vec::new());
    let threads =
        if arguments.settings.verbose { 1 } else { thread::available_parallelism().map_or(1, Into::into) };
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.seeds.end {
                        return;
                    }
                    let ended = run(seed, arguments.settings);
                    if let Some(violation) = &ended.violation {
                        println!("seed {seed} FAILED: {}", violation.claim);
                        println!("  {}", violation.seen);
                        println!("  replay: cargo xtask sim --seed {seed}");
                    }
                    ends.lock().expect("no thread panics while it adds").push((seed, ended));
                }
            });
        }
    });
    let mut ends = ends.into_inner().expect("no thread panicked");
    ends.sort_by_key(|(seed, _)| *seed);
    ends
}

fn report(ends: &[(u64, Ended)], seconds: f64) -> Report {
    let mut tally = Tally::default();
    ends.iter().for_each(|(_, ended)| tally.add(&ended.tally));
    let failed = |(seed, ended): &(u64, Ended)| ended.violation.is_some().then_some(*seed);
    Report {
        seeds: ends.len() as u64,
        failures: ends.iter().filter_map(failed).collect(),
        steps: ends.iter().map(|(_, ended)| ended.steps).sum(),
        tally,
        hash: format!("{:016x}", hash_of(ends.iter().map(|(_, ended)| ended.hash))),
        seconds: (seconds * 1_000.0).round() / 1_000.0,
    }
}

fn print(report: &Report) {
    let Report { seeds, failures, steps, tally, hash, seconds } = report;
    println!("seeds           {seeds:>12}   in {seconds} s, hash {hash}");
    println!("failures        {:>12}   {failures:?}", failures.len());
    println!("steps           {steps:>12}");
    println!(
        "edits           {:>12}   {} refused, {} laid into others",
        tally.submissions, tally.refused, tally.folded
    );
    println!(
        "operations      {:>12}   {} rejected, {} came again",
        tally.operations, tally.rejected, tally.repeated
    );
    println!("connections     {:>12}   {} HTTP requests", tally.connections, tally.requests);
    println!(
        "conflicts       {:>12}   {} answers, {} decisions replayed",
        tally.conflicted, tally.decided, tally.replayed
    );
    println!(
        "snapshots       {:>12}   {} parts asked for, {} lost, {} damaged",
        tally.snapshots, tally.parts, tally.parts_lost, tally.parts_damaged
    );
    println!(
        "flips           {:>12}   {} of many chunks, {} resumed, {} given up for another; {} chunks stored",
        tally.flips, tally.flips_of_many, tally.resumed, tally.superseded, tally.chunks_stored
    );
    println!(
        "copies          {:>12}   {} restored; {} other ids taken, {} operations met again under one",
        tally.clones, tally.restores, tally.renewals, tally.reunited
    );
    println!(
        "amendments      {:>12}   {} withdrawn, {} tried again; {} waited for others, {} of them in vain",
        tally.amendments, tally.withdrawn, tally.retried, tally.dependents, tally.orphaned
    );
    println!("deletions       {:>12}   forgotten by servers", tally.pruned);
    println!(
        "crashes         {:>12}   of clients, {} of servers",
        tally.client_crashes, tally.server_crashes
    );
    println!(
        "faults          {:>12}   {} failures of a client's disk, {} of them carried out all the same",
        tally.faults, tally.disk_failures, tally.phantoms
    );
    println!(
        "storage         {:>12}   edits refused as full, {} lost with a wiped disk",
        tally.full, tally.wiped
    );
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut seeds, mut settings, mut json) = (None, Settings::default(), false);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--seed" => {
                let seed = number(&value()?)?;
                seeds = Some(seed..seed.saturating_add(1));
            }
            "--seeds" => seeds = Some(range(&value()?)?),
            "--verbose" => settings.verbose = true,
            "--json" => json = true,
            _ => return Err(format!("unknown argument {argument}")),
        }
    }
    Ok(Arguments { seeds: seeds.ok_or("no seeds given")?, settings, json })
}

fn range(text: &str) -> Result<Range<u64>, String> {
    match text.split_once("..") {
        Some((first, end)) => Ok(number(first)?..number(end)?),
        None => Ok(0..number(text)?),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}
