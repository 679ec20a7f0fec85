//! Servers of Redis of the tests' own, that end with their process.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use redis::Commands;
use tempfile::TempDir;

use super::super::{Nodes, Options};

/// Runs servers in a folder of their own until their input ends, as it does with the process that has started them: the folder of
/// the programs, the options of all, and a port of each. With a second port of each they are a cluster.
const RUN: &str = r#"
    folder=$(mktemp -d) || exit 1
    trap 'rm -rf "$folder"' EXIT
    programs=$1; shift
    servers=
    for pair in "$@"; do
        port=${pair%:*}; bus=${pair#*:}
        mkdir "$folder/$port"
        cluster=
        [ "$bus" != "$port" ] && cluster="--cluster-enabled yes --cluster-port $bus --cluster-node-timeout 2000"
        "${programs}redis-server" --port "$port" --bind 127.0.0.1 --dir "$folder/$port" --save '' --appendonly no \
            $cluster >"$folder/$port/log" 2>&1 </dev/null &
        servers="$servers $!"
    done
    cat >/dev/null
    kill $servers
    wait $servers
"#;

/// How long servers may take to start.
const START: Duration = Duration::from_secs(120);

/// Options for the only Redis that tests share, with a prefix of the test's own.
pub(crate) fn single() -> Options {
    static SERVER: OnceLock<(String, Child)> = OnceLock::new();
    let (url, _) = SERVER.get_or_init(|| {
        let port = free_port();
        let process = run(&[format!("{port}:{port}")]);
        until_up(port);
        (url(port), process)
    });
    fresh(Nodes::One(url.clone()))
}

/// The same for a cluster of three.
pub(crate) fn cluster() -> Options {
    static SERVERS: OnceLock<(Vec<String>, Child)> = OnceLock::new();
    let (urls, _) = SERVERS.get_or_init(|| {
        let pairs: Vec<(u16, u16)> = (0..3).map(|_| (free_port(), free_port())).collect();
        let process = run(&pairs.iter().map(|(port, bus)| format!("{port}:{bus}")).collect::<Vec<_>>());
        pairs.iter().for_each(|(port, _)| until_up(*port));
        let mut create = Command::new(program("redis-cli"));
        create.args(["--cluster", "create"]);
        create.args(pairs.iter().map(|(port, _)| format!("127.0.0.1:{port}")));
        create.args(["--cluster-replicas", "0", "--cluster-yes"]);
        let created = create.stdin(Stdio::null()).output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        let deadline = Instant::now() + START;
        for (port, _) in &pairs {
            while !ask(*port, &["CLUSTER", "INFO"]).contains("cluster_state:ok") {
                assert!(Instant::now() < deadline, "the cluster does not come about");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        (pairs.iter().map(|(port, _)| url(*port)).collect(), process)
    });
    fresh(Nodes::Cluster(urls.clone()))
}

fn fresh(nodes: Nodes) -> Options {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let prefix = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
    Options { prefix, ..Options::new(nodes) }
}

fn run(pairs: &[String]) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", RUN, "sh"]).arg(programs()).args(pairs).stdin(Stdio::piped());
    command.spawn().unwrap()
}

/// A Redis that a test has alone, and can take away.
pub(crate) struct Own {
    pub(crate) port: u16,
    options: Vec<String>,
    folder: TempDir,
    process: Option<Child>,
}

impl Own {
    pub(crate) fn start(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut own =
            Self { port: free_port(), options, folder: tempfile::tempdir().unwrap(), process: None };
        own.again();
        own
    }

    /// Starts it once more, with what is in its folder.
    pub(crate) fn again(&mut self) {
        let mut command = Command::new(program("redis-server"));
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &self.port.to_string(), "--dir"]);
        command.arg(self.folder.path()).args(&self.options);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        until_up(self.port);
    }

    /// As when the power is cut.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options::new(Nodes::One(url(self.port)))
    }

    /// Says something to it that the store would not say.
    pub(crate) fn say(&self, words: &[&str]) -> String {
        ask(self.port, words)
    }

    /// All that it has, key by key.
    pub(crate) fn save(&self) -> Vec<(String, Vec<u8>)> {
        let mut connection = self.connection();
        let keys: Vec<String> = connection.keys("*").unwrap();
        let dump = |key: String| {
            let dump = redis::cmd("DUMP").arg(&key).query(&mut connection).unwrap();
            (key, dump)
        };
        keys.into_iter().map(dump).collect()
    }

    /// Has again what it had then, and nothing else.
    pub(crate) fn restore(&self, saved: &[(String, Vec<u8>)]) {
        self.say(&["FLUSHALL"]);
        self.restore_key(saved, "");
    }

    /// Has again what it had then of the keys that end in some way.
    pub(crate) fn restore_key(&self, saved: &[(String, Vec<u8>)], end: &str) {
        let mut connection = self.connection();
        for (key, dump) in saved.iter().filter(|(key, _)| key.ends_with(end)) {
            let mut restore = redis::cmd("RESTORE");
            restore.arg(key).arg(0).arg(dump).arg("REPLACE").exec(&mut connection).unwrap();
        }
    }

    fn connection(&self) -> redis::Connection {
        redis::Client::open(url(self.port)).unwrap().get_connection().unwrap()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.kill();
    }
}

fn ask(port: u16, words: &[&str]) -> String {
    let mut command = Command::new(program("redis-cli"));
    let asked = command.args(["-p", &port.to_string()]).args(words).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&asked.stdout).into_owned()
}

fn until_up(port: u16) {
    let deadline = Instant::now() + START;
    while !ask(port, &["PING"]).starts_with("PONG") {
        assert!(Instant::now() < deadline, "Redis does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The folder of its programs with a slash behind it: the one that `REDIS` names, or none where they are on the search path.
fn programs() -> String {
    std::env::var("REDIS").map(|folder| format!("{folder}/")).unwrap_or_default()
}

fn program(name: &str) -> String {
    format!("{}{name}", programs())
}
