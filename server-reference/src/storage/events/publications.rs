//! Events that know who they are.

use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::Bytes;
use sdk_core::{
    clock::Millis,
    protocol::{EventName, Json, MAX_DEPTH},
    wire::{Bad, Reader},
};

use super::{Answer, LogError, Position, TopicName};
use crate::tenant::TenantScope;

/// Milliseconds for which the name of an event is remembered at least; and for as long as the event is kept.
pub const NAMES_KEPT: u64 = 7 * 24 * 60 * 60 * 1000;
/// Bytes of a hash that are kept.
const HASH: usize = 16;

/// Takes events of which each has a name, and there is one of a name in a topic however often it comes.
pub trait Publications: Send + Sync + 'static {
    /// Appends a list for each of some topics, in order; durable when it resolves. The events' names are in the same
    /// commit. A topic that is missing is made. What became of each list is told by itself, but for the lists of a topic
    /// behind one that was refused: those are left alone, and have no answer.
    fn publish(
        &self,
        scope: TenantScope,
        batch: Vec<Publish>,
        now: Millis,
    ) -> Answer<'_, Vec<Option<Published>>>;
}

/// Events for one topic: all of them are appended, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Which topic.
    pub topic: TopicName,
    /// The events.
    pub events: Vec<CloudEvent>,
}

/// Where each event of a list is; one that was there before is where it was.
pub type Published = Result<Vec<Position>, LogError>;

/// An event in the JSON format of CloudEvents, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudEvent {
    body: Bytes,
    name: [u8; HASH],
    content: [u8; HASH],
}

/// A text that is no CloudEvent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a CloudEvent: {0}")]
pub struct NoCloudEvent(String);

impl CloudEvent {
    /// Checks a text.
    ///
    /// # Errors
    /// [`NoCloudEvent`]
    pub fn new(body: Bytes) -> Result<Self, NoCloudEvent> {
        let bad = |problem: &str| NoCloudEvent(problem.to_owned());
        let text = std::str::from_utf8(&body).map_err(|_| bad("it is not UTF-8"))?;
        // What no frame can carry is not taken in the first place.
        let mut reader = Reader::new(text);
        reader
            .skip_within(MAX_DEPTH)
            .and_then(|_| reader.end())
            .map_err(|_| bad(&format!("it is no JSON, or nested deeper than {MAX_DEPTH} levels")))?;
        let name = EventName::of(text);
        Self::named(body, name)
    }

    /// Checks a value that came in a frame.
    ///
    /// # Errors
    /// [`NoCloudEvent`]
    pub fn of(event: Json) -> Result<Self, NoCloudEvent> {
        let name = EventName::of(event.as_str());
        Self::named(String::from(event).into(), name)
    }

    fn named(body: Bytes, name: Result<EventName, Bad>) -> Result<Self, NoCloudEvent> {
        let EventName { source, id } = name.map_err(|problem| NoCloudEvent(problem.to_string()))?;
        let mut name = Context::new(&SHA256);
        // With its length, so that no source and id look like another.
        name.update(&(source.len() as u64).to_be_bytes());
        name.update(source.as_bytes());
        name.update(id.as_bytes());
        let (name, content) = (short(name.finish().as_ref()), short(digest(&SHA256, &body).as_ref()));
        Ok(Self { body, name, content })
    }

    /// Stands for its source and id.
    pub fn name(&self) -> [u8; HASH] {
        self.name
    }

    /// Stands for all of it.
    pub fn content(&self) -> [u8; HASH] {
        self.content
    }
}

impl AsRef<[u8]> for CloudEvent {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

fn short(hash: &[u8]) -> [u8; HASH] {
    let mut first = [0; HASH];
    first.copy_from_slice(&hash[..HASH]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Result<CloudEvent, NoCloudEvent> {
        CloudEvent::new(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn an_event_is_known_by_its_source_and_id_together() {
        let of = |source: &str, id: &str, n: u64| {
            event(&format!(
                r#"{{"specversion":"1.0","type":"t","source":"{source}","id":"{id}","data":{n}}}"#
            ))
            .unwrap()
        };
        assert_eq!(of("/a", "1", 1).name(), of("/a", "1", 2).name());
        assert_ne!(of("/a", "1", 1).content(), of("/a", "1", 2).content());
        assert_ne!(of("/a", "11", 1).name(), of("/a1", "1", 1).name());
    }

    #[test]
    fn what_is_no_cloud_event_in_json_is_told_so() {
        assert!(event("{").unwrap_err().to_string().contains("JSON"));
        assert!(CloudEvent::new(Bytes::from_static(b"\"\xff\"")).unwrap_err().to_string().contains("UTF-8"));
        assert!(event("{}").unwrap_err().to_string().contains("required"));
        let deep = format!(
            r#"{{"specversion":"1.0","type":"t","source":"/","id":"1","data":{}{}}}"#,
            "[".repeat(MAX_DEPTH),
            "]".repeat(MAX_DEPTH)
        );
        assert!(event(&deep).is_err());
    }
}
