//! What is going on, for people: numbered steps, how long they took, and what came of the tests.

use std::{
    fmt::Display,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{process::Run, tally::Tally};

/// Numbered steps of one chore.
#[derive(Debug)]
pub(crate) struct Steps {
    began: Instant,
    at: usize,
    of: usize,
}

impl Steps {
    pub(crate) fn new(of: usize) -> Self {
        Self { began: Instant::now(), at: 0, of }
    }

    /// Announces the next step.
    pub(crate) fn next(&mut self, what: impl Display) {
        self.at += 1;
        let elapsed = self.began.elapsed();
        eprintln!("\n[{}/{}] {what} ({} so far)", self.at, self.of, seconds(elapsed));
    }
}

/// A checked claim: a test run, or a check that holds or does not.
#[derive(Debug)]
struct Line {
    name: String,
    tally: Tally,
    took: Duration,
    problem: Option<String>,
}

/// Runs checks one after the other, whatever comes of each, and adds up.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

impl Report {
    /// A program that succeeds or not; counts as one test.
    pub(crate) fn check(&mut self, name: impl Into<String>, run: &Run) {
        self.claim(name, || run.done());
    }

    /// Work that succeeds or not; counts as one test.
    pub(crate) fn claim(&mut self, name: impl Into<String>, work: impl FnOnce() -> Result<()>) {
        self.record(name.into(), |tally| {
            work()?;
            tally.passed = 1;
            Ok(())
        });
    }

    /// A program that runs tests and says how many, after what it needs has been prepared. None at all counts as a failure: a suite that has lost its
    /// tests must not look like one that passes.
    pub(crate) fn tests(&mut self, name: impl Into<String>, prepare: impl FnOnce() -> Result<Run>) {
        self.record(name.into(), |tally| {
            let run = prepare()?;
            let status = run.watched(|line| tally.read(line))?;
            ensure!(status.success(), "`{run}` failed ({status})");
            ensure!(tally.ran() > 0, "`{run}` ran no tests");
            ensure!(tally.failed == 0, "`{run}` reported {} failed tests", tally.failed);
            Ok(())
        });
    }

    fn record(&mut self, name: String, work: impl FnOnce(&mut Tally) -> Result<()>) {
        eprintln!("\n--- {name}");
        let (began, mut tally) = (Instant::now(), Tally::default());
        let problem = work(&mut tally).err().map(|error| format!("{error:#}"));
        if let Some(problem) = &problem {
            eprintln!("--- {name}: {problem}");
            tally.failed = tally.failed.max(1);
        }
        self.lines.push(Line { name, tally, took: began.elapsed(), problem });
    }

    /// Prints the table and the closing line; a success if something ran and nothing failed.
    pub(crate) fn close(&self) -> ExitCode {
        let mut total = Tally::default();
        println!();
        for Line { name, tally, took, problem } in &self.lines {
            total += *tally;
            let mark = if problem.is_some() { "FAILED" } else { "ok" };
            println!(
                "{mark:6}  {name:44} {:5} passed {:3} failed {:>8}",
                tally.passed,
                tally.failed,
                seconds(*took)
            );
        }
        for Line { name, problem, .. } in &self.lines {
            if let Some(problem) = problem {
                println!("{name}: {problem}");
            }
        }
        println!("{} passed, {} failed", total.passed, total.failed);
        if total.passed > 0 && total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// A duration as people read it.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        all @ 10..120 => format!("{all} s"),
        all => format!("{} min {:02} s", all / 60, all % 60),
    }
}
