//! The Rust tests that need no browser.

use crate::{process::Run, report::Report, workspace::Workspace};

pub(super) fn run(workspace: &Workspace, report: &mut Report) {
    let cargo = |words: &str| Run::cargo(words.split_whitespace()).dir(workspace.root());
    report.tests("sdk-core by itself", &cargo("test --package sdk-core"));
    report.tests("the workspace", &cargo("test --workspace --features sdk-core/client,sdk-core/testing"));
}
