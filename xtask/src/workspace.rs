//! Where things are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::Run;

/// The checkout that this program was built from.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that `CARGO_TARGET_DIR` and configuration files count.
    pub(crate) fn locate() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the xtask package lies inside the workspace")?
            .to_path_buf();
        let metadata = Run::cargo(["metadata", "--no-deps", "--format-version", "1"]).dir(&root).output()?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
        let target =
            metadata["target_directory"].as_str().context("cargo metadata names a target directory")?;
        Ok(Self { root, target: target.into() })
    }

    /// The checkout's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the checkout.
    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.join(below)
    }

    /// A path in cargo's target directory.
    pub(crate) fn target(&self, below: impl AsRef<Path>) -> PathBuf {
        self.target.join(below)
    }

    /// The npm package that users install.
    pub(crate) fn npm(&self) -> PathBuf {
        self.path("npm")
    }
}
