//! Tells the readers of topics what was appended, on a thread of its own: there may be very many of them, and the writer
//! of the log does not wait for that.

use std::{
    collections::{HashSet, VecDeque},
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use crate::{
    hub::Hub,
    storage::events::{News, TopicName},
};

/// News that wait with their events. Of what comes beyond that it is only told that a topic moved on.
const QUEUE: usize = 1_024;

/// Takes news to a hub, in their order.
pub(crate) struct Courier {
    hub: Arc<Hub<News>>,
    bag: Arc<Bag>,
}

#[derive(Default)]
struct Bag {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// In the order in which they came, also those without their events: however busy topics are, each has its turn.
    news: VecDeque<News>,
    /// Topics of which there is more news than there was room for; each is among the others once for that.
    moved: HashSet<(Arc<str>, TopicName)>,
    ended: bool,
}

impl Courier {
    /// Starts the thread. It ends with this value, when all that waits is told.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub(crate) fn start(hub: Arc<Hub<News>>) -> io::Result<Self> {
        let bag = Arc::new(Bag::default());
        let (carried, told) = (bag.clone(), hub.clone());
        thread::Builder::new().name("events-courier".into()).spawn(move || {
            while let Some(news) = carried.next() {
                told.publish(&Arc::new(news));
            }
        })?;
        Ok(Self { hub, bag })
    }

    /// Takes news along, of what is committed. Never waits.
    pub(crate) fn take(&self, news: News) {
        // The thread need not be woken for nobody.
        if self.hub.is_followed() {
            self.bag.add(news);
        }
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.bag.waiting().ended = true;
        self.bag.more.notify_one();
    }
}

impl Bag {
    fn add(&self, news: News) {
        let mut waiting = self.waiting();
        if waiting.news.len() < QUEUE {
            waiting.news.push_back(news);
        } else if waiting.moved.insert((news.tenant.clone(), news.topic.clone())) {
            waiting.news.push_back(News { events: None, ..news });
        }
        drop(waiting);
        self.more.notify_one();
    }

    /// Waits for news; none when there will be no more.
    fn next(&self) -> Option<News> {
        let mut waiting = self.waiting();
        loop {
            if let Some(news) = waiting.news.pop_front() {
                if news.events.is_none() && !waiting.moved.is_empty() {
                    waiting.moved.remove(&(news.tenant.clone(), news.topic.clone()));
                }
                return Some(news);
            }
            if waiting.ended {
                return None;
            }
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Each change is one call that leaves it whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(topic: &str) -> News {
        News { tenant: "t".into(), topic: TopicName::new(topic).unwrap(), appended: 0, events: None }
    }

    #[test]
    fn news_beyond_the_room_are_told_once_a_topic_and_after_the_others() {
        let bag = Bag::default();
        for _ in 0..QUEUE {
            bag.add(news("kept"));
        }
        for _ in 0..3 {
            bag.add(news("over"));
        }
        bag.waiting().ended = true;
        for _ in 0..QUEUE {
            assert_eq!(bag.next(), Some(news("kept")));
        }
        assert_eq!(bag.next(), Some(news("over")));
        assert_eq!(bag.next(), None);
    }

    #[test]
    fn a_topic_has_its_turn_while_others_stay_busy() {
        let bag = Bag::default();
        for _ in 0..QUEUE {
            bag.add(news("busy"));
        }
        bag.add(news("calm"));
        // As many come as go.
        let told = (0..=QUEUE).map(|_| {
            bag.add(news("busy"));
            bag.next()
        });
        assert_eq!(told.last(), Some(Some(news("calm"))));
        bag.add(news("calm"));
        bag.waiting().ended = true;
        let rest = std::iter::from_fn(|| bag.next()).filter(|each| *each == news("calm"));
        assert_eq!(rest.count(), 1);
        assert!(bag.waiting().moved.is_empty());
    }
}
