//! `docs/protocol.md` says what the code does.

use std::{fs, path::Path};

use sdk_core::{
    clock::MAX_ACTORS,
    protocol::{
        ErrorCode, Limits, MAX_COLLECTIONS, MAX_DEPTH, MAX_FIELDS, MAX_FIRST_FRAME, MAX_INTENTS, MAX_MESSAGE,
        MAX_SKEW, MAX_STATE, MAX_TOPICS, Retry, SUBPROTOCOL,
    },
    wire::encode,
};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/protocol.md")).unwrap()
}

/// The rows of the tables below a heading, as cells without their quotes.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let section =
        page.split("\n## ").find(|section| section.starts_with(heading)).expect("there is such a heading");
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    section.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---")).map(cells).collect()
}

#[test]
fn the_page_lists_every_error_with_status_and_advice() {
    let listed: Vec<_> = rows(&page(), "Errors").into_iter().skip(1).map(|row| row[..3].join(" ")).collect();
    let retry = |code: &ErrorCode| match code.retry() {
        Retry::Never => "never",
        Retry::Later => "later",
        Retry::Reauthenticate => "reauthenticate",
    };
    let expected: Vec<_> =
        ErrorCode::ALL.iter().map(|code| format!("{code} {} {}", code.status(), retry(code))).collect();
    assert_eq!(listed, expected);
}

#[test]
fn the_page_gives_every_limit_its_value() {
    let rows = rows(&page(), "Limits");
    let value = |name: &str| {
        let row =
            rows.iter().find(|row| row[0].starts_with(name)).unwrap_or_else(|| panic!("{name} is missing"));
        row[1].parse::<u64>().unwrap()
    };
    let limits = serde_json::from_str::<serde_json::Value>(&encode(&Limits::default())).unwrap();
    for (name, limit) in limits.as_object().unwrap() {
        assert_eq!(value(name), limit.as_u64().unwrap(), "{name}");
    }
    for (name, limit) in [
        ("bytes of the first frame", MAX_FIRST_FRAME),
        ("collections of one session", MAX_COLLECTIONS),
        ("topics", MAX_TOPICS),
        ("bytes of a state", MAX_STATE),
        ("bytes of a message", MAX_MESSAGE),
        ("intents", MAX_INTENTS),
        ("fields", MAX_FIELDS),
        ("nesting", MAX_DEPTH),
        ("actors", MAX_ACTORS),
    ] {
        assert_eq!(value(name), limit as u64, "{name}");
    }
    assert_eq!(value("milliseconds ahead"), MAX_SKEW);
}

#[test]
fn the_page_names_the_subprotocol() {
    assert!(page().contains(&format!("`{SUBPROTOCOL}`")));
}
