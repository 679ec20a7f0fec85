//! `cargo xtask bench <name>`: measurements against what people would use instead.

use anyhow::{Context, Result};
use clap::ValueEnum;
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    bundle,
    process::Run,
    programs,
    report::Steps,
    setup::{self, WASM},
    workspace::Workspace,
};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// Durable appends to a topic, beside other logs that wait for the disk.
    Append,
    /// Durable edits in Chromium, beside raw IndexedDB and other libraries.
    Enqueue,
    /// One publisher and a thousand subscribers, beside Socket.IO and a bare loop.
    Fanout,
    /// Drain after an offline time, cold start, initial sync and merge, beside other libraries and their servers.
    Reconcile,
}

/// Runs one measurement; it prints a table and, with `json`, a last line with the same figures.
pub(crate) fn run(workspace: &Workspace, bench: Bench, json: bool) -> Result<()> {
    match bench {
        Bench::Append => return append(workspace, json),
        Bench::Fanout => return fanout(workspace, json),
        Bench::Enqueue | Bench::Reconcile => {}
    }
    let more = if bench == Bench::Reconcile { 2 } else { 0 };
    let mut steps = Steps::new(bundle::STEPS + 2 + more);
    bundle::build(workspace, &mut steps)?;
    steps.next("install what it is compared with");
    let dir = workspace.path("tests/bench");
    setup::npm_packages(&dir)?;
    let chromium = programs::chromium()?;
    let run = if bench == Bench::Reconcile {
        steps.next("compile the server and the native merge, optimised");
        Run::cargo(["build", "--release", "--package", "server-reference", "--package", "bench-merge"])
            .dir(workspace.root())
            .done()?;
        steps.next("compile the merge for the browser");
        let module = merge_module(workspace)?;
        Run::npm_script(&dir, "reconcile")
            .env("WEBWAKA_SERVER", workspace.target("release/webwaka-server"))
            .env("MERGE_NATIVE", workspace.target("release/bench-merge"))
            .env("MERGE_MODULE", module)
    } else {
        Run::npm_script(&dir, "enqueue")
    };
    steps.next("measure");
    let run = run.env("CHROMIUM", chromium);
    if json { run.args(["--", "--json"]) } else { run }.done()
}

/// Appends, for which no browser is needed.
fn append(workspace: &Workspace, json: bool) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.next("install what it is compared with");
    let dir = workspace.path("tests/bench");
    setup::npm_packages(&dir)?;
    let (redis, nats) = (programs::redis()?, programs::nats(&workspace.target("nats"))?);
    steps.next("compile the server, optimised");
    Run::cargo(["build", "--release", "--package", "server-reference"]).dir(workspace.root()).done()?;
    steps.next("measure");
    let run = Run::npm_script(&dir, "append")
        .env("WEBWAKA_SERVER", workspace.target("release/webwaka-server"))
        .env("REDIS_SERVER", redis)
        .env("NATS_SERVER", nats);
    if json { run.args(["--", "--json"]) } else { run }.done()
}

/// Messages to many subscribers, which are no browsers.
fn fanout(workspace: &Workspace, json: bool) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.next("install what it is compared with");
    let dir = workspace.path("tests/bench");
    setup::npm_packages(&dir)?;
    steps.next("compile the server and the bare loop, optimised");
    Run::cargo(["build", "--release", "--package", "server-reference", "--package", "bench-fanout"])
        .dir(workspace.root())
        .done()?;
    steps.next("measure");
    let run = Run::npm_script(&dir, "fanout")
        .env("WEBWAKA_SERVER", workspace.target("release/webwaka-server"))
        .env("FANOUT_LIMIT", workspace.target("release/bench-fanout"));
    if json { run.args(["--", "--json"]) } else { run }.done()
}

/// The merge as a module, compiled as the browser core is. Returns its folder.
fn merge_module(workspace: &Workspace) -> Result<std::path::PathBuf> {
    let profile = bundle::PROFILE;
    Run::cargo(["build", "--package", "bench-merge", "--lib", "--target", WASM, "--profile", profile])
        .dir(workspace.root())
        .done()?;
    let pkg = workspace.target("bench-merge");
    setup::fresh_folder(&pkg)?;
    Bindgen::new()
        .input_path(workspace.target(format!("{WASM}/{profile}/bench_merge.wasm")))
        .out_name("merge")
        .web(true)?
        .typescript(false)
        .omit_default_module_path(false)
        .generate(&pkg)
        .context("wasm-bindgen failed on bench-merge")?;
    Ok(pkg)
}
