//! Settings on the command line, in the environment and in a file, as an operator gives them.

use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

struct Told {
    success: bool,
    said: String,
    complaint: String,
}

/// Runs the program with a file of settings.
fn run(arguments: &[&str], environment: &[(&str, &str)], file: &str) -> Told {
    let folder = tempfile::tempdir().unwrap();
    run_in(&folder, arguments, environment, file)
}

fn run_in(folder: &TempDir, arguments: &[&str], environment: &[(&str, &str)], file: &str) -> Told {
    let path = folder.path().join("webwaka.toml");
    std::fs::write(&path, file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_webwaka-server"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WEBWAKA_")) {
        command.env_remove(name);
    }
    command.args(arguments).env("WEBWAKA_CONFIG", &path).envs(environment.iter().copied());
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Told { success: status.success(), said: text(stdout), complaint: text(stderr) }
}

#[test]
fn the_command_line_comes_before_the_environment_and_that_before_the_file() {
    let file = r#"
        dev = true
        listen = "127.0.0.1:1"
        long-poll-ms = 1_000
        user-messages = 7
        origin = ["https://a.example", "https://b.example"]
        log = "json"
        ledger = true
        streams-url = "https://ada:secret@streams.example/v1/streams"
    "#;
    let environment = [("WEBWAKA_LISTEN", "127.0.0.1:2"), ("WEBWAKA_LONG_POLL_MS", "2000")];
    let told = run(&["config", "check", "--listen", "127.0.0.1:3"], &environment, file);
    assert!(told.success, "{}", told.complaint);
    for line in [
        "dev = true # file",
        "listen = \"127.0.0.1:3\" # command line",
        "long-poll-ms = 2000 # environment",
        "user-messages = 7 # file",
        "user-bytes = 8388608 # default",
        "origin = [\"https://a.example\", \"https://b.example\"] # file",
        "log = \"json\" # file",
        "ledger = true # file",
        "streams-url = \"https://[redacted]@streams.example/v1/streams\" # file",
        "# keys is not set",
    ] {
        assert!(told.said.lines().any(|said| said == line), "{line} is missing: {}", told.said);
    }
    // What is shown is a file that says the same.
    let again = run(&["config", "check"], &[], &told.said);
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.rsplit_once(" # ").map_or(line, |(value, _)| value).to_owned()).collect()
    };
    assert!(again.success, "{}", again.complaint);
    assert_eq!(values(&again.said), values(&told.said));
}

#[test]
fn a_file_that_is_wrong_is_refused_with_the_line_the_key_and_what_is_expected() {
    for (line, complaints) in [
        ("listn = \"127.0.0.1:1\"", &["no setting \"listn\"", "listen, "][..]),
        ("config = \"other.toml\"", &["no setting \"config\""]),
        ("[serve]", &["no setting \"serve\""]),
        ("listen = 1", &["listen: expected a text (Where to listen"]),
        ("listen = \"here\"", &["listen: expected a text: invalid socket address"]),
        ("long-poll-ms = \"1\"", &["long-poll-ms: expected a whole number"]),
        ("long-poll-ms = -1", &["long-poll-ms: expected a whole number"]),
        ("long-poll-ms = 1.5", &["long-poll-ms: expected a whole number"]),
        ("session-frames = 0", &["session-frames: expected a whole number: 0 is not in 1"]),
        ("dev = \"yes\"", &["dev: expected true or false"]),
        ("log = \"xml\"", &["log: expected a text: one of text, json"]),
        ("origin = \"https://a.example\"", &["origin: expected a list of texts"]),
        ("origin = [1]", &["origin: expected a list of texts"]),
        ("trusted-proxy = [\"10.0.0.0/99\"]", &["trusted-proxy: expected a list of texts: "]),
        ("web = \"v\"", &["duplicate key"]),
        ("dev", &["webwaka.toml:3: "]),
    ] {
        for command in [&["config", "check"][..], &["serve"]] {
            let told = run(command, &[], &format!("# one\nweb = \"w\"\n{line}\n"));
            assert!(!told.success && told.said.is_empty(), "{line}: {}", told.said);
            assert!(told.complaint.contains("webwaka.toml:3: "), "{line}: {}", told.complaint);
            for complaint in complaints {
                assert!(told.complaint.contains(complaint), "{line}: {}", told.complaint);
            }
        }
    }
    let told = run(&["serve", "--config", "/nonexistent/webwaka.toml"], &[], "");
    assert!(
        !told.success && told.complaint.contains("/nonexistent/webwaka.toml cannot be read"),
        "{}",
        told.complaint
    );
}

#[test]
fn settings_with_which_no_server_starts_do_not_pass_the_check() {
    for (file, complaint) in [
        ("", "--keys FILE"),
        ("keys = \"/nonexistent\"", "cannot read"),
        ("dev = true\nlisten = \"0.0.0.0:1\"", "loopback"),
        ("dev = true\nkeys = \"keys.json\"", "goes with no keys"),
    ] {
        let told = run(&["config", "check"], &[], file);
        assert!(!told.success && told.complaint.contains(complaint), "{file}: {}", told.complaint);
    }
}

#[test]
fn other_commands_take_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("elsewhere");
    let file = format!("data = {:?}\ntombstone-days = 3", data.to_str().unwrap());
    let told = run_in(&folder, &["prune"], &[], &file);
    assert!(told.success && told.said.starts_with("0 "), "{}", told.complaint);
    assert!(data.join("webwaka.sqlite3").exists());
}

#[test]
fn the_schema_on_the_pages_is_that_of_the_program() {
    let told = run(&["config", "schema"], &[], "");
    assert!(told.success, "{}", told.complaint);
    let page = include_str!("../../../docs/operations/settings.schema.json");
    assert_eq!(told.said, page, "`webwaka-server config schema` prints what belongs there");
    let schema: serde_json::Value = serde_json::from_str(page).unwrap();
    assert_eq!(schema["properties"]["session-frames"]["minimum"], 1);
    assert_eq!(schema["properties"]["log"]["enum"], serde_json::json!(["text", "json"]));
}
