//! One topic as it is stored.

use std::collections::HashMap;

use sdk_core::clock::Millis;
use serde::{Deserialize, Serialize};

use super::reply::corrupt;
use crate::storage::events::{
    ContentType, Form, Lifetime, LogEpoch, LogError, NewTopic, Parting, Position, Redelivery, Retention,
    TopicState,
};

/// Events that a topic can ever have: scripts count in numbers that are exact that far.
pub(super) const MAX_EVENTS: u64 = (1 << 40) - 1;
/// The greatest number that scripts know exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// What never changes in a topic's life.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Definition {
    content_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<(u64, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events: Option<u64>,
    #[serde(default)]
    redelivery: Redelivery,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<Source>,
}

/// Where a fork comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) id: String,
    /// The source's when the two parted.
    pub(super) epoch: u64,
    /// Where it was asked to begin, and how much more of the source it was asked to take.
    pub(super) anchor: u64,
    pub(super) more: u64,
    /// Events of the source that it shares.
    pub(super) fork_at: u64,
}

impl Definition {
    pub(super) fn of(
        content_type: &ContentType,
        lifetime: &Lifetime,
        new: &NewTopic,
        source: Option<Source>,
    ) -> Self {
        let (idle, until) = match lifetime {
            Lifetime::Unlimited => (None, None),
            Lifetime::Idle(seconds) => (Some(*seconds), None),
            Lifetime::Until(time, text) => (None, Some((time.0, text.clone()))),
        };
        Self {
            content_type: content_type.as_str().into(),
            idle,
            until,
            age: new.retention.age,
            bytes: new.retention.bytes,
            events: new.retention.events,
            redelivery: new.redelivery,
            source,
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, LogError> {
        serde_json::from_str(text).map_err(|error| corrupt("a topic", error.to_string()))
    }

    /// What a new topic begins with, as names and values.
    pub(super) fn fields(&self, id: &str, epoch: LogEpoch, now: Millis) -> Result<Vec<String>, LogError> {
        let content_type = self.content_type()?;
        let fork_at = self.source.as_ref().map_or(0, |source| source.fork_at);
        let definition =
            serde_json::to_string(self).map_err(|error| corrupt("a topic", error.to_string()))?;
        let json = content_type.form() == Form::Json;
        let mut fields = vec![
            ("id", id.to_owned()),
            ("epoch", digits(epoch.0)),
            ("definition", definition),
            ("essence", essence(&content_type)),
            ("json", u8::from(json).to_string()),
            ("fork_at", fork_at.to_string()),
            ("first", fork_at.to_string()),
            ("tail", fork_at.to_string()),
            ("bytes", "0".into()),
            ("sum", "0".into()),
            ("written", now.0.to_string()),
            ("touched", now.0.to_string()),
            ("closed", "0".into()),
            ("hidden", "0".into()),
            ("forks", "0".into()),
        ];
        let idle = self.idle.map(whole_idle);
        let ends = self.until.as_ref().map(|(time, _)| *time);
        let numbers = [
            ("idle", idle),
            ("ends", ends),
            ("age", self.age),
            ("keep_bytes", self.bytes),
            ("keep_events", self.events),
        ];
        let number = |(name, number): (&'static str, Option<u64>)| {
            number.map(|number| (name, number.min(MAX_NUMBER).to_string()))
        };
        fields.extend(numbers.into_iter().filter_map(number));
        Ok(fields.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect())
    }

    fn content_type(&self) -> Result<ContentType, LogError> {
        ContentType::new(&self.content_type)
            .ok_or_else(|| corrupt("a topic", format!("{:?} is no content type", self.content_type)))
    }

    fn lifetime(&self) -> Lifetime {
        match (self.idle, &self.until) {
            (Some(seconds), _) => Lifetime::Idle(seconds),
            (None, Some((time, text))) => Lifetime::Until(Millis(*time), text.clone()),
            (None, None) => Lifetime::Unlimited,
        }
    }

    /// When the topic has to be looked at first, if nothing happens before.
    pub(super) fn due(&self, now: Millis) -> Option<u64> {
        let ends = self.until.as_ref().map(|(time, _)| *time);
        let idle = self.idle.map(|seconds| now.0.saturating_add(whole_idle(seconds)));
        let age = self.age.map(|age| now.0.saturating_add(age));
        [ends, idle, age].into_iter().flatten().min().map(|due| due.min(MAX_NUMBER))
    }
}

/// A topic.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    /// Of this one of its name, whatever becomes of its epoch.
    pub(super) id: String,
    pub(super) epoch: LogEpoch,
    pub(super) content_type: ContentType,
    pub(super) lifetime: Lifetime,
    pub(super) retention: Retention,
    pub(super) redelivery: Redelivery,
    pub(super) source: Option<Source>,
    pub(super) forks: u64,
    /// It was deleted, and is kept for its forks.
    pub(super) hidden: bool,
    pub(super) first: u64,
    pub(super) tail: u64,
    /// Up to where its events are the same in all of its epochs, if there was another.
    pub(super) sure: Option<u64>,
    pub(super) closed: bool,
    touched: Millis,
    /// Epochs that ended, and up to where what each had is held.
    cuts: Vec<(LogEpoch, u64)>,
}

impl Topic {
    /// A topic, of names and values.
    pub(super) fn parse(flat: &[Vec<u8>]) -> Result<Self, LogError> {
        let text = |bytes: &'_ Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let fields: HashMap<String, String> =
            flat.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
        let field = |name: &str| {
            fields
                .get(name)
                .map(String::as_str)
                .ok_or_else(|| corrupt("a topic", format!("it has no {name}")))
        };
        let number = |name: &str| {
            field(name)?.parse::<u64>().map_err(|error| corrupt("a topic", format!("{name}: {error}")))
        };
        let definition = Definition::parse(field("definition")?)?;
        let cut = |cut: &str| {
            let (epoch, tail) = cut.split_once(':')?;
            Some((LogEpoch(epoch.parse().ok()?), tail.parse().ok()?))
        };
        Ok(Self {
            id: field("id")?.to_owned(),
            epoch: LogEpoch(number("epoch")?),
            content_type: definition.content_type()?,
            lifetime: definition.lifetime(),
            retention: Retention { age: definition.age, bytes: definition.bytes, events: definition.events },
            redelivery: definition.redelivery,
            forks: number("forks")?,
            hidden: field("hidden")? == "1",
            first: number("first")?,
            tail: number("tail")?,
            sure: fields.contains_key("sure").then(|| number("sure")).transpose()?,
            closed: field("closed")? == "1",
            touched: Millis(number("touched")?),
            cuts: fields.get("cuts").map_or("", String::as_str).split(';').filter_map(cut).collect(),
            source: definition.source,
        })
    }

    /// Whether its time is over.
    pub(super) fn expired(&self, now: Millis) -> bool {
        self.lifetime.is_over(self.touched, now)
    }

    /// Whether it has to be noted that it was used.
    pub(super) fn wants_touch(&self, now: Millis) -> bool {
        self.lifetime.wants_note(self.touched, now)
    }

    /// Whether it still has what it had when a fork left it.
    pub(super) fn holds(&self, source: &Source) -> bool {
        if self.id != source.id || self.tail < source.fork_at {
            return false;
        }
        if self.epoch.0 == source.epoch {
            return true;
        }
        // All that ended since has to have been held that far.
        let since = self.cuts.iter().position(|(epoch, _)| epoch.0 == source.epoch);
        since.is_some_and(|since| self.cuts[since..].iter().all(|(_, tail)| *tail >= source.fork_at))
    }

    pub(super) fn tail(&self) -> Position {
        self.at(self.tail)
    }

    pub(super) fn at(&self, offset: u64) -> Position {
        Position { epoch: self.epoch, offset }
    }

    pub(super) fn fork_at(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.fork_at)
    }

    /// Where it parts from its source, if it is a fork.
    pub(super) fn parting(&self) -> Option<Parting<'_>> {
        let Source { name, anchor, more, .. } = self.source.as_ref()?;
        Some(Parting { source: name, anchor: *anchor, more: *more })
    }

    pub(super) fn state(&self, earliest: Position) -> TopicState {
        TopicState {
            content_type: self.content_type.clone(),
            earliest,
            tail: self.tail(),
            closed: self.closed,
            lifetime: self.lifetime.clone(),
            retention: self.retention,
            redelivery: self.redelivery,
        }
    }
}

/// A number of 64 bits as scripts compare it.
pub(super) fn digits(number: u64) -> String {
    format!("{number:020}")
}

/// A content type as scripts compare it.
pub(super) fn essence(content_type: &ContentType) -> String {
    content_type.as_str().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Milliseconds after its last use at which an idle topic ends.
fn whole_idle(seconds: u64) -> u64 {
    Lifetime::idle(seconds).min(MAX_NUMBER)
}
