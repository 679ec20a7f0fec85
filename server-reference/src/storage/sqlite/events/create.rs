//! Making topics and forks, and taking them away.

use bytes::Bytes;
use rusqlite::OptionalExtension;
use sdk_core::clock::Millis;

use super::{
    group::Group,
    lineage::Lineage,
    row::{MAX_EVENTS, MAX_KEY, Source, Topic},
};
use crate::{
    access::Right,
    storage::events::{
        After, ContentType, Created, Fork, Form, Lifetime, LogEpoch, LogError, MAX_FORK_DEPTH, NewTopic,
        Position, TopicName, allow,
    },
    tenant::TenantScope,
};

pub(super) fn create(
    group: &mut Group<'_>,
    scope: &TenantScope,
    name: &TopicName,
    new: &NewTopic,
    now: Millis,
) -> Result<Created, LogError> {
    if !scope.topic(name.as_str(), Right::Write) {
        return Err(LogError::Forbidden);
    }
    if let Some(key) = group.find(scope.tenant(), name, now)? {
        let topic = group.topic(key)?.clone();
        return if !topic.hidden && new.is_there(&topic.state(Position::ZERO), topic.parting()) {
            let earliest = Lineage::of(group.connection, topic.clone())?.earliest();
            Ok(Created { fresh: false, state: topic.state(earliest) })
        } else {
            Err(LogError::TopicExists)
        };
    }
    let taken = match &new.fork {
        Some(fork) => Some(take(group, scope, fork, new, now)?),
        None => None,
    };
    let key = room(group, scope)?;
    let (source, begins, content_type, lifetime) = match &taken {
        Some(Taken { lineage, source, .. }) => {
            let topic = lineage.topic();
            let inherited = matches!(new.lifetime, Lifetime::Unlimited);
            let lifetime = if inherited { topic.lifetime.clone() } else { new.lifetime.clone() };
            (Some(source.clone()), topic.epoch, topic.content_type.clone(), lifetime)
        }
        None => {
            let content_type = new.content_type.clone().unwrap_or_else(ContentType::octets);
            (None, LogEpoch(0), content_type, new.lifetime.clone())
        }
    };
    let epoch = group.epoch_after(begins, now);
    let fork_at = source.as_ref().map_or(0, |source| source.fork_at);
    if fork_at + new.events.len() as u64 + 1 > MAX_EVENTS {
        return Err(LogError::TopicFull);
    }
    let topic = Topic {
        key,
        tenant: scope.tenant().clone(),
        name: Some(name.as_str().into()),
        epoch,
        content_type,
        lifetime,
        retention: new.retention,
        redelivery: new.redelivery,
        source,
        forks: 0,
        hidden: false,
        first: fork_at,
        tail: fork_at,
        bytes: 0,
        written: now,
        touched: now,
        closed: false,
        sequence: None,
        producers: 0,
    };
    group.add(topic, name)?;
    if let Some(Taken { part: Some(part), .. }) = &taken {
        group.write(key, std::slice::from_ref(part), now)?;
    }
    group.write(key, &new.events, now)?;
    if new.closed {
        group.close(key)?;
    }
    let topic = group.topic(key)?.clone();
    // Its source has all that it shares, whatever else this group does.
    let earliest = taken.as_ref().map_or_else(|| topic.at(topic.first), |taken| taken.lineage.earliest());
    Ok(Created { fresh: true, state: topic.state(earliest) })
}

pub(super) fn delete(
    group: &mut Group<'_>,
    scope: &TenantScope,
    name: &TopicName,
    now: Millis,
) -> Result<(), LogError> {
    allow(scope, name, Right::Write)?;
    let key = group.find(scope.tenant(), name, now)?.ok_or(LogError::NoSuchTopic)?;
    if group.topic(key)?.hidden {
        return Err(LogError::Deleted);
    }
    group.remove(key)
}

/// What a fork takes of its source.
struct Taken {
    lineage: Lineage,
    source: Source,
    /// The beginning of the event after the shared ones.
    part: Option<Bytes>,
}

fn take(
    group: &mut Group<'_>,
    scope: &TenantScope,
    fork: &Fork,
    new: &NewTopic,
    now: Millis,
) -> Result<Taken, LogError> {
    allow(scope, &fork.source, Right::Read)?;
    let key = group.find(scope.tenant(), &fork.source, now)?.ok_or(LogError::NoSuchTopic)?;
    let topic = group.topic(key)?.clone();
    if topic.hidden {
        return Err(LogError::SourceDeleted);
    }
    if new.content_type.as_ref().is_some_and(|kind| *kind != topic.content_type) {
        return Err(LogError::ContentTypeMismatch);
    }
    let form = topic.content_type.form();
    let tail = topic.tail;
    let lineage = Lineage::of(group.connection, topic)?;
    if lineage.depth() > MAX_FORK_DEPTH {
        return Err(LogError::ForkTooDeep);
    }
    let anchor = lineage
        .offset(group.connection, fork.at.map_or(After::Now, After::Position))
        .map_err(|_| LogError::BadFork)?;
    let mut source =
        Source { key, name: fork.source.as_str().into(), anchor, more: fork.more, fork_at: anchor };
    if anchor > tail {
        return Err(LogError::BadFork);
    }
    let mut part = None;
    if fork.more > 0 && form == Form::Json {
        source.fork_at = anchor.checked_add(fork.more).filter(|end| *end <= tail).ok_or(LogError::BadFork)?;
    } else if fork.more > 0 {
        let piece = lineage.after(anchor).next().ok_or(LogError::BadFork)?;
        let sql = "SELECT body FROM events WHERE id = ?1";
        let event = piece.topic.event(anchor + 1);
        let body: Option<Vec<u8>> = group.connection.query_row(sql, [event], |row| row.get(0)).optional()?;
        let most = usize::try_from(fork.more).map_err(|_| LogError::BadFork)?;
        let body = Bytes::from(body.unwrap_or_default());
        match body.len().cmp(&most) {
            std::cmp::Ordering::Less => return Err(LogError::BadFork),
            std::cmp::Ordering::Equal => source.fork_at = anchor + 1,
            std::cmp::Ordering::Greater => part = Some(body.slice(..most)),
        }
    }
    Ok(Taken { lineage, source, part })
}

/// A key for one more topic of the tenant.
fn room(group: &Group<'_>, scope: &TenantScope) -> Result<i64, LogError> {
    let sql = "SELECT topics FROM tenants WHERE tenant = ?1";
    let mut statement = group.connection.prepare_cached(sql)?;
    let topics: Option<u64> = statement.query_row([&**scope.tenant()], |row| row.get(0)).optional()?;
    let most = group.caps.topics;
    let full = || LogError::TooManyTopics(most);
    if topics.unwrap_or(0) >= most {
        return Err(full());
    }
    // Keys of topics that are gone come again, since there are not so many; their epochs do not.
    let sql = "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM topics WHERE key = 1) THEN 1
        ELSE (SELECT min(key) + 1 FROM topics AS t WHERE NOT EXISTS (SELECT 1 FROM topics WHERE key = t.key + 1)) END";
    let newest = "SELECT coalesce(max(key), 0) + 1 FROM topics";
    let mut key: i64 = group.connection.prepare_cached(newest)?.query_row([], |row| row.get(0))?;
    if key > MAX_KEY {
        key = group.connection.query_row(sql, [], |row| row.get(0))?;
    }
    if key > MAX_KEY { Err(full()) } else { Ok(key) }
}
