//! Reading at one point in time.

use rusqlite::Connection;
use sdk_core::clock::Millis;

use super::{lineage::Lineage, row::Topic};
use crate::{
    access::Right,
    storage::events::{Events, Lifetime, LogError, Read, Slice, TopicName, TopicState, allow},
    tenant::TenantScope,
};

/// A slice, and whether it has to be noted that the topic was used.
pub(super) fn read(
    connection: &Connection,
    scope: &TenantScope,
    name: &TopicName,
    read: Read,
    now: Millis,
) -> Result<(Slice, bool), LogError> {
    let topic = find(connection, scope, name, now)?;
    let touch = topic.wants_touch(now);
    let lineage = Lineage::of(connection, topic)?;
    let from = lineage.offset(connection, read.after)?;
    let mut events = Events::default();
    let mut to = from;
    let sql = "SELECT id, body FROM events WHERE id > ?1 AND id <= ?2 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    'pieces: for piece in lineage.after(from) {
        let mut rows = statement.query((piece.topic.event(to), piece.topic.event(piece.until)))?;
        while let Some(row) = rows.next()? {
            let body = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            if !events.is_empty() && events.bytes().len() + body.len() > read.bytes {
                break 'pieces;
            }
            events.push(body);
            to += 1;
        }
        if read.within_epoch && !events.is_empty() {
            break;
        }
    }
    let topic = lineage.topic();
    let up_to_date = to == topic.tail;
    let idle = match topic.lifetime {
        Lifetime::Idle(seconds) => Some(seconds),
        _ => None,
    };
    let slice = Slice {
        content_type: topic.content_type.clone(),
        from: lineage.position(from),
        to: lineage.position(to),
        events,
        up_to_date,
        closed: up_to_date && topic.closed,
        idle,
    };
    Ok((slice, touch))
}

pub(super) fn describe(
    connection: &Connection,
    scope: &TenantScope,
    name: &TopicName,
    now: Millis,
) -> Result<TopicState, LogError> {
    let topic = find(connection, scope, name, now)?;
    let lineage = Lineage::of(connection, topic)?;
    Ok(lineage.topic().state(lineage.earliest()))
}

fn find(
    connection: &Connection,
    scope: &TenantScope,
    name: &TopicName,
    now: Millis,
) -> Result<Topic, LogError> {
    allow(scope, name, Right::Read)?;
    let topic = Topic::by_name(connection, scope.tenant(), name)?.ok_or(LogError::NoSuchTopic)?;
    if topic.hidden || (topic.expired(now) && topic.forks > 0) {
        Err(LogError::Deleted)
    } else if topic.expired(now) {
        Err(LogError::NoSuchTopic)
    } else {
        Ok(topic)
    }
}
