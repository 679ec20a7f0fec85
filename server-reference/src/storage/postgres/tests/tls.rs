//! Connections by TLS to a PostgreSQL whose certificate was made for it, entered with a password.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::*;
use crate::storage::{StorageError, postgres::settings::Settings};

/// Certificates, with one who vouches for them.
struct Authority {
    folder: TempDir,
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let done = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Authority {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (key, subject) = ("ca.key", format!("/CN={name}"));
        let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        let made = ["req", "-x509", "-keyout", key, "-out", "ca.pem", "-subj", &subject];
        openssl(folder.path(), &[&made[..], &ec].concat());
        Self { folder }
    }

    /// Makes the certificate of a host.
    fn vouch(&self, host: &str) {
        let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let asked = ["req", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=database"];
        openssl(self.folder.path(), &[&asked[..], &ec].concat());
        fs::write(self.folder.path().join("names"), format!("subjectAltName=DNS:{host}\n")).unwrap();
        let signed =
            ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        let out = ["-days", "2", "-extfile", "names", "-out", "server.crt"];
        openssl(self.folder.path(), &[&signed[..], &out].concat());
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// What runs one with `ssl=on` and a password; certificate and key come by its input.
const RUN: &str = r#"
    folder=$(mktemp -d) || exit 1
    trap 'rm -rf "$folder"' EXIT
    umask 077
    read -r certificate && printf %s "$certificate" | base64 -d >"$folder/crt" || exit 1
    read -r key && printf %s "$key" | base64 -d >"$folder/key" || exit 1
    printf '%s\n' "$2" >"$folder/password"
    "$0/initdb" -A scram-sha-256 --pwfile="$folder/password" --no-sync --locale=C.UTF-8 -U owner \
        -D "$folder/data" >/dev/null || exit 1
    printf 'hostssl all all 127.0.0.1/32 scram-sha-256\n' >"$folder/data/pg_hba.conf"
    "$0/postgres" -D "$folder/data" -p "$1" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
        -c ssl=on -c ssl_cert_file="$folder/crt" -c ssl_key_file="$folder/key" 2>"$folder/log" </dev/null &
    server=$!
    cat >/dev/null
    kill -INT $server
    wait $server
"#;

const PASSWORD: &str = "p@ss word/\u{e9}:?#";

fn start(authority: &Authority) -> (u16, Child) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut child = server::as_nobody(RUN)
        .arg(server::programs())
        .args([&port.to_string(), PASSWORD])
        .current_dir("/")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let encode = |name| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(fs::read(authority.file(name)).unwrap())
    };
    let files = format!("{}\n{}\n", encode("server.crt"), encode("server.key"));
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), files.as_bytes()).unwrap();
    (port, child)
}

/// Connects, and says why not with all causes.
fn connect(options: &Options) -> Result<i64, String> {
    let connected = || -> Result<i64, StorageError> {
        let row = Settings::new(options)?
            .connect()?
            .query_one("SELECT 7::bigint FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()", &[])?;
        Ok(row.get(0))
    };
    std::thread::scope(|threads| threads.spawn(connected).join().unwrap()).map_err(|error| {
        let (mut text, mut cause) = (error.to_string(), std::error::Error::source(&error));
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    })
}

#[test]
fn a_connection_is_to_who_is_vouched_for_and_by_a_password_from_a_file() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("strangers"));
    authority.vouch("localhost");
    let (port, mut database) = start(&authority);
    let password = authority.file("password");
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let on = |host: &str| Options {
        roots: Some(authority.file("ca.pem")),
        password: Some(password.clone()),
        ..Options::new(format!("postgres://owner@{host}:{port}/postgres"))
    };
    let deadline = std::time::Instant::now() + server::START;
    let mut said = connect(&on("localhost"));
    while said.as_ref().is_err_and(|why| !why.contains("certificate")) && std::time::Instant::now() < deadline
    {
        std::thread::sleep(std::time::Duration::from_millis(20));
        said = connect(&on("localhost"));
    }
    assert_eq!(said, Ok(7));

    let refused = |options: Options, why: &str| {
        let error = connect(&options).unwrap_err();
        assert!(error.contains(why), "{error} instead of {why}");
    };
    refused(Options { roots: Some(stranger.file("ca.pem")), ..on("localhost") }, "UnknownIssuer");
    refused(on("127.0.0.1"), "not valid for name");
    // What this machine trusts has nothing to do with it.
    refused(Options { roots: None, ..on("localhost") }, "certificate");
    refused(Options { roots: Some(password.clone()), ..on("localhost") }, "vouch");
    refused(Options { roots: Some(authority.file("nowhere")), ..on("localhost") }, "nowhere");
    // Neither a URL that prefers TLS, nor one that does without, gets in without.
    assert_eq!(
        connect(&Options {
            url: format!("postgres://owner@localhost:{port}/postgres?sslmode=prefer"),
            ..on("localhost")
        }),
        Ok(7)
    );
    let plain = format!("postgres://owner@localhost:{port}/postgres?sslmode=disable");
    refused(Options { url: plain, ..on("localhost") }, "no pg_hba.conf entry");
    let wrong = authority.file("wrong");
    fs::write(&wrong, "another").unwrap();
    refused(Options { password: Some(wrong), ..on("localhost") }, "password authentication failed");
    refused(Options { password: None, ..on("localhost") }, "password missing");
    refused(Options { password: Some(authority.file("none")), ..on("localhost") }, "none");
    drop(database.stdin.take());
    assert!(database.wait().is_ok());
}

#[test]
fn a_database_that_has_no_tls_is_not_entered_unless_the_url_says_so() {
    let options = unmigrated();
    let authority = Authority::new("ours");
    let url = options.url.replace("sslmode=disable", "sslmode=prefer");
    let error = connect(&Options { url, roots: Some(authority.file("ca.pem")), ..options }).unwrap_err();
    assert!(error.contains("server does not support TLS"), "{error}");
}
