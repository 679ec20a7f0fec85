//! A topic that is in another place than its groups.

use std::{cell::Cell, collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use sdk_core::clock::Millis;
use tokio::{runtime::Handle, time::timeout};

use crate::storage::{
    StorageError,
    events::{After, Answer, LineRef, LineState, Lines, LogError, Numbered, Standing, TopicName},
    sql::groups::Line,
};

/// How long a log may take to answer while others wait for the group.
const PATIENCE: Duration = Duration::from_secs(5);

/// A topic as it was read before its group was locked, so that the lock is not held for the time that this takes. What turns out
/// to be missing is asked for under the lock.
pub(super) struct Far {
    log: Arc<dyn Lines>,
    runtime: Handle,
    of: LineRef,
    standing: Standing,
    events: BTreeMap<u64, (Millis, Bytes)>,
    /// The topic has become another in the meantime: all has to be done anew, with what it is then.
    moved: Cell<bool>,
}

impl Far {
    /// The topic as it is.
    pub(super) async fn look(
        log: &Arc<dyn Lines>,
        tenant: Arc<str>,
        topic: TopicName,
        used: bool,
        now: Millis,
    ) -> Result<Self, LogError> {
        let standing = log.line(tenant.clone(), topic.clone(), used, now).await?;
        let of = LineRef { tenant, topic, epoch: standing.state.epoch, now };
        let (log, runtime, moved) = (log.clone(), Handle::current(), Cell::new(false));
        Ok(Self { log, runtime, of, standing, events: BTreeMap::new(), moved })
    }

    /// Reads what a claim is likely to want.
    pub(super) async fn read_ahead(
        &mut self,
        after: u64,
        most: usize,
        bytes: usize,
        waiting: Vec<u64>,
    ) -> Result<(), LogError> {
        let mut events = Vec::new();
        if !waiting.is_empty() {
            events = self.log.pick(self.of.clone(), waiting, bytes).await?;
        }
        if after < self.standing.state.tail && most > 0 {
            events.extend(self.log.take(self.of.clone(), after, most, bytes).await?);
        }
        self.events.extend(events.into_iter().map(|(number, at, body)| (number, (at, body))));
        Ok(())
    }

    /// The same topic once more, where what was read before may be older than what the group has seen.
    pub(super) fn look_again(&mut self, now: Millis) -> Result<(), LogError> {
        let LineRef { tenant, topic, .. } = self.of.clone();
        self.standing = self.wait(self.log.line(tenant, topic, false, now))?;
        self.of.epoch = self.standing.state.epoch;
        self.events.clear();
        Ok(())
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(super) fn has_moved(&self) -> bool {
        self.moved.get()
    }

    fn wait<T>(&self, answer: Answer<'_, T>) -> Result<T, LogError> {
        let answer = self.runtime.block_on(async { timeout(PATIENCE, answer).await });
        let answer = answer.unwrap_or_else(|late| Err(StorageError::Unavailable(Box::new(late)).into()));
        if matches!(answer, Err(LogError::NoSuchTopic | LogError::Deleted | LogError::PositionLost { .. })) {
            self.moved.set(true);
        }
        answer
    }
}

impl Line for Far {
    fn state(&self) -> &LineState {
        &self.standing.state
    }

    fn offset(&self, after: After) -> Result<u64, LogError> {
        self.wait(self.log.offset(self.of.clone(), after))
    }

    fn event(&self, number: u64) -> Result<Option<(Millis, Bytes)>, LogError> {
        if let Some(event) = self.events.get(&number) {
            return Ok(Some(event.clone()));
        }
        let found = self.wait(self.log.pick(self.of.clone(), vec![number], 0))?;
        Ok(found.into_iter().next().map(|(_, at, body)| (at, body)))
    }

    fn take(&self, after: u64, most: usize, bytes: usize) -> Result<Vec<Numbered>, LogError> {
        // What has come since it was looked at is for the next claim.
        if after >= self.standing.state.tail {
            return Ok(Vec::new());
        }
        let (mut taken, mut size) = (Vec::new(), 0);
        for number in (after + 1..).take(most) {
            let Some((at, body)) = self.events.get(&number) else { break };
            size += body.len();
            if !taken.is_empty() && size > bytes {
                break;
            }
            taken.push((number, *at, body.clone()));
        }
        if !taken.is_empty() {
            return Ok(taken);
        }
        let taken = self.wait(self.log.take(self.of.clone(), after, most, bytes))?;
        if taken.first().is_some_and(|(number, ..)| *number != after + 1) {
            // Retention was faster. What it took has to be counted.
            self.moved.set(true);
            return Err(LogError::PositionTrimmed { earliest: self.standing.state.earliest });
        }
        Ok(taken)
    }

    fn newest_within(&self, from: u64, bytes: u64) -> Result<u64, LogError> {
        self.wait(self.log.newest_within(self.of.clone(), from, bytes))
    }
}
