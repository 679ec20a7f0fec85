//! `cargo xtask ci <job>` and `cargo xtask test`, which is all of them.

mod browser;
mod style;
mod unit;

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    bundle,
    conformance::{self, Suite},
    fuzz::Fuzz,
    process::Run,
    report::{Report, Steps},
    setup,
    sim::{self, Seeds},
    size::Download,
    workspace::Workspace,
};

/// Seeds of clients that publish and read, each of which is minutes of a whole server's life.
const TOPIC_SEEDS: u64 = 500;
/// Seeds of the event bus, each of which waits for the disk some two hundred times.
const BUS_SEEDS: u64 = 500;
/// Seeds that the continuous integration simulates.
const SEEDS: u64 = 2_000;
/// How many times as many seeds a night has.
const NIGHT: u64 = 5;

/// One job of the continuous integration, fast ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Job {
    /// Formatting, lints, documentation, types.
    Style,
    /// Unit, contract, architecture and integration tests that need no browser.
    Test,
    /// What a page downloads, against its budget and the size recorded last.
    Size,
    /// Suites and clients that others wrote, and examples that speak plain HTTP, against the server.
    Conformance,
    /// The npm package in an empty project, in Vite and in Node.
    Packaging,
    /// The store contract against IndexedDB, in Chromium.
    Wasm,
    /// The simulators, of clients, of the event bus, of topics and of tabs.
    Sim,
    /// The task board in Chromium, end to end.
    Browser,
    /// The store contract and the package in Firefox.
    Firefox,
}

/// Runs one job.
pub(crate) fn job(workspace: &Workspace, job: Job) -> ExitCode {
    let mut report = Report::default();
    run(workspace, job, &mut report);
    report.close()
}

/// Runs every job, also after a failure.
pub(crate) fn all(workspace: &Workspace) -> ExitCode {
    let mut report = Report::default();
    let jobs = Job::value_variants();
    let mut steps = Steps::new(jobs.len());
    for job in jobs {
        let value = job.to_possible_value().expect("no job is hidden");
        steps.next(format_args!("{}: {}", value.get_name(), value.get_help().unwrap_or_default()));
        run(workspace, *job, &mut report);
    }
    report.close()
}

/// What takes too long by day: fuzzing, and the seeds after those of the day.
pub(crate) fn nightly(workspace: &Workspace) -> ExitCode {
    let mut report = Report::default();
    Fuzz::all().run(workspace, &mut report);
    let night = |seeds: u64| Seeds::range(seeds..seeds * NIGHT);
    report.check("simulator", &sim::run(workspace, &night(SEEDS)));
    report.check("simulator of the event bus", &sim::run(workspace, &night(BUS_SEEDS).of_bus()));
    report.check("simulator of topics", &sim::run(workspace, &night(TOPIC_SEEDS).of_topics()));
    report.claim("simulator of tabs", || sim::tabs(workspace, &night(SEEDS))?.done());
    report.close()
}

fn run(workspace: &Workspace, job: Job, report: &mut Report) {
    match job {
        Job::Style => style::run(workspace, report),
        Job::Test => unit::run(workspace, report),
        Job::Size => report.claim("size", || {
            let download = Download::measure(workspace)?;
            download.print(workspace, false)?;
            download.hold(workspace)
        }),
        Job::Conformance => {
            Suite::DurableStreams.run(workspace, report);
            conformance::clients(workspace, report);
        }
        Job::Packaging => browser::packaging(workspace, report),
        Job::Wasm => browser::stores(workspace, report),
        Job::Sim => {
            let seeds = Seeds::first(SEEDS);
            report.check(format!("simulator, {SEEDS} seeds"), &sim::run(workspace, &seeds));
            let bus = Seeds::first(BUS_SEEDS).of_bus();
            report
                .check(format!("simulator of the event bus, {BUS_SEEDS} seeds"), &sim::run(workspace, &bus));
            let topics = Seeds::first(TOPIC_SEEDS).of_topics();
            report.check(format!("simulator of topics, {TOPIC_SEEDS} seeds"), &sim::run(workspace, &topics));
            report
                .claim(format!("simulator of tabs, {SEEDS} seeds"), || sim::tabs(workspace, &seeds)?.done());
        }
        Job::Browser => browser::board(workspace, report),
        Job::Firefox => browser::firefox(workspace, report),
    }
}

/// The `test` script of an npm package, once its own packages are installed.
fn npm_tests(workspace: &Workspace, folder: &str) -> Result<Run> {
    let dir = workspace.path(folder);
    setup::npm_packages(&dir)?;
    // Without a terminal Node would report every assertion; this way it names tests and failures.
    Ok(Run::npm_script(dir, "test").env("NODE_OPTIONS", "--test-reporter=spec"))
}

fn npm_package(workspace: &Workspace) -> Result<()> {
    bundle::build(workspace, &mut Steps::new(bundle::STEPS))
}
