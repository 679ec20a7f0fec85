//! Frames by their kind.

use prometheus::{IntCounter, IntCounterVec};
use sdk_core::protocol::ServerFrame;

use crate::gateway::CLIENT_FRAMES;

/// A frame that the protocol does not have.
const OTHER: &str = "other";
/// The frame that may go past its session.
const EVENTS: &str = "events";

/// Counts frames of one direction. What is counted is found without a lock: there are very many of them.
pub(crate) struct Frames {
    kinds: Vec<Kind>,
    events: Kind,
    other: Kind,
}

struct Kind {
    name: &'static str,
    frames: IntCounter,
    bytes: IntCounter,
}

impl Kind {
    fn count(&self, bytes: usize) {
        self.frames.inc();
        self.bytes.inc_by(bytes as u64);
    }
}

impl Frames {
    pub(super) fn new(frames: IntCounterVec, bytes: IntCounterVec) -> Self {
        let kind = |name| Kind {
            name,
            frames: frames.with_label_values(&[name]),
            bytes: bytes.with_label_values(&[name]),
        };
        let names = CLIENT_FRAMES.iter().chain(&ServerFrame::NAMES);
        Self { kinds: names.copied().map(kind).collect(), events: kind(EVENTS), other: kind(OTHER) }
    }

    /// One more.
    pub(crate) fn count(&self, text: &str) {
        let kind = name(text).and_then(|name| self.kinds.iter().find(|kind| kind.name == name));
        kind.unwrap_or(&self.other).count(text.len());
    }

    /// One more of events, of so many bytes.
    pub(crate) fn count_events(&self, bytes: usize) {
        self.events.count(bytes);
    }
}

/// The name of a client's frame as it may stand in a log: one of those that there are.
pub(crate) fn kind(text: &str) -> &'static str {
    let known = |name| CLIENT_FRAMES.into_iter().find(|known| *known == name);
    name(text).and_then(known).unwrap_or(OTHER)
}

/// The first name of an object, which is the name of a frame.
fn name(text: &str) -> Option<&str> {
    let name = text.trim_start().strip_prefix('{')?.trim_start().strip_prefix('"')?;
    name.split_once('"').map(|(name, _)| name)
}
