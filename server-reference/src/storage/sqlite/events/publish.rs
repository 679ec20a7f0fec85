//! Appending events that have a name, each once.

use std::collections::HashMap;

use sdk_core::clock::Millis;

use super::{create, group::Group, names::Known, row::MAX_EVENTS};
use crate::{
    access::Right,
    storage::{
        StorageError,
        events::{
            CloudEvent, ContentType, Form, LogError, NewTopic, Position, Publish, Published, TopicName, allow,
        },
    },
    tenant::TenantScope,
};

/// Appends lists; what comes behind a refused one of its topic is left alone.
pub(super) fn publish(
    group: &mut Group<'_>,
    scope: &TenantScope,
    batch: &[Publish],
    now: Millis,
) -> Result<Vec<Option<Published>>, LogError> {
    let (mut answers, mut refused) = (Vec::with_capacity(batch.len()), Vec::new());
    for Publish { topic, events } in batch {
        if refused.contains(&topic) {
            answers.push(None);
            continue;
        }
        match append(group, scope, topic, events, now) {
            Err(LogError::Storage(error @ StorageError::Unavailable(_))) => return Err(error.into()),
            Err(error) => {
                refused.push(topic);
                answers.push(Some(Err(error)));
            }
            Ok(positions) => answers.push(Some(Ok(positions))),
        }
    }
    Ok(answers)
}

/// Appends those of a list that are new, or refuses it before its first change.
fn append(
    group: &mut Group<'_>,
    scope: &TenantScope,
    name: &TopicName,
    events: &[CloudEvent],
    now: Millis,
) -> Result<Vec<Position>, LogError> {
    allow(scope, name, Right::Write)?;
    let key = match group.find(scope.tenant(), name, now)? {
        Some(key) => key,
        None => {
            let new = NewTopic { content_type: Some(ContentType::json()), ..NewTopic::default() };
            create::create(group, scope, name, &new, now)?;
            group.find(scope.tenant(), name, now)?.ok_or(LogError::NoSuchTopic)?
        }
    };
    let topic = group.topic(key)?;
    if topic.hidden {
        return Err(LogError::Deleted);
    }
    if topic.content_type.form() != Form::Json {
        return Err(LogError::ContentTypeMismatch);
    }
    let (tail, closed) = (topic.tail(), topic.closed);
    let gone = (topic.first > topic.fork_at()).then_some(topic.first);

    // The number of each, and which of them are yet to be written: the same event may come twice in one list.
    let (mut numbers, mut fresh, mut here) = (Vec::with_capacity(events.len()), Vec::new(), HashMap::new());
    for event in events {
        let known = match here.get(&event.name()) {
            Some(first) => Some(*first),
            None => group.known.find(group.connection, key, event)?,
        };
        match known {
            Some(known) if known.content != event.content() => return Err(LogError::EventIdReused),
            Some(known) => numbers.push(known.number),
            None => {
                fresh.push(event);
                let number = tail.offset + fresh.len() as u64;
                here.insert(event.name(), Known { number, content: event.content() });
                numbers.push(number);
            }
        }
    }
    if !fresh.is_empty() {
        if closed {
            return Err(LogError::Closed { tail });
        }
        if tail.offset.saturating_add(fresh.len() as u64) > MAX_EVENTS {
            return Err(LogError::TopicFull);
        }
        // From here on nothing is refused.
        if let Some(gone) = gone {
            group.known.forget(group.connection, key, gone, fresh.len(), now)?;
        }
        group.write(key, &fresh, now)?;
        group.known.add(group.connection, key, &fresh, tail.offset + 1, now)?;
    }
    Ok(numbers.into_iter().map(|offset| Position { epoch: tail.epoch, offset }).collect())
}
