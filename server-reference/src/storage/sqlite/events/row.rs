//! One topic as it is stored.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};
use sdk_core::clock::Millis;

use crate::storage::{
    StorageError,
    events::{
        ContentType, Lifetime, LogEpoch, LogError, Parting, Position, Redelivery, Retention, TopicName,
        TopicState,
    },
};

/// Events that a topic can ever have.
pub(super) const MAX_EVENTS: u64 = (1 << 40) - 1;
/// Topics that a database can have.
pub(super) const MAX_KEY: i64 = (1 << 22) - 1;

const COLUMNS: &str = "key, tenant, name, epoch, content_type, idle, until, until_text, keep_age, keep_bytes, \
    keep_events, source, source_name, anchor, more, fork_at, forks, hidden, first, tail, bytes, written, touched, \
    closed, sequence, producers, redelivery";

/// A topic's row.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub(super) key: i64,
    pub(super) tenant: Arc<str>,
    pub(super) name: Option<String>,
    pub(super) epoch: LogEpoch,
    pub(super) content_type: ContentType,
    pub(super) lifetime: Lifetime,
    pub(super) retention: Retention,
    pub(super) redelivery: Redelivery,
    pub(super) source: Option<Source>,
    pub(super) forks: u64,
    /// It was deleted, and is kept for its forks.
    pub(super) hidden: bool,
    pub(super) first: u64,
    pub(super) tail: u64,
    pub(super) bytes: u64,
    /// When the newest event came.
    pub(super) written: Millis,
    /// When it was last used, within a sixteenth of its idle time.
    pub(super) touched: Millis,
    pub(super) closed: bool,
    pub(super) sequence: Option<String>,
    pub(super) producers: u64,
}

/// Where a fork comes from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) key: i64,
    pub(super) name: String,
    /// Where it was asked to begin, and how much more of the source it was asked to take.
    pub(super) anchor: u64,
    pub(super) more: u64,
    /// Events of the source that it shares.
    pub(super) fork_at: u64,
}

impl Topic {
    pub(super) fn by_name(
        connection: &Connection,
        tenant: &str,
        name: &TopicName,
    ) -> Result<Option<Self>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM topics WHERE tenant = ?1 AND name = ?2");
        let mut statement = connection.prepare_cached(&sql)?;
        statement.query_row((tenant, name.as_str()), read).optional()?.transpose()
    }

    pub(super) fn by_key(connection: &Connection, key: i64) -> Result<Self, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM topics WHERE key = ?1");
        connection.prepare_cached(&sql)?.query_row([key], read)?
    }

    /// Writes a new row.
    pub(super) fn insert(&self, connection: &Connection) -> Result<(), LogError> {
        let sql = format!(
            "INSERT INTO topics ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
             ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27)"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let (idle, until, text) = match &self.lifetime {
            Lifetime::Unlimited => (None, None, None),
            Lifetime::Idle(seconds) => (Some(*seconds), None, None),
            Lifetime::Until(time, text) => (None, Some(time.0), Some(text)),
        };
        let source = self.source.as_ref();
        let said = |redelivery| serde_json::to_string(redelivery).map_err(damaged);
        let redelivery = Some(&self.redelivery).filter(|redelivery| **redelivery != Redelivery::default());
        let redelivery = redelivery.map(said).transpose()?;
        statement.execute(rusqlite::params![
            self.key,
            &*self.tenant,
            self.name,
            self.epoch.0,
            self.content_type.as_str(),
            idle,
            until,
            text,
            self.retention.age,
            self.retention.bytes,
            self.retention.events,
            source.map(|source| source.key),
            source.map(|source| &source.name),
            source.map_or(0, |source| source.anchor),
            source.map_or(0, |source| source.more),
            source.map_or(0, |source| source.fork_at),
            self.forks,
            self.hidden,
            self.first,
            self.tail,
            self.bytes,
            self.written.0,
            self.touched.0,
            self.closed,
            self.sequence,
            self.producers,
            redelivery,
        ])?;
        Ok(())
    }

    /// Writes what may change in a topic's life, but for the loss of its name.
    pub(super) fn update(&self, connection: &Connection) -> Result<(), LogError> {
        // No column of an index: each commit would write a page of that as well.
        let sql = "UPDATE topics SET forks = ?2, hidden = ?3, first = ?4, tail = ?5, bytes = ?6, \
            written = ?7, touched = ?8, closed = ?9, sequence = ?10, producers = ?11 WHERE key = ?1";
        connection.prepare_cached(sql)?.execute(rusqlite::params![
            self.key,
            self.forks,
            self.hidden,
            self.first,
            self.tail,
            self.bytes,
            self.written.0,
            self.touched.0,
            self.closed,
            self.sequence,
            self.producers,
        ])?;
        Ok(())
    }

    /// Takes its name away.
    pub(super) fn forget_name(&mut self, connection: &Connection) -> Result<(), LogError> {
        self.name = None;
        connection.prepare_cached("UPDATE topics SET name = NULL WHERE key = ?1")?.execute([self.key])?;
        Ok(())
    }

    /// The id of one of its events: the first is number 1.
    pub(super) fn event(&self, number: u64) -> i64 {
        // Neither reaches the other's bits, nor the sign.
        (self.key << 40) | i64::try_from(number.min(MAX_EVENTS)).unwrap_or(0)
    }

    /// Whether its time is over.
    pub(super) fn expired(&self, now: Millis) -> bool {
        self.lifetime.is_over(self.touched, now)
    }

    /// Whether it has to be noted that it was used.
    pub(super) fn wants_touch(&self, now: Millis) -> bool {
        self.lifetime.wants_note(self.touched, now)
    }

    pub(super) fn tail(&self) -> Position {
        self.at(self.tail)
    }

    pub(super) fn at(&self, offset: u64) -> Position {
        Position { epoch: self.epoch, offset }
    }

    pub(super) fn fork_at(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.fork_at)
    }

    /// Where it parts from its source, if it is a fork.
    pub(super) fn parting(&self) -> Option<Parting<'_>> {
        let Source { name, anchor, more, .. } = self.source.as_ref()?;
        Some(Parting { source: name, anchor: *anchor, more: *more })
    }

    pub(super) fn state(&self, earliest: Position) -> TopicState {
        TopicState {
            content_type: self.content_type.clone(),
            earliest,
            tail: self.tail(),
            closed: self.closed,
            lifetime: self.lifetime.clone(),
            retention: self.retention,
            redelivery: self.redelivery,
        }
    }
}

fn damaged(source: serde_json::Error) -> LogError {
    StorageError::Corrupt { what: "a topic", source: Box::new(source) }.into()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<Topic, LogError>> {
    let content_type: String = row.get(4)?;
    let Some(content_type) = ContentType::new(&content_type) else {
        let source = format!("{content_type:?} is no content type").into();
        return Ok(Err(StorageError::Corrupt { what: "a topic", source }.into()));
    };
    let redelivery = match row.get::<_, Option<String>>(26)?.map(|text| serde_json::from_str(&text)) {
        None => Redelivery::default(),
        Some(Ok(redelivery)) => redelivery,
        Some(Err(error)) => return Ok(Err(damaged(error))),
    };
    let lifetime = match (row.get(5)?, row.get(6)?) {
        (Some(seconds), _) => Lifetime::Idle(seconds),
        (None, Some(time)) => Lifetime::Until(Millis(time), row.get(7)?),
        (None, None) => Lifetime::Unlimited,
    };
    let source = match row.get(11)? {
        None => None,
        Some(key) => Some(Source {
            key,
            name: row.get(12)?,
            anchor: row.get(13)?,
            more: row.get(14)?,
            fork_at: row.get(15)?,
        }),
    };
    Ok(Ok(Topic {
        key: row.get(0)?,
        tenant: row.get::<_, String>(1)?.into(),
        name: row.get(2)?,
        epoch: LogEpoch(row.get(3)?),
        content_type,
        lifetime,
        retention: Retention { age: row.get(8)?, bytes: row.get(9)?, events: row.get(10)? },
        redelivery,
        source,
        forks: row.get(16)?,
        hidden: row.get(17)?,
        first: row.get(18)?,
        tail: row.get(19)?,
        bytes: row.get(20)?,
        written: Millis(row.get(21)?),
        touched: Millis(row.get(22)?),
        closed: row.get(23)?,
        sequence: row.get(24)?,
        producers: row.get(25)?,
    }))
}
