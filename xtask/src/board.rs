//! The task board's pages.

use std::path::PathBuf;

use anyhow::Result;

use crate::{fingerprint::Fingerprint, process::Run, setup, workspace::Workspace};

/// Builds the task board against the npm package, which must be built; tells where its pages are.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let board = workspace.path("examples/task-board");
    setup::npm_packages(&board)?;
    let pages = board.join("dist");
    let stamp = setup::stamp(&board, "build");
    let inputs = Fingerprint::of(&["npm run build"]).with(&board)?.with(workspace.npm().join("dist"))?;
    if !(inputs.matches(&stamp) && pages.is_dir()) {
        Run::npm_script(&board, "build").done()?;
        inputs.write(&stamp)?;
    }
    Ok(pages)
}
