//! `cargo xtask conformance <suite>`: other people's suites against a freshly started server on its own store.

use anyhow::Result;
use clap::ValueEnum;

use crate::{demo, process::Run, report::Report, setup, workspace::Workspace};

/// A suite that others wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// The Durable Streams protocol, with its subscriptions.
    DurableStreams,
}

impl Suite {
    /// Runs it.
    pub(crate) fn run(self, workspace: &Workspace, report: &mut Report) {
        let (name, script) = match self {
            Self::DurableStreams => ("Durable Streams conformance", "durable-streams"),
        };
        report.tests(name, || package(workspace, script));
    }
}

/// Clients that speak plain HTTP: somebody else's, and the examples that need nothing else.
pub(crate) fn clients(workspace: &Workspace, report: &mut Report) {
    report.tests("clients of topics", || {
        Ok(package(workspace, "test")?.env("NODE_OPTIONS", "--test-reporter=spec"))
    });
}

fn package(workspace: &Workspace, script: &str) -> Result<Run> {
    let dir = workspace.path("tests/conformance");
    setup::npm_packages(&dir)?;
    // Colours would hide the figures.
    Ok(Run::npm_script(dir, script)
        .env("WEBWAKA_SERVER", demo::server(workspace)?)
        .env("NO_COLOR", "1")
        .env("FORCE_COLOR", "0"))
}
