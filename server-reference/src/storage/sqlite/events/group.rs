//! One transaction that several calls share.
//!
//! What a call touches is read from the database once, changed in memory, and written once when the transaction ends.
//! A call that is refused has changed nothing, because it is refused before its first change.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use rusqlite::{Connection, OptionalExtension};
use sdk_core::clock::Millis;

use super::{Caps, names::Names, recent::Recent, row::Topic};
use crate::storage::events::{
    Events, Fresh, LogEpoch, LogError, MAX_TOPIC_PRODUCERS, NEWS_BYTES, News, PRODUCER_IDLE, Position,
    TopicName,
};

/// Events that are trimmed from the head of one topic in one transaction.
const TRIM_SLICE: u64 = 1_024;

pub(super) struct Group<'a> {
    pub(super) connection: &'a Connection,
    pub(super) caps: Caps,
    pub(super) known: &'a mut Names,
    pub(super) recent: &'a mut Recent,
    new_epoch: &'a mut dyn FnMut(Millis) -> LogEpoch,
    now: Millis,
    names: HashMap<(Arc<str>, TopicName), Option<i64>>,
    topics: HashMap<i64, Held>,
    producers: HashMap<(i64, String), State>,
    ended: Vec<News>,
}

struct Held {
    topic: Topic,
    changed: bool,
    /// The end before this group, and the events since, where there are not too many of them.
    news: Option<(u64, Option<Events>)>,
}

/// How far a producer has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    changed: bool,
}

impl<'a> Group<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        caps: Caps,
        new_epoch: &'a mut dyn FnMut(Millis) -> LogEpoch,
        known: &'a mut Names,
        recent: &'a mut Recent,
    ) -> Self {
        Self {
            connection,
            caps,
            known,
            recent,
            new_epoch,
            now: Millis(0),
            names: HashMap::new(),
            topics: HashMap::new(),
            producers: HashMap::new(),
            ended: Vec::new(),
        }
    }

    /// The topic of a name, if there is one whose time is not over.
    pub(super) fn find(
        &mut self,
        tenant: &Arc<str>,
        name: &TopicName,
        now: Millis,
    ) -> Result<Option<i64>, LogError> {
        self.now = self.now.max(now);
        let entry = (tenant.clone(), name.clone());
        let key = match self.names.get(&entry) {
            Some(key) => *key,
            None => {
                let topic = match self.recent.take(&entry) {
                    Some(topic) => Some(topic),
                    None => Topic::by_name(self.connection, tenant, name)?,
                };
                let key = topic.as_ref().map(|topic| topic.key);
                if let Some(topic) = topic {
                    // It may be here already, as somebody's source.
                    self.topics.entry(topic.key).or_insert_with(|| Held::new(topic));
                }
                self.names.insert(entry, key);
                key
            }
        };
        let Some(key) = key else { return Ok(None) };
        let topic = self.topic(key)?;
        if !topic.hidden && topic.expired(now) {
            self.remove(key)?;
            return Ok(if self.topic(key)?.hidden { Some(key) } else { None });
        }
        Ok(Some(key))
    }

    pub(super) fn topic(&mut self, key: i64) -> Result<&Topic, LogError> {
        Ok(&self.held(key)?.topic)
    }

    /// For a change of a topic.
    pub(super) fn change(&mut self, key: i64) -> Result<&mut Topic, LogError> {
        let held = self.held(key)?;
        held.changed = true;
        Ok(&mut held.topic)
    }

    fn held(&mut self, key: i64) -> Result<&mut Held, LogError> {
        match self.topics.entry(key) {
            Entry::Occupied(held) => Ok(held.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Held::new(Topic::by_key(self.connection, key)?))),
        }
    }

    /// An epoch unlike any before, and greater than another.
    pub(super) fn epoch_after(&mut self, other: LogEpoch, now: Millis) -> LogEpoch {
        LogEpoch((self.new_epoch)(now).0.max(other.0 + 1))
    }

    /// Puts a new topic beside the others.
    pub(super) fn add(&mut self, topic: Topic, name: &TopicName) -> Result<(), LogError> {
        self.connection
            .prepare_cached(
                "INSERT INTO tenants (tenant, topics) VALUES (?1, 1) ON CONFLICT DO UPDATE SET topics = topics + 1",
            )?
            .execute([&*topic.tenant])?;
        topic.insert(self.connection)?;
        self.names.insert((topic.tenant.clone(), name.clone()), Some(topic.key));
        if let Some(source) = &topic.source {
            self.change(source.key)?.forks += 1;
        }
        self.topics.insert(topic.key, Held::new(topic));
        Ok(())
    }

    /// Takes a topic away. One that has forks is only hidden, until the last of them is gone.
    pub(super) fn remove(&mut self, key: i64) -> Result<(), LogError> {
        let connection = self.connection;
        let mut next = Some(key);
        while let Some(key) = next.take() {
            let topic = self.change(key)?;
            let tenant = topic.tenant.clone();
            let name = topic.name.as_deref().and_then(|name| TopicName::new(name).ok());
            topic.hidden = topic.forks > 0;
            let hidden = topic.hidden;
            let source = topic.source.as_ref().map(|source| source.key);
            // Written at once, so that the name is free for whoever comes next in this group.
            if !hidden {
                topic.forget_name(connection)?;
            }
            topic.update(connection)?;
            if let Some(name) = name {
                self.recent.take(&(tenant.clone(), name.clone()));
                if !hidden {
                    self.names.insert((tenant.clone(), name.clone()), None);
                }
                self.ended.push(News { tenant: tenant.clone(), topic: name, appended: 0, events: None });
            }
            if hidden {
                continue;
            }
            self.connection
                .prepare_cached("UPDATE tenants SET topics = topics - 1 WHERE tenant = ?1")?
                .execute([&*tenant])?;
            // Its key may soon be another topic's.
            self.connection
                .prepare_cached("UPDATE groups SET name = NULL WHERE topic = ?1")?
                .execute([key])?;
            if let Some(source) = source {
                let topic = self.change(source)?;
                topic.forks -= 1;
                next = (topic.hidden && topic.forks == 0).then_some(source);
            }
        }
        Ok(())
    }

    /// Notes that a topic was read.
    pub(super) fn touch(&mut self, tenant: &Arc<str>, name: &TopicName, now: Millis) -> Result<(), LogError> {
        if let Some(key) = self.find(tenant, name, now)? {
            let topic = self.change(key)?;
            topic.touched = topic.touched.max(now);
        }
        Ok(())
    }

    /// Writes events at the end of a topic.
    pub(super) fn write(
        &mut self,
        key: i64,
        events: &[impl AsRef<[u8]>],
        now: Millis,
    ) -> Result<(), LogError> {
        self.now = self.now.max(now);
        let connection = self.connection;
        let held = self.held(key)?;
        held.changed = true;
        let before = held.topic.tail;
        let (_, carried) = held.news.get_or_insert_with(|| (before, Some(Events::default())));
        let topic = &mut held.topic;
        // Whatever the clock does, times do not go back within a topic: a search for one relies on it.
        topic.written = topic.written.max(now);
        topic.touched = topic.touched.max(now);
        let mut insert =
            connection.prepare_cached("INSERT INTO events (id, at, body) VALUES (?1, ?2, ?3)")?;
        for event in events {
            let event = event.as_ref();
            topic.tail += 1;
            insert.execute((topic.event(topic.tail), topic.written.0, event))?;
            topic.bytes += event.len() as u64;
            match carried {
                Some(carried_events) if carried_events.bytes().len() + event.len() <= NEWS_BYTES => {
                    carried_events.push(event);
                }
                _ => *carried = None,
            }
        }
        Ok(())
    }

    /// Closes a topic.
    pub(super) fn close(&mut self, key: i64) -> Result<(), LogError> {
        let held = self.held(key)?;
        held.changed = true;
        held.topic.closed = true;
        held.news.get_or_insert_with(|| (held.topic.tail, Some(Events::default())));
        Ok(())
    }

    pub(super) fn producer(&mut self, key: i64, id: &str) -> Result<Option<State>, LogError> {
        let entry = (key, id.to_owned());
        if let Some(state) = self.producers.get(&entry) {
            return Ok(Some(*state));
        }
        let sql = "SELECT epoch, sequence FROM producers WHERE topic = ?1 AND id = ?2";
        let found = self.connection.prepare_cached(sql)?.query_row((key, id), |row| {
            Ok(State { epoch: row.get(0)?, sequence: row.get(1)?, changed: false })
        });
        let state = found.optional()?;
        if let Some(state) = state {
            self.producers.insert(entry, state);
        }
        Ok(state)
    }

    /// Makes sure that a topic can remember one more producer.
    pub(super) fn room_for_producer(&mut self, key: i64, now: Millis) -> Result<(), LogError> {
        if self.topic(key)?.producers < MAX_TOPIC_PRODUCERS {
            return Ok(());
        }
        let idle = now.0.saturating_sub(PRODUCER_IDLE);
        let forgotten =
            self.connection.execute("DELETE FROM producers WHERE topic = ?1 AND seen < ?2", (key, idle))?;
        self.producers.retain(|(topic, _), state| *topic != key || state.changed);
        let topic = self.change(key)?;
        topic.producers = topic.producers.saturating_sub(forgotten as u64);
        if topic.producers < MAX_TOPIC_PRODUCERS { Ok(()) } else { Err(LogError::TooManyProducers) }
    }

    /// Notes how far a producer has come.
    pub(super) fn advance(&mut self, key: i64, id: &str, epoch: u64, sequence: u64) -> Result<(), LogError> {
        if self.producers.insert((key, id.to_owned()), State { epoch, sequence, changed: true }).is_none() {
            self.change(key)?.producers += 1;
        }
        Ok(())
    }

    /// Writes what changed, and tells what is new once that is committed.
    pub(super) fn finish(mut self) -> Result<Vec<News>, LogError> {
        self.known.settle(self.connection)?;
        let mut news = std::mem::take(&mut self.ended);
        let sql = "REPLACE INTO producers (topic, id, epoch, sequence, seen) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut replace = self.connection.prepare_cached(sql)?;
        for ((topic, id), state) in self.producers.iter().filter(|(_, state)| state.changed) {
            replace.execute((topic, id, state.epoch, state.sequence, self.now.0))?;
        }
        for mut held in self.topics.into_values() {
            if held.changed {
                trim(self.connection, &mut held.topic, self.now)?;
                held.topic.update(self.connection)?;
                news.extend(held.news());
            }
            let topic = held.topic;
            if let Some(name) = topic.name.as_deref().and_then(|name| TopicName::new(name).ok()) {
                self.recent.keep((topic.tenant.clone(), name), topic);
            }
        }
        Ok(news)
    }
}

impl Held {
    fn new(topic: Topic) -> Self {
        Self { topic, changed: false, news: None }
    }

    fn news(&mut self) -> Option<News> {
        let topic = &self.topic;
        let name = TopicName::new(topic.name.as_deref()?).ok()?;
        let (from, events) = self.news.take()?;
        let appended = topic.tail.saturating_sub(from);
        let from = Position { epoch: topic.epoch, offset: from };
        let fresh = |events| Fresh::new(from, topic.tail(), events, topic.closed);
        Some(News { tenant: topic.tenant.clone(), topic: name, appended, events: events.map(fresh) })
    }
}

/// Takes away what is beyond a topic's retention, a slice of it at most. Tells whether there is more to take.
pub(super) fn trim(connection: &Connection, topic: &mut Topic, now: Millis) -> Result<bool, LogError> {
    let keep = topic.retention;
    let end = topic.first.saturating_add(TRIM_SLICE).min(topic.tail);
    let mut first = topic.first;
    if let Some(events) = keep.events {
        first = first.max(topic.tail.saturating_sub(events).min(end));
    }
    let mut bytes = topic.bytes;
    if keep.age.is_some() || keep.bytes.is_some_and(|most| bytes > most) || first > topic.first {
        let sql = "SELECT id, at, length(body) FROM events WHERE id > ?1 AND id <= ?2 ORDER BY id";
        let mut oldest = connection.prepare_cached(sql)?;
        let mut rows = oldest.query((topic.event(topic.first), topic.event(end)))?;
        let mut gone = topic.first;
        while let Some(row) = rows.next()? {
            let (at, length): (u64, u64) = (row.get(1)?, row.get(2)?);
            let old = keep.age.is_some_and(|age| at.saturating_add(age) <= now.0);
            let beyond = keep.bytes.is_some_and(|most| bytes > most);
            if !(old || beyond || gone < first) {
                break;
            }
            bytes = bytes.saturating_sub(length);
            gone += 1;
        }
        first = gone;
    }
    if first == topic.first {
        return Ok(false);
    }
    let sql = "DELETE FROM events WHERE id > ?1 AND id <= ?2";
    connection.prepare_cached(sql)?.execute((topic.event(topic.first), topic.event(first)))?;
    (topic.first, topic.bytes) = (first, bytes);
    Ok(first == end && end < topic.tail)
}
