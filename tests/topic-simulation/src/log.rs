//! The server's event log: the real one, each of whose calls takes a while, and may fail or be answered in vain. What it
//! commits is entered in the books. Its threads are waited for within a step, so that they cannot change a run.

use std::sync::{Arc, Mutex};

use futures::{FutureExt, executor::block_on, future::pending};
use sdk_core::clock::Millis;
use server_reference::{
    hub::Hub,
    storage::{
        StorageError,
        events::{
            Answer, Append, Appended, Created, EventLog, LogError, NewTopic, News, Publications, Publish,
            Published, Read, Slice, TopicName, TopicState,
        },
        sqlite::events::{Caps, EventStore},
    },
    tenant::TenantScope,
};
use tokio::task::unconstrained;

use crate::{network::Signal, sim::Sim};

/// The log of one life of the server.
pub(crate) struct Log {
    sim: Arc<Sim>,
    pub(crate) store: Arc<EventStore>,
    /// Tells who follows a topic.
    pub(crate) hub: Arc<Hub<News>>,
    news: Arc<Mutex<Vec<News>>>,
    /// The process is gone.
    gone: Arc<Signal>,
    /// Per mille of calls that fail.
    pub(crate) trouble: Arc<Mutex<u64>>,
}

/// What becomes of a call.
enum Fate {
    Works,
    Fails,
    FailsThoughDone,
}

impl Log {
    pub(crate) fn open(
        sim: Arc<Sim>,
        path: &std::path::Path,
        gone: Arc<Signal>,
    ) -> Result<Self, StorageError> {
        let news = Arc::new(Mutex::new(Vec::new()));
        let told = news.clone();
        let on_news = move |news: News| told.lock().expect("no part panics").push(news);
        let store = EventStore::open(path, Caps::default(), Box::new(|| 7), Box::new(on_news))?;
        let (store, hub) = (Arc::new(store), Arc::default());
        Ok(Self { sim, store, hub, news, gone, trouble: Arc::default() })
    }

    /// Waits for the threads of the log, and for nothing else.
    pub(crate) fn finish<T>(&self, answer: Answer<'_, T>) -> Result<T, LogError> {
        block_on(unconstrained(answer))
    }

    /// Tells what was committed.
    pub(crate) fn tell(&self) {
        let mut news = std::mem::take(&mut *self.news.lock().expect("no part panics"));
        // In which order one commit tells of its topics is left open, and must not change a run.
        news.sort_by(|one, other| one.topic.as_str().cmp(other.topic.as_str()));
        news.into_iter().for_each(|news| self.hub.publish(&Arc::new(news)));
    }

    /// A call takes a while. One that a crash meets is never answered.
    async fn lag(&self) {
        self.sim.wait(self.sim.plan.log_latency).await;
        if self.gone.is_given() {
            pending::<()>().await;
        }
    }

    fn fate(&self) -> Fate {
        let trouble = *self.trouble.lock().expect("no part panics");
        match self.sim.chance(trouble) {
            false => Fate::Works,
            true if self.sim.chance(300) => Fate::FailsThoughDone,
            true => Fate::Fails,
        }
    }

    async fn call<T>(&self, call: impl FnOnce() -> Result<T, LogError>) -> Result<T, LogError> {
        let failed = || Err(StorageError::Unavailable("the disk is ill".into()).into());
        self.lag().await;
        let fate = self.fate();
        if matches!(fate, Fate::Fails) {
            return failed();
        }
        let result = call();
        self.tell();
        self.lag().await;
        if matches!(fate, Fate::FailsThoughDone) { failed() } else { result }
    }

    /// Publishes and enters what came of it.
    fn publish_now(
        &self,
        scope: TenantScope,
        batch: Vec<Publish>,
        now: Millis,
    ) -> Result<Vec<Option<Published>>, LogError> {
        let published = self.finish(self.store.publish(scope, batch.clone(), now))?;
        let time = self.sim.now();
        for (Publish { topic, events }, answer) in batch.iter().zip(&published) {
            let Some(Ok(positions)) = answer else { continue };
            for (event, position) in events.iter().zip(positions) {
                let body = String::from_utf8(event.as_ref().to_vec()).expect("events are JSON");
                self.sim.note(format_args!("log has {body} at {}", position.offset));
                self.sim.books().published(topic, *position, &body, time);
            }
        }
        Ok(published)
    }
}

impl Publications for Log {
    fn publish(
        &self,
        scope: TenantScope,
        batch: Vec<Publish>,
        _: Millis,
    ) -> Answer<'_, Vec<Option<Published>>> {
        self.call(move || self.publish_now(scope, batch, self.sim.wall())).boxed()
    }
}

impl EventLog for Log {
    fn create(&self, scope: TenantScope, topic: TopicName, new: NewTopic, _: Millis) -> Answer<'_, Created> {
        self.call(move || self.finish(self.store.create(scope, topic, new, self.sim.wall()))).boxed()
    }

    fn append(
        &self,
        scope: TenantScope,
        topic: TopicName,
        append: Append,
        _: Millis,
    ) -> Answer<'_, Appended> {
        self.call(move || self.finish(self.store.append(scope, topic, append, self.sim.wall()))).boxed()
    }

    fn read(&self, scope: TenantScope, topic: TopicName, read: Read, _: Millis) -> Answer<'_, Slice> {
        self.call(move || self.finish(self.store.read(scope, topic, read, self.sim.wall()))).boxed()
    }

    fn describe(&self, scope: TenantScope, topic: TopicName, _: Millis) -> Answer<'_, TopicState> {
        self.call(move || self.finish(self.store.describe(scope, topic, self.sim.wall()))).boxed()
    }

    fn delete(&self, scope: TenantScope, topic: TopicName, _: Millis) -> Answer<'_, ()> {
        self.call(move || self.finish(self.store.delete(scope, topic, self.sim.wall()))).boxed()
    }

    fn check(&self) -> Answer<'_, ()> {
        self.call(move || self.finish(self.store.check())).boxed()
    }
}
