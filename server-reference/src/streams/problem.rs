//! Refusals, each with a stable code.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use sdk_core::protocol::{Json, ProtocolError};
use serde_json::Value;

use super::header;
use crate::{
    codes::codes,
    storage::events::LogError,
    sync::{Problem, document},
};

codes! {
    /// What a request about topics may be refused with, beside the codes of all requests.

    BadTopic = "bad_topic", 400, "Not a name that a topic can have.";
    BadPosition = "bad_position", 400, "Not a position that this server hands out.";
    BadHeader = "bad_header", 400, "A header or parameter that is missing, doubled, or makes no sense.";
    BadEvent = "bad_event", 400, "No events, or not of the content type.";
    BadSubscription = "bad_subscription", 400, "A subscription that makes no sense.";
    BadGroup = "bad_group", 400, "A consumer group that makes no sense.";
    BadClaim = "bad_claim", 400, "A claim, an answer to one, or a request about dead letters that makes no sense.";
    WebhookRejected = "webhook_url_rejected", 400, "A webhook at an address that may not be called.";
    BadFork = "bad_fork", 400, "A fork cannot begin there, or goes too deep.";
    ProducerEpochStart = "producer_epoch_start", 400, "A producer's new epoch begins with sequence 0.";
    NotAllowed = "forbidden", 403, "The token does not let its subject do this.";
    StaleProducer = "stale_producer", 403, "A newer life of the same producer has written.";
    NoSuchTopic = "no_such_topic", 404, "There is no such topic, or none for this subject.";
    NoSuchSubscription = "no_such_subscription", 404, "There is no such subscription, or none for this subject.";
    NoSuchGroup = "no_such_group", 404, "There is no such consumer group, or none for this subject.";
    NoSuchLetter = "no_such_dead_letter", 404, "There is no such dead letter: it was never there, was settled, or died anew under another id.";
    SubscriptionExists = "subscription_exists", 409, "There is a subscription of that id, set up otherwise.";
    AlreadyClaimed = "already_claimed", 409, "Another worker holds the lease.";
    NoWork = "no_pending_work", 409, "There is nothing to claim.";
    Fenced = "fenced", 409, "The lease is over, was never this worker's, or is not for that event.";
    GroupExists = "group_exists", 409, "There is a consumer group of that name, set up otherwise.";
    LetterLive = "dead_letter_live", 409, "The dead letter is being tried once more.";
    TopicExists = "topic_exists", 409, "There is a topic of that name, set up otherwise, or the name is held by forks.";
    SourceDeleted = "source_deleted", 409, "The source of the fork was deleted.";
    TopicClosed = "topic_closed", 409, "The topic is closed; the answer has its end.";
    ContentTypeMismatch = "content_type_mismatch", 409, "The topic has another content type.";
    EventIdReused = "event_id_reused", 409, "The topic has another event of that source and id.";
    SequenceRegression = "sequence_regression", 409, "`Stream-Seq` is not greater than the last.";
    ProducerGap = "producer_gap", 409, "Batches of the producer before this one are missing; the answer has the next sequence.";
    TopicFull = "topic_full", 409, "The topic took as many events as it ever can.";
    TopicDeleted = "topic_deleted", 410, "The topic was deleted, and is kept for its forks only.";
    PositionLost = "position_lost", 410, "The position is of another history: read from the earliest one, or take a snapshot.";
    PositionTrimmed = "position_trimmed", 410, "Events after the position are not kept any more.";
    EventTooLarge = "event_too_large", 413, "An event, or all of a request's, over the limit.";
    TooManyProducers = "too_many_producers", 429, "The topic remembers as many producers as it can.";
    TooManyTopics = "too_many_topics", 429, "The tenant has as many topics as it may.";
    TooManySubscriptions = "too_many_subscriptions", 429, "The tenant has as many subscriptions as it may.";
    TooManyGroups = "too_many_groups", 429, "The topic or the tenant has as many consumer groups as it may.";
}

/// An answer that says no. Nothing was written.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Of a kind that all requests share.
    Common(Problem),
    /// About topics.
    Topic(Box<About>),
}

/// What is refused about topics.
#[derive(Debug)]
pub(super) struct About {
    code: Code,
    detail: String,
    headers: HeaderMap,
    error: Option<Json>,
}

impl Refusal {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self::Topic(Box::new(About { code, detail: detail.into(), headers: HeaderMap::new(), error: None }))
    }

    /// Says it once more as the protocol has it for subscriptions: an `error` with the code in capitals, and what else
    /// belongs there.
    pub(super) fn in_capitals(mut self, mut error: Value) -> Self {
        if let Self::Topic(about) = &mut self {
            error["code"] = about.code.as_str().to_uppercase().into();
            about.error = Json::parse(error.to_string()).ok();
        }
        self
    }

    fn with(mut self, name: HeaderName, value: impl ToString) -> Self {
        if let (Self::Topic(about), Ok(value)) = (&mut self, HeaderValue::try_from(value.to_string())) {
            about.headers.insert(name, value);
        }
        self
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Common(problem)
    }
}

impl From<ProtocolError> for Refusal {
    fn from(error: ProtocolError) -> Self {
        Self::Common(error.into())
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        let detail = error.to_string();
        let refusal = |code| Self::new(code, detail.clone());
        match error {
            LogError::Storage(error) => Self::Common(error.into()),
            LogError::NoSuchTopic => refusal(Code::NoSuchTopic),
            LogError::Forbidden => refusal(Code::NotAllowed),
            LogError::Deleted => refusal(Code::TopicDeleted),
            LogError::TopicExists => refusal(Code::TopicExists),
            LogError::ContentTypeMismatch => refusal(Code::ContentTypeMismatch),
            LogError::Closed { tail } => {
                refusal(Code::TopicClosed).with(header::CLOSED, "true").with(header::NEXT_OFFSET, tail)
            }
            LogError::EventIdReused => refusal(Code::EventIdReused),
            LogError::SequenceRegression => refusal(Code::SequenceRegression),
            LogError::StaleProducer { current } => {
                refusal(Code::StaleProducer).with(header::PRODUCER_EPOCH, current)
            }
            LogError::ProducerEpochStart => refusal(Code::ProducerEpochStart),
            LogError::ProducerGap { expected, received } => refusal(Code::ProducerGap)
                .with(header::PRODUCER_EXPECTED, expected)
                .with(header::PRODUCER_RECEIVED, received),
            LogError::TooManyProducers => refusal(Code::TooManyProducers),
            LogError::TooManyTopics(_) => refusal(Code::TooManyTopics),
            LogError::TooManySubscriptions => refusal(Code::TooManySubscriptions),
            LogError::NoSuchGroup => refusal(Code::NoSuchGroup),
            LogError::BadRules(_) => refusal(Code::BadGroup),
            LogError::GroupExists => refusal(Code::GroupExists),
            LogError::TooManyGroups => refusal(Code::TooManyGroups),
            LogError::Fenced => refusal(Code::Fenced),
            LogError::NoSuchLetter => refusal(Code::NoSuchLetter),
            LogError::BadEdit(_) => refusal(Code::BadEvent),
            LogError::LetterLive => refusal(Code::LetterLive),
            LogError::TopicFull => refusal(Code::TopicFull),
            LogError::BadFork | LogError::ForkTooDeep => refusal(Code::BadFork),
            LogError::SourceDeleted => refusal(Code::SourceDeleted),
            LogError::PositionLost { earliest } => {
                refusal(Code::PositionLost).with(header::EARLIEST_OFFSET, earliest)
            }
            LogError::PositionTrimmed { earliest } => {
                refusal(Code::PositionTrimmed).with(header::EARLIEST_OFFSET, earliest)
            }
        }
    }
}

/// The stable code of an error about topics, and what it says in words.
pub(crate) fn refusal(error: LogError) -> (&'static str, String) {
    match Refusal::from(error) {
        Refusal::Common(Problem(error)) => (error.code.as_str(), error.message),
        Refusal::Topic(about) => (about.code.as_str(), about.detail),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Common(problem) => problem.into_response(),
            Self::Topic(about) => {
                let About { code, detail, headers, error } = *about;
                let mut response = document(code.status(), code.as_str(), &detail, error);
                response.headers_mut().extend(headers);
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn the_page_of_the_protocol_lists_every_code_with_its_status() {
        let listed = codes::listed("Topics");
        let expected: Vec<String> =
            Code::ALL.iter().map(|code| format!("{} {}", code.as_str(), code.status())).collect();
        assert_eq!(listed, expected);
    }
}
