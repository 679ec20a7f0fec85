//! The WebAssembly modules that only the browser tests load.

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    process::Run,
    setup::{self, WASM},
    workspace::Workspace,
};

/// Packages, each of which makes a module of its own.
const PACKAGES: &[&str] = &["browser-stores", "rexie-reader"];

/// Builds them into `tests/browser/stores/pkg`, without optimisation and with their panics' words.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    setup::wasm_target()?;
    let packages = PACKAGES.iter().flat_map(|package| ["--package", package]);
    Run::cargo(["build", "--lib", "--target", WASM].into_iter().chain(packages))
        .dir(workspace.root())
        .done()?;
    let pkg = workspace.path("tests/browser/stores/pkg");
    setup::fresh_folder(&pkg)?;
    for package in PACKAGES {
        let module = package.replace('-', "_");
        Bindgen::new()
            .input_path(workspace.target(format!("{WASM}/debug/{module}.wasm")))
            .out_name(package)
            .web(true)?
            .typescript(false)
            .omit_default_module_path(false)
            .generate(&pkg)
            .with_context(|| format!("wasm-bindgen failed on {package}"))?;
    }
    Ok(())
}
