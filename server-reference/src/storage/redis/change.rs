//! What every script of a topic is told.

use std::sync::Arc;

use sdk_core::clock::Millis;
use serde::Serialize;

use super::{keys::escaped, reply::Reply, scripts::Script, store::RedisEvents, topic::digits};
use crate::storage::events::{Events, Fresh, LogError, NEWS_BYTES, News, Position, TopicName};

/// Events that a script reads or trims at most.
pub(super) const SLICE: u64 = 1_024;
/// Bytes of events after which it does no more.
const SLICE_BYTES: usize = 4 * 1024 * 1024;

#[derive(Serialize)]
struct Call<'a, P> {
    now: u64,
    /// The epoch to begin, if one has to be begun.
    epoch: String,
    /// Whether a process of Redis that was started anew is doubted.
    doubt: bool,
    /// How far the topic was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<Known>,
    /// Whether the answer waits for replicas.
    wait: bool,
    /// What a message of it begins with, where it goes, and how much of events it carries.
    origin: String,
    names: String,
    channel: String,
    carried: usize,
    slice: u64,
    slice_bytes: usize,
    #[serde(flatten)]
    params: &'a P,
}

#[derive(Serialize)]
struct Known {
    epoch: String,
    tail: u64,
}

impl RedisEvents {
    /// Runs a script of a topic.
    pub(super) async fn change(
        &self,
        script: &Script,
        tenant: &Arc<str>,
        topic: &TopicName,
        now: Millis,
        params: &impl Serialize,
        rest: &[&[u8]],
    ) -> Result<Reply, LogError> {
        let known = self.seen.known(tenant, topic);
        let number = self.echoes.next();
        let call = Call {
            now: now.0,
            epoch: digits(self.draw(now).0),
            doubt: self.doubt,
            known: known.map(|Position { epoch, offset }| Known { epoch: digits(epoch.0), tail: offset }),
            wait: self.link.waits(),
            origin: self.echoes.origin(number),
            names: format!("{}\n{}", escaped(tenant), escaped(topic.as_str())),
            channel: self.keys.channel(),
            carried: NEWS_BYTES,
            slice: SLICE,
            slice_bytes: SLICE_BYTES,
            params,
        };
        let mut reply = self.link.run(script, &self.keys.topic(tenant, topic), &call, rest).await?;
        reply.number = number;
        Ok(reply)
    }

    /// Tells this instance's followers of a commit, unless they have heard of it, and notes how far the topic is.
    pub(super) fn committed<'a>(
        &self,
        tenant: &Arc<str>,
        topic: &TopicName,
        number: u64,
        (from, to, closed): (u64, Position, bool),
        events: impl Iterator<Item = &'a [u8]>,
    ) {
        self.seen.note(tenant, topic, to);
        if !self.echoes.first(number) {
            return;
        }
        let mut carried = Some(Events::default());
        for event in events {
            carried = carried.filter(|carried| carried.bytes().len() + event.len() <= NEWS_BYTES);
            let Some(carried) = &mut carried else { break };
            carried.push(event);
        }
        let appended = to.offset.saturating_sub(from);
        let from = Position { offset: from, ..to };
        let events = carried.map(|events| Fresh::new(from, to, events, closed));
        self.tell(News { tenant: tenant.clone(), topic: topic.clone(), appended, events });
    }

    /// Tells this instance's followers that a topic is not there any more.
    pub(super) fn ended(&self, tenant: &Arc<str>, topic: &TopicName) {
        self.seen.forget(tenant, topic);
        self.tell(News { tenant: tenant.clone(), topic: topic.clone(), appended: 0, events: None });
    }
}
