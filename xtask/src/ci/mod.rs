//! `cargo xtask ci <job>` and `cargo xtask test`, which is all of them.

mod style;
mod unit;

use std::process::ExitCode;

use clap::ValueEnum;

use crate::{report::Report, workspace::Workspace};

/// One job of the continuous integration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Job {
    /// Formatting, lints, documentation, types, and the dependency rules.
    Style,
    /// Unit, contract and integration tests that need no browser.
    Test,
}

/// Runs one job.
pub(crate) fn job(workspace: &Workspace, job: Job) -> ExitCode {
    let mut report = Report::default();
    run(workspace, job, &mut report);
    report.close()
}

/// Runs every job, fast ones first, also after a failure.
pub(crate) fn all(workspace: &Workspace) -> ExitCode {
    let mut report = Report::default();
    for job in Job::value_variants() {
        run(workspace, *job, &mut report);
    }
    report.close()
}

fn run(workspace: &Workspace, job: Job, report: &mut Report) {
    match job {
        Job::Style => style::run(workspace, report),
        Job::Test => unit::run(workspace, report),
    }
}
