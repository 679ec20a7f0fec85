//! A browser for the tests, brought to the machine if it is missing.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::process::Run;

/// A browser for the tests: `CHROMIUM`, or the distribution's, installed if there is none.
pub(crate) fn locate() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        let named = PathBuf::from(named);
        ensure!(named.is_file(), "CHROMIUM names {}, which is no file", named.display());
        return Ok(named);
    }
    if let Some(found) = find("chromium").or_else(|| find("chromium-browser")) {
        return Ok(found);
    }
    debian_packages(&["chromium"])?;
    find("chromium").context("the package chromium has brought no program of that name")
}

/// A program on the search path.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn debian_packages(names: &[&str]) -> Result<()> {
    let missing = names.join(" ");
    if find("apt-get").is_none() {
        bail!("{missing} is missing, and this machine has no apt-get: install it, or name it in CHROMIUM");
    }
    let apt = if is_root()? {
        Run::new("env", ["DEBIAN_FRONTEND=noninteractive", "apt-get"])
    } else if find("sudo").is_some() {
        Run::new("sudo", ["DEBIAN_FRONTEND=noninteractive", "apt-get"])
    } else {
        bail!("{missing} is missing: run `apt-get install {missing}` as root, or make sudo available")
    };
    apt.clone().args(["update", "-q"]).done()?;
    apt.args(["install", "-y", "-q", "--no-install-recommends"]).args(names).done()
}

fn is_root() -> Result<bool> {
    Ok(Run::new("id", ["-u"]).output()?.trim() == "0")
}
