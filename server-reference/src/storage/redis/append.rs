//! Appending, and what fences producers from one another.

use bytes::Bytes;
use sdk_core::clock::Millis;
use serde::Serialize;

use super::{
    scripts,
    store::RedisEvents,
    topic::{MAX_EVENTS, digits, essence},
};
use crate::{
    access::Right,
    storage::events::{
        Append, Appended, LogError, MAX_TOPIC_PRODUCERS, PRODUCER_IDLE, Producer, TopicName, allow,
    },
    tenant::TenantScope,
};

#[derive(Serialize)]
struct Params<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    essence: Option<String>,
    close: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    producer: Option<Batch<'a>>,
    /// Before when who was seen last may be forgotten, and how many are remembered.
    idle: u64,
    producers: u64,
    most: u64,
}

#[derive(Serialize)]
struct Batch<'a> {
    id: &'a str,
    epoch: String,
    sequence: String,
    /// The sequence that comes before.
    before: String,
}

impl<'a> Batch<'a> {
    fn of(Producer { id, epoch, sequence }: &'a Producer) -> Self {
        let before = sequence.checked_sub(1).map(digits).unwrap_or_default();
        Self { id, epoch: digits(*epoch), sequence: digits(*sequence), before }
    }
}

impl RedisEvents {
    pub(super) async fn add(
        &self,
        scope: &TenantScope,
        name: &TopicName,
        append: &Append,
        now: Millis,
    ) -> Result<Appended, LogError> {
        allow(scope, name, Right::Write)?;
        let tenant = scope.tenant();
        let params = Params {
            essence: append.content_type.as_ref().map(essence),
            close: append.close,
            sequence: append.sequence.as_deref(),
            producer: append.producer.as_ref().map(Batch::of),
            idle: now.0.saturating_sub(PRODUCER_IDLE),
            producers: MAX_TOPIC_PRODUCERS,
            most: MAX_EVENTS,
        };
        let events: Vec<&[u8]> = append.events.iter().map(Bytes::as_ref).collect();
        let reply = self.change(&scripts::APPEND, tenant, name, now, &params, &events).await?;
        match reply.word() {
            "absent" => return Err(self.missing(tenant, name)),
            "deleted" => return Err(LogError::Deleted),
            "over" => return Err(self.is_over(tenant, name, now).await),
            _ => {}
        }
        let (tail, closed) = (reply.tail()?, reply.closed()?);
        self.seen.note(tenant, name, tail);
        let received = append.producer.as_ref().map_or(0, |producer| producer.sequence);
        match reply.word() {
            "fresh" => {
                let from = tail.offset.saturating_sub(events.len() as u64);
                self.committed(tenant, name, reply.number, (from, tail, closed), events.into_iter());
                let newest = append.producer.as_ref().map(|producer| producer.sequence);
                Ok(Appended { fresh: true, tail, closed, newest })
            }
            "again" => {
                let newest = append.producer.as_ref().map(|_| reply.number(4)).transpose()?;
                Ok(Appended { fresh: false, tail, closed, newest })
            }
            "gap" => Err(LogError::ProducerGap { expected: 0, received }),
            "behind" => Err(LogError::ProducerGap { expected: reply.number(4)?.saturating_add(1), received }),
            "stale" => Err(LogError::StaleProducer { current: reply.number(4)? }),
            "start" => Err(LogError::ProducerEpochStart),
            "closed" => Err(LogError::Closed { tail }),
            "type" => Err(LogError::ContentTypeMismatch),
            "sequence" => Err(LogError::SequenceRegression),
            "full" => Err(LogError::TopicFull),
            "producers" => Err(LogError::TooManyProducers),
            _ => Err(reply.strange()),
        }
    }
}
