//! Appending events that have a name, each once.

use futures::future::join_all;
use sdk_core::clock::Millis;
use serde::Serialize;

use super::{
    scripts,
    store::{RedisEvents, busy},
    topic::MAX_EVENTS,
};
use crate::{
    access::Right,
    storage::events::{
        CloudEvent, ContentType, LogError, NAMES_KEPT, NewTopic, Position, Publish, Published, TopicName,
        allow,
    },
    tenant::TenantScope,
};

/// How often a topic is made that is gone again.
const ATTEMPTS: usize = 4;

#[derive(Serialize)]
struct Params {
    most: u64,
    /// Names up to this time are over, once their events are gone.
    over: u64,
}

impl RedisEvents {
    /// Appends lists; what comes behind a refused one of its topic is left alone. Topics do not wait for one another.
    pub(super) async fn publish_lists(
        &self,
        scope: &TenantScope,
        batch: &[Publish],
        now: Millis,
    ) -> Result<Vec<Option<Published>>, LogError> {
        let mut topics: Vec<(&TopicName, Vec<usize>)> = Vec::new();
        for (place, list) in batch.iter().enumerate() {
            match topics.iter_mut().find(|(topic, _)| **topic == list.topic) {
                Some((_, places)) => places.push(place),
                None => topics.push((&list.topic, vec![place])),
            }
        }
        let publishing = topics.iter().map(|(_, places)| self.publish_topic(scope, batch, places, now));
        let published = join_all(publishing).await;
        let mut answers: Vec<Option<Published>> = batch.iter().map(|_| None).collect();
        for (place, answer) in published.into_iter().flatten() {
            match answer {
                // Of some it is not known what became of them. The same again has no second effect.
                Err(error @ LogError::Storage(crate::storage::StorageError::Unavailable(_))) => {
                    return Err(error);
                }
                answer => answers[place] = Some(answer),
            }
        }
        Ok(answers)
    }

    /// The answers of one topic's lists, by their places.
    async fn publish_topic(
        &self,
        scope: &TenantScope,
        batch: &[Publish],
        places: &[usize],
        now: Millis,
    ) -> Vec<(usize, Published)> {
        let mut answers = Vec::with_capacity(places.len());
        for place in places {
            let Publish { topic, events } = &batch[*place];
            let answer = self.publish_list(scope, topic, events, now).await;
            let refused = answer.is_err();
            answers.push((*place, answer));
            if refused {
                break;
            }
        }
        answers
    }

    async fn publish_list(
        &self,
        scope: &TenantScope,
        name: &TopicName,
        events: &[CloudEvent],
        now: Millis,
    ) -> Result<Vec<Position>, LogError> {
        allow(scope, name, Right::Write)?;
        let tenant = scope.tenant();
        let hashes: Vec<_> = events.iter().map(|event| (event.name(), event.content())).collect();
        let parts: Vec<&[u8]> = events
            .iter()
            .zip(&hashes)
            .flat_map(|(event, (name, content))| [&name[..], &content[..], event.as_ref()])
            .collect();
        let params = Params { most: MAX_EVENTS, over: now.0.saturating_sub(NAMES_KEPT) };
        for _ in 0..ATTEMPTS {
            let reply = self.change(&scripts::PUBLISH, tenant, name, now, &params, &parts).await?;
            match reply.word() {
                "absent" => {}
                "over" => match self.is_over(tenant, name, now).await {
                    LogError::NoSuchTopic => {}
                    error => return Err(error),
                },
                "deleted" => return Err(LogError::Deleted),
                "type" => return Err(LogError::ContentTypeMismatch),
                "reused" => return Err(LogError::EventIdReused),
                "closed" => return Err(LogError::Closed { tail: reply.tail()? }),
                "full" => return Err(LogError::TopicFull),
                "fresh" => {
                    let (tail, from) = (reply.tail()?, reply.number(4)?);
                    let offsets = (0..events.len()).map(|place| reply.number(5 + place));
                    let offsets: Vec<u64> = offsets.collect::<Result<_, _>>()?;
                    self.seen.note(tenant, name, tail);
                    if tail.offset > from {
                        // Of the same event twice, the first is the one that was written.
                        let mut next = from;
                        let fresh = offsets.iter().zip(events).filter(|(offset, _)| {
                            let fresh = **offset == next + 1;
                            next += u64::from(fresh);
                            fresh
                        });
                        let fresh = fresh.map(|(_, event)| event.as_ref());
                        let told = (from, tail, reply.closed()?);
                        self.committed(tenant, name, reply.number, told, fresh);
                    }
                    let at = |offset| Position { epoch: tail.epoch, offset };
                    return Ok(offsets.into_iter().map(at).collect());
                }
                _ => return Err(reply.strange()),
            }
            let new = NewTopic { content_type: Some(ContentType::json()), ..NewTopic::default() };
            match self.make(scope, name, &new, now).await {
                // Somebody else has made it in between, as they wanted it.
                Ok(_) | Err(LogError::TopicExists) => {}
                Err(error) => return Err(error),
            }
        }
        Err(busy())
    }
}
