//! Consumer groups: workers that share the events of one topic.
//!
//! Each event of the topic is out at one worker at a time, under a lease, and stays unresolved until a worker has
//! acknowledged it or its attempts are over. Events that have the same key are resolved one after the other. A group's
//! cursor stands before its first unresolved event, so nothing before it is ever wanted again.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use sdk_core::clock::Millis;
use serde::{Deserialize, Serialize};

use super::{Answer, ContentType, Position, TopicName};
use crate::{hub::Told, tenant::TenantScope};

/// Groups of one topic.
pub const MAX_TOPIC_GROUPS: u64 = 64;
/// Groups of one tenant.
pub const MAX_TENANT_GROUPS: u64 = 1_024;
/// Bytes of a group's name.
const MAX_NAME: usize = 128;
/// Events of one claim.
pub const MAX_CLAIM: usize = 1_000;
/// Bytes of a worker's name, and of what it says of a failure.
pub const MAX_WORDS: usize = 1_024;
/// Milliseconds of a lease.
pub const LEASES: RangeInclusive<u64> = 1_000..=600_000;
/// How often an event is handed out before its attempts are over.
pub const ATTEMPTS: RangeInclusive<u32> = 1..=50;
/// Milliseconds that an event waits after a failure, at most.
pub const MAX_BACKOFF: u64 = 24 * 60 * 60 * 1000;
/// Unresolved events that a group may hold apart.
pub const OUTSTANDING: RangeInclusive<u64> = 1..=10_000;

/// The consumer groups of every tenant, beside an event log. A group whose topic the scope may not read looks like one
/// that is not there.
pub trait GroupStore: Send + Sync + 'static {
    /// Makes a group, or finds that it is there as described.
    fn make_group(
        &self,
        scope: TenantScope,
        group: GroupName,
        new: NewGroup,
        now: Millis,
    ) -> Answer<'_, (bool, GroupState)>;

    /// What there is to say of a group.
    fn group(&self, scope: TenantScope, group: GroupName, now: Millis) -> Answer<'_, GroupState>;

    /// Groups that the scope may use, in the order of their names: those behind one, `most` of them at most. Of one that
    /// is damaged there is nothing to say; a scope that may use every topic is told that it is there.
    fn groups(
        &self,
        scope: TenantScope,
        behind: Option<GroupName>,
        most: usize,
        now: Millis,
    ) -> Answer<'_, Vec<(GroupName, Option<GroupState>)>>;

    /// Removes a group. Its dead letters stay.
    fn remove_group(&self, scope: TenantScope, group: GroupName, now: Millis) -> Answer<'_, ()>;

    /// Hands events out under a new lease. What lapsed before counts as failed.
    fn claim(&self, scope: TenantScope, group: GroupName, claim: Claim, now: Millis) -> Answer<'_, Claimed>;

    /// Says what becomes of events that are out under a lease, of all that are named or of none. Under a lease that is
    /// over nothing changes ([`LogError::Fenced`](super::LogError::Fenced)).
    fn settle(
        &self,
        scope: TenantScope,
        group: GroupName,
        settle: Settle,
        now: Millis,
    ) -> Answer<'_, Settled>;
}

/// A group of a tenant: 1 to 128 bytes, one segment of what names topics.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupName(Arc<str>);

/// A text that cannot name a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no name of a group: 1 to {MAX_NAME} bytes of letters, digits and - _ . ~ : @")]
pub struct InvalidGroup;

impl GroupName {
    /// The name, if it is one.
    ///
    /// # Errors
    /// [`InvalidGroup`]
    pub fn new(text: &str) -> Result<Self, InvalidGroup> {
        let segment = text.len() <= MAX_NAME && !text.contains('/') && TopicName::new(text).is_ok();
        if segment { Ok(Self(text.into())) } else { Err(InvalidGroup) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A group to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    /// Whose events it shares.
    pub topic: TopicName,
    /// Where it begins.
    pub start: Start,
    /// How it works, where neither `redelivery` nor the topic says otherwise.
    pub rules: Rules,
    /// What it says itself of what a topic may say.
    pub redelivery: Redelivery,
}

/// What becomes of events that fail: said by a topic for all of its groups, and by a group for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redelivery {
    /// [`Rules::attempts`]
    pub attempts: Option<u32>,
    /// [`Rules::backoff_ms`]
    pub backoff_ms: Option<u64>,
    /// [`Rules::backoff_max_ms`]
    pub backoff_max_ms: Option<u64>,
    /// [`Rules::poison`]
    pub poison: Option<Poison>,
}

impl Redelivery {
    /// What this says, and of the rest what another does.
    pub fn or(self, other: Self) -> Self {
        Self {
            attempts: self.attempts.or(other.attempts),
            backoff_ms: self.backoff_ms.or(other.backoff_ms),
            backoff_max_ms: self.backoff_max_ms.or(other.backoff_max_ms),
            poison: self.poison.or(other.poison),
        }
    }

    /// Rules with what this says of them.
    pub fn over(self, rules: Rules) -> Rules {
        Rules {
            attempts: self.attempts.unwrap_or(rules.attempts),
            backoff_ms: self.backoff_ms.unwrap_or(rules.backoff_ms),
            backoff_max_ms: self.backoff_max_ms.unwrap_or(rules.backoff_max_ms),
            poison: self.poison.unwrap_or(rules.poison),
            ..rules
        }
    }
}

/// Where a group begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the earliest event that is kept.
    Earliest,
    /// With what is yet to come.
    Latest,
    /// After a position.
    After(Position),
    /// With the first event that was committed at a time or later.
    Since(Millis),
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::After(position) => write!(f, "position {position}"),
            Self::Since(time) => write!(f, "time {}", time.0),
        }
    }
}

/// How a group works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Where in an event of JSON its key is, as a JSON Pointer (RFC 6901). An event that has none there is in no
    /// lane, and neither are events that are not JSON.
    pub key: Option<String>,
    /// Milliseconds of a lease.
    pub lease_ms: u64,
    /// How often an event is handed out before its attempts are over.
    pub attempts: u32,
    /// Milliseconds that bound the pause after the first failure; they double with each further one.
    pub backoff_ms: u64,
    /// Milliseconds that bound every pause.
    pub backoff_max_ms: u64,
    /// What becomes of an event whose attempts are over.
    pub poison: Poison,
    /// Unresolved events that the group holds apart; beyond them it looks at no further event.
    pub outstanding: u64,
    /// How much the group may leave unread; what is older is lost to it, and told.
    pub unread: Unread,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            // The subject of a CloudEvents event.
            key: Some("/subject".into()),
            lease_ms: 30_000,
            attempts: 5,
            backoff_ms: 1_000,
            backoff_max_ms: 60_000,
            poison: Poison::Park,
            outstanding: 1_000,
            unread: Unread::default(),
        }
    }
}

impl Rules {
    /// What is wrong with them.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), &'static str> {
        let key = self.key.as_deref();
        if key.is_some_and(|key| key.len() > 256 || !(key.is_empty() || key.starts_with('/'))) {
            Err("key is a JSON Pointer of at most 256 bytes")
        } else if !LEASES.contains(&self.lease_ms) {
            Err("a lease lasts 1 second to 10 minutes")
        } else if !ATTEMPTS.contains(&self.attempts) {
            Err("there are 1 to 50 attempts")
        } else if self.backoff_ms > self.backoff_max_ms || self.backoff_max_ms > MAX_BACKOFF {
            Err("backoff_ms is at most backoff_max_ms, and that a day")
        } else if !OUTSTANDING.contains(&self.outstanding) {
            Err("outstanding is 1 to 10000")
        } else if [self.unread.events, self.unread.bytes, self.unread.age_seconds].contains(&Some(0)) {
            Err("what may stay unread is more than nothing")
        } else {
            Ok(())
        }
    }
}

/// What becomes of an event whose attempts are over, and of those that have its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Poison {
    /// It becomes a dead letter, and its lane waits until somebody has decided.
    Halt,
    /// It becomes a dead letter, and its lane goes on.
    Park,
    /// It is let go, and its lane goes on.
    Skip,
}

impl Poison {
    /// Its name, in a header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::Park => "park",
            Self::Skip => "skip",
        }
    }

    /// The policy of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Halt, Self::Park, Self::Skip].into_iter().find(|policy| policy.as_str() == name)
    }
}

/// How much a group may leave unread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unread {
    /// Events.
    pub events: Option<u64>,
    /// Bytes of events.
    pub bytes: Option<u64>,
    /// Seconds since they were committed.
    pub age_seconds: Option<u64>,
}

/// A group that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// Whose events it shares.
    pub topic: TopicName,
    /// How it works.
    pub rules: Rules,
    /// Everything up to here is resolved.
    pub cursor: Position,
    /// The end of the topic.
    pub tail: Position,
    /// Unresolved events that it holds apart.
    pub outstanding: u64,
    /// Those of them that are out at workers.
    pub leased: u64,
    /// Those of them that wait for somebody to decide.
    pub halted: u64,
    /// Events that it has ever lost to retention, or because it left too much unread.
    pub lost: u64,
    /// Events that it has ever let go.
    pub skipped: u64,
    /// Dead letters that it has.
    pub letters: u64,
}

/// What a worker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who it is, for people to read.
    pub worker: String,
    /// Events at most.
    pub events: usize,
    /// Bytes of events at most; one event comes whatever its size.
    pub bytes: usize,
    /// What nobody can guess, to make the lease of.
    pub secret: String,
    /// A random number, for the pauses after leases that have lapsed.
    pub chance: u64,
}

/// What a worker gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The lease; none if there is nothing to do and nothing to tell.
    pub lease: Option<Lease>,
    /// The events, in the order of the topic.
    pub events: Vec<Delivery>,
    /// What they are made of.
    pub content_type: ContentType,
    /// What the group has lost and nobody was told who has answered since.
    pub lost: Option<Lost>,
    /// When there may be something to do, even if nothing happens before.
    pub next: Option<Millis>,
}

/// Leave to work on some events for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What its holder names it by.
    pub id: String,
    /// Until when.
    pub until: Millis,
}

/// An event that is out at a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The position after it.
    pub position: Position,
    /// When it was committed.
    pub at: Millis,
    /// How often it was handed out, with this time.
    pub attempt: u32,
    /// The event.
    pub body: Bytes,
}

/// What a group has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// How many events.
    pub events: u64,
    /// The newest of them is at or before this position.
    pub through: Position,
}

/// What becomes of events that are out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// Under which lease.
    pub lease: String,
    /// Which of its events; none for all of them.
    pub positions: Option<Vec<Position>>,
    /// What becomes of them.
    pub verdict: Verdict,
    /// A random number, for the pause after a failure.
    pub chance: u64,
}

/// What a worker says of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They are done.
    Ack,
    /// They failed: once more after a pause, or not at all if their attempts are over.
    Nack {
        /// Milliseconds of the pause; none for what the rules say.
        delay: Option<u64>,
        /// Why.
        error: String,
    },
    /// They take longer: the whole lease begins anew.
    Extend,
}

/// What became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Events whose state this call has changed. One that was settled before under the same lease is not counted.
    pub events: u64,
    /// Until when the lease is good for what is still out.
    pub until: Millis,
}

/// Something happened in a group that a waiting worker may want to know. A hint: it finds out by claiming.
#[derive(Debug, PartialEq, Eq)]
pub struct Stirred {
    /// Whose group.
    pub tenant: Arc<str>,
    /// Which one.
    pub group: GroupName,
}

impl Told for Stirred {
    type Key = GroupName;

    fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    fn key(&self) -> &GroupName {
        &self.group
    }
}
