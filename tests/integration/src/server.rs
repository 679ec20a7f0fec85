//! The server, as its own process.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use sdk_core::native::Tokens;
use tempfile::TempDir;

use crate::Ledger;

/// A development server with a data folder of its own. It is killed when this is dropped, and the folder goes.
pub struct Server {
    data: TempDir,
    process: Option<Child>,
    port: u16,
    settings: &'static [(&'static str, &'static str)],
}

impl Server {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let data = tempfile::tempdir().expect("a temporary folder can be made");
        let mut server = Self { data, process: None, port: 0, settings: &[] };
        // Below the ports that the system hands out by itself: nobody takes it while the server is down.
        while server.process.is_none() {
            server.port = fastrand::u16(10_000..30_000);
            server.process = launch(server.data.path(), server.port, server.settings);
        }
        server
    }

    /// Where it listens, also while it is down.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it with SIGKILL, and returns when it is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("the process is ours to kill");
            process.wait().expect("and to bury");
        }
    }

    /// Starts it again on its data and its port.
    pub fn restart(&mut self) {
        self.kill();
        self.process = launch(self.data.path(), self.port, self.settings);
        assert!(self.process.is_some(), "the server starts again: {}", self.log());
    }

    /// The same with other settings, by the names of their environment variables.
    pub fn restart_with(&mut self, settings: &'static [(&'static str, &'static str)]) {
        self.settings = settings;
        self.restart();
    }

    /// A token of this server's.
    pub fn token(&self, tenant: &str, subject: &str, seconds: u64) -> String {
        self.run(&["token", "--tenant", tenant, "--subject", subject, "--ttl", &seconds.to_string()])
    }

    /// A good token for a person of the development tenant, with a claim `access`.
    pub fn granted(&self, subject: &str, access: &serde_json::Value) -> Tokens {
        Tokens::fixed(self.run(&["token", "--subject", subject, "--access", &access.to_string()]))
    }

    /// What a command of the server's binary says that works on its data.
    ///
    /// # Panics
    /// If the command fails.
    pub fn run(&self, command: &[&str]) -> String {
        let output = Command::new(binary())
            .args(command)
            .arg("--data")
            .arg(self.data.path())
            .output()
            .expect("the server's binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it is text").trim().into()
    }

    /// A good token for a person of the development tenant.
    pub fn tokens(&self, subject: &str) -> Tokens {
        Tokens::fixed(self.token("dev", subject, 3_600))
    }

    /// What its database holds, while it is down or has nothing to write.
    pub fn ledger(&self) -> Ledger {
        Ledger::copy(&self.data.path().join("webwaka.sqlite3"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(log_file(self.data.path())).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// None if the port is taken.
fn launch(data: &Path, port: u16, settings: &[(&str, &str)]) -> Option<Child> {
    let log = File::options().create(true).append(true).open(log_file(data)).expect("the log can be written");
    let mut process = Command::new(binary())
        .args(["serve", "--dev", "--listen", &format!("127.0.0.1:{port}"), "--data"])
        .arg(data)
        .env("RUST_LOG", "warn")
        // So that a test need not wait long for a reader to look up.
        .env("WEBWAKA_LONG_POLL_MS", "1000")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the server's binary runs");
    let stdout = process.stdout.take().expect("standard output is piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("standard output can be read");
    if line.starts_with("listening on ") {
        return Some(process);
    }
    process.wait().expect("a server that does not listen ends");
    None
}

fn log_file(data: &Path) -> PathBuf {
    data.join("server.log")
}

/// The server's binary: the one that `WEBWAKA_SERVER` names, or one built from the sources at hand, since what lies
/// about in the target folder may be older.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(binary) = std::env::var_os("WEBWAKA_SERVER") {
            return binary.into();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--package", "server-reference", "--bin", "webwaka-server"])
            .arg("--message-format=json")
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "the server builds");
        let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<serde_json::Value>();
        let executable = |message: serde_json::Value| Some(PathBuf::from(message["executable"].as_str()?));
        messages.flatten().find_map(executable).expect("cargo says where the binary is")
    })
}
