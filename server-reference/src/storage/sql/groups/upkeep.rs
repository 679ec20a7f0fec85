//! What groups need done while nobody asks.

use super::work::Work;
use crate::storage::{StorageError, events::LogError, sql::Connection};

/// Groups, and entries of one, in one slice.
pub(in crate::storage) const SLICE: usize = 256;

/// Does something to one group. If what is stored of it cannot be read, it stays as it is, and that is told; the others have
/// their turn.
pub(in crate::storage) fn apart(
    connection: &dyn Connection,
    group: i64,
    act: impl FnOnce() -> Result<bool, LogError>,
) -> Result<bool, LogError> {
    connection.control("SAVEPOINT one_group")?;
    match act() {
        Err(LogError::Storage(error @ StorageError::Corrupt { .. })) => {
            connection.control("ROLLBACK TO one_group; RELEASE one_group")?;
            tracing::error!(group, %error, "a group is damaged, and was left as it is");
            Ok(false)
        }
        result => {
            connection.control("RELEASE one_group")?;
            result
        }
    }
}

impl Work<'_> {
    /// Takes back lapsed leases. Tells whether there may be more.
    pub(in crate::storage) fn take_back(mut self) -> Result<bool, LogError> {
        let more = self.lapse()?;
        self.close()?;
        Ok(more)
    }

    /// Gives up what was left unread for too long.
    pub(in crate::storage) fn give_up(mut self) -> Result<(), LogError> {
        let floor = self.floor()?.max(self.floor_of_bytes()?);
        self.shed(floor)?;
        self.close()
    }

    /// Below this the events that are unread have more bytes than the group may leave so.
    fn floor_of_bytes(&self) -> Result<u64, LogError> {
        let Some(most) = self.group.rules.unread.bytes else { return Ok(0) };
        self.line.newest_within(self.group.cursor(self.connection)?, most)
    }
}

/// Takes a slice of what a removed group held apart; its row is the last. Tells whether there is more.
pub(in crate::storage) fn purge(connection: &dyn Connection, key: i64) -> Result<bool, StorageError> {
    let mut gone = 0;
    for (table, column) in [("deliveries", "number"), ("leases", "id")] {
        let sql = format!(
            "DELETE FROM {table} WHERE grp = ?1 AND {column} IN (SELECT {column} FROM {table} WHERE grp = ?1 LIMIT ?2)"
        );
        gone = gone.max(connection.execute(&sql, (key, SLICE))?);
    }
    if gone == SLICE {
        return Ok(true);
    }
    connection.execute("DELETE FROM groups WHERE key = ?1 AND name IS NULL", (key,))?;
    Ok(false)
}
