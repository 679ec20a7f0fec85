//! `cargo xtask sim`: the simulators, of clients with their server, of the tabs of a browser, of the event bus, and of
//! clients that publish and read.

use std::ops::Range;

use anyhow::Result;
use clap::Args;

use crate::{
    bundle::{self, STEPS},
    process::Run,
    report::Steps,
    workspace::Workspace,
};

/// Which runs to simulate.
#[derive(Debug, Clone, Args)]
pub(crate) struct Seeds {
    /// One seed: the same again.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// A number of seeds from 0, or a range such as 100..200.
    #[arg(long, value_name = "COUNT|A..B")]
    seeds: Option<String>,
    /// The tabs of a browser, by the npm package.
    #[arg(long, conflicts_with = "json")]
    tabs: bool,
    /// The event bus: topics, and groups that share them.
    #[arg(long, conflicts_with_all = ["json", "tabs"])]
    bus: bool,
    /// Clients that publish to topics and read them, whatever gets through.
    #[arg(long, conflicts_with_all = ["json", "tabs", "bus"])]
    topics: bool,
    /// Tell every step.
    #[arg(long)]
    verbose: bool,
    /// End with one line of JSON.
    #[arg(long)]
    json: bool,
}

impl Seeds {
    /// The same of the event bus.
    pub(crate) fn of_bus(self) -> Self {
        Self { bus: true, ..self }
    }

    /// The same of clients that publish and read.
    pub(crate) fn of_topics(self) -> Self {
        Self { topics: true, ..self }
    }

    /// So many seeds, from 0.
    pub(crate) fn first(count: u64) -> Self {
        Self::range(0..count)
    }

    /// These seeds.
    pub(crate) fn range(seeds: Range<u64>) -> Self {
        Self {
            seed: None,
            seeds: Some(format!("{}..{}", seeds.start, seeds.end)),
            tabs: false,
            bus: false,
            topics: false,
            verbose: false,
            json: false,
        }
    }
}

/// What a run spends its time in, beside SQLite, which is always optimised.
const HOT: [&str; 5] = ["sdk-core", "server-reference", "simulation", "bus-simulation", "topic-simulation"];

/// The simulator that the seeds are for.
pub(crate) fn chosen(workspace: &Workspace, seeds: &Seeds) -> Result<Run> {
    if seeds.tabs { tabs(workspace, seeds) } else { Ok(run(workspace, seeds)) }
}

/// The simulator of tabs with these seeds, once the npm package is built.
pub(crate) fn tabs(workspace: &Workspace, Seeds { seed, seeds, verbose, .. }: &Seeds) -> Result<Run> {
    bundle::build(workspace, &mut Steps::new(STEPS))?;
    let mut run = Run::new("node", ["sim/run.mjs"]).dir(workspace.npm());
    if let Some(seed) = seed {
        run = run.args(["--seed", &seed.to_string()]);
    }
    if let Some(seeds) = seeds {
        run = run.args(["--seeds", seeds]);
    }
    Ok(if *verbose { run.arg("--verbose") } else { run })
}

/// The simulator of clients, of the event bus, or of both with topics, with these seeds. It is built as the tests are but for what is [`HOT`], so that it is several times as
/// fast; a profile of its own would compile everything else once more, and take longer than the seeds do.
pub(crate) fn run(workspace: &Workspace, seeds: &Seeds) -> Run {
    let Seeds { seed, seeds, tabs: _, bus, topics, verbose, json } = seeds;
    let package = match (bus, topics) {
        (true, _) => "bus-simulation",
        (_, true) => "topic-simulation",
        _ => "simulation",
    };
    let optimised = HOT.map(|package| format!("profile.dev.package.{package}.opt-level=1"));
    let mut run = Run::cargo(["run", "--package", package]).dir(workspace.root());
    for setting in &optimised {
        run = run.args(["--config", setting]);
    }
    run = run.arg("--");
    if let Some(seed) = seed {
        run = run.args(["--seed", &seed.to_string()]);
    }
    if let Some(seeds) = seeds {
        run = run.args(["--seeds", seeds]);
    }
    if *verbose {
        run = run.arg("--verbose");
    }
    if *json { run.arg("--json") } else { run }
}
