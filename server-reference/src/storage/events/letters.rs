//! Dead letters: events whose attempts are over, kept until somebody decides.

use bytes::Bytes;
use sdk_core::clock::Millis;
use serde::{Deserialize, Serialize};

use super::{Answer, ContentType, GroupName, TopicName};
use crate::tenant::TenantScope;

/// Dead letters of one group. Beyond them an event that fails stays unresolved and is tried on, after its longest pause.
pub const MAX_GROUP_LETTERS: u64 = 10_000;
/// Bytes of their events; beyond them it is the same.
pub const MAX_GROUP_BYTES: u64 = 64 * 1024 * 1024;
/// Dead letters that one call looks at or changes.
pub const MAX_LETTERS: usize = 1_000;
/// Attempts that are remembered of one event; the oldest go first.
pub const MAX_HISTORY: usize = 100;

/// The dead letters of every tenant. Who asks has to [administer](crate::access::Right::Admin) the topic; each call is
/// recorded, durably, with what it does or before it shows anything.
pub trait DeadLetters: Send + Sync + 'static {
    /// The letters of a group by their ids, after one of them.
    fn letters(
        &self,
        scope: TenantScope,
        group: GroupName,
        which: Which,
        now: Millis,
    ) -> Answer<'_, Vec<Letter>>;

    /// Changes letters. A repetition has no second effect.
    fn change_letters(
        &self,
        scope: TenantScope,
        group: GroupName,
        change: Change,
        now: Millis,
    ) -> Answer<'_, Vec<(LetterId, Fate)>>;
}

/// Which letter, and which of its deaths: an event that is tried again and fails has another id afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId {
    /// Grows with each new letter.
    pub key: i64,
    /// Which death.
    pub round: u32,
}

impl std::fmt::Display for LetterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.key, self.round)
    }
}

impl std::str::FromStr for LetterId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (key, round) = text.split_once('.').ok_or(())?;
        let id = Self { key: key.parse().map_err(drop)?, round: round.parse().map_err(drop)? };
        // One text for each.
        if id.to_string() == text { Ok(id) } else { Err(()) }
    }
}

/// Which letters to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// One.
    One(LetterId),
    /// So many after one. Their events are left out.
    After(i64, usize),
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// Its name.
    pub id: LetterId,
    /// Of which topic.
    pub topic: TopicName,
    /// The position after the event, as it was when it died.
    pub position: String,
    /// When the event was committed.
    pub at: Millis,
    /// What it is made of.
    pub content_type: ContentType,
    /// The event, attributes and all.
    pub body: Bytes,
    /// Whether somebody has edited it.
    pub edited: bool,
    /// When it died.
    pub since: Millis,
    /// What was tried.
    pub attempts: Vec<Attempt>,
    /// Whether it is being tried once more at this time.
    pub retrying: bool,
}

/// One attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it was over.
    pub at: u64,
    /// Who tried.
    pub worker: String,
    /// What was wrong.
    pub error: String,
}

/// What is to become of letters.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Another event in place of the one that failed, of the same type; it has the same key as far as order goes.
    Edit(LetterId, ContentType, Bytes),
    /// Once more, with all attempts.
    Retry(Vec<LetterId>),
    /// Not at all.
    Discard(Vec<LetterId>),
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is being tried once more.
    Retrying,
    /// It is discarded.
    Discarded,
    /// Its event is another now.
    Edited,
    /// There is no such letter any more: it was resolved, discarded, or died once more under another id.
    Gone,
}
