//! `cargo xtask bench <name>`: measurements against what people would use instead.

use std::path::PathBuf;

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
    /// Ten thousand connections: what each costs, a crowd in one room, and all of them coming back; beside Socket.IO.
    Connections,
    /// Durable edits in Chromium, beside raw IndexedDB and other libraries.
    Enqueue,
    /// One publisher and a thousand subscribers, beside Socket.IO and a bare loop.
    Fanout,
    /// Drain after an offline time, cold start, initial sync and merge, beside other libraries and their servers.
    Reconcile,
    /// A page that is current again after it missed a thousand events, beside Socket.IO and Durable Streams.
    Resume,
}

/// Runs one measurement; it prints a table and, with `json`, a last line with the same figures.
pub(crate) fn run(workspace: &Workspace, bench: Bench, json: bool) -> Result<()> {
    let mut steps = Steps::new(match bench {
        Bench::Append | Bench::Connections | Bench::Fanout => 3,
        Bench::Enqueue => bundle::STEPS + 2,
        Bench::Resume => bundle::STEPS + 3,
        Bench::Reconcile => bundle::STEPS + 4,
    });
    let in_browser = matches!(bench, Bench::Enqueue | Bench::Reconcile | Bench::Resume);
    if in_browser {
        bundle::build(workspace, &mut steps)?;
    }
    steps.next("install what it is compared with");
    let dir = workspace.path("tests/bench");
    setup::npm_packages(&dir)?;
    let script = |name| Run::npm_script(&dir, name);
    let run = match bench {
        Bench::Append => {
            let (redis, nats) = (programs::redis()?, programs::nats(&workspace.target("nats"))?);
            let server = server(workspace, &mut steps, &[])?;
            script("append").env("WEBWAKA_SERVER", server).env("REDIS_SERVER", redis).env("NATS_SERVER", nats)
        }
        Bench::Connections => {
            script("connections").env("WEBWAKA_SERVER", server(workspace, &mut steps, &[])?)
        }
        Bench::Enqueue => script("enqueue"),
        Bench::Fanout => {
            let server = server(workspace, &mut steps, &["bench-fanout"])?;
            let limit = workspace.target("release/bench-fanout");
            script("fanout").env("WEBWAKA_SERVER", server).env("FANOUT_LIMIT", limit)
        }
        Bench::Reconcile => {
            let server = server(workspace, &mut steps, &["bench-merge"])?;
            steps.next("compile the merge for the browser");
            script("reconcile")
                .env("WEBWAKA_SERVER", server)
                .env("MERGE_NATIVE", workspace.target("release/bench-merge"))
                .env("MERGE_MODULE", merge_module(workspace)?)
        }
        Bench::Resume => script("resume").env("WEBWAKA_SERVER", server(workspace, &mut steps, &[])?),
    };
    let run = if in_browser { run.env("CHROMIUM", programs::chromium()?) } else { run };
    steps.next("measure");
    if json { run.args(["--", "--json"]) } else { run }.done()
}

/// The server, and other packages that go with it, optimised. Returns where the server is.
fn server(workspace: &Workspace, steps: &mut Steps, others: &[&str]) -> Result<PathBuf> {
    steps.next("compile the server, optimised");
    let packages = others.iter().flat_map(|other| ["--package", other]);
    Run::cargo(["build", "--release", "--package", "server-reference"].into_iter().chain(packages))
        .dir(workspace.root())
        .done()?;
    Ok(workspace.target("release/webwaka-server"))
}

/// The merge as a module, compiled as the browser core is. Returns its folder.
fn merge_module(workspace: &Workspace) -> Result<PathBuf> {
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
