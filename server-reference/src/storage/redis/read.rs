//! Reading. What is read is of one state of each topic that it comes from; if that changes in between, it is read anew.

use std::sync::Arc;

use sdk_core::clock::Millis;
use serde::Serialize;

use super::{
    lineage::{Lineage, Piece},
    reply::{Reply, corrupt},
    scripts,
    store::{RedisEvents, busy},
    topic::{Topic, digits},
};
use crate::{
    access::Right,
    storage::events::{After, Events, Lifetime, LogError, Read, Slice, TopicName, TopicState, allow},
    tenant::TenantScope,
};

/// How often a read begins anew.
pub(super) const ATTEMPTS: usize = 8;

#[derive(Serialize)]
struct Params<'a> {
    id: &'a str,
    epoch: String,
    from: u64,
    to: u64,
    bytes: usize,
    /// Whether one event is read whatever its size.
    one: bool,
}

#[derive(Serialize)]
struct Seek<'a> {
    id: &'a str,
    from: u64,
    to: u64,
    time: u64,
}

#[derive(Serialize)]
struct Touch<'a> {
    id: &'a str,
}

impl RedisEvents {
    pub(super) async fn read_slice(
        &self,
        scope: &TenantScope,
        name: &TopicName,
        read: Read,
        now: Millis,
    ) -> Result<Slice, LogError> {
        allow(scope, name, Right::Read)?;
        for _ in 0..ATTEMPTS {
            let lineage = self.lineage(scope.tenant(), name, now).await?;
            let Some(slice) = self.read_lineage(scope.tenant(), &lineage, read, now).await? else { continue };
            self.touch(scope.tenant(), name, lineage.topic(), now).await?;
            return Ok(slice);
        }
        Err(busy())
    }

    /// None if something has changed in between.
    pub(super) async fn read_lineage(
        &self,
        tenant: &Arc<str>,
        lineage: &Lineage,
        read: Read,
        now: Millis,
    ) -> Result<Option<Slice>, LogError> {
        let sought = match (lineage.offset(read.after)?, read.after) {
            (None, After::Time(time)) => self.seek(tenant, lineage, time, now).await?,
            (offset, _) => offset,
        };
        let Some(from) = sought else { return Ok(None) };
        let (mut events, mut to) = (Events::default(), from);
        'pieces: for piece in lineage.after(from) {
            while to < piece.until {
                let Some((reply, full)) = self.part(tenant, piece, to, &events, read.bytes, now).await?
                else {
                    return Ok(None);
                };
                for body in reply.rest(2) {
                    events.push(body);
                    to += 1;
                }
                if full {
                    break 'pieces;
                }
            }
            if read.within_epoch && !events.is_empty() {
                break;
            }
        }
        let topic = lineage.topic();
        let up_to_date = to == topic.tail;
        let idle = match topic.lifetime {
            Lifetime::Idle(seconds) => Some(seconds),
            _ => None,
        };
        Ok(Some(Slice {
            content_type: topic.content_type.clone(),
            from: lineage.position(from),
            to: lineage.position(to),
            events,
            up_to_date,
            closed: up_to_date && topic.closed,
            idle,
        }))
    }

    /// Some of a piece's events, and whether the next one is too much.
    async fn part(
        &self,
        tenant: &Arc<str>,
        piece: &Piece,
        from: u64,
        before: &Events,
        bytes: usize,
        now: Millis,
    ) -> Result<Option<(Reply, bool)>, LogError> {
        let params = Params {
            id: &piece.topic.id,
            epoch: digits(piece.topic.epoch.0),
            from,
            to: piece.until,
            // No number that a script does not know exactly.
            bytes: bytes.saturating_sub(before.bytes().len()).min(1 << 50),
            one: before.is_empty(),
        };
        let reply = self.change(&scripts::SLICE, tenant, &piece.name, now, &params, &[]).await?;
        match reply.word() {
            "changed" => Ok(None),
            "events" => {
                let full = reply.text(1)? == "1";
                if reply.rest(2).is_empty() && !full { Err(hole()) } else { Ok(Some((reply, full))) }
            }
            "hole" => Err(hole()),
            _ => Err(reply.strange()),
        }
    }

    /// The offset after which all was appended at a time or later: times do not go back within a topic, nor from a source to its
    /// fork.
    pub(super) async fn seek(
        &self,
        tenant: &Arc<str>,
        lineage: &Lineage,
        time: Millis,
        now: Millis,
    ) -> Result<Option<u64>, LogError> {
        for piece in lineage.pieces() {
            let (id, from, to) = (piece.topic.id.as_str(), piece.after, piece.until);
            let params = Seek { id, from, to, time: time.0 };
            let reply = self.change(&scripts::SEEK, tenant, &piece.name, now, &params, &[]).await?;
            match reply.word() {
                "after" if reply.number(1)? < to => return Ok(Some(reply.number(1)?)),
                "after" => {}
                "changed" => return Ok(None),
                "hole" => return Err(hole()),
                _ => return Err(reply.strange()),
            }
        }
        Ok(Some(lineage.topic().tail))
    }

    pub(super) async fn state(
        &self,
        scope: &TenantScope,
        name: &TopicName,
        now: Millis,
    ) -> Result<TopicState, LogError> {
        allow(scope, name, Right::Read)?;
        let lineage = self.lineage(scope.tenant(), name, now).await?;
        Ok(lineage.topic().state(lineage.earliest()))
    }

    /// A topic that can be read, with what it shares.
    pub(super) async fn lineage(
        &self,
        tenant: &Arc<str>,
        name: &TopicName,
        now: Millis,
    ) -> Result<Lineage, LogError> {
        let topic = self.look(tenant, name, now).await?.ok_or(LogError::NoSuchTopic)?;
        if topic.hidden || (topic.expired(now) && topic.forks > 0) {
            Err(LogError::Deleted)
        } else if topic.expired(now) {
            Err(LogError::NoSuchTopic)
        } else {
            Lineage::of(self, tenant, name, topic, now).await
        }
    }

    /// Notes that a topic is used, once in a sixteenth of the time that it may be idle.
    pub(super) async fn touch(
        &self,
        tenant: &Arc<str>,
        name: &TopicName,
        topic: &Topic,
        now: Millis,
    ) -> Result<(), LogError> {
        if topic.wants_touch(now) {
            self.change(&scripts::TOUCH, tenant, name, now, &Touch { id: &topic.id }, &[]).await?;
        }
        Ok(())
    }
}

pub(super) fn hole() -> LogError {
    corrupt("a topic", "an event is missing between others")
}
