//! Topics of this log for groups that are in a database.

use std::{ptr, sync::Arc};

use bytes::Bytes;
use futures::future::FutureExt;
use sdk_core::clock::Millis;
use serde::Serialize;

use super::{
    lineage::{Lineage, Piece},
    read::{ATTEMPTS, hole},
    scripts,
    store::{RedisEvents, busy},
    topic::digits,
};
use crate::storage::events::{
    After, Answer, LineRef, LineState, Lines, LogError, Numbered, Standing, TopicName,
};

/// Events that are asked for at a time.
const MOST: usize = 1_024;
/// The greatest count of bytes that scripts are told.
const MAX_BYTES: u64 = 1 << 50;

#[derive(Serialize)]
struct Pick<'a> {
    id: &'a str,
    epoch: String,
    to: u64,
    numbers: &'a [u64],
    bytes: u64,
    /// Whether one event is read whatever its size.
    one: bool,
}

#[derive(Serialize)]
struct Weigh<'a> {
    id: &'a str,
    epoch: String,
    from: u64,
    to: u64,
    bytes: u64,
}

/// Events that are asked for.
enum Wanted {
    These(Vec<u64>),
    /// Those after an offset, so many at most.
    After(u64, usize),
}

/// What is asked for of a topic's offsets.
#[derive(Clone, Copy)]
enum Place {
    After(After),
    /// The one, not below the first, after which there are at most so many bytes.
    Within(u64, u64),
}

impl RedisEvents {
    async fn standing(
        &self,
        tenant: &Arc<str>,
        name: TopicName,
        used: bool,
        now: Millis,
    ) -> Result<Standing, LogError> {
        let lineage = self.lineage(tenant, &name, now).await?;
        let topic = lineage.topic();
        if used {
            self.touch(tenant, &name, topic, now).await?;
        }
        let state = LineState {
            name,
            epoch: topic.epoch,
            content_type: topic.content_type.clone(),
            redelivery: topic.redelivery,
            earliest: lineage.earliest(),
            tail: topic.tail,
        };
        Ok(Standing { id: topic.id.clone(), sure: topic.sure.unwrap_or(topic.tail), state })
    }

    /// A topic, in the epoch that is asked about.
    async fn line_of(&self, of: &LineRef) -> Result<Lineage, LogError> {
        let lineage = self.lineage(&of.tenant, &of.topic, of.now).await?;
        if lineage.topic().epoch == of.epoch {
            Ok(lineage)
        } else {
            Err(LogError::PositionLost { earliest: lineage.earliest() })
        }
    }

    /// Some events of a topic, anew where it has changed in between.
    async fn wanted(&self, of: &LineRef, wanted: Wanted, bytes: usize) -> Result<Vec<Numbered>, LogError> {
        for _ in 0..ATTEMPTS {
            let lineage = self.line_of(of).await?;
            let found = match &wanted {
                Wanted::These(numbers) => self.picked(of, &lineage, numbers, bytes).await?,
                Wanted::After(after, most) => {
                    let next = lineage.earliest().offset.max(*after) + 1;
                    let numbers: Vec<u64> = (next..=lineage.topic().tail).take(*most).collect();
                    let found = self.picked(of, &lineage, &numbers, bytes).await?;
                    // What was trimmed in between would be missing before others.
                    found.filter(|found| found.iter().zip(&numbers).all(|(event, number)| event.0 == *number))
                }
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Err(busy())
    }

    /// A place in a topic, anew where that has changed in between.
    async fn place(&self, of: &LineRef, place: Place) -> Result<u64, LogError> {
        for _ in 0..ATTEMPTS {
            let lineage = self.line_of(of).await?;
            let offset = match place {
                Place::After(after) => match (lineage.offset(after)?, after) {
                    (None, After::Time(time)) => self.seek(&of.tenant, &lineage, time, of.now).await?,
                    (offset, _) => offset,
                },
                Place::Within(from, bytes) => self.within(of, &lineage, from, bytes).await?,
            };
            if let Some(offset) = offset {
                return Ok(offset);
            }
        }
        Err(busy())
    }

    /// None if something has changed in between.
    async fn picked(
        &self,
        of: &LineRef,
        lineage: &Lineage,
        numbers: &[u64],
        bytes: usize,
    ) -> Result<Option<Vec<Numbered>>, LogError> {
        let kept: Vec<(&Piece, u64)> =
            numbers.iter().filter_map(|number| Some((lineage.holder(*number)?, *number))).collect();
        let (mut picked, mut left) = (Vec::new(), (bytes as u64).min(MAX_BYTES));
        for run in kept.chunk_by(|(one, _), (next, _)| ptr::eq(*one, *next)) {
            let (Piece { name, topic, until, .. }, _) = run[0];
            let numbers: Vec<u64> = run.iter().map(|(_, number)| *number).collect();
            let mut rest = numbers.as_slice();
            while !rest.is_empty() {
                let params = Pick {
                    id: &topic.id,
                    epoch: digits(topic.epoch.0),
                    to: *until,
                    numbers: &rest[..rest.len().min(MOST)],
                    bytes: left,
                    one: picked.is_empty(),
                };
                let reply = self.change(&scripts::PICK, &of.tenant, name, of.now, &params, &[]).await?;
                match reply.word() {
                    "events" => {}
                    "changed" => return Ok(None),
                    "hole" => return Err(hole()),
                    _ => return Err(reply.strange()),
                }
                for (n, parts) in reply.rest(3).chunks_exact(3).enumerate() {
                    let (number, at) = (reply.number(3 + 3 * n)?, reply.number(4 + 3 * n)?);
                    left = left.saturating_sub(parts[2].len() as u64);
                    picked.push((number, Millis(at), Bytes::copy_from_slice(&parts[2])));
                }
                if reply.text(1)? == "1" {
                    return Ok(Some(picked));
                }
                let looked_at = usize::try_from(reply.number(2)?).ok().filter(|count| *count > 0);
                rest = looked_at.and_then(|count| rest.get(count..)).ok_or_else(|| reply.strange())?;
            }
        }
        Ok(Some(picked))
    }

    /// None if something has changed in between.
    async fn within(
        &self,
        of: &LineRef,
        lineage: &Lineage,
        from: u64,
        bytes: u64,
    ) -> Result<Option<u64>, LogError> {
        let (mut offset, mut left) = (lineage.topic().tail, bytes.min(MAX_BYTES));
        for Piece { name, topic, after, until } in lineage.pieces().iter().rev() {
            let from = from.max(*after);
            if from >= *until {
                continue;
            }
            let (id, epoch) = (topic.id.as_str(), digits(topic.epoch.0));
            let params = Weigh { id, epoch, from, to: *until, bytes: left };
            let reply = self.change(&scripts::WEIGH, &of.tenant, name, of.now, &params, &[]).await?;
            match reply.word() {
                "after" => offset = reply.number(1)?,
                "changed" => return Ok(None),
                "hole" => return Err(hole()),
                _ => return Err(reply.strange()),
            }
            if offset > from {
                break;
            }
            left = left.saturating_sub(reply.number(2)?);
        }
        Ok(Some(offset))
    }
}

impl Lines for RedisEvents {
    fn line(&self, tenant: Arc<str>, topic: TopicName, used: bool, now: Millis) -> Answer<'_, Standing> {
        async move { self.standing(&tenant, topic, used, now).await }.boxed()
    }

    fn offset(&self, of: LineRef, after: After) -> Answer<'_, u64> {
        async move { self.place(&of, Place::After(after)).await }.boxed()
    }

    fn take(&self, of: LineRef, after: u64, most: usize, bytes: usize) -> Answer<'_, Vec<Numbered>> {
        async move { self.wanted(&of, Wanted::After(after, most.min(MOST)), bytes).await }.boxed()
    }

    fn pick(&self, of: LineRef, numbers: Vec<u64>, bytes: usize) -> Answer<'_, Vec<Numbered>> {
        async move { self.wanted(&of, Wanted::These(numbers), bytes).await }.boxed()
    }

    fn newest_within(&self, of: LineRef, from: u64, bytes: u64) -> Answer<'_, u64> {
        async move { self.place(&of, Place::Within(from, bytes)).await }.boxed()
    }
}
