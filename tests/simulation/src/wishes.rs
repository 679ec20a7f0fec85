//! What an application has asked of its outbox in one life of its process, and what it may have to do with.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::protocol::DocKey;

/// A change that an application has asked for.
#[derive(Debug, Clone)]
pub(crate) struct Amending {
    /// The ticket of the operation as it was.
    pub(crate) target: u64,
    /// Its number then.
    pub(crate) seq: u64,
    /// What is to become of it.
    pub(crate) change: Change,
    /// The documents of all that may show otherwise until it is answered.
    pub(crate) docs: BTreeSet<DocKey>,
}

/// What is to become of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It shall do something else.
    Edit,
    /// A dead letter shall be tried again.
    Retry,
    /// It shall not be sent, or is forgotten.
    Abort,
}

/// What an application has asked for.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Changes that are not answered, by ticket.
    pub(crate) open: BTreeMap<u64, Amending>,
    /// Changes that the storage has carried out and called failed, until another commit has put that right.
    pub(crate) doubtful: BTreeMap<u64, Amending>,
    /// The same of new edits.
    pub(crate) doubtful_edits: BTreeSet<u64>,
    /// The ticket and number of operations that stand in the storage because of such a commit.
    pub(crate) undone: BTreeSet<(u64, u64)>,
    /// Numbers of operations that the application wants to be gone, or different.
    pub(crate) unwanted: BTreeSet<u64>,
    /// Numbers that were in the outbox when the process started: an earlier one may have sent them.
    older: BTreeSet<u64>,
    /// Whether the commit that the application is just being told of was carried out and called failed.
    pub(crate) lied: bool,
}

impl Wishes {
    /// A process finds these operations.
    pub(crate) fn start(older: impl Iterator<Item = u64>) -> Self {
        Self { older: older.collect(), ..Self::default() }
    }

    /// The outbox is stored as it is.
    pub(crate) fn stored(&mut self) {
        self.doubtful.clear();
        self.doubtful_edits.clear();
        self.undone.clear();
    }

    /// A change is answered. One that failed may be in the storage all the same.
    pub(crate) fn answered(&mut self, ticket: u64, failed: bool) -> Option<Amending> {
        let one = self.open.remove(&ticket)?;
        if failed {
            self.unwanted.remove(&one.seq);
            if self.lied {
                self.doubtful.insert(ticket, one.clone());
            }
        }
        Some(one)
    }

    /// Whether an operation is being changed.
    pub(crate) fn is_amending(&self, ticket: u64) -> bool {
        self.open.values().any(|one| one.target == ticket)
    }

    /// Whether an operation is being withdrawn, or may have been.
    pub(crate) fn is_withdrawing(&self, ticket: u64) -> bool {
        let all = self.open.values().chain(self.doubtful.values());
        all.into_iter().any(|one| one.target == ticket && one.change == Change::Abort)
    }

    /// Whether an earlier process may have sent an operation.
    pub(crate) fn is_older(&self, seq: u64) -> bool {
        self.older.contains(&seq)
    }
}
