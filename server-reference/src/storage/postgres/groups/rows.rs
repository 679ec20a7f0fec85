//! Groups as they are found before they are locked, and how they are.

use std::sync::Arc;

use sdk_core::clock::Millis;

use super::far::Far;
use crate::storage::{
    StorageError,
    events::{GroupName, LogError, Standing, TopicName},
    sql::{
        Connection, Row, corrupt,
        groups::{GroupRow, Work},
    },
};

/// A group as it was at some moment.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) key: i64,
    pub(super) tenant: Arc<str>,
    pub(super) name: GroupName,
    pub(super) topic: TopicName,
    /// Which topic of that name.
    pub(super) id: String,
    pub(super) scanned: u64,
}

const FOUND: &str = "SELECT groups.key, groups.tenant, groups.name, topics.name, topics.id, groups.scanned
    FROM groups JOIN topics ON topics.key = groups.topic";

fn found(row: &dyn Row) -> Result<Found, StorageError> {
    Ok(Found {
        key: row.get(0)?,
        tenant: row.get::<String>(1)?.into(),
        name: GroupName::new(row.get(2)?).map_err(corrupt("a group"))?,
        topic: TopicName::new(row.get(3)?).map_err(corrupt("a group"))?,
        id: row.get(4)?,
        scanned: row.get(5)?,
    })
}

impl Found {
    pub(super) fn by_name(
        connection: &dyn Connection,
        tenant: &str,
        name: &GroupName,
    ) -> Result<Option<Self>, StorageError> {
        let sql = format!("{FOUND} WHERE groups.tenant = ?1 AND groups.name = ?2");
        connection.optional(&sql, (tenant, name.as_str()), found)
    }

    /// Those of a tenant behind a name, in their order.
    pub(super) fn behind(
        connection: &dyn Connection,
        tenant: &str,
        behind: &str,
    ) -> Result<Vec<Self>, StorageError> {
        let sql = format!("{FOUND} WHERE groups.tenant = ?1 AND groups.name > ?2 ORDER BY groups.name");
        connection.all(&sql, (tenant, behind), found)
    }

    /// Some of every tenant's behind a key, in the order of keys.
    pub(super) fn after(
        connection: &dyn Connection,
        which: Which,
        key: i64,
        most: usize,
    ) -> Result<Vec<Self>, StorageError> {
        let all = |which| {
            format!(
                "{FOUND} WHERE groups.name IS NOT NULL AND groups.key > ?1 {which} ORDER BY groups.key LIMIT ?2"
            )
        };
        match which {
            Which::All => connection.all(&all(""), (key, most), found),
            Which::Bounded => connection.all(&all("AND groups.bounded"), (key, most), found),
            Which::Lapsed(now) => {
                let sql = all("AND groups.key IN (SELECT grp FROM leases WHERE until <= ?3)");
                connection.all(&sql, (key, most, now.0), found)
            }
        }
    }

    /// The events that it may hand out once more, of those that its log has.
    pub(super) fn waiting(
        &self,
        connection: &dyn Connection,
        most: usize,
        now: Millis,
    ) -> Result<Vec<u64>, StorageError> {
        let sql =
            "SELECT number FROM deliveries WHERE grp = ?1 AND state = 0 AND due <= ?2 AND letter IS NULL
            ORDER BY due, number LIMIT ?3";
        connection.all(sql, (self.key, now.0, most), |row| row.get(0))
    }
}

/// Groups of every tenant's.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    All,
    /// Those that may not leave everything unread.
    Bounded,
    /// Those with leases that are over at a time.
    Lapsed(Millis),
}

/// Whether to wait for a group that somebody else has locked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lock {
    Wait,
    Skip,
}

/// Locks a group and begins to work in it; none if it is not there any more, its topic has become another, or it is locked and
/// nobody waits. If the log has lost its end, the group is first brought back to where the two agree.
pub(super) fn enter<'a>(
    connection: &'a dyn Connection,
    far: &'a mut Far,
    key: i64,
    lock: Lock,
    chance: u64,
    now: Millis,
) -> Result<Option<Work<'a>>, LogError> {
    let sql = match lock {
        Lock::Wait => format!("{LOCKED} FOR UPDATE OF groups"),
        Lock::Skip => format!("{LOCKED} FOR UPDATE OF groups SKIP LOCKED"),
    };
    let read = |row: &dyn Row| Ok((row.get(0)?, row.get(1)?));
    let Some((epoch, id)) = connection.optional::<(u64, String)>(&sql, (key,), read)? else {
        return Ok(None);
    };
    let Some(row) = GroupRow::by_key(connection, key)? else { return Ok(None) };
    let differs = |Standing { state, .. }: &Standing| state.epoch.0 != epoch || state.tail < row.scanned;
    if differs(far.standing()) {
        // Somebody may have seen more of the topic between the look at it and the lock.
        far.look_again(now)?;
    }
    let far: &'a Far = far;
    let Standing { id: is, sure, state } = far.standing();
    if *is != id {
        return Ok(None);
    }
    let lost = differs(far.standing());
    let mut work = Work::of(connection, row, far, now, chance);
    if lost {
        let agreed = if state.epoch.0 == epoch { state.tail } else { state.tail.min(*sure) };
        work.rewind(agreed)?;
        connection.execute("UPDATE groups SET epoch = ?2 WHERE key = ?1", (key, state.epoch.0))?;
        tracing::warn!(
            group = key,
            topic = state.name.as_str(),
            agreed,
            "the log has lost the end of a topic"
        );
    }
    Ok(Some(work))
}

const LOCKED: &str = "SELECT groups.epoch, topics.id FROM groups JOIN topics ON topics.key = groups.topic
    WHERE groups.key = ?1 AND groups.name IS NOT NULL";

/// The key of a topic, which is noted if it has no groups yet.
pub(super) fn topic(
    connection: &dyn Connection,
    tenant: &str,
    Standing { id, state, .. }: &Standing,
) -> Result<i64, StorageError> {
    let sql = "INSERT INTO topics (tenant, name, id) VALUES (?1, ?2, ?3)
        ON CONFLICT (tenant, name, id) DO UPDATE SET name = excluded.name RETURNING key";
    connection.one(sql, (tenant, state.name.as_str(), id), |row| row.get(0))
}
