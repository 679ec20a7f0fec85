//! A topic with what it shares with its source, and the source's source.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use sdk_core::clock::Millis;

use super::row::Topic;
use crate::storage::events::{After, LogError, MAX_FORK_DEPTH, Numbered, Position};

/// A topic's events, piece by piece, oldest first.
pub(super) struct Lineage {
    /// The topic itself is the last; each shares with the next what comes before its `until`.
    pieces: Vec<Piece>,
}

/// What one topic of a line holds of it: the events after `after` up to `until`.
pub(super) struct Piece {
    pub(super) topic: Topic,
    pub(super) after: u64,
    pub(super) until: u64,
}

impl Lineage {
    pub(super) fn of(connection: &Connection, topic: Topic) -> Result<Self, LogError> {
        let mut pieces = Vec::new();
        let mut next = Some((topic.tail, topic));
        while let Some((until, topic)) = next {
            next = match &topic.source {
                Some(source) if pieces.len() <= MAX_FORK_DEPTH => {
                    Some((source.fork_at.min(until), Topic::by_key(connection, source.key)?))
                }
                _ => None,
            };
            let after = topic.first.min(until);
            // What was trimmed here hides what is older.
            let trimmed = topic.first > topic.fork_at();
            pieces.push(Piece { topic, after, until });
            if trimmed {
                break;
            }
        }
        pieces.reverse();
        Ok(Self { pieces })
    }

    /// How often the topic's past was forked.
    pub(super) fn depth(&self) -> usize {
        self.pieces.len()
    }

    /// The topic itself.
    pub(super) fn topic(&self) -> &Topic {
        &self.pieces[self.pieces.len() - 1].topic
    }

    /// Where reading can begin.
    pub(super) fn earliest(&self) -> Position {
        self.position(self.pieces[0].after)
    }

    /// How a reader is told of an offset: what a topic shares with its source has the source's positions.
    pub(super) fn position(&self, offset: u64) -> Position {
        let owner = self.pieces.iter().find(|piece| offset < piece.until);
        owner.map_or_else(|| self.topic(), |piece| &piece.topic).at(offset)
    }

    /// The offset after which to read.
    pub(super) fn offset(&self, connection: &Connection, after: After) -> Result<u64, LogError> {
        let position = match after {
            After::Start | After::Position(Position::ZERO) => return Ok(self.pieces[0].after),
            After::Now => return Ok(self.topic().tail),
            After::Time(time) => return self.before(connection, time),
            After::Position(position) => position,
        };
        let earliest = self.earliest();
        // A position is of the topic itself, or of a source before the two parted.
        let known = self
            .pieces
            .iter()
            .any(|piece| position.epoch == piece.topic.epoch && position.offset <= piece.until);
        if !known {
            return Err(LogError::PositionLost { earliest });
        }
        if position.offset < earliest.offset {
            return Err(LogError::PositionTrimmed { earliest });
        }
        Ok(position.offset)
    }

    /// The offset after which all was appended at a time or later: times do not go back within a topic, nor from a
    /// source to its fork.
    pub(super) fn before(&self, connection: &Connection, time: Millis) -> Result<u64, LogError> {
        let mut statement = connection.prepare_cached("SELECT at FROM events WHERE id = ?1")?;
        let (mut low, mut high) = (self.pieces[0].after, self.topic().tail);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(piece) = self.after(middle).next() else { break };
            let at: u64 = statement.query_row([piece.topic.event(middle + 1)], |row| row.get(0))?;
            if at < time.0 { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// The pieces that have events after an offset.
    pub(super) fn after(&self, offset: u64) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(move |piece| piece.until > offset)
    }

    /// One event, if it is kept.
    pub(super) fn event(
        &self,
        connection: &Connection,
        number: u64,
    ) -> Result<Option<(Millis, Bytes)>, LogError> {
        let owner = self.pieces.iter().find(|piece| piece.after < number && number <= piece.until);
        let Some(piece) = owner else { return Ok(None) };
        let mut statement = connection.prepare_cached("SELECT at, body FROM events WHERE id = ?1")?;
        let found = statement.query_row([piece.topic.event(number)], |row| {
            Ok((Millis(row.get(0)?), Bytes::from(row.get::<_, Vec<u8>>(1)?)))
        });
        Ok(found.optional()?)
    }

    /// Some of the events after an offset: at least one if there is any, and not more bytes than asked for otherwise.
    pub(super) fn take(
        &self,
        connection: &Connection,
        after: u64,
        most: usize,
        bytes: usize,
    ) -> Result<Vec<Numbered>, LogError> {
        let (mut taken, mut size, mut number) = (Vec::new(), 0, after);
        let sql = "SELECT at, body FROM events WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3";
        let mut statement = connection.prepare_cached(sql)?;
        for piece in self.after(after) {
            let room = most - taken.len();
            let mut rows =
                statement.query((piece.topic.event(number), piece.topic.event(piece.until), room))?;
            while let Some(row) = rows.next()? {
                let body: Vec<u8> = row.get(1)?;
                size += body.len();
                if !taken.is_empty() && size > bytes {
                    return Ok(taken);
                }
                number += 1;
                taken.push((number, Millis(row.get(0)?), body.into()));
            }
        }
        Ok(taken)
    }

    /// The offset, not below another, after which the events have at most so many bytes.
    pub(super) fn newest_within(
        &self,
        connection: &Connection,
        from: u64,
        bytes: u64,
    ) -> Result<u64, LogError> {
        let (mut size, mut offset) = (0u64, self.topic().tail);
        // The length of a body is known without reading it.
        let sql = "SELECT length(body) FROM events WHERE id > ?1 AND id <= ?2 ORDER BY id DESC";
        let mut statement = connection.prepare_cached(sql)?;
        for piece in self.pieces.iter().rev() {
            let after = piece.after.max(from);
            if after >= piece.until {
                continue;
            }
            let mut rows = statement.query((piece.topic.event(after), piece.topic.event(piece.until)))?;
            while let Some(row) = rows.next()? {
                size += row.get::<_, u64>(0)?;
                if size > bytes {
                    return Ok(offset);
                }
                offset -= 1;
            }
        }
        Ok(offset)
    }
}
