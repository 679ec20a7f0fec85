//! Dead letters, for those who administer a topic.

use bytes::Bytes;
use sdk_core::clock::Millis;

use super::{
    row::{Entry, GROUP, State},
    work::Work,
};
use crate::{
    access::Right,
    storage::{
        StorageError,
        events::{
            Attempt, Change, ContentType, Fate, GroupName, Letter, LetterId, LogError, MAX_LETTERS,
            TopicName, Which,
        },
        sql::{Connection, Row, corrupt},
        sqlite::audit,
    },
    tenant::TenantScope,
};

pub(in crate::storage) fn letters(
    connection: &dyn Connection,
    scope: &TenantScope,
    name: &GroupName,
    which: Which,
    now: Millis,
) -> Result<Vec<Letter>, LogError> {
    administer(connection, scope, name)?;
    let tenant = &**scope.tenant();
    match which {
        Which::One(id) => {
            audit::record(connection, scope, "dead letter read", &target(name, &[id]), now)?;
            let sql = format!(
                "{COLUMNS}, body FROM letters WHERE tenant = ?1 AND name = ?2 AND key = ?3 AND round = ?4"
            );
            let found =
                connection.optional(&sql, (tenant, name.as_str(), id.key, id.round), |row| letter(row, true));
            Ok(vec![found?.ok_or(LogError::NoSuchLetter)?])
        }
        Which::After(key, most) => {
            audit::viewing(connection, scope, name.as_str(), now)?;
            let sql = format!(
                "{COLUMNS} FROM letters WHERE tenant = ?1 AND name = ?2 AND key > ?3 ORDER BY key LIMIT ?4"
            );
            let most = most.min(MAX_LETTERS);
            Ok(connection.all(&sql, (tenant, name.as_str(), key, most), |row| letter(row, false))?)
        }
    }
}

/// Changes letters of a name, under which there is a group to work in, or none any more.
pub(in crate::storage) fn change<'w>(
    connection: &dyn Connection,
    scope: &TenantScope,
    name: &GroupName,
    change: &Change,
    now: Millis,
    group: impl FnOnce() -> Result<Option<Work<'w>>, LogError>,
) -> Result<Vec<(LetterId, Fate)>, LogError> {
    administer(connection, scope, name)?;
    match change {
        Change::Edit(id, content_type, body) => {
            let stored = stored(connection, scope, name, *id)?.ok_or(LogError::NoSuchLetter)?;
            if stored.live {
                return Err(LogError::LetterLive);
            }
            if ContentType::new(&stored.content_type).as_ref() != Some(content_type) {
                return Err(LogError::ContentTypeMismatch);
            }
            // The group may be gone; an edit may go beyond what a group may have, by one event.
            let sql = "UPDATE groups SET letter_bytes = letter_bytes + ?2 -
                (SELECT length(body) FROM letters WHERE key = ?1) WHERE key = ?3";
            connection.execute(sql, (id.key, body.len(), stored.group))?;
            let sql = "UPDATE letters SET body = ?2, edited = TRUE WHERE key = ?1";
            connection.execute(sql, (id.key, &body[..]))?;
            audit::record(connection, scope, "dead letter edited", &target(name, &[*id]), now)?;
            Ok(vec![(*id, Fate::Edited)])
        }
        Change::Retry(ids) => {
            let mut work = group()?.ok_or(LogError::NoSuchGroup)?;
            let fates = each(connection, scope, name, ids, |id, stored| work.retry(id, stored))?;
            work.close()?;
            audit::record(connection, scope, "dead letters retried", &target(name, ids), now)?;
            Ok(fates)
        }
        Change::Discard(ids) => {
            let mut work = group()?;
            let fates = each(connection, scope, name, ids, |id, stored| {
                if stored.live {
                    return Ok(Fate::Retrying);
                }
                match work.as_mut().filter(|work| work.group.key == stored.group) {
                    Some(work) => work.discard(id, stored)?,
                    // The group is gone, and its letter is all that is left.
                    None => {
                        connection.execute("DELETE FROM letters WHERE key = ?1", (id.key,))?;
                    }
                }
                Ok(Fate::Discarded)
            })?;
            if let Some(work) = work {
                work.close()?;
            }
            audit::record(connection, scope, "dead letters discarded", &target(name, ids), now)?;
            Ok(fates)
        }
    }
}

/// Does something to each letter that is there in the round that was named.
fn each(
    connection: &dyn Connection,
    scope: &TenantScope,
    name: &GroupName,
    ids: &[LetterId],
    mut act: impl FnMut(LetterId, &Stored) -> Result<Fate, LogError>,
) -> Result<Vec<(LetterId, Fate)>, LogError> {
    let fate = |id: &LetterId| {
        let fate = match stored(connection, scope, name, *id)? {
            Some(stored) => act(*id, &stored)?,
            None => Fate::Gone,
        };
        Ok((*id, fate))
    };
    ids.iter().map(fate).collect()
}

/// What has to be known of a letter to change it.
struct Stored {
    group: i64,
    number: u64,
    lane: Option<i64>,
    live: bool,
    history: String,
    content_type: String,
}

fn stored(
    connection: &dyn Connection,
    scope: &TenantScope,
    name: &GroupName,
    id: LetterId,
) -> Result<Option<Stored>, LogError> {
    let sql = "SELECT grp, number, lane, live, history, content_type FROM letters
        WHERE tenant = ?1 AND name = ?2 AND key = ?3 AND round = ?4";
    let read = |row: &dyn Row| {
        Ok(Stored {
            group: row.get(0)?,
            number: row.get(1)?,
            lane: row.get(2)?,
            live: row.get(3)?,
            history: row.get(4)?,
            content_type: row.get(5)?,
        })
    };
    Ok(connection.optional(sql, (scope.tenant(), name.as_str(), id.key, id.round), read)?)
}

impl Work<'_> {
    /// Has an event tried once more, with all attempts.
    fn retry(&mut self, id: LetterId, stored: &Stored) -> Result<Fate, LogError> {
        if stored.group != self.group.key {
            // Of an earlier group of that name.
            return Err(LogError::NoSuchGroup);
        }
        if stored.live {
            return Ok(Fate::Retrying);
        }
        let key = self.group.key;
        let history: Vec<Attempt> = serde_json::from_str(&stored.history).map_err(corrupt(GROUP))?;
        let entry = match Entry::load(self.connection, key, stored.number)? {
            Some(halted) => Entry { state: State::Ready, attempts: 0, due: 0, history, ..halted },
            None => {
                let state = if self.busy(stored.lane)? { State::Blocked } else { State::Ready };
                self.group.unresolved += 1;
                let letter = Some(id.key);
                Entry { state, letter, again: true, history, ..Entry::new(stored.number, stored.lane) }
            }
        };
        entry.save(self.connection, key)?;
        self.connection.execute("UPDATE letters SET live = TRUE WHERE key = ?1", (id.key,))?;
        Ok(Fate::Retrying)
    }

    fn discard(&mut self, id: LetterId, stored: &Stored) -> Result<(), LogError> {
        let halted = Entry::load(self.connection, self.group.key, stored.number)?;
        if let Some(entry) = halted.filter(|entry| entry.letter == Some(id.key)) {
            self.resolve(&entry)?;
        }
        self.drop_letter(id.key)
    }
}

/// Whether the scope may administer the topics that a group is of, and was of when its letters died.
fn administer(connection: &dyn Connection, scope: &TenantScope, name: &GroupName) -> Result<(), LogError> {
    let sql = "SELECT topics.name FROM groups JOIN topics ON topics.key = groups.topic
            WHERE groups.tenant = ?1 AND groups.name = ?2 AND topics.name IS NOT NULL
        UNION SELECT topic FROM letters WHERE tenant = ?1 AND name = ?2";
    let topics: Vec<String> = connection.all(sql, (scope.tenant(), name.as_str()), |row| row.get(0))?;
    let may = |right| !topics.is_empty() && topics.iter().all(|topic| scope.topic(topic, right));
    if may(Right::Admin) {
        Ok(())
    } else if may(Right::Read) {
        Err(LogError::Forbidden)
    } else {
        Err(LogError::NoSuchGroup)
    }
}

/// What a record of the audit names.
fn target(name: &GroupName, ids: &[LetterId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("{} {}", name.as_str(), ids.join(","))
}

const COLUMNS: &str = "SELECT key, round, topic, position, at, content_type, edited, since, history, live";

fn letter(row: &dyn Row, with_body: bool) -> Result<Letter, StorageError> {
    let damaged = |what: &str| StorageError::Corrupt { what: LETTER, source: what.into() };
    Ok(Letter {
        id: LetterId { key: row.get(0)?, round: row.get(1)? },
        topic: TopicName::new(row.get(2)?).map_err(corrupt(LETTER))?,
        position: row.get(3)?,
        at: Millis(row.get(4)?),
        content_type: ContentType::new(row.get(5)?).ok_or_else(|| damaged("it is of no type"))?,
        body: if with_body { Bytes::from(row.get::<Vec<u8>>(10)?) } else { Bytes::new() },
        edited: row.get(6)?,
        since: Millis(row.get(7)?),
        attempts: serde_json::from_str(row.get(8)?).map_err(corrupt(LETTER))?,
        retrying: row.get(9)?,
    })
}

/// What is said to be damaged.
const LETTER: &str = "a dead letter";
