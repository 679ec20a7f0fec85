//! Dead letters, for those who administer a topic.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};
use sdk_core::clock::Millis;

use super::{
    super::{super::audit, group::Group as Transaction},
    row::{Entry, GroupRow, State, corrupt},
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
    },
    tenant::TenantScope,
};

pub(super) fn letters(
    transaction: &mut Transaction<'_>,
    scope: &TenantScope,
    name: &GroupName,
    which: Which,
    now: Millis,
) -> Result<Vec<Letter>, LogError> {
    let connection = transaction.connection;
    administer(connection, scope, name)?;
    let tenant = &**scope.tenant();
    match which {
        Which::One(id) => {
            audit::record(connection, scope, "dead letter read", &target(name, &[id]), now)?;
            let sql = format!(
                "{COLUMNS}, body FROM letters WHERE tenant = ?1 AND name = ?2 AND key = ?3 AND round = ?4"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let found =
                statement.query_row((tenant, name.as_str(), id.key, id.round), |row| letter(row, true));
            let found: Option<Result<Letter, LogError>> = found.optional()?;
            Ok(vec![found.ok_or(LogError::NoSuchLetter)??])
        }
        Which::After(key, most) => {
            audit::viewing(connection, scope, name.as_str(), now)?;
            let sql = format!(
                "{COLUMNS} FROM letters WHERE tenant = ?1 AND name = ?2 AND key > ?3 ORDER BY key LIMIT ?4"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let most = most.min(MAX_LETTERS);
            let rows = statement.query_map((tenant, name.as_str(), key, most), |row| letter(row, false))?;
            rows.map(|row| row?).collect()
        }
    }
}

pub(super) fn change(
    transaction: &mut Transaction<'_>,
    scope: &TenantScope,
    name: &GroupName,
    change: &Change,
    now: Millis,
) -> Result<Vec<(LetterId, Fate)>, LogError> {
    let connection = transaction.connection;
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
            connection.prepare_cached(sql)?.execute((id.key, body.len(), stored.group))?;
            let sql = "UPDATE letters SET body = ?2, edited = 1 WHERE key = ?1";
            connection.prepare_cached(sql)?.execute((id.key, &body[..]))?;
            audit::record(connection, scope, "dead letter edited", &target(name, &[*id]), now)?;
            Ok(vec![(*id, Fate::Edited)])
        }
        Change::Retry(ids) => {
            let group = GroupRow::by_name(connection, scope.tenant(), name)?.ok_or(LogError::NoSuchGroup)?;
            let topic = transaction.topic(group.topic)?.clone();
            let mut work = Work::of(connection, group, topic, now, 0)?;
            let fates = each(connection, scope, name, ids, |id, stored| work.retry(id, stored))?;
            work.close()?;
            audit::record(connection, scope, "dead letters retried", &target(name, ids), now)?;
            Ok(fates)
        }
        Change::Discard(ids) => {
            let mut work = match GroupRow::by_name(connection, scope.tenant(), name)? {
                Some(group) => {
                    let topic = transaction.topic(group.topic)?.clone();
                    Some(Work::of(connection, group, topic, now, 0)?)
                }
                None => None,
            };
            let fates = each(connection, scope, name, ids, |id, stored| {
                if stored.live {
                    return Ok(Fate::Retrying);
                }
                match work.as_mut().filter(|work| work.group.key == stored.group) {
                    Some(work) => work.discard(id, stored)?,
                    // The group is gone, and its letter is all that is left.
                    None => {
                        connection.execute("DELETE FROM letters WHERE key = ?1", [id.key])?;
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
    connection: &Connection,
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
    connection: &Connection,
    scope: &TenantScope,
    name: &GroupName,
    id: LetterId,
) -> Result<Option<Stored>, LogError> {
    let sql = "SELECT grp, number, lane, live, history, content_type FROM letters
        WHERE tenant = ?1 AND name = ?2 AND key = ?3 AND round = ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((&**scope.tenant(), name.as_str(), id.key, id.round), |row| {
        Ok(Stored {
            group: row.get(0)?,
            number: row.get(1)?,
            lane: row.get(2)?,
            live: row.get(3)?,
            history: row.get(4)?,
            content_type: row.get(5)?,
        })
    });
    Ok(found.optional()?)
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
        let history: Vec<Attempt> = serde_json::from_str(&stored.history).map_err(corrupt)?;
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
        self.connection.execute("UPDATE letters SET live = 1 WHERE key = ?1", [id.key])?;
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
fn administer(connection: &Connection, scope: &TenantScope, name: &GroupName) -> Result<(), LogError> {
    let sql = "SELECT topics.name FROM groups JOIN topics ON topics.key = groups.topic
            WHERE groups.tenant = ?1 AND groups.name = ?2 AND topics.name IS NOT NULL
        UNION SELECT topic FROM letters WHERE tenant = ?1 AND name = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let topics: Vec<String> = statement
        .query_map((&**scope.tenant(), name.as_str()), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
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

fn letter(row: &Row<'_>, with_body: bool) -> rusqlite::Result<Result<Letter, LogError>> {
    let (topic, content_type): (String, String) = (row.get(2)?, row.get(5)?);
    let history = serde_json::from_str(&row.get::<_, String>(8)?);
    let (Ok(topic), Some(content_type), Ok(attempts)) =
        (TopicName::new(&topic), ContentType::new(&content_type), history)
    else {
        let source = "it is of no topic, of no type, or has no history".into();
        return Ok(Err(StorageError::Corrupt { what: "a dead letter", source }.into()));
    };
    Ok(Ok(Letter {
        id: LetterId { key: row.get(0)?, round: row.get(1)? },
        topic,
        position: row.get(3)?,
        at: Millis(row.get(4)?),
        content_type,
        body: if with_body { Bytes::from(row.get::<_, Vec<u8>>(10)?) } else { Bytes::new() },
        edited: row.get(6)?,
        since: Millis(row.get(7)?),
        attempts,
        retrying: row.get(9)?,
    }))
}
