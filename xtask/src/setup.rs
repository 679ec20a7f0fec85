//! What a chore needs from the machine, brought there if it is missing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{fingerprint::Fingerprint, process::Run};

/// The target that the browser core is compiled for.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// Installs the standard library of [`WASM`].
pub(crate) fn wasm_target() -> Result<()> {
    let installed = Run::new("rustup", ["target", "list", "--installed"]).output();
    match installed {
        Ok(targets) if targets.lines().any(|line| line.trim() == WASM) => Ok(()),
        Ok(_) => Run::new("rustup", ["target", "add", WASM]).done(),
        // Without rustup the target may come with the distribution's compiler.
        Err(no_rustup) => {
            let sysroot = Run::new("rustc", ["--print", "sysroot"]).output()?;
            let there = Path::new(sysroot.trim()).join("lib/rustlib").join(WASM).is_dir();
            ensure!(there, "the Rust target {WASM} is missing and {no_rustup:#}");
            Ok(())
        }
    }
}

/// Installs the packages that the lock file in `dir` names, unless they are there.
pub(crate) fn npm_packages(dir: &Path) -> Result<()> {
    let stamp = stamp(dir, "install");
    let inputs = Fingerprint::of(&["npm ci"]).with(dir.join("package-lock.json"))?;
    if inputs.matches(&stamp) {
        return Ok(());
    }
    Run::new("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .dir(dir)
        .done()
        .context("the npm packages could not be installed; Node.js 20 or newer and npm are needed")?;
    inputs.write(&stamp)
}

/// Installs a program that comes as a crate into a folder, unless this version is there.
pub(crate) fn cargo_tool(folder: &Path, name: &str, version: &str, features: &[&str]) -> Result<()> {
    let (stamp, wanted) = (folder.join("version"), [name, version, &features.join(",")].join(" "));
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let install = Run::cargo([
        "install",
        "--quiet",
        "--locked",
        "--no-default-features",
        "--force",
        "--version",
        version,
    ]);
    let install = install.args(["--features", &features.join(","), "--root"]).arg(folder).arg(name);
    install.done().with_context(|| format!("{name} could not be installed"))?;
    fs::write(&stamp, wanted).with_context(|| format!("{} could not be written", stamp.display()))
}

/// Where the digest of a piece of work in an npm package is kept: it goes when `npm ci` clears its folder.
pub(crate) fn stamp(dir: &Path, work: &str) -> PathBuf {
    dir.join("node_modules/.cache/xtask").join(work)
}

/// Empties a folder, or makes it.
pub(crate) fn fresh_folder(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("{} could not be emptied", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("{} could not be made", dir.display()))
}
