//! A topic with what it shares with its source, and the source's source.

use std::sync::Arc;

use sdk_core::clock::Millis;

use super::{store::RedisEvents, topic::Topic};
use crate::storage::events::{After, LogError, MAX_FORK_DEPTH, Position, TopicName};

/// A topic's events, piece by piece, oldest first.
pub(super) struct Lineage {
    /// The topic itself is the last; each shares with the next what comes before its `until`.
    pieces: Vec<Piece>,
}

/// What one topic of a line holds of it: the events after `after` up to `until`.
pub(super) struct Piece {
    pub(super) name: TopicName,
    pub(super) topic: Topic,
    pub(super) after: u64,
    pub(super) until: u64,
}

impl Lineage {
    pub(super) async fn of(
        log: &RedisEvents,
        tenant: &Arc<str>,
        name: &TopicName,
        topic: Topic,
        now: Millis,
    ) -> Result<Self, LogError> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut next = Some((topic.tail, name.clone(), topic));
        while let Some((until, name, topic)) = next.take() {
            let after = topic.first.min(until);
            // What was trimmed here hides what is older.
            let trimmed = topic.first > topic.fork_at();
            let source = topic.source.clone().filter(|_| !trimmed && pieces.len() <= MAX_FORK_DEPTH);
            pieces.push(Piece { name, topic, after, until });
            let Some(source) = source else { break };
            let Ok(name) = TopicName::new(&source.name) else { break };
            // What the source has lost is as if it were trimmed: there is no reading on across it.
            if let Some(topic) = log.look(tenant, &name, now).await?.filter(|topic| topic.holds(&source)) {
                next = Some((source.fork_at.min(until), name, topic));
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

    /// The offset after which to read; none of a time, which is to be sought.
    pub(super) fn offset(&self, after: After) -> Result<Option<u64>, LogError> {
        let position = match after {
            After::Start | After::Position(Position::ZERO) => return Ok(Some(self.pieces[0].after)),
            After::Now => return Ok(Some(self.topic().tail)),
            After::Time(_) => return Ok(None),
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
        Ok(Some(position.offset))
    }

    /// All pieces, oldest first.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// What holds an event, if that is kept.
    pub(super) fn holder(&self, number: u64) -> Option<&Piece> {
        self.pieces.iter().find(|piece| piece.after < number && number <= piece.until)
    }

    /// The pieces that have events after an offset.
    pub(super) fn after(&self, offset: u64) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(move |piece| piece.until > offset)
    }
}
