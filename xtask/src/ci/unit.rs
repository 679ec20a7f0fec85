//! The tests that need no browser.

use super::npm_tests;
use crate::{process::Run, programs, report::Report, workspace::Workspace};

pub(super) fn run(workspace: &Workspace, report: &mut Report) {
    let cargo = |words: &str| Ok(Run::cargo(words.split_whitespace()).dir(workspace.root()));
    // By itself first: in the workspace every feature that anybody asks for is on.
    report.tests("sdk-core as the server uses it", || cargo("test --package sdk-core"));
    report.tests("the Rust workspace", || {
        let features = "sdk-core/native,sdk-core/testing";
        cargo(&format!("test --workspace --no-fail-fast --features {features}"))
    });
    report.tests("metrics and alerts, by promtool", || {
        // With the features of before, so that nothing is built anew.
        let features = "sdk-core/native,sdk-core/testing";
        let test = "--test server -- --ignored prometheus_has_nothing_to_say";
        let run = cargo(&format!("test --workspace --features {features} {test}"))?;
        Ok(run.env("PROMTOOL", programs::promtool()?))
    });
    // By itself: tests of the workspace build the server as it is without features, and run it.
    report.tests("spans by OTLP", || cargo("test --package server-reference --features otlp --test otlp"));
    // With the features of both, so that it is built once, and groups are tested whose events are on Redis.
    let stores = |tests: &str| {
        let test =
            cargo(&format!("test --package server-reference --lib --features postgres,redis {tests}"))?;
        Ok(test.env("POSTGRES", programs::postgres()?).env("REDIS", programs::redis_programs()?))
    };
    report.tests("the stores on PostgreSQL", || stores("storage::postgres"));
    report.tests("the event log on Redis", || stores("storage::redis"));
    report.tests("the descriptions of the server", || npm_tests(workspace, "tests/descriptions"));
    report.tests("the npm package", || npm_tests(workspace, "npm"));
}
