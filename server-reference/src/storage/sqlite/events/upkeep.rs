//! What has to go, slice by slice, so that writers do not wait long for it.

use rusqlite::Connection;
use sdk_core::clock::Millis;

use super::{
    group::{Group, trim},
    row::Topic,
};
use crate::storage::events::{LogEpoch, LogError};

/// Topics or events in one slice.
const SLICE: usize = 512;

impl Group<'_> {
    /// Removes a slice of what is over: topics at the end of their time, events beyond a topic's age, and what is left
    /// of topics that were removed. Tells whether there may be more.
    pub(super) fn tidy(&mut self, now: Millis) -> Result<bool, LogError> {
        let mut more = false;
        for key in keys(self.connection, ENDED, now)? {
            if self.topic(key)?.expired(now) {
                self.remove(key)?;
                more = true;
            }
        }
        for key in keys(self.connection, AGED, now)? {
            let connection = self.connection;
            more |= trim(connection, self.change(key)?, now)?;
        }
        for key in keys(self.connection, REMOVED, now)? {
            more |= self.purge(&Topic::by_key(self.connection, key)?)?;
        }
        more |= self.tidy_groups(now)?;
        Ok(more)
    }

    pub(super) fn renew_epochs(&mut self, now: Millis) -> Result<usize, LogError> {
        // In the order in which they were made, so that a fork stays later than its source.
        let sql = "SELECT key, epoch FROM topics ORDER BY epoch";
        let mut statement = self.connection.prepare(sql)?;
        let topics: Vec<(i64, u64)> =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        for (key, epoch) in &topics {
            let renewed = self.epoch_after(LogEpoch(*epoch), now);
            let sql = "UPDATE topics SET made = coalesce(made, epoch), sure = min(coalesce(sure, tail), tail), epoch = ?1
                WHERE key = ?2";
            self.connection.execute(sql, (renewed.0, key))?;
        }
        self.recent.forget();
        Ok(topics.len())
    }

    /// Takes a slice of what is left of a topic; its row is the last. Tells whether there is more.
    fn purge(&mut self, topic: &Topic) -> Result<bool, LogError> {
        let connection = self.connection;
        let sql =
            "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id > ?1 AND id <= ?2 LIMIT ?3)";
        let events = connection.execute(sql, (topic.event(0), topic.event(topic.tail), SLICE))?;
        let sql = "DELETE FROM producers WHERE topic = ?1 AND id IN (SELECT id FROM producers WHERE topic = ?1 LIMIT ?2)";
        let producers = connection.execute(sql, (topic.key, SLICE))?;
        let names = self.known.purge(connection, topic.key, SLICE)?;
        if events == SLICE || producers == SLICE || names {
            return Ok(true);
        }
        connection.execute("DELETE FROM topics WHERE key = ?1", [topic.key])?;
        Ok(false)
    }
}

/// Topics whose time may be over.
const ENDED: &str = "SELECT key FROM topics WHERE name IS NOT NULL AND hidden = 0
    AND (idle IS NOT NULL OR until IS NOT NULL) AND coalesce(until, touched + idle * 1000) <= ?1 LIMIT ?2";
/// Topics that have events beyond their age.
const AGED: &str = "SELECT key FROM topics WHERE name IS NOT NULL AND keep_age IS NOT NULL AND first < tail
    AND (SELECT at FROM events WHERE id = (topics.key << 40) + topics.first + 1) + keep_age <= ?1 LIMIT ?2";
/// Topics that were removed.
const REMOVED: &str = "SELECT key FROM topics WHERE name IS NULL AND ?1 >= 0 LIMIT ?2";

fn keys(connection: &Connection, sql: &str, now: Millis) -> Result<Vec<i64>, LogError> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map((now.0, SLICE), |row| row.get(0))?.collect::<Result<_, _>>()?)
}
