//! The names of events that were published, by which each is there once.
//!
//! A name is a hash. In the order of names, two that come one after the other are nowhere near one another, so that each would
//! cost a commit a page of the tree. New ones are therefore kept in the order of their events, and in memory to be found. Once
//! there are many, each commit puts a few in order that are neighbours. All at once would share no more pages, and where there
//! are millions of names, each of them on a page of its own, the writer would stand still for some hundred milliseconds.

use std::{collections::BTreeMap, ops::Bound};

use rusqlite::{Connection, OptionalExtension};
use sdk_core::clock::Millis;

use crate::storage::events::{CloudEvent, LogError, NAMES_KEPT};

/// Names that are not in order yet, before any is put there: the more there are, the more neighbours share a page.
const NEW: usize = 8_192;
/// Names that one commit puts in order, at least, once there are so many.
const SETTLED: usize = 128;
/// The part of the surplus that one commit puts in order, where that is more. It goes down again whatever is brought, and one
/// commit that brings very many does not pay for all of them.
const SURPLUS: usize = 8;
/// Names that a list forgets, if it does not bring more.
const SLICE: usize = 1_024;

/// What a topic knows of an event that it was given by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) number: u64,
    pub(super) content: [u8; 16],
}

/// The names of every topic. What is in memory is what the table `new_names` has, as the transaction sees it: after one that
/// failed it has to be loaded again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    new: BTreeMap<(i64, [u8; 16]), Known>,
    /// The last that was put in order; the next are those behind it, and in the end the first again.
    last: (i64, [u8; 16]),
}

impl Names {
    pub(super) fn load(connection: &Connection) -> Result<Self, LogError> {
        let mut statement =
            connection.prepare_cached("SELECT topic, name, number, content FROM new_names")?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(((row.get(0)?, row.get(1)?), Known { number: row.get(2)?, content: row.get(3)? }))
        };
        let new = statement.query_map([], read)?.collect::<Result<_, _>>()?;
        Ok(Self { new, last: (0, [0; 16]) })
    }

    pub(super) fn find(
        &self,
        connection: &Connection,
        topic: i64,
        event: &CloudEvent,
    ) -> Result<Option<Known>, LogError> {
        if let Some(known) = self.new.get(&(topic, event.name())) {
            return Ok(Some(*known));
        }
        let sql = "SELECT number, content FROM names WHERE topic = ?1 AND name = ?2";
        let mut statement = connection.prepare_cached(sql)?;
        let known = statement
            .query_row((topic, event.name()), |row| Ok(Known { number: row.get(0)?, content: row.get(1)? }));
        Ok(known.optional()?)
    }

    /// Notes events that were written, the first of them under a number.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        topic: i64,
        events: &[&CloudEvent],
        first: u64,
        now: Millis,
    ) -> Result<(), LogError> {
        let sql = "INSERT INTO new_names (topic, number, name, content, at) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut insert = connection.prepare_cached(sql)?;
        for (event, number) in events.iter().zip(first..) {
            insert.execute((topic, number, event.name(), event.content(), now.0))?;
            self.new.insert((topic, event.name()), Known { number, content: event.content() });
        }
        Ok(())
    }

    /// Puts some new names in order, once there are many.
    pub(super) fn settle(&mut self, connection: &Connection) -> Result<(), LogError> {
        let Some(surplus) = self.new.len().checked_sub(NEW) else { return Ok(()) };
        let behind = self.new.range((Bound::Excluded(self.last), Bound::Unbounded));
        let neighbours = behind.chain(self.new.range(..=self.last)).take(SETTLED.max(surplus / SURPLUS));
        let neighbours: Vec<_> = neighbours.map(|(name, known)| (*name, known.number)).collect();
        let sql = "INSERT INTO names (topic, name, number, content, at)
            SELECT topic, name, number, content, at FROM new_names WHERE topic = ?1 AND number = ?2";
        let mut insert = connection.prepare_cached(sql)?;
        let mut delete =
            connection.prepare_cached("DELETE FROM new_names WHERE topic = ?1 AND number = ?2")?;
        for (name, number) in neighbours {
            insert.execute((name.0, number))?;
            delete.execute((name.0, number))?;
            self.new.remove(&name);
            self.last = name;
        }
        Ok(())
    }

    /// Takes away the names of a topic's events up to a number, which are gone, once their time is over. Whoever brings names
    /// takes as many away, so that they do not pile up.
    pub(super) fn forget(
        &mut self,
        connection: &Connection,
        topic: i64,
        gone: u64,
        brought: usize,
        now: Millis,
    ) -> Result<(), LogError> {
        let (over, most) = (now.0.saturating_sub(NAMES_KEPT), brought.max(SLICE));
        let sql = "DELETE FROM names WHERE topic = ?1 AND number IN (SELECT number FROM names
            WHERE topic = ?1 AND number <= ?2 AND at <= ?3 ORDER BY number LIMIT ?4)";
        connection.prepare_cached(sql)?.execute((topic, gone, over, most))?;
        let sql = "DELETE FROM new_names WHERE topic = ?1 AND number IN (SELECT number FROM new_names
            WHERE topic = ?1 AND number <= ?2 AND at <= ?3 ORDER BY number LIMIT ?4) RETURNING name";
        let mut statement = connection.prepare_cached(sql)?;
        let mut names = statement.query((topic, gone, over, most))?;
        while let Some(row) = names.next()? {
            self.new.remove(&(topic, row.get(0)?));
        }
        Ok(())
    }

    /// Takes away a slice of what a topic knew that is gone. Tells whether there may be more.
    pub(super) fn purge(
        &mut self,
        connection: &Connection,
        topic: i64,
        slice: usize,
    ) -> Result<bool, LogError> {
        if connection.execute("DELETE FROM new_names WHERE topic = ?1", [topic])? > 0 {
            self.new.retain(|(of, _), _| *of != topic);
        }
        let sql = "DELETE FROM names WHERE topic = ?1 AND name IN (SELECT name FROM names WHERE topic = ?1 LIMIT ?2)";
        Ok(connection.execute(sql, (topic, slice))? == slice)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Caps, SqliteEvents, publish::publish},
        *,
    };
    use crate::{
        fixtures::{START, scope},
        storage::{
            StorageError,
            events::{Publish, TopicName},
        },
    };

    fn open(folder: &tempfile::TempDir) -> SqliteEvents {
        let path = folder.path().join("events.db");
        SqliteEvents::open(&path, Caps { topics: 8 }, Box::new(|| 7)).unwrap()
    }

    fn list(ids: std::ops::Range<usize>) -> Vec<Publish> {
        let event = |id: usize| {
            let text = format!(r#"{{"specversion":"1.0","type":"t","source":"/s","id":"{id}"}}"#);
            CloudEvent::new(text.into()).unwrap()
        };
        vec![Publish { topic: TopicName::new("t").unwrap(), events: ids.map(event).collect() }]
    }

    /// The offset of the last event of a list.
    fn last(log: &mut SqliteEvents, ids: std::ops::Range<usize>) -> u64 {
        let (mut answers, _) =
            log.transaction(|group| publish(group, &scope("acme", "ada"), &list(ids), START)).unwrap();
        answers.pop().unwrap().unwrap().unwrap().last().unwrap().offset
    }

    fn rows(log: &SqliteEvents, table: &str) -> usize {
        log.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_name_is_known_before_and_after_it_is_put_in_its_place_and_in_another_life() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(&folder);
        assert_eq!(last(&mut log, 0..NEW - 1), NEW as u64 - 1);
        assert_eq!((rows(&log, "new_names"), rows(&log, "names")), (NEW - 1, 0));
        let mut log = open(&folder);
        assert_eq!(last(&mut log, 7..8), 8);
        assert_eq!(last(&mut log, NEW - 1..NEW + 1), NEW as u64 + 1);
        assert_eq!((rows(&log, "new_names"), rows(&log, "names")), (NEW + 1 - SETTLED, SETTLED));
        assert_eq!(last(&mut log, 7..8), 8);
        assert_eq!(last(&mut log, NEW + 1..NEW + 2), NEW as u64 + 2);
        let mut log = open(&folder);
        assert_eq!((last(&mut log, 7..8), last(&mut log, NEW + 1..NEW + 2)), (8, NEW as u64 + 2));
        assert_eq!(rows(&log, "events"), NEW + 2);
    }

    #[test]
    fn a_commit_puts_few_names_in_order_and_all_come_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(&folder);
        let most = NEW + 8 * SETTLED * SURPLUS;
        last(&mut log, 0..most);
        let mut before = rows(&log, "names");
        assert_eq!(before, 8 * SETTLED, "also of a list that brings very many");
        for next in most..most + 200 {
            assert_eq!(last(&mut log, next..next + 1), next as u64 + 1);
            let settled = rows(&log, "names");
            assert!(settled - before <= 8 * SETTLED, "one commit has put {} in order", settled - before);
            before = settled;
        }
        let (new, settled) = (rows(&log, "new_names"), rows(&log, "names"));
        assert!(new <= NEW && new + settled == most + 200, "{new} and {settled}");
        for known in [0, 17, most / 2, most, most + 199] {
            assert_eq!(last(&mut log, known..known + 1), known as u64 + 1, "it is there once");
        }
    }

    #[test]
    fn what_a_transaction_wrote_that_failed_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(&folder);
        last(&mut log, 0..1);
        let failed = log.transaction(|group| {
            publish(group, &scope("acme", "ada"), &list(1..3), START)?;
            Err::<(), _>(StorageError::Unavailable("the disk is gone".into()).into())
        });
        assert!(failed.is_err());
        assert_eq!(last(&mut log, 2..3), 2);
        assert_eq!(rows(&log, "events"), 2);
    }

    #[test]
    fn what_a_topic_knew_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(&folder);
        last(&mut log, 0..NEW + 1);
        last(&mut log, NEW + 1..NEW + 3);
        let name = TopicName::new("t").unwrap();
        let deleted = log.transaction(|group| {
            super::super::create::delete(group, &scope("acme", "ada"), &name, START)?;
            while group.tidy(START)? {}
            Ok(())
        });
        deleted.unwrap();
        assert_eq!((rows(&log, "new_names"), rows(&log, "names"), rows(&log, "topics")), (0, 0, 0));
        assert_eq!(last(&mut log, 0..1), 1);
    }
}
