//! Appending events that have a name, each once.

use std::collections::HashMap;

use rusqlite::OptionalExtension;
use sdk_core::clock::Millis;

use super::{
    create,
    group::Group,
    row::{MAX_EVENTS, Topic},
};
use crate::{
    access::Right,
    storage::{
        StorageError,
        events::{
            CloudEvent, ContentType, LogError, NAMES_KEPT, NewTopic, Position, Publish, Published, TopicName,
            allow,
        },
    },
    tenant::TenantScope,
};

/// Names that a list forgets, if it does not bring more.
const SLICE: usize = 1_024;

/// What a topic knows of the events that it was given by name.
struct Known {
    number: u64,
    content: [u8; 16],
}

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
    let json = ContentType::json();
    let key = match group.find(scope.tenant(), name, now)? {
        Some(key) => key,
        None => {
            let new = NewTopic { content_type: Some(json.clone()), ..NewTopic::default() };
            create::create(group, scope, name, &new, now)?;
            group.find(scope.tenant(), name, now)?.ok_or(LogError::NoSuchTopic)?
        }
    };
    let topic = group.topic(key)?.clone();
    if topic.hidden {
        return Err(LogError::Deleted);
    }
    if topic.content_type != json {
        return Err(LogError::ContentTypeMismatch);
    }

    // The number of each, and which of them are yet to be written: the same event may come twice in one list.
    let (mut numbers, mut fresh, mut here) = (Vec::with_capacity(events.len()), Vec::new(), HashMap::new());
    for event in events {
        let known = match here.get(&event.name()) {
            Some(first) => Some(Known { ..*first }),
            None => find(group, &topic, event)?,
        };
        match known {
            Some(known) if known.content != event.content() => return Err(LogError::EventIdReused),
            Some(known) => numbers.push(known.number),
            None => {
                fresh.push(event);
                let number = topic.tail + fresh.len() as u64;
                here.insert(event.name(), Known { number, content: event.content() });
                numbers.push(number);
            }
        }
    }
    if !fresh.is_empty() {
        if topic.closed {
            return Err(LogError::Closed { tail: topic.tail() });
        }
        if topic.tail.saturating_add(fresh.len() as u64) > MAX_EVENTS {
            return Err(LogError::TopicFull);
        }
        // From here on nothing is refused.
        forget(group, &topic, fresh.len().max(SLICE), now)?;
        group.write(key, &fresh, now)?;
        let sql = "INSERT INTO names (topic, name, number, content, at) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut insert = group.connection.prepare_cached(sql)?;
        for (event, number) in fresh.iter().zip(topic.tail + 1..) {
            insert.execute((key, event.name(), number, event.content(), now.0))?;
        }
    }
    Ok(numbers.into_iter().map(|number| topic.at(number)).collect())
}

fn find(group: &Group<'_>, topic: &Topic, event: &CloudEvent) -> Result<Option<Known>, LogError> {
    let sql = "SELECT number, content FROM names WHERE topic = ?1 AND name = ?2";
    let mut statement = group.connection.prepare_cached(sql)?;
    let known = statement
        .query_row((topic.key, event.name()), |row| Ok(Known { number: row.get(0)?, content: row.get(1)? }));
    Ok(known.optional()?)
}

/// Takes away the names of events that are gone, once their time is over. Whoever brings names takes as many away, so that
/// they do not pile up.
fn forget(group: &Group<'_>, topic: &Topic, most: usize, now: Millis) -> Result<(), LogError> {
    if topic.first == topic.fork_at() {
        return Ok(());
    }
    let sql = "DELETE FROM names WHERE topic = ?1 AND number IN (SELECT number FROM names
        WHERE topic = ?1 AND number <= ?2 AND at <= ?3 ORDER BY number LIMIT ?4)";
    let over = now.0.saturating_sub(NAMES_KEPT);
    group.connection.prepare_cached(sql)?.execute((topic.key, topic.first, over, most))?;
    Ok(())
}
