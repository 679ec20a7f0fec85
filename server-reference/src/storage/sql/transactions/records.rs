//! What a handler sees of a tenant's records, within its transaction.

use std::{cell::Cell, ops::RangeInclusive, sync::Arc};

use sdk_core::{
    clock::Millis,
    protocol::{Json, TopicName, complete_event},
};
use serde::Serialize;

use super::Caps;
use crate::{
    storage::{
        StorageError,
        events::CloudEvent,
        sql::{Connection, Values, corrupt},
    },
    transactions::handler::{
        Emitted, Fault, Limit, MAX_EVENTS, MAX_KEY, MAX_RANGE, MAX_RECORD, MAX_WRITES, Reads, Records,
    },
};

/// The records of a tenant as they are.
pub(super) struct Seen<'a> {
    pub(super) connection: &'a dyn Connection,
    pub(super) tenant: &'a Arc<str>,
    /// Whether the database has failed: a handler that goes on all the same has decided without knowing.
    pub(super) failed: Cell<bool>,
}

/// The same while one handler changes them.
pub(super) struct Changing<'a> {
    pub(super) seen: Seen<'a>,
    pub(super) caps: Caps,
    pub(super) now: Millis,
    /// What its events are called, with their number; no other transaction ever has it.
    pub(super) name: String,
    /// Where its events come from.
    pub(super) source: String,
    pub(super) writes: usize,
    pub(super) events: usize,
    pub(super) records: i64,
}

impl<'a> Seen<'a> {
    pub(super) fn new(connection: &'a dyn Connection, tenant: &'a Arc<str>) -> Self {
        Self { connection, tenant, failed: Cell::new(false) }
    }

    fn note<T>(&self, result: Result<T, StorageError>) -> Result<T, Fault> {
        if result.is_err() {
            self.failed.set(true);
        }
        Ok(result?)
    }

    fn find(&self, key: &str) -> Result<Option<Json>, StorageError> {
        let sql = "SELECT record FROM records WHERE tenant = ?1 AND key = ?2";
        let found: Option<String> = self.connection.optional(sql, (self.tenant, key), |row| row.get(0))?;
        found.map(|text| Json::parse(text).map_err(corrupt("a record"))).transpose()
    }

    fn scan(&self, from: &str, to: &str) -> Result<Vec<(String, Json)>, StorageError> {
        let sql = "SELECT key, record FROM records WHERE tenant = ?1 AND key >= ?2 AND key <= ?3
                   ORDER BY key LIMIT ?4";
        self.connection.all(sql, (self.tenant, from, to, MAX_RANGE), |row| {
            let record: String = row.get(1)?;
            Ok((row.get(0)?, Json::parse(record).map_err(corrupt("a record"))?))
        })
    }
}

impl Reads for Seen<'_> {
    fn get(&self, key: &str) -> Result<Option<Json>, Fault> {
        check(key)?;
        self.note(self.find(key))
    }

    fn range(&self, keys: RangeInclusive<&str>) -> Result<Vec<(String, Json)>, Fault> {
        self.note(self.scan(keys.start(), keys.end()))
    }
}

impl Changing<'_> {
    fn write(&mut self, key: &str) -> Result<bool, Fault> {
        check(key)?;
        self.writes += 1;
        if self.writes > MAX_WRITES {
            return Err(Limit::Handler("too many records are changed").into());
        }
        Ok(self.seen.note(self.seen.find(key))?.is_some())
    }

    fn execute(&self, sql: &str, parameters: impl Values) -> Result<(), StorageError> {
        self.seen.connection.execute(sql, parameters)?;
        Ok(())
    }

    /// The place of a topic among those that events wait for.
    fn lane(&self, topic: &TopicName) -> Result<i64, StorageError> {
        let turn = self.seen.connection.turn()?;
        let sql = "INSERT INTO lanes (tenant, topic, turn) VALUES (?1, ?2, ?3)
                   ON CONFLICT (tenant, topic) DO UPDATE SET tenant = excluded.tenant RETURNING lane";
        self.seen.connection.one(sql, (self.seen.tenant, topic.as_str(), turn), |row| row.get(0))
    }

    fn wait(&self, topic: &TopicName, event: &str) -> Result<(), StorageError> {
        let lane = self.lane(topic)?;
        let sql = "INSERT INTO outgoing (lane, at, event) VALUES (?1, ?2, ?3)";
        self.execute(sql, (lane, self.now.0, event))
    }
}

impl Reads for Changing<'_> {
    fn get(&self, key: &str) -> Result<Option<Json>, Fault> {
        self.seen.get(key)
    }

    fn range(&self, keys: RangeInclusive<&str>) -> Result<Vec<(String, Json)>, Fault> {
        self.seen.range(keys)
    }
}

impl Records for Changing<'_> {
    fn put(&mut self, key: &str, record: Json) -> Result<(), Fault> {
        if record.as_str().len() > MAX_RECORD {
            return Err(Limit::Handler("a record is too large").into());
        }
        if !self.write(key)? {
            self.records += 1;
        }
        let sql = "INSERT INTO records (tenant, key, record) VALUES (?1, ?2, ?3)
                   ON CONFLICT (tenant, key) DO UPDATE SET record = excluded.record";
        self.seen.note(self.execute(sql, (self.seen.tenant, key, record.as_str())))
    }

    fn delete(&mut self, key: &str) -> Result<(), Fault> {
        if self.write(key)? {
            self.records -= 1;
        }
        let sql = "DELETE FROM records WHERE tenant = ?1 AND key = ?2";
        self.seen.note(self.execute(sql, (self.seen.tenant, key)))
    }

    fn emit(&mut self, topic: TopicName, event: Emitted) -> Result<(), Fault> {
        if self.events == MAX_EVENTS {
            return Err(Limit::Handler("too many events are emitted").into());
        }
        let id = format!("{}-{}", self.name, self.events);
        let event = described(&event)
            .and_then(|described| complete_event(&described, &id, &self.source, self.now).ok())
            .filter(|event| event.as_str().len() <= self.caps.event_bytes)
            .filter(|event| CloudEvent::of(event.clone()).is_ok())
            .ok_or(Limit::Handler("an event is no CloudEvent, or too large"))?;
        self.events += 1;
        self.seen.note(self.wait(&topic, event.as_str()))
    }
}

fn check(key: &str) -> Result<(), Limit> {
    if key.is_empty() || key.len() > MAX_KEY { Err(Limit::Handler("not a key of a record")) } else { Ok(()) }
}

fn described(event: &Emitted) -> Option<Json> {
    #[derive(Serialize)]
    struct Described<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<&'a str>,
        datacontenttype: &'static str,
        data: &'a serde_json::value::RawValue,
    }
    let Emitted { kind, subject, data } = event;
    let data = serde_json::from_str(data.as_str()).ok()?;
    let described =
        Described { kind, subject: subject.as_deref(), datacontenttype: "application/json", data };
    Json::parse(serde_json::to_string(&described).ok()?).ok()
}
