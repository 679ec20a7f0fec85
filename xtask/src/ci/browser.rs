//! What only a browser, or a freshly installed package, can show.

use anyhow::Result;

use super::{npm_package, npm_tests};
use crate::{board, demo, process::Run, programs, report::Report, setup, test_modules, workspace::Workspace};

/// The packed npm package, installed elsewhere.
pub(super) fn packaging(workspace: &Workspace, report: &mut Report) {
    report.tests("packaging", || {
        npm_package(workspace)?;
        with_server(workspace, npm_tests(workspace, "tests/packaging")?)
    });
}

/// IndexedDB, held to the same contract as the other stores.
pub(super) fn stores(workspace: &Workspace, report: &mut Report) {
    report.tests("stores in Chromium", || {
        // Encryption is the package's part of them.
        npm_package(workspace)?;
        test_modules::build(workspace)?;
        in_chromium(npm_tests(workspace, "tests/browser/stores")?)
    });
}

/// The task board against the real server, with kills of both.
pub(super) fn board(workspace: &Workspace, report: &mut Report) {
    report.tests("task board in Chromium", || {
        npm_package(workspace)?;
        test_modules::build(workspace)?;
        board::build(workspace)?;
        programs::python()?;
        with_server(workspace, npm_tests(workspace, "tests/browser")?)
    });
}

/// The store contract and the package in the other engine.
pub(super) fn firefox(workspace: &Workspace, report: &mut Report) {
    report.tests("Firefox", || {
        npm_package(workspace)?;
        test_modules::build(workspace)?;
        programs::python()?;
        // Its tests share the harness of the others, which has packages of its own.
        setup::npm_packages(&workspace.path("tests/browser"))?;
        Ok(npm_tests(workspace, "tests/browser/firefox")?
            .env("FIREFOX", programs::firefox()?)
            .env("WEBWAKA_SERVER", demo::server(workspace)?))
    });
}

fn with_server(workspace: &Workspace, run: Run) -> Result<Run> {
    Ok(in_chromium(run)?.env("WEBWAKA_SERVER", demo::server(workspace)?))
}

fn in_chromium(run: Run) -> Result<Run> {
    Ok(run.env("CHROMIUM", programs::chromium()?))
}
