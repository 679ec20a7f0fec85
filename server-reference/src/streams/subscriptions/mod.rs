//! Subscriptions: durable cursors over topics, which wake a worker when there is work.
//!
//! A record says what may happen to one; every change of it is a new version in the store, made only upon the
//! version it was thought up for. A worker is called or comes by itself. What is announced follows from the
//! ends of the topics and what was acknowledged, so that nothing is lost with a server that dies.

mod cause;
mod dispatch;
mod keys;
mod record;
mod routes;
mod webhook;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use sdk_core::clock::Millis;
use tokio::sync::Notify;

pub(crate) use cause::Cause;
use cause::Causes;
pub use keys::Keys;
pub(crate) use routes::routes;

use crate::{
    auth::Revoked,
    storage::{
        StorageError,
        events::{EventLog, Kept, LogError, News, Position, SubscriptionStore, TopicName},
    },
    tenant::TenantScope,
    trace::{self, TraceContext},
};
use record::{Subscription, Tails};
use webhook::Caller;

/// Topics that moved and were not looked at; beyond, all are.
const MAX_MOVED: usize = 10_000;

/// The subscriptions of every tenant.
pub struct Subscriptions {
    store: Arc<dyn SubscriptionStore>,
    events: Arc<dyn EventLog>,
    keys: Keys,
    caller: Caller,
    /// Where the world finds the topics.
    public: String,
    moved: Arc<Moved>,
    revoked: Arc<Revoked>,
    calls: Calls,
}

/// What became of calls of webhooks, from the start of the server on.
#[derive(Default)]
struct Calls {
    done: AtomicU64,
    taken: AtomicU64,
    failed: AtomicU64,
}

/// A topic of a tenant.
type Spot = (Arc<str>, TopicName);

/// Topics that moved, each with the trace in which it did so, where there was one.
#[derive(Default)]
pub struct Moved {
    topics: Mutex<HashMap<Spot, Option<TraceContext>>>,
    causes: Causes,
    /// There were too many to keep them apart.
    all: AtomicBool,
    /// There is a subscription, or there was one since the server started.
    wanted: AtomicBool,
    /// It is known of all that were there when the server started whether there are any.
    looked: AtomicBool,
    told: Notify,
}

impl Moved {
    /// Notes that a topic moved, unless nobody can want to know. Never waits.
    pub fn note(&self, news: &News) {
        if self.is_idle() {
            return;
        }
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if topics.len() < MAX_MOVED {
            let spot = (news.tenant.clone(), news.topic.clone());
            let cause = self.causes.of(&spot);
            topics.insert(spot, cause);
        } else {
            self.all.store(true, Ordering::Release);
        }
        drop(topics);
        self.told.notify_one();
    }

    /// Has the topics of a subscription looked at once more.
    fn note_again(&self, tenant: &Arc<str>, subscription: &Subscription) {
        let names = subscription.links.keys().filter_map(|topic| TopicName::new(topic).ok());
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.extend(names.map(|topic| ((tenant.clone(), topic), None)));
        drop(topics);
        self.told.notify_one();
    }

    /// Notes that there are subscriptions; before the first of them looks at any topic, so that none moves unseen.
    fn want(&self) {
        self.wanted.store(true, Ordering::SeqCst);
        self.told.notify_one();
    }

    /// Whether there are no subscriptions, so that each commit is spared what would be done for them.
    fn is_idle(&self) -> bool {
        self.looked.load(Ordering::SeqCst) && !self.wanted.load(Ordering::SeqCst)
    }

    fn take(&self) -> HashMap<Spot, Option<TraceContext>> {
        std::mem::take(&mut *self.topics.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subscriptions {
    /// Those of a store. `local` allows webhooks of this machine.
    ///
    /// # Errors
    /// There can be no HTTP client.
    pub fn new(
        store: Arc<dyn SubscriptionStore>,
        events: Arc<dyn EventLog>,
        keys: Keys,
        local: bool,
        public: String,
        moved: Arc<Moved>,
        revoked: Arc<Revoked>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            store,
            events,
            keys,
            caller: Caller::new(local)?,
            public,
            moved,
            revoked,
            calls: Calls::default(),
        })
    }

    /// How many calls of webhooks there were, by what became of them.
    pub(crate) fn calls(&self) -> [(&'static str, u64); 3] {
        let Calls { done, taken, failed } = &self.calls;
        [("done", done), ("taken", taken), ("failed", failed)]
            .map(|(outcome, count)| (outcome, count.load(Ordering::Relaxed)))
    }

    /// Says that what moves a topic while the answer is held belongs to the current trace, and so what it wakes.
    pub(crate) fn cause(&self, tenant: &Arc<str>, topic: &TopicName) -> Option<Cause> {
        let context = trace::current().filter(|_| !self.moved.is_idle())?;
        Cause::new(self.moved.clone(), (tenant.clone(), topic.clone()), context)
    }

    /// A subscription and its version. One that was made by a token which was taken back is forgotten.
    async fn load(&self, tenant: &Arc<str>, id: &str) -> Result<Option<(Subscription, u64)>, LogError> {
        let found = self.store.kept(tenant.clone(), Some(id.to_owned())).await?.pop();
        let found = found.map(|kept| Ok::<_, LogError>((parse(&kept)?, kept.version))).transpose()?;
        match found {
            Some((subscription, _)) if self.is_revoked(tenant, &subscription) => {
                self.store.forget(tenant.clone(), id.to_owned()).await?;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    fn is_revoked(&self, tenant: &Arc<str>, subscription: &Subscription) -> bool {
        let scope = subscription.scope(tenant);
        self.revoked.covers(tenant, scope.subject(), scope.bearer())
    }

    /// Keeps a subscription. False where somebody else came first.
    async fn save(
        &self,
        tenant: &Arc<str>,
        id: &str,
        subscription: &Subscription,
        version: u64,
    ) -> Result<bool, LogError> {
        let text = serde_json::to_string(subscription)
            .map_err(|source| StorageError::Corrupt { what: "a subscription", source: Box::new(source) })?;
        let kept = Kept { tenant: tenant.clone(), id: id.to_owned(), version, text, due: subscription.due() };
        self.store.keep(kept).await
    }

    /// Changes a subscription, once more from the start where somebody else came first; none if it is not there. It is
    /// kept if it is another afterwards, unless `change` fails.
    async fn change<T, E: From<LogError>, F: Future<Output = Result<(Subscription, T), E>>>(
        &self,
        tenant: &Arc<str>,
        id: &str,
        change: impl Fn(Subscription) -> F,
    ) -> Result<Option<T>, E> {
        while let Some((before, version)) = self.load(tenant, id).await? {
            let (subscription, changed) = change(before.clone()).await?;
            if subscription == before || self.save(tenant, id, &subscription, version).await? {
                return Ok(Some(changed));
            }
        }
        Ok(None)
    }

    /// The ends of a subscription's topics.
    async fn tails(
        &self,
        tenant: &Arc<str>,
        subscription: &Subscription,
        now: Millis,
    ) -> Result<Tails, LogError> {
        let scope = subscription.scope(tenant);
        let mut tails = Tails::new();
        for topic in subscription.links.keys().filter_map(|topic| TopicName::new(topic).ok()) {
            if let Some(tail) = self.tail(&scope, &topic, now).await? {
                tails.insert(topic.as_str().into(), tail);
            }
        }
        Ok(tails)
    }

    /// The end of a topic, if it is there.
    async fn tail(
        &self,
        scope: &TenantScope,
        topic: &TopicName,
        now: Millis,
    ) -> Result<Option<Position>, LogError> {
        match self.events.describe(scope.clone(), topic.clone(), now).await {
            Ok(state) => Ok(Some(state.tail)),
            Err(LogError::NoSuchTopic | LogError::Deleted) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn parse(kept: &Kept) -> Result<Subscription, LogError> {
    serde_json::from_str(&kept.text)
        .map_err(|source| StorageError::Corrupt { what: "a subscription", source: Box::new(source) }.into())
}
