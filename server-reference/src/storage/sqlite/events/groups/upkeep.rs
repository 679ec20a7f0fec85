//! What groups need done while nobody asks.

use rusqlite::Connection;
use sdk_core::clock::Millis;

use super::{super::group::Group as Transaction, row::GroupRow, work::Work};
use crate::storage::{StorageError, events::LogError};

/// Groups, and entries of one, in one slice.
const SLICE: usize = 256;

/// Groups that have leases which are over.
const LAPSED: &str = "SELECT DISTINCT grp FROM leases WHERE until <= ?1 LIMIT ?2";
/// Groups that may not leave everything unread.
const BOUNDED: &str = "SELECT key FROM groups WHERE bounded = 1 AND name IS NOT NULL AND ?1 >= 0 AND ?2 > 0";
/// Groups that were removed.
const REMOVED: &str = "SELECT key FROM groups WHERE name IS NULL AND ?1 >= 0 LIMIT ?2";

impl Transaction<'_> {
    /// Takes back lapsed leases, gives up what was left unread for too long, and removes a slice of what removed groups
    /// have left. Tells whether there may be more.
    pub(in super::super) fn tidy_groups(&mut self, now: Millis) -> Result<bool, LogError> {
        let mut more = false;
        for key in keys(self.connection, LAPSED, now)? {
            more |= self.apart(key, |transaction| match transaction.work(key, now)? {
                Some(mut work) => {
                    let more = work.lapse()?;
                    work.close()?;
                    Ok(more)
                }
                None => {
                    purge(transaction.connection, key)?;
                    Ok(true)
                }
            })?;
        }
        for key in keys(self.connection, BOUNDED, now)? {
            self.apart(key, |transaction| {
                if let Some(mut work) = transaction.work(key, now)? {
                    let floor = work.floor()?.max(work.floor_of_bytes()?);
                    work.shed(floor)?;
                    work.close()?;
                }
                Ok(false)
            })?;
        }
        for key in keys(self.connection, REMOVED, now)? {
            more |= purge(self.connection, key)?;
        }
        Ok(more)
    }

    /// Does something to one group. If what is stored of it cannot be read, it stays as it is, and that is told; the
    /// others have their turn.
    fn apart(
        &mut self,
        group: i64,
        act: impl FnOnce(&mut Self) -> Result<bool, LogError>,
    ) -> Result<bool, LogError> {
        let connection = self.connection;
        connection.execute_batch("SAVEPOINT one_group")?;
        match act(self) {
            Err(LogError::Storage(error @ StorageError::Corrupt { .. })) => {
                connection.execute_batch("ROLLBACK TO one_group; RELEASE one_group")?;
                tracing::error!(group, %error, "a group is damaged, and was left as it is");
                Ok(false)
            }
            result => {
                connection.execute_batch("RELEASE one_group")?;
                result
            }
        }
    }

    fn work(&mut self, key: i64, now: Millis) -> Result<Option<Work<'_>>, LogError> {
        let connection = self.connection;
        let Some(group) = GroupRow::by_key(connection, key)? else { return Ok(None) };
        let topic = self.topic(group.topic)?.clone();
        // Pauses need to differ, and nobody has an interest in foreseeing them.
        let chance = now.0.rotate_left(32) ^ key.unsigned_abs();
        Work::of(connection, group, topic, now, chance).map(Some)
    }
}

impl Work<'_> {
    /// Below this the events that are unread have more bytes than the group may leave so.
    fn floor_of_bytes(&self) -> Result<u64, LogError> {
        let Some(most) = self.group.rules.unread.bytes else { return Ok(0) };
        self.lineage.newest_within(self.connection, self.group.cursor(self.connection)?, most)
    }
}

fn keys(connection: &Connection, sql: &str, now: Millis) -> Result<Vec<i64>, LogError> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map((now.0, SLICE), |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Takes a slice of what a removed group held apart; its row is the last. Tells whether there is more.
fn purge(connection: &Connection, key: i64) -> Result<bool, LogError> {
    let mut gone = 0;
    for (table, column) in [("deliveries", "number"), ("leases", "id")] {
        let sql = format!(
            "DELETE FROM {table} WHERE grp = ?1 AND {column} IN (SELECT {column} FROM {table} WHERE grp = ?1 LIMIT ?2)"
        );
        gone = gone.max(connection.prepare_cached(&sql)?.execute((key, SLICE))?);
    }
    if gone == SLICE {
        return Ok(true);
    }
    connection.execute("DELETE FROM groups WHERE key = ?1 AND name IS NULL", [key])?;
    Ok(false)
}
