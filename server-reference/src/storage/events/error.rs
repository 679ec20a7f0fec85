//! Why an event log did not do what it was asked.

use sdk_core::protocol::{ErrorCode, ProtocolError};

use super::{
    MAX_FORK_DEPTH, MAX_TENANT_GROUPS, MAX_TENANT_SUBSCRIPTIONS, MAX_TOPIC_GROUPS, MAX_TOPIC_PRODUCERS,
    Position,
};
use crate::storage::StorageError;

/// Whatever it is, nothing was written and no event was taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The store cannot be written or read, or holds what it does not understand.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no such topic for this subject.
    #[error("no such topic")]
    NoSuchTopic,
    /// The subject may not do this to the topic.
    #[error("not allowed to this subject")]
    Forbidden,
    /// The topic was deleted; its events are kept for its forks only.
    #[error("the topic was deleted")]
    Deleted,
    /// There is a topic of that name, set up otherwise, or its name is held by forks.
    #[error("there is another topic of that name")]
    TopicExists,
    /// The events are not of the topic's content type.
    #[error("the topic has another content type")]
    ContentTypeMismatch,
    /// The topic is closed: nothing will ever be appended to it.
    #[error("the topic is closed")]
    Closed {
        /// Its end.
        tail: Position,
    },
    /// The topic has another event of that source and id.
    #[error("the topic has another event of that source and id")]
    EventIdReused,
    /// The writer's own sequence did not grow.
    #[error("the sequence is not greater than the last")]
    SequenceRegression,
    /// A newer life of the same producer has written.
    #[error("the producer has written in epoch {current}; this one is over")]
    StaleProducer {
        /// The producer's epoch.
        current: u64,
    },
    /// An epoch of a producer begins at 0.
    #[error("a producer's new epoch begins with sequence 0")]
    ProducerEpochStart,
    /// Batches of the producer before this one are missing.
    #[error("the producer's next sequence is {expected}, not {received}")]
    ProducerGap {
        /// The one that comes next.
        expected: u64,
        /// The one that came.
        received: u64,
    },
    /// The topic has [`MAX_TOPIC_PRODUCERS`] that wrote not long ago.
    #[error("the topic has {MAX_TOPIC_PRODUCERS} producers already")]
    TooManyProducers,
    /// The tenant has as many topics as it may.
    #[error("the tenant has {0} topics already")]
    TooManyTopics(u64),
    /// The tenant has [`MAX_TENANT_SUBSCRIPTIONS`] already.
    #[error("the tenant has {MAX_TENANT_SUBSCRIPTIONS} subscriptions already")]
    TooManySubscriptions,
    /// There is no such group for this subject.
    #[error("no such group")]
    NoSuchGroup,
    /// There is a group of that name, set up otherwise.
    #[error("there is another group of that name")]
    GroupExists,
    /// The rules of a group, with those of its topic, make no sense.
    #[error("{0}")]
    BadRules(&'static str),
    /// The topic or the tenant has as many groups as it may.
    #[error("a topic has at most {MAX_TOPIC_GROUPS} groups, and a tenant {MAX_TENANT_GROUPS}")]
    TooManyGroups,
    /// The lease is over, was never the caller's, or is not for that event.
    #[error("the lease is over, or is not for that event")]
    Fenced,
    /// There is no such dead letter, or none for this subject.
    #[error("no such dead letter")]
    NoSuchLetter,
    /// What was to take the place of a dead letter cannot.
    #[error("it cannot take the place of the dead letter: {0}")]
    BadEdit(String),
    /// The dead letter is being tried once more.
    #[error("the dead letter is being tried once more, and cannot be changed")]
    LetterLive,
    /// The topic took as many events as it ever can.
    #[error("the topic is full")]
    TopicFull,
    /// A fork has to begin at a position of its source, and may go no deeper than [`MAX_FORK_DEPTH`].
    #[error("a fork begins at a position that its source has handed out, within its next event")]
    BadFork,
    /// The source was deleted and is kept for its forks only.
    #[error("the source of the fork was deleted")]
    SourceDeleted,
    /// A fork of a fork of a fork, too often.
    #[error("forks go {MAX_FORK_DEPTH} deep")]
    ForkTooDeep,
    /// The position is of another history: the topic was made anew, or the server restored from a backup.
    #[error("the position is of another history of the topic")]
    PositionLost {
        /// Where reading can begin.
        earliest: Position,
    },
    /// Events after the position are not kept any more.
    #[error("events after the position are not kept any more")]
    PositionTrimmed {
        /// Where reading can begin.
        earliest: Position,
    },
}

/// What a session is told of an error that is about none of its topics alone.
impl From<LogError> for ProtocolError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Storage(error) => Self::from(&error),
            other => Self::new(ErrorCode::Internal, other.to_string()),
        }
    }
}

impl From<rusqlite::Error> for LogError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Storage(error.into())
    }
}
