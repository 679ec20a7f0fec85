//! The log, and what it is as a store.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::FutureExt;
use sdk_core::clock::Millis;
use tokio::task::JoinHandle;

use super::{
    echoes::Echoes,
    keys::Keys,
    link::Link,
    news::{self, Heard, Listener, OnHeard, Tell},
    reply::texts,
    scripts,
    seen::Seen,
    settings::{Options, Settings, Trust},
    topic::Topic,
};
use crate::{
    random,
    storage::{
        StorageError,
        events::{
            Answer, Append, Appended, Created, EventLog, LogEpoch, LogError, NewTopic, News, Publications,
            Publish, Published, Read, Slice, TopicName, TopicState,
        },
        sqlite::events::{Caps, NewBits},
    },
    tenant::TenantScope,
};

/// How often a topic is looked at again that was lost in between.
const LOOKS: usize = 3;

/// The topics of every tenant, over Redis. Any number of instances may share one. It stops listening to the others when it is
/// dropped; what is under way goes on.
pub struct RedisEvents {
    pub(super) link: Link,
    pub(super) keys: Keys,
    pub(super) caps: Caps,
    pub(super) seen: Arc<Seen>,
    pub(super) doubt: bool,
    pub(super) echoes: Arc<Echoes>,
    epochs: Mutex<Epochs>,
    told: Tell,
    listener: JoinHandle<()>,
}

struct Epochs {
    new_bits: NewBits,
    newest: u64,
}

impl RedisEvents {
    /// Connects. Needs a runtime of tokio, on which it listens to other instances.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], also if Redis is older than 7 or may evict what it holds.
    pub async fn open(
        options: &Options,
        caps: Caps,
        new_bits: NewBits,
        on_heard: OnHeard,
    ) -> Result<Self, StorageError> {
        let settings = Settings::new(options)?;
        let link = Link::open(options, &settings).await?;
        let keys = Keys::new(&options.prefix);
        let (told, seen): (Tell, Arc<Seen>) = (on_heard.into(), Arc::default());
        let echoes = Arc::new(Echoes::new(random::name()));
        let listener = Listener::new(settings.each()?, keys.channel(), options.timeouts);
        let first = listener.join().await?;
        let listening = {
            let (told, echoes, seen) = (told.clone(), echoes.clone(), seen.clone());
            listener.listen(first, move |message| match message.map(news::parse) {
                None => told(Heard::Missed),
                Some(Some((origin, news, tail))) => {
                    seen.note(&news.tenant, &news.topic, tail);
                    if echoes.is_new(origin) {
                        told(Heard::News(news));
                    }
                }
                Some(None) => {}
            })
        };
        Ok(Self {
            link,
            keys,
            caps,
            seen,
            doubt: options.trust == Trust::Never,
            echoes,
            epochs: Mutex::new(Epochs { new_bits, newest: 0 }),
            told,
            listener: tokio::spawn(listening),
        })
    }

    /// An epoch unlike any that this instance has drawn before.
    pub(super) fn draw(&self, now: Millis) -> LogEpoch {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        // 48 bits of time, and below them what is random.
        let drawn = (now.0 << 16) | u64::from((epochs.new_bits)());
        epochs.newest = drawn.max(epochs.newest + 1);
        LogEpoch(epochs.newest)
    }

    pub(super) fn tell(&self, news: News) {
        (self.told)(Heard::News(news));
    }

    /// A topic as it is, whatever its time. One that has less than was seen of it begins another epoch first.
    pub(super) async fn look(
        &self,
        tenant: &Arc<str>,
        name: &TopicName,
        now: Millis,
    ) -> Result<Option<Topic>, LogError> {
        let [key, ..] = self.keys.topic(tenant, name);
        let mut command = redis::cmd("HGETALL");
        command.arg(key);
        for _ in 0..LOOKS {
            let known = self.seen.known(tenant, name);
            let flat = texts(self.link.ask(&command).await?);
            if flat.is_empty() {
                if known.is_some() {
                    self.ended(tenant, name);
                }
                return Ok(None);
            }
            let topic = Topic::parse(&flat)?;
            let less = known.is_some_and(|known| known.epoch == topic.epoch && topic.tail < known.offset);
            if !less {
                self.seen.note(tenant, name, topic.tail());
                return Ok(Some(topic));
            }
            self.change(&scripts::RENEW, tenant, name, now, &(), &[]).await?;
        }
        Err(busy())
    }
}

/// Others have changed a topic all the time.
pub(super) fn busy() -> LogError {
    StorageError::Unavailable("the topic was changed by others again and again".into()).into()
}

impl Drop for RedisEvents {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Publications for RedisEvents {
    fn publish(
        &self,
        scope: TenantScope,
        batch: Vec<Publish>,
        now: Millis,
    ) -> Answer<'_, Vec<Option<Published>>> {
        async move { self.publish_lists(&scope, &batch, now).await }.boxed()
    }
}

impl EventLog for RedisEvents {
    fn create(
        &self,
        scope: TenantScope,
        topic: TopicName,
        new: NewTopic,
        now: Millis,
    ) -> Answer<'_, Created> {
        async move { self.make(&scope, &topic, &new, now).await }.boxed()
    }

    fn append(
        &self,
        scope: TenantScope,
        topic: TopicName,
        append: Append,
        now: Millis,
    ) -> Answer<'_, Appended> {
        async move { self.add(&scope, &topic, &append, now).await }.boxed()
    }

    fn read(&self, scope: TenantScope, topic: TopicName, read: Read, now: Millis) -> Answer<'_, Slice> {
        async move { self.read_slice(&scope, &topic, read, now).await }.boxed()
    }

    fn describe(&self, scope: TenantScope, topic: TopicName, now: Millis) -> Answer<'_, TopicState> {
        async move { self.state(&scope, &topic, now).await }.boxed()
    }

    fn delete(&self, scope: TenantScope, topic: TopicName, now: Millis) -> Answer<'_, ()> {
        async move { self.delete_topic(&scope, &topic, now).await }.boxed()
    }

    fn check(&self) -> Answer<'_, ()> {
        async move { self.link.ask_all(&redis::cmd("PING")).await.map(drop) }.boxed()
    }
}
