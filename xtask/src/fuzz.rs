//! `cargo xtask fuzz`: libFuzzer looks for inputs under which a target of `tests/fuzz` does not hold.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::{process::Run, report::Report, setup, workspace::Workspace};

/// What to look at, and for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Fuzz {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Targets, such as `tokens::well_signed`; all if none is named.
    targets: Vec<String>,
}

impl Fuzz {
    /// All targets, each for the usual time.
    pub(crate) fn all() -> Self {
        Self { seconds: 60, targets: Vec::new() }
    }

    /// Looks at each target, also after one did not hold. What it was that it did not hold under is kept in the target's folder
    /// of crashes, where the tests run it from then on.
    pub(crate) fn run(&self, workspace: &Workspace, report: &mut Report) {
        let prepared = prepare(workspace).and_then(|()| targets(workspace));
        let known = match prepared {
            Ok(known) => known,
            Err(error) => return report.claim("fuzzing can begin", || Err(error)),
        };
        for name in self.targets.iter().filter(|name| !known.contains(name)) {
            report.claim(format!("fuzz: {name}"), || {
                anyhow::bail!("there is no such target; there are {}", known.join(", "))
            });
        }
        let wanted = |name: &&String| self.targets.is_empty() || self.targets.contains(name);
        for name in known.iter().filter(wanted) {
            report.claim(format!("fuzz: {name}, {} s", self.seconds), || self.look_at(workspace, name));
        }
    }

    fn look_at(&self, workspace: &Workspace, name: &str) -> Result<()> {
        let folder = name.replace("::", "__");
        let kept = workspace.path("tests/fuzz/src/__fuzz__").join(&folder);
        // What libFuzzer thinks is interesting is much, and only of use to itself.
        let found = fuzzing(workspace).join("corpus").join(&folder);
        for dir in [&found, &kept.join("corpus")] {
            fs::create_dir_all(dir).with_context(|| format!("{} could not be made", dir.display()))?;
        }
        let run = Run::new(tool(workspace), ["bolero", "test", "--sanitizer", "NONE", "--package", "fuzz"]);
        let run = run.args([name, "-T", &format!("{}s", self.seconds)]);
        let run = run.arg("--corpus-dir").arg(found).arg("--crashes-dir").arg(kept.join("crashes"));
        let run = run.arg("--engine-args").arg(kept.join("corpus"));
        let run = run.arg("--engine-args").arg(seeds(workspace));
        run.dir(workspace.root()).done()
    }
}

/// The names of the targets.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let list = Run::cargo(["test", "--quiet", "--package", "fuzz", "--lib", "--", "--list"]);
    let list = list.dir(workspace.root()).output()?;
    let names = list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect();
    Ok(names)
}

/// Brings the tool, and the golden files as what it begins with.
fn prepare(workspace: &Workspace) -> Result<()> {
    setup::cargo_tool(&fuzzing(workspace).join("tool"), "cargo-bolero", "0.13.5", &["libfuzzer"])?;
    let seeds = seeds(workspace);
    setup::fresh_folder(&seeds)?;
    for entry in fs::read_dir(workspace.path("tests/vectors"))? {
        let path = entry?.path();
        let vector: Value = serde_json::from_str(&fs::read_to_string(&path)?)
            .with_context(|| format!("{} is no JSON", path.display()))?;
        let json = ["frame", "body"].iter().find_map(|name| vector.get(name)).map(Value::to_string);
        let text = json.or_else(|| Some(vector.get("text")?.as_str()?.to_owned()));
        if let (Some(text), Some(name)) = (text, path.file_name()) {
            fs::write(seeds.join(name), text)?;
        }
    }
    let some = fs::read_dir(&seeds)?.next().is_some();
    ensure!(some, "no golden file has a frame");
    Ok(())
}

fn fuzzing(workspace: &Workspace) -> PathBuf {
    workspace.target("fuzz")
}

fn seeds(workspace: &Workspace) -> PathBuf {
    fuzzing(workspace).join("seeds")
}

fn tool(workspace: &Workspace) -> PathBuf {
    fuzzing(workspace).join("tool/bin/cargo-bolero")
}
