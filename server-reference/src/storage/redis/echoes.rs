//! What an instance hears of itself.
//!
//! Of its own commits an instance tells its followers at once, and then hears of them as all the others do. Where nobody waited for
//! the answer any more, or none came in time, hearing of it is the only news.

use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Calls that were told of once and may be heard of yet.
const MOST: usize = 65_536;

/// Sees to it that each call of an instance is told of once.
pub(super) struct Echoes {
    instance: String,
    calls: AtomicU64,
    once: Mutex<HashSet<u64>>,
}

impl Echoes {
    pub(super) fn new(instance: String) -> Self {
        Self { instance, calls: AtomicU64::default(), once: Mutex::default() }
    }

    /// The number of a new call.
    pub(super) fn next(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    /// What messages of a call say where they are from.
    pub(super) fn origin(&self, number: u64) -> String {
        format!("{} {number}", self.instance)
    }

    /// Whether a message is news: another's, or the first word of a call of this instance.
    pub(super) fn is_new(&self, origin: &str) -> bool {
        let own = origin.split_once(' ').filter(|(instance, _)| *instance == self.instance);
        own.and_then(|(_, number)| number.parse().ok()).is_none_or(|number| self.first(number))
    }

    /// Whether a call is told of for the first time. There are two: its answer, and its message.
    pub(super) fn first(&self, number: u64) -> bool {
        let mut once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        if once.remove(&number) {
            return false;
        }
        if once.len() >= MOST {
            // Of most of them one of the two got lost. Whoever is told twice has read it by then.
            once.clear();
        }
        once.insert(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_of_once_whichever_comes_first_and_others_always() {
        let echoes = Echoes::new("a".into());
        let (one, two) = (echoes.next(), echoes.next());
        assert!(echoes.first(one) && !echoes.is_new(&echoes.origin(one)));
        assert!(echoes.is_new(&echoes.origin(two)) && !echoes.first(two));
        assert!(echoes.is_new("b 0") && echoes.is_new("b 0") && echoes.is_new(""));
    }
}
