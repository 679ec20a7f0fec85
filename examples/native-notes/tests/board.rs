//! The program as its user meets it: run, with a server that comes and goes.

use std::{path::Path, process::Command};

use integration_tests::Server;

/// Runs one command to its end; returns what it said.
fn notes(server: &Server, subject: &str, store: &Path, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_native-notes"))
        .args(["--server", &server.url(), "--subject", subject, "--store"])
        .arg(store)
        .args(words)
        .output()
        .expect("the program runs");
    let said = String::from_utf8(output.stdout).expect("it speaks text");
    assert!(output.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Looks at the board until it says all of this. One look may be too early: the program does not wait for long.
fn shows(server: &Server, subject: &str, store: &Path, words: &[&str]) {
    let mut said = String::new();
    for _look in 0..10 {
        said = notes(server, subject, store, &["list"]);
        if words.iter().all(|words| said.contains(words)) {
            return;
        }
    }
    panic!("{words:?} are not in {said}");
}

#[test]
fn cards_written_without_a_server_arrive_when_it_is_back() {
    let mut server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (ada, ben) = (folder.path().join("ada"), folder.path().join("ben"));

    let said = notes(&server, "ada", &ada, &["add", "Buy milk"]);
    assert!(said.contains("saved on this device\nsaved on the server"), "{said}");

    server.kill();
    let said = notes(&server, "ada", &ada, &["add", "Buy bread"]);
    assert!(said.contains("edits: 1 saved on this device, waiting for the server"), "{said}");
    let said = notes(&server, "ada", &ada, &["list"]);
    assert!(said.contains("Buy milk\n") && said.contains("Buy bread  (not on the server yet)"), "{said}");

    server.restart();
    shows(&server, "ada", &ada, &["Buy bread\n", "edits: all on the server"]);
    shows(&server, "ben", &ben, &["Buy milk\n", "Buy bread\n"]);
}

#[test]
fn a_card_is_edited_done_and_removed_by_the_start_of_its_id() {
    let server = Server::start();
    let store = tempfile::tempdir().expect("a temporary folder can be made");
    let notes = |words: &[&str]| notes(&server, "ada", store.path(), words);
    let said = notes(&["add", "Buy milk"]);
    let id = said.lines().next().and_then(|line| line.strip_prefix("card ")).expect("the id is told first");
    notes(&["edit", id, "--title", "Buy oat milk", "--note", "two"]);
    notes(&["done", id]);
    let said = notes(&["list"]);
    assert!(said.contains(&format!("Done\n  {id}  Buy oat milk\n            two\n")), "{said}");
    notes(&["remove", id]);
    assert!(!notes(&["list"]).contains("milk"));
}
