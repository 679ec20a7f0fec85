//! The rules, as tables.

use crate::Source;

/// The rooms of `sdk-core` in layers. A room uses what is in earlier layers, and where a layer says so, what is in
/// its own.
const LAYERS: &[(&[&str], Within)] = &[
    (&["sorted"], Within::Apart),
    (&["wire"], Within::Apart),
    (&["protocol", "clock"], Within::Together),
    (&["reconcile", "routing", "outbox", "connection", "snapshot", "stream", "presence"], Within::Apart),
    (&["engine"], Within::Apart),
    (&["driver"], Within::Apart),
    (&["client"], Within::Apart),
    (&["native", "testing"], Within::Together),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Rooms of the layer do not use each other.
    Apart,
    /// They may.
    Together,
}

/// The layer of a room.
fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|(rooms, _)| rooms.contains(&room))
}

fn may_use(room: &str, used: &str) -> bool {
    match (layer(room), layer(used)) {
        (Some(own), Some(other)) => other < own || (other == own && LAYERS[own].1 == Within::Together),
        // The rest lies at the root of the crate and is nobody's room.
        _ => true,
    }
}

/// What the server uses of `sdk-core`.
const SERVER: &[&str] = &["sorted", "wire", "protocol", "clock", "reconcile"];

/// The last layer without I/O, time or randomness of its own is that of this room.
const LAST_PURE: &str = "engine";

/// Words that have no business in a pure room.
const IMPURE: &[&str] =
    &["async", "await", "futures", "tokio", "web_sys", "js_sys", "Instant", "SystemTime", "getrandom"];

/// Lines of one file.
pub const MAX_LINES: usize = 500;

/// What is wrong with a file of `sdk-core`, given the path of its module below the crate.
pub fn core(module: &[&str], source: &Source) -> Vec<String> {
    let Some(room) = module.first() else { return Vec::new() };
    let Some(own) = layer(room) else { return vec![format!("{room} is in none of the layers")] };
    let within = source.paths.iter().filter(|path| path[0] == "crate" && path.len() > 1 && path[1] != *room);
    let upward = within.filter(|path| !may_use(room, &path[1]));
    let mut wrong: Vec<_> = upward.map(|path| format!("{room} may not use {}", path.join("::"))).collect();
    if Some(own) <= layer(LAST_PURE) {
        let words = source.words.iter().filter(|word| IMPURE.contains(&word.as_str()));
        wrong.extend(words.map(|word| format!("{room} is pure and may not name `{word}`")));
        if source.calls.iter().any(|call| call == "now") {
            wrong.push(format!("{room} is pure and may not ask a clock for now()"));
        }
    }
    wrong
}

/// What is wrong with a file of `server-reference`.
pub fn server(source: &Source) -> Vec<String> {
    let uses = source.paths.iter().filter(|path| path[0] == "sdk_core");
    let foreign = uses.filter(|path| !SERVER.contains(&path[1].as_str()));
    foreign.map(|path| format!("the server may not use {}", path.join("::"))).collect()
}

/// What is wrong with the length of a file.
pub fn length(text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES).then(|| format!("{lines} lines; {MAX_LINES} are allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_in_core(file: &str, text: &str) -> Vec<String> {
        let module = Source::module_of(file);
        core(&module, &Source::parse(&module, text).unwrap())
    }

    #[test]
    fn an_import_against_the_direction_is_found() {
        assert_eq!(wrong_in_core("engine/link.rs", "use crate::outbox::Outbox;"), [""; 0]);
        assert_eq!(
            wrong_in_core("outbox/mod.rs", "use crate::{protocol::Seq, engine::Engine};"),
            ["outbox may not use crate::engine::Engine"]
        );
        assert_eq!(
            wrong_in_core("protocol/ids.rs", "fn f() -> super::super::reconcile::Applied {}"),
            ["protocol may not use crate::reconcile::Applied"]
        );
    }

    #[test]
    fn middle_rooms_that_meet_are_found() {
        let wrong = wrong_in_core("routing/mod.rs", "mod tests { use crate::connection::Backoff; }");
        assert_eq!(wrong, ["routing may not use crate::connection::Backoff"]);
    }

    #[test]
    fn a_room_that_nobody_placed_is_found() {
        assert_eq!(wrong_in_core("utils/mod.rs", ""), ["utils is in none of the layers"]);
    }

    #[test]
    fn impurity_is_found_wherever_it_hides() {
        for text in [
            "async fn f() {}",
            "macro_rules! m { () => { tokio::spawn(x) } }",
            "fn f() { clock.now() }",
            "use std::time::SystemTime;",
            "mod inner { use web_sys::window; }",
        ] {
            assert!(!wrong_in_core("engine/mod.rs", text).is_empty(), "{text}");
            assert!(wrong_in_core("driver/mod.rs", text).is_empty(), "{text}");
        }
        assert!(
            wrong_in_core("engine/mod.rs", "/// async\nfn f(now: Now) { now.wall; \"tokio\"; }").is_empty()
        );
    }

    #[test]
    fn a_server_that_reaches_for_the_client_is_found() {
        let source = Source::parse(&["store"], "use sdk_core::{protocol::Seq, engine::Engine};").unwrap();
        assert_eq!(server(&source), ["the server may not use sdk_core::engine::Engine"]);
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(length(&"\n".repeat(MAX_LINES)), None);
        assert!(length(&"\n".repeat(MAX_LINES + 1)).is_some());
    }
}
