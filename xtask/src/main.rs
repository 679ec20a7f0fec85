//! The chores of the project; `cargo xtask help` lists them. Each sets up what it needs itself.

mod bundle;
mod ci;
mod fingerprint;
mod process;
mod report;
mod setup;
mod tally;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{report::Steps, workspace::Workspace};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The chores of webwaka-realtime")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build the npm package: compile, bind and optimise the browser core, then bundle the TypeScript.
    Build,
    /// Run the whole test suite, fast parts first.
    Test,
    /// Run one job of the continuous integration.
    Ci {
        /// Which.
        job: ci::Job,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().chore) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    match chore {
        Chore::Build => bundle::build(&workspace, &mut Steps::new(bundle::STEPS))?,
        Chore::Test => return Ok(ci::all(&workspace)),
        Chore::Ci { job } => return Ok(ci::job(&workspace, job)),
    }
    Ok(ExitCode::SUCCESS)
}
