//! Groups and unresolved events as they are stored.

use sdk_core::clock::Millis;

use crate::storage::{
    StorageError,
    events::{Attempt, GroupName, LogError, Rules},
    sql::{Connection, Row, corrupt},
};

const COLUMNS: &str = "key, topic, start, rules, scanned, generation, lost, told, through, skipped, unresolved, letters, letter_bytes";

/// A group's row. Of the events up to `scanned` those are unresolved that have an entry.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::storage) struct GroupRow {
    pub(in crate::storage) key: i64,
    pub(in crate::storage) topic: i64,
    pub(super) start: String,
    pub(super) rules: Rules,
    pub(in crate::storage) scanned: u64,
    /// Leases that were ever given. The number of one is its fence.
    pub(super) generation: u64,
    /// Events that were lost, how many of them a worker has been told of and answered since, and up to where they were.
    pub(super) lost: u64,
    pub(super) told: u64,
    pub(super) through: u64,
    pub(super) skipped: u64,
    pub(super) unresolved: u64,
    pub(super) letters: u64,
    /// Bytes of their events.
    pub(super) letter_bytes: u64,
}

impl GroupRow {
    pub(in crate::storage) fn by_name(
        connection: &dyn Connection,
        tenant: &str,
        name: &GroupName,
    ) -> Result<Option<Self>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM groups WHERE tenant = ?1 AND name = ?2");
        Ok(connection.optional(&sql, (tenant, name.as_str()), group)?)
    }

    /// Names of groups behind one, in their order.
    pub(in crate::storage) fn names(
        connection: &dyn Connection,
        tenant: &str,
        behind: &str,
    ) -> Result<Vec<GroupName>, LogError> {
        let sql = "SELECT name FROM groups WHERE tenant = ?1 AND name > ?2 ORDER BY name";
        let read = |row: &dyn Row| GroupName::new(row.get(0)?).map_err(corrupt(GROUP));
        Ok(connection.all(sql, (tenant, behind), read)?)
    }

    pub(in crate::storage) fn by_key(
        connection: &dyn Connection,
        key: i64,
    ) -> Result<Option<Self>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM groups WHERE key = ?1 AND name IS NOT NULL");
        Ok(connection.optional(&sql, (key,), group)?)
    }

    /// Writes a new group, whose key is drawn here.
    pub(super) fn insert(
        &mut self,
        connection: &dyn Connection,
        tenant: &str,
        name: &GroupName,
        now: Millis,
    ) -> Result<(), LogError> {
        let sql = "INSERT INTO groups (tenant, name, topic, start, rules, bounded, created, scanned, generation, lost, \
            told, through, skipped, unresolved, letters) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, 0, 0, 0, 0, 0)
            RETURNING key";
        let rules = serde_json::to_string(&self.rules).map_err(corrupt(GROUP))?;
        let bounded = self.rules.unread != Default::default();
        let row = (tenant, name.as_str(), self.topic, &self.start, rules, bounded, now.0, self.scanned);
        self.key = connection.one(sql, row, |row| row.get(0))?;
        Ok(())
    }

    /// Writes what may change in a group's life.
    pub(super) fn update(&self, connection: &dyn Connection) -> Result<(), LogError> {
        let sql = "UPDATE groups SET scanned = ?2, generation = ?3, lost = ?4, told = ?5, through = ?6, skipped = ?7, \
            unresolved = ?8, letters = ?9, letter_bytes = ?10 WHERE key = ?1";
        let row = (
            self.key,
            self.scanned,
            self.generation,
            self.lost,
            self.told,
            self.through,
            self.skipped,
            self.unresolved,
            self.letters,
            self.letter_bytes,
        );
        connection.execute(sql, row)?;
        Ok(())
    }

    /// Everything up to here is resolved.
    pub(super) fn cursor(&self, connection: &dyn Connection) -> Result<u64, LogError> {
        // What is tried once more after it became a dead letter was resolved before.
        let sql = "SELECT number FROM deliveries WHERE grp = ?1 AND again = FALSE ORDER BY number LIMIT 1";
        let first: Option<u64> = connection.optional(sql, (self.key,), |row| row.get(0))?;
        Ok(first.map_or(self.scanned, |first| first - 1))
    }
}

fn group(row: &dyn Row) -> Result<GroupRow, StorageError> {
    Ok(GroupRow {
        key: row.get(0)?,
        topic: row.get(1)?,
        start: row.get(2)?,
        rules: serde_json::from_str(row.get(3)?).map_err(corrupt(GROUP))?,
        scanned: row.get(4)?,
        generation: row.get(5)?,
        lost: row.get(6)?,
        told: row.get(7)?,
        through: row.get(8)?,
        skipped: row.get(9)?,
        unresolved: row.get(10)?,
        letters: row.get(11)?,
        letter_bytes: row.get(12)?,
    })
}

/// What is said to be damaged.
pub(super) const GROUP: &str = "a group";

/// Where an unresolved event stands. In each lane all but one entry are [`State::Blocked`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It may be handed out, from its `due` on.
    Ready = 0,
    /// It is out at a worker.
    Out = 1,
    /// Another event of its lane comes first.
    Blocked = 2,
    /// It waits for somebody to decide.
    Halted = 3,
}

/// An unresolved event.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) state: State,
    pub(super) lane: Option<i64>,
    pub(super) due: u64,
    /// Attempts that have failed.
    pub(super) attempts: u32,
    /// The lease that it is, or was last, out under.
    pub(super) lease: u64,
    /// The dead letter that holds it.
    pub(super) letter: Option<i64>,
    /// It was resolved before, by becoming a dead letter.
    pub(super) again: bool,
    pub(super) history: Vec<Attempt>,
}

const ENTRY: &str = "number, state, lane, due, attempts, lease, letter, again, history";

impl Entry {
    pub(super) fn new(number: u64, lane: Option<i64>) -> Self {
        let history = Vec::new();
        Self {
            number,
            state: State::Ready,
            lane,
            due: 0,
            attempts: 0,
            lease: 0,
            letter: None,
            again: false,
            history,
        }
    }

    pub(super) fn load(
        connection: &dyn Connection,
        group: i64,
        number: u64,
    ) -> Result<Option<Self>, LogError> {
        let sql = format!("SELECT {ENTRY} FROM deliveries WHERE grp = ?1 AND number = ?2");
        Ok(connection.optional(&sql, (group, number), entry)?)
    }

    /// Those that may be handed out, as they became due.
    pub(super) fn ready(
        connection: &dyn Connection,
        group: i64,
        now: Millis,
        most: usize,
    ) -> Result<Vec<Self>, LogError> {
        let sql = format!(
            "SELECT {ENTRY} FROM deliveries WHERE grp = ?1 AND state = 0 AND due <= ?2 ORDER BY due, number LIMIT ?3"
        );
        Ok(connection.all(&sql, (group, now.0, most), entry)?)
    }

    /// Writes it, new or changed.
    pub(super) fn save(&self, connection: &dyn Connection, group: i64) -> Result<(), LogError> {
        let history = if self.history.is_empty() {
            None
        } else {
            Some(serde_json::to_string(&self.history).map_err(corrupt(GROUP))?)
        };
        let sql = format!(
            "INSERT INTO deliveries (grp, {ENTRY}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (grp, number) DO UPDATE SET state = excluded.state, lane = excluded.lane, due = excluded.due,
                 attempts = excluded.attempts, lease = excluded.lease, letter = excluded.letter,
                 again = excluded.again, history = excluded.history"
        );
        let row = (
            group,
            self.number,
            self.state as i64,
            self.lane,
            self.due,
            self.attempts,
            self.lease,
            self.letter,
            self.again,
            history,
        );
        connection.execute(&sql, row)?;
        Ok(())
    }
}

fn entry(row: &dyn Row) -> Result<Entry, StorageError> {
    let history: Option<&str> = row.get(8)?;
    let history = history.map(serde_json::from_str).transpose().map_err(corrupt(GROUP))?;
    let state = match row.get::<i64>(1)? {
        1 => State::Out,
        2 => State::Blocked,
        3 => State::Halted,
        _ => State::Ready,
    };
    Ok(Entry {
        number: row.get(0)?,
        state,
        lane: row.get(2)?,
        due: row.get(3)?,
        attempts: row.get(4)?,
        lease: row.get(5)?,
        letter: row.get(6)?,
        again: row.get(7)?,
        history: history.unwrap_or_default(),
    })
}
