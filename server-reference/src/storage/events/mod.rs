//! What the server needs of an event log, whichever it is.
//!
//! A topic is a sequence of events that only grows at its end; its positions are those of the Durable Streams
//! protocol, whose words the options follow. Every method wants a [`TenantScope`], and nothing else can name a tenant.
//! A topic that the scope's access does not cover looks like one that is not there.

mod error;
mod groups;
mod letters;
mod lines;
mod publications;
mod rules;
mod subscriptions;
mod topic;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use sdk_core::clock::Millis;
pub use sdk_core::protocol::{LogEpoch, TopicName, TopicPosition as Position};

pub use error::LogError;
pub use groups::{
    ATTEMPTS, Claim, Claimed, Delivery, GroupName, GroupState, GroupStore, InvalidGroup, LEASES, Lease, Lost,
    MAX_BACKOFF, MAX_CLAIM, MAX_TENANT_GROUPS, MAX_TOPIC_GROUPS, MAX_WORDS, NewGroup, OUTSTANDING, Poison,
    Redelivery, Rules, Settle, Settled, Start, Stirred, Unread, Verdict,
};
pub use letters::{
    Attempt, Change, DeadLetters, Fate, Letter, LetterId, MAX_GROUP_BYTES, MAX_GROUP_LETTERS, MAX_HISTORY,
    MAX_LETTERS, Which,
};
pub use lines::{LineRef, LineState, Lines, Numbered, Standing};
pub use publications::{CloudEvent, NAMES_KEPT, NoCloudEvent, Publications, Publish, Published};
pub(in crate::storage) use rules::Parting;
pub use subscriptions::{Kept, MAX_TENANT_SUBSCRIPTIONS, SubscriptionStore};
pub use topic::{ContentType, Form, NotJson};

use crate::{access::Right, hub::Told, tenant::TenantScope};

/// Producers of one topic whose sequence is remembered. One that was idle for [`PRODUCER_IDLE`] gives way.
pub const MAX_TOPIC_PRODUCERS: u64 = 65_536;
/// Milliseconds without a batch after which a producer may be forgotten, if there is no room for another.
pub const PRODUCER_IDLE: u64 = 7 * 24 * 60 * 60 * 1000;
/// How often a fork can be forked.
pub const MAX_FORK_DEPTH: usize = 16;
/// Bytes of news that are carried along; who follows reads more than that.
pub const NEWS_BYTES: usize = 64 * 1024;

/// The topics of every tenant.
pub trait EventLog: Publications {
    /// Makes a topic, or finds that it is there as described; durable when it resolves.
    fn create(&self, scope: TenantScope, topic: TopicName, new: NewTopic, now: Millis)
    -> Answer<'_, Created>;

    /// Appends events, all or none, and closes the topic if asked; durable when it resolves. What becomes of a
    /// producer's sequence is in the same commit.
    fn append(
        &self,
        scope: TenantScope,
        topic: TopicName,
        append: Append,
        now: Millis,
    ) -> Answer<'_, Appended>;

    /// Reads events after a position, about as many bytes as asked for and at least one. Counts as use of the topic.
    fn read(&self, scope: TenantScope, topic: TopicName, read: Read, now: Millis) -> Answer<'_, Slice>;

    /// What there is to say of a topic. Does not count as use.
    fn describe(&self, scope: TenantScope, topic: TopicName, now: Millis) -> Answer<'_, TopicState>;

    /// Deletes a topic. While it has forks their events stay, and its name with them.
    fn delete(&self, scope: TenantScope, topic: TopicName, now: Millis) -> Answer<'_, ()>;

    /// Resolves if the log answers at this moment.
    fn check(&self) -> Answer<'_, ()>;
}

/// What a log answers. Dropping it does not take back what was asked.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, LogError>>;

/// A topic to be made.
#[derive(Debug, Clone, Default)]
pub struct NewTopic {
    /// None: `application/octet-stream`, or what the source has.
    pub content_type: Option<ContentType>,
    /// How long it lives. A fork for which nothing was said has its source's.
    pub lifetime: Lifetime,
    /// How much of it is kept.
    pub retention: Retention,
    /// What its groups do about events that fail, where they do not say so themselves.
    pub redelivery: Redelivery,
    /// Its first events.
    pub events: Vec<Bytes>,
    /// Whether these are its last, too.
    pub closed: bool,
    /// What it is a fork of.
    pub fork: Option<Fork>,
}

/// Where a fork leaves its source.
#[derive(Debug, Clone)]
pub struct Fork {
    /// The topic that it shares its past with.
    pub source: TopicName,
    /// Up to where; none is the source's end.
    pub at: Option<Position>,
    /// So much of what follows `at` belongs to the past as well: events of JSON, otherwise bytes of the next event.
    pub more: u64,
}

/// How long a topic lives.
#[derive(Debug, Clone, Default)]
pub enum Lifetime {
    /// Until it is deleted.
    #[default]
    Unlimited,
    /// For so many seconds after it was last read or written. It never ends early, and at most a sixteenth late.
    Idle(u64),
    /// Until a Unix time, which was written like this.
    Until(Millis, String),
}

impl PartialEq for Lifetime {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unlimited, Self::Unlimited) => true,
            (Self::Idle(one), Self::Idle(two)) => one == two,
            (Self::Until(one, _), Self::Until(two, _)) => one == two,
            _ => false,
        }
    }
}

/// How much of a topic is kept. What is beyond is removed from its head, soon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds that an event is kept.
    pub age: Option<u64>,
    /// Bytes of events.
    pub bytes: Option<u64>,
    /// Events.
    pub events: Option<u64>,
}

/// A topic that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// Whether it was made by this call.
    pub fresh: bool,
    /// What it is now.
    pub state: TopicState,
}

/// What there is to say of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicState {
    /// Of its events.
    pub content_type: ContentType,
    /// Where reading can begin.
    pub earliest: Position,
    /// Its end.
    pub tail: Position,
    /// Whether that is its last.
    pub closed: bool,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// How much of it is kept.
    pub retention: Retention,
    /// What its groups do about events that fail.
    pub redelivery: Redelivery,
}

/// Events to be appended. Without any it has to close.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// Their type; none only where there are no events.
    pub content_type: Option<ContentType>,
    /// The events.
    pub events: Vec<Bytes>,
    /// Whether they are the last.
    pub close: bool,
    /// Has to be greater than the one before, as bytes; one sequence a topic.
    pub sequence: Option<String>,
    /// Who sends them, where a repetition is to have no second effect.
    pub producer: Option<Producer>,
}

/// One batch of a producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// Which producer.
    pub id: String,
    /// Its life: what comes from an earlier one is refused.
    pub epoch: u64,
    /// The batch within that life: 0, 1, 2.
    pub sequence: u64,
}

/// What became of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Whether this call wrote them; a repetition does not.
    pub fresh: bool,
    /// The topic's end.
    pub tail: Position,
    /// Whether that is its last.
    pub closed: bool,
    /// The newest batch of the producer's epoch.
    pub newest: Option<u64>,
}

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// After which position.
    pub after: After,
    /// Bytes of events to read at most; one event is read whatever its size.
    pub bytes: usize,
    /// Whether to end where the positions become those of another epoch: what a fork shares with its source has the
    /// source's.
    pub within_epoch: bool,
}

/// After what to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// From the earliest event that is kept.
    Start,
    /// What is yet to come.
    Now,
    /// What was appended at this time or later.
    Time(Millis),
    /// What follows a position.
    Position(Position),
}

/// Events that follow one another in a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Of the topic.
    pub content_type: ContentType,
    /// After which position they come.
    pub from: Position,
    /// The position after them.
    pub to: Position,
    /// The events.
    pub events: Events,
    /// Whether there was nothing more.
    pub up_to_date: bool,
    /// Whether nothing more will ever come. Never true of a slice that is not up to date.
    pub closed: bool,
    /// Seconds after which the topic ends if it is not read.
    pub idle: Option<u64>,
}

/// Events one behind the other in one piece of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Events {
    /// Puts one behind the others.
    pub fn push(&mut self, event: &[u8]) {
        self.bytes.extend_from_slice(event);
        self.ends.push(self.bytes.len());
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All of their bytes, without a sign where one ends.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the bytes away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A topic moved on or ended. A hint to its readers: what they miss of it they find by reading.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// Whose topic.
    pub tenant: Arc<str>,
    /// Which one.
    pub topic: TopicName,
    /// How many events were appended; none where it ended, or that is not known any more.
    pub appended: u64,
    /// What happened, if it is little enough to carry along and not the topic's end.
    pub events: Option<Fresh>,
}

/// The events of one commit.
#[derive(Debug, PartialEq, Eq)]
pub struct Fresh {
    /// The end before.
    pub from: Position,
    /// The end now.
    pub to: Position,
    /// What is between.
    pub events: Events,
    /// Whether it is the last.
    pub closed: bool,
    shared: OnceLock<Option<Arc<str>>>,
    message: OnceLock<(u64, Option<Bytes>)>,
}

impl Fresh {
    /// What one commit appended.
    pub fn new(from: Position, to: Position, events: Events, closed: bool) -> Self {
        Self { from, to, events, closed, shared: OnceLock::new(), message: OnceLock::new() }
    }

    /// What all readers are told in the same words; made for the first of them, if it can be.
    pub fn shared(&self, make: impl FnOnce(&Self) -> Option<Arc<str>>) -> Option<&Arc<str>> {
        self.shared.get_or_init(|| make(self)).as_ref()
    }

    /// What the reader of a number is sent, if that can be made; once for all readers who have the number of the first, as
    /// very many of a topic have who follow nothing else.
    pub(crate) fn message(&self, sub: u64, make: impl Fn(&Self, u64) -> Option<Bytes>) -> Option<Bytes> {
        match self.message.get_or_init(|| (sub, make(self, sub))) {
            (of, message) if *of == sub => message.clone(),
            _ => make(self, sub),
        }
    }
}

impl Told for News {
    type Key = TopicName;

    fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    fn key(&self) -> &TopicName {
        &self.topic
    }
}

/// Whether a scope may read or write a topic, and if not, what it is told.
pub(crate) fn allow(scope: &TenantScope, topic: &TopicName, right: Right) -> Result<(), LogError> {
    if scope.topic(topic.as_str(), right) {
        Ok(())
    } else if right == Right::Write && scope.topic(topic.as_str(), Right::Read) {
        Err(LogError::Forbidden)
    } else {
        Err(LogError::NoSuchTopic)
    }
}
