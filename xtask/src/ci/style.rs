//! Formatting, lints and documentation.

use super::npm_package;
use crate::{
    process::Run,
    report::Report,
    setup::{self, WASM},
    workspace::Workspace,
};

/// The feature sets that somebody depends on; `--workspace` alone would only ever see their union.
const CORE_FEATURES: &[&str] = &["", "client", "client,typescript", "native", "native,testing"];

pub(super) fn run(workspace: &Workspace, report: &mut Report) {
    let cargo = |words: &str| Run::cargo(words.split_whitespace()).dir(workspace.root());
    let clippy = |words: &str| cargo(&format!("clippy --quiet --all-targets {words} -- -D warnings"));

    report.check("rustfmt", &cargo("fmt --all --check"));
    for features in CORE_FEATURES {
        let name = if features.is_empty() { "no features" } else { features };
        let features = if features.is_empty() { String::new() } else { format!("--features {features}") };
        report.check(format!("clippy: sdk-core, {name}"), &clippy(&format!("--package sdk-core {features}")));
    }
    report.check("clippy: workspace", &clippy("--workspace"));
    report.check("clippy: server, otlp", &clippy("--package server-reference --features otlp"));
    report.check("clippy: server, postgres", &clippy("--package server-reference --features postgres"));
    report.check("clippy: server, redis", &clippy("--package server-reference --features redis"));
    report.check("clippy: server, both", &clippy("--package server-reference --features postgres,redis"));
    if workspace.path("sdk-wasm").is_dir() {
        report.claim("clippy: sdk-wasm in the browser", || {
            setup::wasm_target()?;
            clippy(&format!("--package sdk-wasm --target {WASM}")).done()
        });
    }
    let rustdoc = cargo("doc --quiet --workspace --no-deps --document-private-items");
    report.check("rustdoc", &rustdoc.env("RUSTDOCFLAGS", "-D warnings"));
    typescript(workspace, report);
}

/// The folders with a `package.json` of their own.
const PACKAGES: &[&str] = &[
    "npm",
    "examples/task-board",
    "examples/notifier",
    "examples/analytics-replay",
    "tests/browser",
    "tests/browser/stores",
    "tests/browser/firefox",
    "tests/packaging",
    "tests/conformance",
    "tests/descriptions",
    "tests/bench",
];

/// Those of them that are written in TypeScript, or checked as if they were.
const TYPED: &[&str] = &["npm", "examples/task-board", "tests/packaging"];

fn typescript(workspace: &Workspace, report: &mut Report) {
    // The other packages take their types from it, and one formatter serves all: its version is the same everywhere, and
    // what the benchmarks are compared with need not be installed to look at their layout.
    report.claim("the npm package builds", || npm_package(workspace));
    let prettier = workspace.npm().join("node_modules/.bin/prettier");
    for package in PACKAGES {
        let run = Run::new(&prettier, ["--check", "--log-level=warn", "."]).dir(workspace.path(package));
        report.claim(format!("prettier: {package}"), || run.done());
    }
    for package in TYPED {
        let dir = workspace.path(package);
        report.claim(format!("tsc: {package}"), || {
            setup::npm_packages(&dir)?;
            Run::npm_script(&dir, "check").done()
        });
    }
}
