//! Announcing work.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use sdk_core::clock::Millis;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use super::{
    Subscriptions, parse,
    record::{Delivery, Subscription, Tails},
};
use crate::{
    clock::wall,
    random,
    storage::events::{Append, ContentType, Kept, LogError, Position, Producer, TopicName},
    trace::{self, TraceContext},
};

/// Time between two looks for leases that are over and calls that are due.
const LOOK: Duration = Duration::from_millis(250);
/// Milliseconds until a webhook is called again: the first time, and at most.
const RETRY: (u64, u64) = (1_000, 60_000);
/// What a token may outlive its lease by, since a lease may be extended.
const TOKEN_LIFE: u64 = 24 * 60 * 60 * 1000;

impl Subscriptions {
    /// Announces work as it comes, for as long as it is polled.
    pub(crate) async fn run(self: Arc<Self>) -> Infallible {
        self.moved.all.store(true, Ordering::Release);
        let mut revoked = self.revoked.changes();
        loop {
            if self.moved.is_idle() {
                self.moved.told.notified().await;
            }
            // An error would mean that there is nothing more to come.
            if revoked.has_changed().is_ok_and(|changed| changed) {
                revoked.mark_unchanged();
                self.moved.all.store(true, Ordering::Release);
            }
            if self.moved.all.swap(false, Ordering::AcqRel)
                && let Err(error) = self.catch_up().await
            {
                tracing::warn!(%error, "subscriptions could not be looked at; tried again later");
                self.moved.all.store(true, Ordering::Release);
                sleep(LOOK).await;
            }
            let moved = self.moved.take();
            for ((tenant, topic), cause) in moved {
                if let Err(error) = trace::because(cause, self.moved_on(&tenant, &topic)).await {
                    tracing::warn!(%error, "subscriptions could not be woken; tried again later");
                    self.moved.all.store(true, Ordering::Release);
                    sleep(LOOK).await;
                }
            }
            match self.store.due(Some(wall())).await {
                Ok(due) => {
                    for kept in due {
                        self.look(&kept.tenant, &kept.id, None).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "subscriptions could not be read; tried again later"),
            }
            let _ = timeout(LOOK, self.moved.told.notified()).await;
        }
    }

    /// Looks at every subscription: what moved just before the server died was told to nobody, and
    /// of what moves by the thousands not all is kept.
    async fn catch_up(self: &Arc<Self>) -> Result<(), LogError> {
        let all = self.store.due(None).await?;
        if !all.is_empty() {
            self.moved.want();
        }
        self.moved.looked.store(true, Ordering::SeqCst);
        for kept in all {
            let tenant = &kept.tenant;
            let Some(subscription) = readable(&kept) else { continue };
            if self.is_revoked(tenant, &subscription) {
                self.store.forget(tenant.clone(), kept.id).await?;
                continue;
            }
            let discovered = self.change(tenant, &kept.id, move |mut subscription| async move {
                self.discover(tenant, &mut subscription).await?;
                Ok::<_, LogError>((subscription, ()))
            });
            discovered.await?;
            let waiting = subscription.wake.as_ref().is_some_and(|wake| wake.holder.is_none());
            if waiting && subscription.setup.delivery == Delivery::PullWake {
                let now = wall();
                let tails = self.tails(tenant, &subscription, now).await?;
                self.deliver(tenant, &kept.id, subscription, &tails, now).await;
            }
            self.look(tenant, &kept.id, None).await;
        }
        Ok(())
    }

    async fn moved_on(self: &Arc<Self>, tenant: &Arc<str>, topic: &TopicName) -> Result<(), LogError> {
        for kept in self.store.kept(tenant.clone(), None).await? {
            let Some(subscription) = readable(&kept) else { continue };
            let matches = subscription.matches(tenant, topic.as_str());
            if matches || subscription.links.contains_key(topic.as_str()) {
                self.look(tenant, &kept.id, matches.then_some(topic)).await;
            }
        }
        Ok(())
    }

    /// Looks whether there is work for a subscription, and announces it.
    pub(super) async fn look(self: &Arc<Self>, tenant: &Arc<str>, id: &str, found: Option<&TopicName>) {
        let looked = self.change(tenant, id, move |mut subscription: Subscription| async move {
            let now = wall();
            if let Some(topic) = found {
                // What was there when the subscription was made was linked then, so that this one is new.
                subscription.discover(topic, Position::ZERO);
            }
            subscription.lapse(now);
            let tails = self.tails(tenant, &subscription, now).await?;
            let announced = subscription.announce(random::name, &tails, now);
            if subscription.next_attempt.is_some_and(|at| at <= now.0) {
                subscription.next_attempt = None;
            }
            let told = announced.then(|| (subscription.clone(), tails, now));
            Ok::<_, LogError>((subscription, told))
        });
        match looked.await {
            Ok(Some(Some((subscription, tails, now)))) => {
                self.deliver(tenant, id, subscription, &tails, now).await;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, id, "a subscription could not be looked at; tried again later");
            }
        }
    }

    async fn deliver(
        self: &Arc<Self>,
        tenant: &Arc<str>,
        id: &str,
        subscription: Subscription,
        tails: &Tails,
        now: Millis,
    ) {
        match subscription.setup.delivery {
            Delivery::Webhook => {
                let (this, tenant, id) = (self.clone(), tenant.clone(), id.to_owned());
                let body = this.notice(&tenant, &id, &subscription, tails, now);
                let (span, place) = trace::webhook(&tenant, &id);
                let call = async move { this.call(tenant, id, subscription, body, place).await };
                tokio::spawn(call.instrument(span));
            }
            Delivery::PullWake => {
                if let Err(error) = self.write_wake(tenant, id, &subscription, tails, now).await {
                    tracing::warn!(%error, id, "work could not be announced in the wake stream");
                    self.settle(tenant, id, &subscription, false).await;
                }
            }
        }
    }

    /// What a webhook is told.
    fn notice(
        &self,
        tenant: &str,
        id: &str,
        subscription: &Subscription,
        tails: &Tails,
        now: Millis,
    ) -> String {
        let wake = subscription.wake.as_ref().map(|wake| wake.id.as_str());
        json!({
            "subscription_id": id,
            "wake_id": wake,
            "generation": subscription.generation,
            "streams": streams(subscription, tails),
            "callback_url": format!("{}/__ds/subscriptions/{id}/callback", self.public),
            "callback_token": self.token(tenant, id, subscription.generation, now),
        })
        .to_string()
    }

    pub(super) fn token(&self, tenant: &str, id: &str, generation: u64, now: Millis) -> Option<String> {
        self.keys.token(tenant, id, generation, now.plus(TOKEN_LIFE))
    }

    async fn call(
        self: Arc<Self>,
        tenant: Arc<str>,
        id: String,
        announced: Subscription,
        body: String,
        place: TraceContext,
    ) {
        let Some(webhook) = &announced.setup.webhook else { return };
        let signature = self.keys.sign(&body, wall());
        let answer = self.caller.call(&webhook.url, body, signature, &place).await;
        let count = match answer {
            Some(true) => &self.calls.done,
            Some(false) => &self.calls.taken,
            None => &self.calls.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        match answer {
            Some(true) => self.settle(&tenant, &id, &announced, true).await,
            // It calls back, or lets the lease go by.
            Some(false) => {}
            None => self.settle(&tenant, &id, &announced, false).await,
        }
    }

    /// Ends what was announced, unless it has ended already: it is done, or its worker could not be reached.
    async fn settle(&self, tenant: &Arc<str>, id: &str, announced: &Subscription, done: bool) {
        let Some(wake) = &announced.wake else { return };
        let settled = self.change(tenant, id, move |mut subscription: Subscription| async move {
            if !subscription.holds(&wake.id, announced.generation) {
                return Ok((subscription, false));
            }
            let now = wall();
            if !done && subscription.wake.as_ref().is_some_and(|wake| wake.holder.is_some()) {
                // A worker came by itself meanwhile.
                return Ok((subscription, false));
            }
            if !done {
                let (first, most) = RETRY;
                let pause = first.saturating_mul(1 << subscription.failures.min(6)).min(most);
                // A fifth either way.
                subscription.failed(now.plus(pause * 4 / 5 + random::spread() % (pause * 2 / 5)));
                return Ok((subscription, false));
            }
            let tails = self.tails(tenant, &subscription, now).await?;
            for (topic, tail) in &wake.tails {
                if let Ok(tail) = tail.parse() {
                    subscription.ack(topic, tail, &tails);
                }
            }
            subscription.finish();
            Ok::<_, LogError>((subscription, true))
        });
        match settled.await {
            Ok(Some(true)) => self.moved.note_again(tenant, announced),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, id, "what became of announced work could not be kept"),
        }
    }

    /// Says in the wake stream that there is work. A repetition is no second event.
    async fn write_wake(
        &self,
        tenant: &Arc<str>,
        id: &str,
        subscription: &Subscription,
        tails: &Tails,
        now: Millis,
    ) -> Result<(), LogError> {
        let Some(stream) =
            subscription.setup.wake_stream.as_deref().and_then(|name| TopicName::new(name).ok())
        else {
            return Ok(());
        };
        let first = subscription.links.keys().find(|topic| subscription.pending(topic, tails));
        let event = json!({
            "type": "wake",
            "subscription_id": id,
            "stream": first,
            "generation": subscription.generation,
            "ts": now.0,
        });
        let producer = format!("subscription:{}:{id}", subscription.created);
        let append = Append {
            content_type: ContentType::new("application/json"),
            events: vec![Bytes::from(event.to_string())],
            producer: Some(Producer { id: producer, epoch: subscription.generation, sequence: 0 }),
            ..Append::default()
        };
        self.events.append(subscription.scope(tenant), stream, append, now).await.map(|_| ())
    }

    /// Keeps a subscription that was not there, with the topics that are there already.
    pub(super) async fn add(
        &self,
        tenant: &Arc<str>,
        id: &str,
        mut subscription: Subscription,
        now: Millis,
    ) -> Result<Option<Subscription>, LogError> {
        self.moved.want();
        for (topic, tail) in self.store.topics(tenant.clone()).await? {
            if subscription.matches(tenant, topic.as_str()) {
                subscription.discover(&topic, tail);
            }
        }
        for topic in subscription.setup.streams.clone() {
            self.link(tenant, &mut subscription, &topic, now).await?;
        }
        Ok(self.save(tenant, id, &subscription, 0).await?.then_some(subscription))
    }

    /// Takes in the topics that a subscription's pattern matches: those that it does not know were made since it was.
    pub(super) async fn discover(
        &self,
        tenant: &Arc<str>,
        subscription: &mut Subscription,
    ) -> Result<(), LogError> {
        if subscription.setup.pattern.is_some() {
            for (topic, _) in self.store.topics(tenant.clone()).await? {
                if subscription.matches(tenant, topic.as_str()) {
                    subscription.discover(&topic, Position::ZERO);
                }
            }
        }
        Ok(())
    }

    /// Takes a topic in at its end. False if there is no room.
    pub(super) async fn link(
        &self,
        tenant: &Arc<str>,
        subscription: &mut Subscription,
        topic: &str,
        now: Millis,
    ) -> Result<bool, LogError> {
        let Ok(name) = TopicName::new(topic) else { return Ok(false) };
        let tail = self.tail(&subscription.scope(tenant), &name, now).await?;
        Ok(subscription.link(topic, tail.unwrap_or(Position::ZERO)))
    }
}

/// A subscription, unless it is damaged: the others go on without it.
fn readable(kept: &Kept) -> Option<Subscription> {
    parse(kept)
        .inspect_err(|error| tracing::error!(%error, id = kept.id, "a subscription is left alone"))
        .ok()
}

/// The topics of a subscription, as the protocol shows them.
pub(super) fn streams(subscription: &Subscription, tails: &Tails) -> Vec<serde_json::Value> {
    let stream = |(path, link): (&String, &super::record::Link)| {
        json!({
            "path": path,
            "link_type": if link.explicit { "explicit" } else { "glob" },
            "acked_offset": link.acked().to_string(),
            "tail_offset": tails.get(path).unwrap_or(&Position::ZERO).to_string(),
            "has_pending": subscription.pending(path, tails),
        })
    };
    subscription.links.iter().map(stream).collect()
}
