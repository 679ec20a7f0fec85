//! What all who have something in common have spent together.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sdk_core::clock::Millis;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Limit,
    bucket::{Spent, Unit, Verdict},
    quotas::Quota,
};
use crate::service::MAX_REQUESTS;

/// Accounts of one kind. Whoever comes when there are so many, and all in use, shares one with the others who do.
const MAX_ACCOUNTS: usize = 65_536;
/// Accounts of one kind below which nobody looks for those that are not in use.
const FEW: usize = 1_024;
/// Connections of one address by nobody who is known yet, for each of those that may greet at one time: a browser opens
/// several, and has not said who it is while it loads a page.
const STRANGERS: usize = 4;
/// Requests under way of one user, tenant or address: half of what the server has room for, so that no one takes all.
const REQUESTS: usize = MAX_REQUESTS / 2;

/// What one user, one tenant or one address has spent, and holds.
#[derive(Debug)]
pub(crate) struct Account {
    pub(super) limit: Limit,
    spent: Mutex<Spent>,
    places: Places,
}

#[derive(Debug)]
struct Places {
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// Addresses alone have these.
    doorstep: Option<Doorstep>,
}

/// What there is before anybody has said who it is.
#[derive(Debug)]
pub(super) struct Doorstep {
    /// WebSockets without a valid hello.
    pub(super) greetings: Arc<Semaphore>,
    /// Connections of nobody who is known.
    pub(super) strangers: Arc<Semaphore>,
    /// Connections at all.
    pub(super) lines: Arc<Semaphore>,
}

impl Account {
    fn new(limit: Limit, quota: Quota, memory: usize, greetings: Option<usize>, now: Millis) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        let places = Places {
            connections: semaphore(quota.connections),
            requests: semaphore(REQUESTS),
            memory: semaphore(memory),
            doorstep: greetings.map(|greetings| {
                let strangers = greetings.saturating_mul(STRANGERS);
                let lines = quota.connections.saturating_add(strangers);
                Doorstep {
                    greetings: semaphore(greetings),
                    strangers: semaphore(strangers),
                    lines: semaphore(lines),
                }
            }),
        };
        Self { limit, spent: Mutex::new(Spent::nothing(quota.rates, now)), places }
    }

    /// Counts what has come.
    pub(super) fn take(&self, now: Millis, messages: u64, bytes: u64) -> Verdict {
        self.spent().take_shared(now, messages, bytes)
    }

    /// Counts a message if there is room for it, and otherwise nothing.
    pub(super) fn admit(&self, now: Millis) -> Verdict {
        let mut spent = self.spent();
        match spent.look(now) {
            Verdict::Fine => {
                spent.take_shared(now, 1, 0);
                Verdict::Fine
            }
            over => over,
        }
    }

    /// A place for something that lasts; none if all are taken.
    pub(super) fn place(&self, unit: Unit) -> Option<OwnedSemaphorePermit> {
        let places = match unit {
            Unit::Requests => &self.places.requests,
            _ => &self.places.connections,
        };
        places.clone().try_acquire_owned().ok()
    }

    /// Pieces of memory.
    pub(super) fn memory(&self) -> &Arc<Semaphore> {
        &self.places.memory
    }

    pub(super) fn doorstep(&self) -> Option<&Doorstep> {
        self.places.doorstep.as_ref()
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        // Nothing in here panics between two changes that belong together.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether forgetting it changes nothing for anybody.
    fn is_idle(&self, now: Millis) -> bool {
        let Places { connections, requests, memory, doorstep } = &self.places;
        let doorstep = doorstep
            .iter()
            .flat_map(|Doorstep { greetings, strangers, lines }| [greetings, strangers, lines]);
        let is_free = |places: &Arc<Semaphore>| Arc::strong_count(places) == 1;
        [connections, requests, memory].into_iter().chain(doorstep).all(is_free)
            && self.spent().is_nothing(now)
    }
}

/// The accounts of one kind.
#[derive(Debug)]
pub(super) struct Accounts<K> {
    limit: Limit,
    quota: Quota,
    memory: usize,
    greetings: Option<usize>,
    kept: Mutex<Kept<K>>,
}

#[derive(Debug)]
struct Kept<K> {
    accounts: HashMap<K, Arc<Account>>,
    /// How many there are when those that are idle are forgotten.
    full: usize,
    /// That of all for whom there is no room.
    crowd: Option<Arc<Account>>,
}

impl<K: Eq + Hash> Accounts<K> {
    pub(super) fn new(limit: Limit, quota: Quota, memory: usize, greetings: Option<usize>) -> Self {
        let kept = Kept { accounts: HashMap::new(), full: FEW, crowd: None };
        Self { limit, quota, memory, greetings, kept: Mutex::new(kept) }
    }

    /// The account of somebody.
    pub(super) fn of(&self, key: K, now: Millis) -> Arc<Account> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = kept.accounts.get(&key) {
            return account.clone();
        }
        if kept.accounts.len() >= kept.full {
            // Whoever holds an account goes on to use it. Nobody can come to hold one meanwhile.
            kept.accounts.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_idle(now));
            // So that to look through all of them is not what each newcomer costs.
            kept.full = kept.accounts.len().saturating_mul(2).clamp(FEW, MAX_ACCOUNTS);
        }
        let new = || Arc::new(Account::new(self.limit, self.quota, self.memory, self.greetings, now));
        if kept.accounts.len() >= MAX_ACCOUNTS {
            return kept.crowd.get_or_insert_with(new).clone();
        }
        kept.accounts.entry(key).or_insert_with(new).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::quotas::Rates;

    const QUOTA: Quota = Quota { rates: Rates { messages: 1, bytes: 1_000, burst: 1 }, connections: 2 };

    fn accounts() -> Accounts<usize> {
        Accounts::new(Limit::Tenant, QUOTA, 1, None)
    }

    fn count(accounts: &Accounts<usize>) -> usize {
        accounts.kept.lock().unwrap().accounts.len()
    }

    #[test]
    fn who_is_idle_is_forgotten_and_who_owes_or_holds_something_is_not() {
        let (accounts, now) = (accounts(), Millis(0));
        accounts.of(0, now).take(now, 2, 0);
        let place = accounts.of(1, now).place(Unit::Connections).unwrap();
        let held = accounts.of(2, now);
        for key in 3..3 * FEW {
            accounts.of(key, now);
            assert!(count(&accounts) <= FEW);
        }
        assert!(matches!(accounts.of(0, now).admit(now), Verdict::Over(Unit::Messages, 2_000)));
        assert!(accounts.of(1, now).place(Unit::Connections).is_some(), "one of two");
        assert!(Arc::ptr_eq(&held, &accounts.of(2, now)));
        drop((place, held));
        let later = Millis(10_000);
        (3 * FEW..5 * FEW).for_each(|key| drop(accounts.of(key, later)));
        let kept = accounts.kept.lock().unwrap();
        assert!((0..3).all(|key| !kept.accounts.contains_key(&key)));
    }

    #[test]
    fn there_is_a_most_of_accounts_and_who_comes_then_shares_one() {
        let (accounts, now) = (accounts(), Millis(0));
        for key in 0..MAX_ACCOUNTS {
            accounts.of(key, now).take(now, 1, 0);
        }
        let (one, other) = (accounts.of(MAX_ACCOUNTS, now), accounts.of(MAX_ACCOUNTS + 1, now));
        assert!(Arc::ptr_eq(&one, &other) && count(&accounts) == MAX_ACCOUNTS);
        let later = Millis(10_000);
        let own = accounts.of(MAX_ACCOUNTS, later);
        assert!(!Arc::ptr_eq(&one, &own) && count(&accounts) == 1, "there is room again");
    }
}
