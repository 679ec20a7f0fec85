//! Tells the followers of a collection, or of a topic, that it moved on.
//!
//! What goes through here is a hint: a follower that misses one reads from the store. So a follower's queue is short,
//! nothing waits for a slow one, and it is told in one word that it has missed something.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    },
};

use sdk_core::protocol::CollectionName;
use tokio::sync::Notify;

use crate::{storage::Advance, tenant::TenantScope};

/// Advances that wait for one follower.
const QUEUE: usize = 32;
/// Followers that are told at a time, before those have their turn who want to follow.
const SLICE: usize = 64;

/// What followers are told of.
pub trait Told: Send + Sync + 'static {
    /// What moved on, within its tenant.
    type Key: Clone + Eq + Hash + Send;

    /// Whose it is.
    fn tenant(&self) -> &Arc<str>;

    /// Which one it is.
    fn key(&self) -> &Self::Key;
}

impl Told for Advance {
    type Key = CollectionName;

    fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    fn key(&self) -> &CollectionName {
        &self.collection
    }
}

/// A way to tell one follower something without waking whoever holds its end.
pub(crate) trait Shortcut<T>: Send + Sync {
    /// Tells it, if that can be done at once and whole.
    fn take(&self, news: &T) -> bool;

    /// Looks at the memory that telling will need, without changing any of it. Of very many followers each is in memory that
    /// is cold by its turn. Looking at some of them one after the other waits for all of that together; changing one waits
    /// until it is there.
    fn approach(&self);
}

type Spot<T> = (Arc<str>, <T as Told>::Key);

/// Who follows what. Holds nothing but its followers' queues.
pub struct Hub<T: Told> {
    spots: Mutex<HashMap<Spot<T>, Vec<Subscriber<T>>>>,
    /// How many spots have followers; changed while the map is locked, and looked at without.
    followed: AtomicUsize,
    next_id: AtomicU64,
}

impl<T: Told> Default for Hub<T> {
    fn default() -> Self {
        Self { spots: Mutex::default(), followed: AtomicUsize::default(), next_id: AtomicU64::default() }
    }
}

struct Subscriber<T> {
    id: u64,
    shortcut: Option<Box<dyn Shortcut<T>>>,
    queue: Arc<Queue<T>>,
}

/// What waits for one follower. There may be very many that are told nothing: an empty one holds next to nothing.
struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    more: Notify,
}

struct Waiting<T> {
    news: VecDeque<Arc<T>>,
    /// There was no room for some of them.
    missed: bool,
}

/// One follower's end. It stops following when it is dropped.
pub struct Follower<T: Told> {
    hub: Weak<Hub<T>>,
    id: u64,
    spots: Vec<Spot<T>>,
    queue: Arc<Queue<T>>,
}

/// What a follower is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice<T> {
    /// What it follows moved on.
    Advanced(Arc<T>),
    /// Some advances were dropped; whatever it follows may have moved on.
    Lagged,
}

impl<T: Told> Hub<T> {
    /// Follows things of the scope's tenant from now on.
    pub fn follow(self: &Arc<Self>, scope: &TenantScope, keys: Vec<T::Key>) -> Follower<T> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let queue = Arc::new(Queue::default());
        let spots: Vec<Spot<T>> = keys.into_iter().map(|key| (scope.tenant().clone(), key)).collect();
        let mut all = self.spots();
        for spot in &spots {
            let subscriber = Subscriber { id, shortcut: None, queue: queue.clone() };
            join(&mut all, spot, subscriber);
        }
        self.count(&all);
        drop(all);
        Follower { hub: Arc::downgrade(self), id, spots, queue }
    }

    /// Whether there is any follower. For who has committed something and asks then: who begins to follow while this says no,
    /// reads what was committed.
    pub(crate) fn is_followed(&self) -> bool {
        fence(Ordering::SeqCst);
        self.followed.load(Ordering::SeqCst) > 0
    }

    fn count(&self, all: &HashMap<Spot<T>, Vec<Subscriber<T>>>) {
        self.followed.store(all.len(), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Tells the followers. Never waits for one of them.
    pub fn publish(&self, advance: &Arc<T>) {
        let spot = (advance.tenant().clone(), advance.key().clone());
        let mut told = None;
        while let Some(last) = self.publish_some(&spot, told, advance) {
            told = Some(last);
        }
    }

    /// Tells some of the followers, those behind the one that was told last, and returns the last of them if there are
    /// more. In between, others come and go: who comes has followed before it reads, and needs no hint.
    fn publish_some(&self, spot: &Spot<T>, told: Option<u64>, advance: &Arc<T>) -> Option<u64> {
        let all = self.spots();
        let subscribers = all.get(spot)?;
        let begin = told.map_or(0, |last| subscribers.partition_point(|each| each.id <= last));
        let end = subscribers.len().min(begin + SLICE);
        let shortcuts = subscribers[begin..end].iter().filter_map(|each| each.shortcut.as_ref());
        shortcuts.for_each(|shortcut| shortcut.approach());
        for subscriber in &subscribers[begin..end] {
            if subscriber.shortcut.as_ref().is_some_and(|shortcut| shortcut.take(advance)) {
                continue;
            }
            subscriber.queue.put(advance);
        }
        (end < subscribers.len()).then(|| subscribers[end - 1].id)
    }

    fn spots(&self) -> MutexGuard<'_, HashMap<Spot<T>, Vec<Subscriber<T>>>> {
        // Each change of the map is one call that leaves it whole.
        self.spots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Told> Follower<T> {
    /// Is told of another thing of a scope's tenant from now on, by the shortcut when that can be.
    pub(crate) fn add(&mut self, scope: &TenantScope, key: T::Key, shortcut: Option<Box<dyn Shortcut<T>>>) {
        let Some(hub) = self.hub.upgrade() else { return };
        let spot = (scope.tenant().clone(), key);
        let subscriber = Subscriber { id: self.id, shortcut, queue: self.queue.clone() };
        let mut all = hub.spots();
        join(&mut all, &spot, subscriber);
        hub.count(&all);
        drop(all);
        self.spots.push(spot);
    }

    /// Is not told of it any more.
    pub fn remove(&mut self, key: &T::Key) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut all = hub.spots();
        let id = self.id;
        self.spots.retain(|spot| {
            let gone = spot.1 == *key;
            if gone {
                leave(&mut all, spot, id);
            }
            !gone
        });
        hub.count(&all);
    }

    /// The next notice; waits for one. Cancel safe.
    pub async fn next(&mut self) -> Notice<T> {
        self.queue.next().await
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: Mutex::new(Waiting { news: VecDeque::new(), missed: false }), more: Notify::new() }
    }
}

impl<T> Queue<T> {
    fn put(&self, advance: &Arc<T>) {
        let mut waiting = self.waiting();
        if waiting.news.len() < QUEUE {
            waiting.news.push_back(advance.clone());
        } else {
            waiting.missed = true;
        }
        drop(waiting);
        self.more.notify_one();
    }

    async fn next(&self) -> Notice<T> {
        loop {
            if let Some(notice) = self.waiting().take() {
                return notice;
            }
            // One that comes in between has left its mark.
            self.more.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        // Each change is one call that leaves it whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Waiting<T> {
    fn take(&mut self) -> Option<Notice<T>> {
        if self.missed {
            // All of it is covered by what the follower reads now.
            *self = Self { news: VecDeque::new(), missed: false };
            return Some(Notice::Lagged);
        }
        let next = self.news.pop_front();
        if next.is_none() {
            // Memory of a burst is not kept for a follower that idles.
            self.news = VecDeque::new();
        }
        next.map(Notice::Advanced)
    }
}

impl<T: Told> Drop for Follower<T> {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut all = hub.spots();
        for spot in &self.spots {
            leave(&mut all, spot, self.id);
        }
        hub.count(&all);
    }
}

/// Subscribers are in the order of their ids.
fn join<T: Told>(all: &mut HashMap<Spot<T>, Vec<Subscriber<T>>>, spot: &Spot<T>, subscriber: Subscriber<T>) {
    let subscribers = all.entry(spot.clone()).or_default();
    let place = subscribers.partition_point(|each| each.id <= subscriber.id);
    subscribers.insert(place, subscriber);
}

fn leave<T: Told>(all: &mut HashMap<Spot<T>, Vec<Subscriber<T>>>, spot: &Spot<T>, id: u64) {
    if let Some(subscribers) = all.get_mut(spot) {
        subscribers.retain(|subscriber| subscriber.id != id);
        if subscribers.is_empty() {
            all.remove(spot);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use sdk_core::protocol::{Epoch, Offset, StreamPosition};

    use super::*;
    use crate::dev::DevIssuer;
    use sdk_core::clock::Millis;

    fn scope(tenant: &str) -> TenantScope {
        let issuer = DevIssuer::from_secret([7; 32]);
        let token = issuer.mint(tenant, "ada", 60, Millis(0)).unwrap();
        TenantScope::of(issuer.verifier().verify(&token, Millis(0)).unwrap())
    }

    fn advance(tenant: &str, offset: u64) -> Arc<Advance> {
        let position = |offset| StreamPosition { epoch: Epoch::new("e").unwrap(), offset: Offset(offset) };
        let collection = CollectionName::new("cards").unwrap();
        let (from, to) = (position(offset - 1), position(offset));
        Arc::new(Advance { tenant: tenant.into(), collection, from, to, news: None })
    }

    fn follow(hub: &Arc<Hub<Advance>>, tenant: &str) -> Follower<Advance> {
        hub.follow(&scope(tenant), vec![CollectionName::new("cards").unwrap()])
    }

    fn told(follower: &mut Follower<Advance>) -> Option<Notice<Advance>> {
        follower.next().now_or_never()
    }

    #[tokio::test]
    async fn only_the_tenants_own_followers_are_told() {
        let hub = Arc::new(Hub::default());
        let (mut ours, mut theirs) = (follow(&hub, "ours"), follow(&hub, "theirs"));
        hub.publish(&advance("ours", 1));
        assert_eq!(ours.next().await, Notice::Advanced(advance("ours", 1)));
        assert_eq!(told(&mut theirs), None);
    }

    #[tokio::test]
    async fn a_slow_follower_is_told_once_that_it_missed_something() {
        let hub = Arc::new(Hub::default());
        let mut slow = follow(&hub, "t");
        for offset in 1..=QUEUE as u64 + 10 {
            hub.publish(&advance("t", offset));
        }
        assert_eq!(slow.next().await, Notice::Lagged);
        hub.publish(&advance("t", 99));
        assert_eq!(slow.next().await, Notice::Advanced(advance("t", 99)));
    }

    #[tokio::test]
    async fn of_very_many_followers_each_is_told_once() {
        let hub = Arc::new(Hub::default());
        let mut followers: Vec<_> = (0..3 * SLICE + 1).map(|_| follow(&hub, "t")).collect();
        // Who begins late to follow this is in between by its id.
        let mut early = hub.follow(&scope("t"), Vec::new());
        followers.extend((0..SLICE).map(|_| follow(&hub, "t")));
        early.add(&scope("t"), CollectionName::new("cards").unwrap(), None);
        followers.push(early);
        hub.publish(&advance("t", 1));
        for follower in &mut followers {
            assert_eq!(follower.next().await, Notice::Advanced(advance("t", 1)));
            assert_eq!(told(follower), None);
        }
    }

    #[tokio::test]
    async fn what_a_follower_follows_can_change() {
        let hub = Arc::new(Hub::default());
        let mut follower = hub.follow(&scope("t"), Vec::new());
        hub.publish(&advance("t", 1));
        follower.add(&scope("t"), CollectionName::new("cards").unwrap(), None);
        hub.publish(&advance("t", 2));
        assert_eq!(follower.next().await, Notice::Advanced(advance("t", 2)));
        follower.remove(&CollectionName::new("cards").unwrap());
        assert!(hub.spots().is_empty());
        hub.publish(&advance("t", 3));
        assert_eq!(told(&mut follower), None);
    }

    #[tokio::test]
    async fn followers_that_are_gone_leave_nothing_behind() {
        let hub = Arc::new(Hub::default());
        assert!(!hub.is_followed());
        let (one, two) = (follow(&hub, "t"), follow(&hub, "t"));
        drop(one);
        assert_eq!(hub.spots().len(), 1);
        assert!(hub.is_followed());
        drop(two);
        assert!(hub.spots().is_empty() && !hub.is_followed());
    }
}
