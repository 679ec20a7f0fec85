//! Topics, and reading them.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt, channel::mpsc};
use serde::de::DeserializeOwned;

use super::{Client, Router};
use crate::{
    driver::{Driver, Platform},
    engine::{QueryId, Subscription},
    protocol::{EndReason, Json, Start, TopicName, TopicPosition},
    stream::{Item, Over},
};

/// A topic: events of which each has its position, and which stay when they were read.
pub struct Topic<P: Platform> {
    pub(super) client: Client<P>,
    pub(super) name: TopicName,
}

/// What a reader of a topic is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// An event.
    Event(TopicEvent),
    /// Events that cannot be given to the reader: they are not kept any more, or the topic has another history than the
    /// one that was read before. What follows goes on with the earliest event there is.
    Gap {
        /// The position before the next event.
        position: TopicPosition,
        /// How many are missing, if that is known.
        missed: Option<u64>,
    },
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicEvent {
    /// Its place. A reader that starts after it goes on with the next.
    pub position: TopicPosition,
    /// What was published.
    pub data: Json,
}

impl TopicEvent {
    /// The event as a type of the application.
    ///
    /// # Errors
    /// It is not of that type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.as_str())
    }
}

/// Why a topic is not read any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The server does not let it be read: there is no such topic for this subject, or it was deleted, or its events are no
    /// JSON. The code says which.
    #[error(transparent)]
    Refused(EndReason),
    /// The client is closed, or reads as many topics as it may.
    #[error("the client is closed, or reads {} topics already", crate::protocol::MAX_TOPICS)]
    Closed,
}

impl<P: Platform> Topic<P> {
    pub(super) fn new(client: Client<P>, name: TopicName) -> Self {
        Self { client, name }
    }

    /// Reads the topic from somewhere on: what is there, then what is appended. Nothing is kept of how far it came; the
    /// positions are the application's to remember.
    pub fn subscribe(&self, start: Start) -> TopicEvents<P> {
        self.open(start, None)
    }

    /// The same, under a name by which the client keeps how far the application has come, on this device: the next time
    /// reading goes on there, and `start` is where it begins the first time. An event counts as dealt with once the one
    /// after it is asked for. That is stored soon after, so that after a crash some may come again.
    pub fn subscribe_durable(&self, name: &str, start: Start) -> TopicEvents<P> {
        self.open(start, Some(name.to_owned()))
    }

    fn open(&self, start: Start, durable: Option<String>) -> TopicEvents<P> {
        let Client { driver, router, .. } = &self.client;
        let (id, changed) = router.watch();
        let last = durable.is_some();
        driver.subscribe(id, Subscription { topic: self.name.clone(), start, durable });
        let (driver, router) = (driver.clone(), Arc::clone(router));
        TopicEvents {
            driver,
            router,
            id,
            changed,
            lasts: last,
            waiting: VecDeque::new(),
            given: None,
            over: false,
        }
    }
}

/// The events of a topic, one after the other, until it is dropped. It waits while there is no network and goes on where
/// it stopped. Ends after the last event of a topic that is closed.
pub struct TopicEvents<P: Platform> {
    driver: Driver<P>,
    router: Arc<Router>,
    id: QueryId,
    changed: mpsc::Receiver<()>,
    lasts: bool,
    waiting: VecDeque<Item>,
    /// The newest that the application was given, and may not be done with.
    given: Option<TopicPosition>,
    over: bool,
}

impl<P: Platform> TopicEvents<P> {
    /// Tells the engine of what the application is done with.
    fn acknowledge(&mut self) {
        if (self.lasts || self.waiting.is_empty())
            && let Some(position) = self.given.take()
        {
            self.driver.taken(self.id, position);
        }
    }
}

impl<P: Platform> Stream for TopicEvents<P> {
    type Item = Result<Delivery, TopicError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            self.acknowledge();
            if self.over {
                return Poll::Ready(None);
            }
            if let Some(item) = self.waiting.pop_front() {
                self.given = Some(item.position());
                return Poll::Ready(Some(Ok(item.into())));
            }
            // Before looking, so that what comes after that is not missed.
            let told = self.changed.poll_next_unpin(context);
            let Some(shown) = self.driver.topic(self.id).filter(|_| told != Poll::Ready(None)) else {
                self.over = true;
                return Poll::Ready(Some(Err(TopicError::Closed)));
            };
            if let (true, Some(position)) = (shown.items.is_empty(), shown.position) {
                // Where a reader of what is yet to come stands, before anything has come.
                self.driver.taken(self.id, position);
            }
            self.waiting = shown.items.into();
            if self.waiting.is_empty()
                && let Some(Over { reason }) = shown.over
            {
                self.over = true;
                return Poll::Ready(reason.map(|reason| Err(TopicError::Refused(reason))));
            }
            if self.waiting.is_empty() && told.is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<P: Platform> Drop for TopicEvents<P> {
    fn drop(&mut self) {
        self.driver.close(self.id);
        self.router.unwatch(self.id);
    }
}

impl From<Item> for Delivery {
    fn from(item: Item) -> Self {
        match item {
            Item::Event(position, data) => Self::Event(TopicEvent { position, data }),
            Item::Gap(position, missed) => Self::Gap { position, missed },
        }
    }
}
