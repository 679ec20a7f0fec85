//! A PostgreSQL of the tests' own, that ends with their process.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use postgres::{Client, NoTls};

use crate::storage::postgres::{Options, migrate};

/// Runs a database in a folder of its own until its input ends, as it does with the process that has started it.
const RUN: &str = r#"
    folder=$(mktemp -d) || exit 1
    trap 'rm -rf "$folder"' EXIT
    "$0/initdb" -A trust --no-sync --locale=C.UTF-8 -U owner -D "$folder/data" >/dev/null || exit 1
    "$0/postgres" -D "$folder/data" -p "$1" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c fsync=off -c max_connections=400 2>"$folder/log" </dev/null &
    server=$!
    cat >/dev/null
    kill -INT $server
    wait $server
"#;

/// How long a database may take to start.
pub(super) const START: Duration = Duration::from_secs(120);

pub(super) struct Server {
    port: u16,
    /// It ends when its input does.
    _process: Child,
}

impl Server {
    /// The database, entered as a role.
    pub(super) fn url(&self, role: &str) -> String {
        url_on(self.port, role)
    }
}

/// A database that is a test's alone, to be treated badly.
pub(super) fn apart() -> Server {
    start()
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start)
}

fn start() -> Server {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = as_nobody(RUN);
    let process = command.arg(programs()).arg(port.to_string()).current_dir("/");
    let process = process.stdin(Stdio::piped()).spawn().unwrap();
    let server = Server { port, _process: process };
    let url = url_on(port, "owner");
    let mut owner = std::thread::spawn(move || {
        let deadline = Instant::now() + START;
        loop {
            match Client::connect(&url, NoTls) {
                Ok(client) => return client,
                Err(error) => assert!(Instant::now() < deadline, "PostgreSQL does not start: {error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    })
    .join()
    .unwrap();
    std::thread::spawn(move || owner.batch_execute("CREATE ROLE server LOGIN")).join().unwrap().unwrap();
    server
}

/// A shell that runs a script as somebody whom PostgreSQL runs for, which is not root.
pub(super) fn as_nobody(script: &str) -> Command {
    let root = Command::new("id").arg("-u").output().unwrap().stdout.starts_with(b"0\n");
    let mut command = if root { Command::new("runuser") } else { Command::new("sh") };
    if root {
        command.args(["-u", "postgres", "--", "sh"]);
    }
    command.args(["-c", script]);
    command
}

/// Where its programs are: in the folder that `POSTGRES` names, or where Debian puts those of the newest release.
pub(super) fn programs() -> PathBuf {
    if let Some(named) = std::env::var_os("POSTGRES") {
        return named.into();
    }
    let releases = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let programs =
        releases.map(|release| release.path().join("bin")).filter(|bin| bin.join("initdb").is_file());
    programs
        .max()
        .expect("PostgreSQL is needed: `apt-get install postgresql`, or its programs' folder in POSTGRES")
}

fn url_on(port: u16, role: &str) -> String {
    format!("postgres://{role}@127.0.0.1:{port}/postgres?sslmode=disable")
}

/// The database, entered as a role.
pub(super) fn url(role: &str) -> String {
    url_on(server().port, role)
}

/// Its owner's view of a schema: of one who sees everything.
pub(super) fn owner<T: Send>(options: &Options, work: impl FnOnce(&mut Client) -> T + Send) -> T {
    let look = || {
        let mut client = Client::connect(&url("owner"), NoTls).unwrap();
        client.batch_execute(&format!("SET search_path = {}", options.schema)).unwrap();
        work(&mut client)
    };
    std::thread::scope(|threads| threads.spawn(look).join().unwrap())
}

/// A schema with its tables, for a test of its own.
pub(super) fn fresh() -> Options {
    let options = unmigrated();
    migrate(&Options { url: url("owner"), ..options.clone() }, "server").unwrap();
    options
}

/// The same without tables.
pub(super) fn unmigrated() -> Options {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let schema = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    Options { schema, writers: 2, readers: 2, ..Options::new(url("server")) }
}
