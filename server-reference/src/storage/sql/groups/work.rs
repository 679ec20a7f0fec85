//! One group in one transaction: what changes in it, whoever asks.

use bytes::Bytes;
use sdk_core::clock::Millis;

use super::{
    line::Line,
    row::{Entry, GROUP, GroupRow, State},
};
use crate::storage::{
    StorageError,
    events::{After, Attempt, LogError, MAX_GROUP_BYTES, MAX_GROUP_LETTERS, MAX_HISTORY, Poison},
    sql::{Connection, Row, corrupt},
};

/// Leases that are looked at in one transaction.
const LAPSED: usize = 1_024;

pub(in crate::storage) struct Work<'a> {
    pub(super) connection: &'a dyn Connection,
    pub(super) group: GroupRow,
    pub(super) line: &'a dyn Line,
    pub(super) now: Millis,
    chance: u64,
    before: GroupRow,
}

impl<'a> Work<'a> {
    pub(in crate::storage) fn of(
        connection: &'a dyn Connection,
        group: GroupRow,
        line: &'a dyn Line,
        now: Millis,
        chance: u64,
    ) -> Self {
        Self { connection, before: group.clone(), group, line, now, chance }
    }

    /// Writes what became of the group itself.
    pub(in crate::storage) fn close(self) -> Result<(), LogError> {
        if self.group == self.before { Ok(()) } else { self.group.update(self.connection) }
    }

    /// The event of an entry, and when it was committed; none if it is not kept any more.
    pub(super) fn event(&self, entry: &Entry) -> Result<Option<(Millis, Bytes)>, LogError> {
        let Some(letter) = entry.letter else { return self.line.event(entry.number) };
        let sql = "SELECT at, body FROM letters WHERE key = ?1";
        let read = |row: &dyn Row| Ok((Millis(row.get(0)?), Bytes::from(row.get::<Vec<u8>>(1)?)));
        Ok(self.connection.optional(sql, (letter,), read)?)
    }

    /// Takes an event off the list: it is resolved, and its lane goes on.
    pub(super) fn resolve(&mut self, entry: &Entry) -> Result<(), LogError> {
        let sql = "DELETE FROM deliveries WHERE grp = ?1 AND number = ?2";
        self.connection.execute(sql, (self.group.key, entry.number))?;
        self.group.unresolved = self.group.unresolved.saturating_sub(1);
        match entry.lane {
            Some(lane) => self.promote(lane),
            None => Ok(()),
        }
    }

    /// Has the first of a lane's entries that wait for their turn have it, if no other has it.
    pub(super) fn promote(&self, lane: i64) -> Result<(), LogError> {
        let sql = "UPDATE deliveries SET state = 0 WHERE grp = ?1 AND number =
            (SELECT number FROM deliveries WHERE grp = ?1 AND lane = ?2 ORDER BY number LIMIT 1)
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE grp = ?1 AND lane = ?2 AND state <> 2)";
        self.connection.execute(sql, (self.group.key, lane))?;
        Ok(())
    }

    /// Whether a lane has entries.
    pub(super) fn busy(&self, lane: Option<i64>) -> Result<bool, LogError> {
        let Some(lane) = lane else { return Ok(false) };
        let sql = "SELECT 1 FROM deliveries WHERE grp = ?1 AND lane = ?2 LIMIT 1";
        Ok(self.connection.exists(sql, (self.group.key, lane))?)
    }

    /// An event is done.
    pub(super) fn done(&mut self, entry: &Entry) -> Result<(), LogError> {
        if let Some(letter) = entry.letter {
            self.drop_letter(letter)?;
        }
        self.resolve(entry)
    }

    pub(super) fn drop_letter(&mut self, letter: i64) -> Result<(), LogError> {
        let sql = "DELETE FROM letters WHERE key = ?1 RETURNING length(body)";
        let gone: Option<u64> = self.connection.optional(sql, (letter,), |row| row.get(0))?;
        if let Some(bytes) = gone {
            self.group.letters = self.group.letters.saturating_sub(1);
            self.group.letter_bytes = self.group.letter_bytes.saturating_sub(bytes);
        }
        Ok(())
    }

    /// An attempt has failed: the event waits for the next, or its attempts are over.
    pub(super) fn fail(
        &mut self,
        mut entry: Entry,
        worker: &str,
        error: &str,
        delay: Option<u64>,
    ) -> Result<(), LogError> {
        let rules = &self.group.rules;
        let (last, poison, longest) =
            (entry.attempts + 1 >= rules.attempts, rules.poison, rules.backoff_max_ms);
        entry.history.push(Attempt { at: self.now.0, worker: worker.into(), error: error.into() });
        let surplus = entry.history.len().saturating_sub(MAX_HISTORY);
        entry.history.drain(..surplus);
        if !last {
            let pause = delay.unwrap_or_else(|| self.pause(&entry));
            entry.attempts += 1;
            return self.wait(entry, pause);
        }
        if poison == Poison::Skip {
            self.group.skipped += 1;
            return self.resolve(&entry);
        }
        match self.bury(&entry)? {
            Burial::Letter(_) if poison == Poison::Park => self.resolve(&entry),
            Burial::Letter(letter) => {
                entry.attempts += 1;
                (entry.state, entry.letter) = (State::Halted, Some(letter));
                entry.save(self.connection, self.group.key)
            }
            // It is kept where it is, and tried on, until there is room.
            Burial::Full => self.wait(entry, longest),
            Burial::NoEvent => {
                self.lose(1, entry.number);
                self.resolve(&entry)
            }
        }
    }

    fn wait(&self, mut entry: Entry, pause: u64) -> Result<(), LogError> {
        (entry.state, entry.due) = (State::Ready, self.now.plus(pause).0);
        entry.save(self.connection, self.group.key)
    }

    /// Full jitter: anything up to a bound that doubles with each failure.
    fn pause(&self, entry: &Entry) -> u64 {
        let rules = &self.group.rules;
        let bound = rules.backoff_ms.saturating_mul(1 << entry.attempts.min(40)).min(rules.backoff_max_ms);
        mixed(self.chance ^ entry.number) % (bound + 1)
    }

    /// Keeps an event as a dead letter.
    fn bury(&mut self, entry: &Entry) -> Result<Burial, LogError> {
        let history = serde_json::to_string(&entry.history).map_err(corrupt(GROUP))?;
        if let Some(letter) = entry.letter {
            let sql =
                "UPDATE letters SET live = FALSE, round = round + 1, since = ?2, history = ?3 WHERE key = ?1";
            self.connection.execute(sql, (letter, self.now.0, history))?;
            return Ok(Burial::Letter(letter));
        }
        let Some((at, body)) = self.event(entry)? else { return Ok(Burial::NoEvent) };
        let bytes = self.group.letter_bytes + body.len() as u64;
        if self.group.letters >= MAX_GROUP_LETTERS || bytes > MAX_GROUP_BYTES {
            return Ok(Burial::Full);
        }
        let line = self.line.state();
        let sql = "INSERT INTO letters (tenant, name, grp, topic, number, lane, position, at, content_type, body, edited, \
            since, round, live, history) SELECT tenant, name, key, ?2, ?3, ?4, ?5, ?6, ?7, ?8, FALSE, ?9, 1, FALSE, ?10
            FROM groups WHERE key = ?1 RETURNING key";
        let row = (
            self.group.key,
            line.name.as_str(),
            entry.number,
            entry.lane,
            line.at(entry.number).to_string(),
            at.0,
            line.content_type.as_str(),
            &body[..],
            self.now.0,
            history,
        );
        let letter = self.connection.one(sql, row, |row| row.get(0))?;
        self.group.letters += 1;
        self.group.letter_bytes = bytes;
        Ok(Burial::Letter(letter))
    }

    fn lose(&mut self, events: u64, through: u64) {
        self.group.lost += events;
        self.group.through = self.group.through.max(through);
    }

    /// Takes back what is out under leases that are over. Each is an attempt that failed. Tells whether there may be more.
    pub(in crate::storage) fn lapse(&mut self) -> Result<bool, LogError> {
        let sql =
            "SELECT id, worker, members FROM leases WHERE grp = ?1 AND until <= ?2 ORDER BY until LIMIT ?3";
        let read = |row: &dyn Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let lapsed: Vec<(u64, String, String)> =
            self.connection.all(sql, (self.group.key, self.now.0, LAPSED), read)?;
        for (lease, worker, members) in &lapsed {
            for entry in self.out(*lease, &parse(members)?)? {
                self.fail(entry, worker, "the lease lapsed", None)?;
            }
            let sql = "DELETE FROM leases WHERE grp = ?1 AND id = ?2";
            self.connection.execute(sql, (self.group.key, lease))?;
        }
        Ok(lapsed.len() == LAPSED)
    }

    /// Those of some events that are out under a lease.
    pub(super) fn out(&self, lease: u64, numbers: &[u64]) -> Result<Vec<Entry>, LogError> {
        let mut out = Vec::new();
        for number in numbers {
            let entry = Entry::load(self.connection, self.group.key, *number)?;
            out.extend(entry.filter(|entry| entry.state == State::Out && entry.lease == lease));
        }
        Ok(out)
    }

    /// Gives up what cannot be read any more, or was left unread for too long. What is out at a worker stays there.
    pub(super) fn shed(&mut self, floor: u64) -> Result<(), LogError> {
        if self.group.scanned < floor {
            self.lose(floor - self.group.scanned, floor);
            self.group.scanned = floor;
        }
        let sql = "SELECT number, lane FROM deliveries WHERE grp = ?1 AND number <= ?2 AND state IN (0, 2) \
            AND letter IS NULL";
        let gone: Vec<(u64, Option<i64>)> =
            self.connection.all(sql, (self.group.key, floor), |row| Ok((row.get(0)?, row.get(1)?)))?;
        for (number, lane) in gone {
            self.lose(1, number);
            // In their order, so that whoever has its turn next is above the floor, or goes as well.
            self.resolve(&Entry::new(number, lane))?;
        }
        Ok(())
    }

    /// Below this nothing is to be read, because it is gone or because there would be too much unread.
    pub(super) fn floor(&self) -> Result<u64, LogError> {
        let unread = self.group.rules.unread;
        let mut floor = self.line.state().earliest.offset;
        if let Some(events) = unread.events {
            floor = floor.max(self.line.state().tail.saturating_sub(events));
        }
        if let Some(seconds) = unread.age_seconds {
            let oldest = Millis(self.now.0.saturating_sub(seconds.saturating_mul(1000)));
            floor = floor.max(self.line.offset(After::Time(oldest))?);
        }
        Ok(floor)
    }
}

/// What became of an event that was to be a dead letter.
enum Burial {
    Letter(i64),
    Full,
    NoEvent,
}

/// The numbers of a lease's events.
pub(super) fn parse(members: &str) -> Result<Vec<u64>, StorageError> {
    serde_json::from_str(members).map_err(corrupt(GROUP))
}

/// Spreads the bits of a number (the finisher of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
