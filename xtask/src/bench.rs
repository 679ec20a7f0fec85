//! `cargo xtask bench <name>`: measurements against what people would use instead.

use anyhow::Result;
use clap::ValueEnum;

use crate::{bundle, process::Run, programs, report::Steps, setup, workspace::Workspace};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// Durable edits in Chromium, beside raw IndexedDB and other libraries.
    Enqueue,
}

/// Runs one measurement; it prints a table and, with `json`, a last line with the same figures.
pub(crate) fn run(workspace: &Workspace, bench: Bench, json: bool) -> Result<()> {
    let mut steps = Steps::new(bundle::STEPS + 2);
    bundle::build(workspace, &mut steps)?;
    steps.next("install what it is compared with");
    let dir = workspace.path("tests/bench");
    setup::npm_packages(&dir)?;
    let chromium = programs::chromium()?;
    steps.next("measure");
    let script = match bench {
        Bench::Enqueue => "enqueue",
    };
    let run = Run::npm_script(&dir, script).env("CHROMIUM", chromium);
    if json { run.args(["--", "--json"]) } else { run }.done()
}
