//! The binary as an operator runs it.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use crate::support::{Socket, cards, client, push, set};
use sdk_core::protocol::{ClientFrame, Hello, Intent, Operation, Outcome, SUBPROTOCOL, ServerFrame};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

fn server() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webwaka-server"));
    command.env_remove("WEBWAKA_KEYS").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// A server process; killed when the test is over, whichever way.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
}

impl Process {
    fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    pub(crate) fn start_with(data: &Path, options: &[&str]) -> Self {
        let mut command = server();
        command.args(["serve", "--dev", "--listen", "127.0.0.1:0", "--log", "json", "--data"]).arg(data);
        command.args(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, url }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    pub(crate) async fn session(&self, data: &Path) -> Socket {
        let mut request = format!("ws://{}/v1/realtime", self.url).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        let mut socket = Socket::connect(request).await.unwrap();
        let hello = Hello {
            versions: vec![1],
            token: token(data),
            client: client(1),
            resume: vec![cards(None)],
            rejected: None,
        };
        socket.send(&ClientFrame::Hello(hello)).await;
        assert!(matches!(socket.next().await, Some(ServerFrame::Welcome(_))));
        socket
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token made by the command line.
pub(crate) fn token(data: &Path) -> String {
    let Output { status, stdout, .. } =
        server().args(["token", "--subject", "ada", "--data"]).arg(data).output().unwrap();
    assert!(status.success());
    String::from_utf8(stdout).unwrap().trim().to_owned()
}

fn complaint(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = server().args(arguments).output().unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

#[tokio::test]
async fn sigterm_says_go_away_and_exits_cleanly_without_secrets_in_the_log() {
    let data = tempfile::tempdir().unwrap();
    let mut process = Process::start(data.path());
    let mut session = process.session(data.path()).await;
    process.signal("TERM");
    loop {
        match session.next().await {
            Some(ServerFrame::GoAway(_)) => break,
            Some(ServerFrame::Changes(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(process.child.wait().unwrap().success());
    let mut log = String::new();
    process.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
    assert!(log.contains("stopping"));
    let secret = std::fs::read_to_string(data.path().join("dev-secret")).unwrap();
    assert!(!log.contains(secret.trim()) && !log.contains("eyJ"));
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_there_afterwards_once() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let mut session = process.session(data.path()).await;
    session.send(&push(vec![set(1, "a", "x", "1"), set(2, "b", "x", "2")])).await;
    let Some(ServerFrame::Outcomes(first)) = session.next_answer().await else { panic!() };
    process.signal("KILL");
    drop(process);

    let process = Process::start(data.path());
    let mut session = process.session(data.path()).await;
    let Some(ServerFrame::Changes(changes)) = session.next().await else { panic!() };
    assert_eq!((changes.documents.len(), changes.to.offset.0), (2, 2));
    session.send(&push(vec![set(1, "a", "x", "1"), set(2, "b", "x", "2")])).await;
    let Some(ServerFrame::Outcomes(again)) = session.next_answer().await else { panic!() };
    assert_eq!(again, first);
    assert!(again.judgements.iter().all(|judgement| judgement.outcome == Outcome::Accepted {}));
}

#[test]
fn a_start_that_would_not_be_safe_is_refused_with_a_reason() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    assert!(complaint(&["serve", "--data", folder]).contains("--keys"));
    assert!(complaint(&["serve", "--data", folder, "--keys", "/nonexistent"]).contains("cannot read"));
    assert!(complaint(&["serve", "--dev", "--data", folder, "--listen", "0.0.0.0:0"]).contains("loopback"));
    assert!(std::fs::read_dir(data.path()).unwrap().next().is_none(), "a refused start leaves nothing");
}

#[tokio::test]
async fn two_servers_do_not_share_a_data_folder() {
    let data = tempfile::tempdir().unwrap();
    let _first = Process::start(data.path());
    let folder = data.path().to_str().unwrap();
    assert!(complaint(&["serve", "--dev", "--listen", "127.0.0.1:0", "--data", folder]).contains("in use"));
    assert!(complaint(&["renew-epochs", "--data", folder]).contains("in use"));
}

#[tokio::test]
async fn old_deletions_and_wrong_times_are_dealt_with_from_the_command_line() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let mut session = process.session(data.path()).await;
    let delete = Operation { intents: vec![Intent::Delete {}], ..set(2, "a", "x", "1") };
    session.send(&push(vec![set(1, "a", "x", "1"), delete, set(3, "b", "x", "1")])).await;
    assert!(matches!(session.next_answer().await, Some(ServerFrame::Outcomes(_))));
    drop(process);

    let run = |arguments: &[&str]| {
        let Output { status, stdout, .. } =
            server().args(arguments).arg("--data").arg(data.path()).output().unwrap();
        assert!(status.success());
        String::from_utf8(stdout).unwrap()
    };
    assert!(run(&["prune"]).starts_with("0 "), "it is not old yet");
    assert!(run(&["prune", "--tombstone-days", "0"]).starts_with("1 "));
    assert!(run(&["heal"]).starts_with("0 "));

    let process = Process::start(data.path());
    let mut session = process.session(data.path()).await;
    let Some(ServerFrame::Changes(changes)) = session.next().await else { panic!() };
    assert_eq!((changes.documents.len(), changes.to.offset.0), (1, 3));
}

#[tokio::test]
async fn who_administered_what_is_listed_and_verified_also_while_the_server_runs() {
    let data = tempfile::tempdir().unwrap();
    let running = Process::start(data.path());
    let http = reqwest::Client::new();
    let dead = || http.get(format!("http://{}/v1/dead", running.url)).bearer_auth(token(data.path()));
    assert_eq!(dead().send().await.unwrap().status(), 200);
    let audit =
        |args: &[&str]| server().arg("audit").args(args).arg("--data").arg(data.path()).output().unwrap();
    let stdout = |output: Output| String::from_utf8(output.stdout).unwrap();
    let listed = audit(&["list"]);
    assert!(listed.status.success(), "{listed:?}");
    let record: serde_json::Value = serde_json::from_str(stdout(listed).trim()).unwrap();
    assert_eq!(
        (&record["chain"], &record["record"]["action"]),
        (&"documents".into(), &"dead letters listed".into())
    );
    let verified = |args: &[&str]| {
        let output = audit(&[&["verify"], args].concat());
        (output.status.success(), stdout(output))
    };
    let (whole, told) = verified(&[]);
    assert!(whole && told.contains("1 records (0 pruned), intact"), "{told}");
    assert_eq!(dead().send().await.unwrap().status(), 200);
    let (_, told) = verified(&[]);
    assert!(told.contains("1 records (0 pruned), intact"), "the first record covers it: {told}");

    let kept = stdout(audit(&["checkpoint"]));
    let lines: Vec<&str> = kept.lines().collect();
    let origin = lines[0];
    assert!(origin.starts_with("webwaka-audit/") && lines[1] == "1" && lines[3].is_empty(), "{kept}");
    assert!(lines[4].starts_with(&format!("\u{2014} {origin} ")), "{kept}");
    assert!(stdout(audit(&["checkpoint", "--verifier"])).starts_with(&format!("{origin}+")));
    let file = data.path().join("kept");
    std::fs::write(&file, &kept).unwrap();
    let with = ["--checkpoint", file.to_str().unwrap()];
    assert!(verified(&with).0, "it is there still");

    // Somebody who has the data and not the key verifies them by what it is verified with.
    let public = data.path().join("public");
    std::fs::write(&public, stdout(audit(&["checkpoint", "--verifier"]))).unwrap();
    let hidden = data.path().join("hidden");
    std::fs::rename(data.path().join("audit-key"), &hidden).unwrap();
    let by_public = ["--checkpoint", file.to_str().unwrap(), "--key", public.to_str().unwrap()];
    assert!(verified(&by_public).0);
    assert!(!data.path().join("audit-key").exists(), "no key is made where there is none");
    std::fs::rename(&hidden, data.path().join("audit-key")).unwrap();

    let tenant = record["record"]["tenant"].as_str().unwrap();
    let who = ["--by", "olga", "--justification", "she asked for it", "--approver", "otto"];
    let subject = record["record"]["subject"].as_str().unwrap();
    let erased = audit(&[&["erase", "--tenant", tenant, "--subject", subject], &who[..]].concat());
    assert!(erased.status.success(), "{erased:?}");
    let records = stdout(audit(&["list"]));
    assert!(records.contains(r#""erased":["subject"]"#) && records.contains("she asked for it"), "{records}");
    assert!(verified(&with).0, "the chain is whole without it");

    let pruned = audit(&[&["prune", "--days", "0"], &who[..]].concat());
    assert!(pruned.status.success(), "{pruned:?}");
    assert!(stdout(pruned).starts_with("webwaka-audit/"));
    let (whole, told) = verified(&[]);
    assert!(whole && told.contains("3 records (2 pruned), intact"), "{told}");

    let path = data.path().join("webwaka.sqlite3");
    rusqlite::Connection::open(path).unwrap().execute("DELETE FROM audit", []).unwrap();
    let (whole, told) = verified(&[]);
    assert!(!whole && told.contains("records 3 to 3 were cut off"), "{told}");
}

#[tokio::test]
async fn tokens_are_taken_back_in_the_data_of_a_stopped_server_and_not_of_one_that_runs() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let old = token(data.path());
    let read = |url: &str, token: &str| {
        let url = format!("http://{url}/v1/streams/none?offset=-1");
        let request = reqwest::Client::new().get(url).bearer_auth(token);
        async { request.send().await.unwrap().status().as_u16() }
    };
    let revoke = |folder: &Path, more: &[&str]| {
        let who = ["--tenant", "dev", "--by", "olga", "--justification", "a lost phone"];
        let output = server().args(["revoke", "--data"]).arg(folder).args(who).args(more).output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), told)
    };
    let ada = ["--subject", "ada"];
    let (done, told) = revoke(data.path(), &ada);
    assert!(!done && told.contains("a server runs with this data. Ask it, with --server"), "{told}");
    assert_eq!(read(&process.url, &old).await, 404);
    drop(process);

    let nowhere = data.path().join("nowhere");
    let (done, told) = revoke(&nowhere, &ada);
    assert!(!done && told.contains("has no data of a server") && !nowhere.exists(), "{told}");
    let (done, told) = revoke(data.path(), &["--session", "s", "--before", "1"]);
    assert!(!done && told.contains("before is for a subject"), "{told}");
    let output = server().args(["revoke", "--data"]).arg(data.path()).args(ada).output().unwrap();
    assert!(!output.status.success(), "nobody would be on record");

    // Those that were issued in this second are older than the next.
    let next = server_reference::clock::wall().0 + 1_000;
    while server_reference::clock::wall().0 < next {
        tokio::task::yield_now().await;
    }
    let (done, told) = revoke(data.path(), &ada);
    let kept: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert!(done && kept["subject"] == "ada" && kept["by"] == "olga", "{told}");
    let process = Process::start(data.path());
    assert_eq!(read(&process.url, &old).await, 401);
    let audit = server().args(["audit", "list", "--data"]).arg(data.path()).output().unwrap();
    let records = String::from_utf8(audit.stdout).unwrap();
    for part in [r#""action":"tokens revoked""#, r#""target":"subject ada""#, "a lost phone", "olga"] {
        assert!(records.contains(part), "{part}: {records}");
    }
}

#[tokio::test]
async fn what_was_taken_back_is_so_after_a_kill_and_is_on_record() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let admin = server()
        .args(["token", "--subject", "root", "--access", r#"[{"subject":"*","may":"admin"}]"#, "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    let admin = String::from_utf8(admin.stdout).unwrap().trim().to_owned();
    // Issued in this second or before, and so before the next.
    let old = token(data.path());
    let before = server_reference::clock::wall().0 + 1_000;
    while server_reference::clock::wall().0 < before {
        tokio::task::yield_now().await;
    }
    let read = |url: &str| {
        let url = format!("http://{url}/v1/streams/none?offset=-1");
        let request = reqwest::Client::new().get(url).bearer_auth(&old);
        async { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(read(&process.url).await, 404);
    let revoke = |token: &str, whose: [&str; 2]| {
        let file = data.path().join("admin-token");
        std::fs::write(&file, token).unwrap();
        let url = format!("http://{}/", process.url);
        server().args(["revoke", "--server", &url, "--admin-token"]).arg(file).args(whose).output().unwrap()
    };
    let refused = revoke(&old, ["--subject", "ada"]);
    assert!(!refused.status.success() && String::from_utf8(refused.stderr).unwrap().contains("forbidden"));
    let revoked = revoke(&admin, ["--subject", "ada"]);
    assert!(revoked.status.success(), "{revoked:?}");
    let kept: serde_json::Value = serde_json::from_slice(&revoked.stdout).unwrap();
    assert_eq!((&kept["subject"], &kept["by"]), (&"ada".into(), &"root".into()));
    process.signal("KILL");
    drop(process);
    let process = Process::start(data.path());
    assert_eq!(read(&process.url).await, 401);
    let audit = server().args(["audit", "list", "--data"]).arg(data.path()).output().unwrap();
    let records = String::from_utf8(audit.stdout).unwrap();
    assert!(audit.status.success() && records.contains(r#""action":"tokens revoked""#), "{records}");
    assert!(records.contains(r#""target":"subject ada""#), "{records}");
}
