//! A topic with what it shares with its source, and the source's source.

use rusqlite::Connection;
use sdk_core::clock::Millis;

use super::row::Topic;
use crate::storage::events::{After, LogError, MAX_FORK_DEPTH, Position};

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
    fn before(&self, connection: &Connection, time: Millis) -> Result<u64, LogError> {
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
}
