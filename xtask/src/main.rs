//! The chores of the project; `cargo xtask help` lists them. Each sets up what it needs itself.

mod bench;
mod board;
mod bundle;

mod ci;
mod conformance;
mod demo;
mod fingerprint;
mod fuzz;
mod process;
mod programs;
mod report;
mod setup;
mod sim;
mod size;
mod tally;
mod test_modules;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    conformance::Suite,
    fuzz::Fuzz,
    report::{Report, Steps},
    sim::Seeds,
    size::Download,
    workspace::Workspace,
};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The chores of webwaka-realtime")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build everything and serve the task board on this machine.
    Demo {
        /// Listen here, or fail; otherwise on 8787, or where there is room.
        #[arg(long)]
        port: Option<u16>,
    },
    /// Run the whole test suite, fast parts first.
    Test,
    /// Run one job of the continuous integration.
    Ci {
        /// Which.
        job: ci::Job,
    },
    /// Run a suite that others wrote against a freshly started server.
    Conformance {
        /// Which.
        suite: Suite,
    },
    /// Build the npm package: compile, bind and optimise the browser core, then bundle the TypeScript.
    Build,
    /// Measure against what people would use instead.
    Bench {
        /// What to measure.
        name: bench::Bench,
        /// End with one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Weigh what a page downloads.
    Size {
        /// End with one line of JSON.
        #[arg(long)]
        json: bool,
        /// Make this size the one that later ones are held to.
        #[arg(long)]
        record: bool,
    },
    /// Run the simulator.
    Sim(Seeds),
    /// Look for inputs under which what reads them does not hold.
    Fuzz(Fuzz),
    /// What the continuous integration does at night: fuzz every target, and simulate seeds that it does not by day.
    Nightly,
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
        Chore::Demo { port } => demo::run(&workspace, port)?,
        Chore::Test => return Ok(ci::all(&workspace)),
        Chore::Ci { job } => return Ok(ci::job(&workspace, job)),
        Chore::Conformance { suite } => {
            let mut report = Report::default();
            suite.run(&workspace, &mut report);
            return Ok(report.close());
        }
        Chore::Build => bundle::build(&workspace, &mut Steps::new(bundle::STEPS))?,
        Chore::Bench { name, json } => bench::run(&workspace, name, json)?,
        Chore::Size { json, record } => {
            let download = Download::measure(&workspace)?;
            if record {
                download.record(&workspace)?;
            }
            download.print(&workspace, json)?;
        }
        Chore::Fuzz(fuzz) => {
            let mut report = Report::default();
            fuzz.run(&workspace, &mut report);
            return Ok(report.close());
        }
        Chore::Nightly => return Ok(ci::nightly(&workspace)),
        Chore::Sim(seeds) => sim::chosen(&workspace, &seeds)?.done()?,
    }
    Ok(ExitCode::SUCCESS)
}
