//! What a tenant's register has of its topics: how many there are, and what is to be looked at when.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    reply::{Reply, corrupt, texts},
    scripts,
    store::RedisEvents,
};
use crate::storage::events::{LogError, TopicName};

/// Milliseconds after which something that was begun is not waited for any more. No call takes as long.
pub(super) const GRACE: u64 = 10 * 60 * 1000;

/// A topic that is made, is there, or is being taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) stage: Stage,
    /// Whose reference may have to be given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sources: Vec<Held>,
}

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// It is there, or about to be.
    Made,
    /// Its time was over when somebody looked.
    Over,
    /// Somebody has deleted it.
    Deleted,
}

/// A topic that holds a reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) name: String,
    pub(super) id: String,
}

/// What became of a change.
pub(super) enum Changed {
    Done,
    /// There is something else than the caller has seen.
    Other(Option<String>),
    Full,
}

/// A change of an entry, if it is as the caller has seen it.
#[derive(Default, Serialize)]
pub(super) struct Change<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seen: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) now_is: Option<&'a str>,
    /// When it is to be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<u64>,
    /// Only if it is to be looked at by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) due_by: Option<u64>,
    /// Only if there are fewer than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cap: Option<u64>,
}

impl Entry {
    pub(super) fn parse(text: &str) -> Result<Self, LogError> {
        serde_json::from_str(text).map_err(|error| corrupt("a register of topics", error.to_string()))
    }

    pub(super) fn text(&self) -> Result<String, LogError> {
        serde_json::to_string(self).map_err(|error| corrupt("a register of topics", error.to_string()))
    }

    pub(super) fn at(&self, stage: Stage) -> Self {
        Self { stage, ..self.clone() }
    }
}

impl RedisEvents {
    /// What the register has of a topic.
    pub(super) async fn entry(
        &self,
        tenant: &Arc<str>,
        name: &TopicName,
    ) -> Result<Option<String>, LogError> {
        let [topics, _] = self.keys.register(tenant);
        let mut command = redis::cmd("HGET");
        command.arg(topics).arg(name.as_str());
        let found = texts(self.link.ask(&command).await?).pop();
        found.map(String::from_utf8).transpose().map_err(|error| corrupt("a register", error.to_string()))
    }

    pub(super) async fn enter(&self, tenant: &Arc<str>, change: Change<'_>) -> Result<Changed, LogError> {
        let reply: Reply =
            self.link.run(&scripts::REGISTRY, &self.keys.register(tenant), &change, &[]).await?;
        match reply.word() {
            "done" => Ok(Changed::Done),
            "full" => Ok(Changed::Full),
            "other" => Ok(Changed::Other(Some(reply.text(1)?.to_owned()).filter(|text| !text.is_empty()))),
            _ => Err(reply.strange()),
        }
    }
}
