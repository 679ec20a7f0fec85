//! Other programs: run, watched, and named when they fail.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};

/// A program about to run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    program: OsString,
    args: Vec<OsString>,
    dir: Option<PathBuf>,
    env: Vec<(OsString, OsString)>,
}

impl Run {
    pub(crate) fn new<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let args = args.into_iter().map(|arg| arg.as_ref().into()).collect();
        Self { program: program.as_ref().into(), args, dir: None, env: Vec::new() }
    }

    /// The cargo that runs this program.
    pub(crate) fn cargo<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), args)
    }

    /// One of the scripts in the `package.json` of `dir`.
    pub(crate) fn npm_script(dir: impl Into<PathBuf>, script: &str) -> Self {
        Self::new("npm", ["run", "--silent", script]).dir(dir)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().into()));
        self
    }

    pub(crate) fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    pub(crate) fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.as_ref().into(), value.as_ref().into()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// Runs it with this terminal; an error unless it succeeds.
    pub(crate) fn done(&self) -> Result<()> {
        let status = self.status()?;
        ensure!(status.success(), "`{self}` failed ({status})");
        Ok(())
    }

    /// Starts it with this terminal, to go on beside it.
    pub(crate) fn started(&self) -> Result<Child> {
        self.command().spawn().with_context(|| format!("`{self}` could not be started"))
    }

    fn status(&self) -> Result<ExitStatus> {
        self.command().status().with_context(|| format!("`{self}` could not be started"))
    }

    /// What it prints, in silence; its complaints are part of the error.
    pub(crate) fn output(&self) -> Result<String> {
        let output = self.command().output().with_context(|| format!("`{self}` could not be started"))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{self}` failed ({}): {}", output.status, complaint.trim());
        String::from_utf8(output.stdout).with_context(|| format!("`{self}` printed no text"))
    }

    /// Runs it with this terminal and shows every line it prints to `see`, too.
    pub(crate) fn watched(&self, mut see: impl FnMut(&str)) -> Result<ExitStatus> {
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("`{self}` could not be started"))?;
        let stdout = child.stdout.take().context("standard output is a pipe")?;
        let mut lines = BufReader::new(stdout);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            print!("{text}");
            see(text.trim_end());
            line.clear();
        }
        Ok(child.wait()?)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = Path::new(&self.program).file_name().unwrap_or(&self.program);
        write!(f, "{}", program.to_string_lossy())?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", arg.to_string_lossy()))
    }
}
