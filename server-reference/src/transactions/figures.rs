//! What became of transactions, in numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::storage::transactions::Backlog;

/// Counts, from the start of the server on.
#[derive(Debug, Default)]
pub struct Figures {
    pub(super) done: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) replayed: AtomicU64,
    pub(super) not_run: AtomicU64,
    pub(super) misused: AtomicU64,
    pub(super) events_appended: AtomicU64,
    pub(super) events_waiting: AtomicU64,
    pub(super) oldest_waiting: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observed {
    /// Transactions that were done.
    pub done: u64,
    /// Transactions that their handler refused.
    pub refused: u64,
    /// Calls that got the answer of an earlier one.
    pub replayed: u64,
    /// Calls of which nothing was stored: of a key that is another's, over a limit, of a handler or store that failed.
    pub not_run: u64,
    /// Attempts to have a transaction over the socket or in an outbox.
    pub misused: u64,
    /// Events of transactions that were appended to their topics.
    pub events_appended: u64,
    /// Events that waited for that when somebody last looked.
    pub events_waiting: u64,
    /// Unix time in milliseconds at which the oldest of them was caused; 0 if none waits.
    pub oldest_waiting: u64,
}

impl Figures {
    /// The counts now.
    pub fn read(&self) -> Observed {
        Observed {
            done: self.done.load(Relaxed),
            refused: self.refused.load(Relaxed),
            replayed: self.replayed.load(Relaxed),
            not_run: self.not_run.load(Relaxed),
            misused: self.misused.load(Relaxed),
            events_appended: self.events_appended.load(Relaxed),
            events_waiting: self.events_waiting.load(Relaxed),
            oldest_waiting: self.oldest_waiting.load(Relaxed),
        }
    }

    pub(super) fn add(count: &AtomicU64, more: u64) {
        count.fetch_add(more, Relaxed);
    }

    pub(super) fn backlog(&self, backlog: Backlog) {
        self.events_waiting.store(backlog.events, Relaxed);
        self.oldest_waiting.store(backlog.oldest.map_or(0, |at| at.0), Relaxed);
    }
}
