//! What a session was given to do, of one kind: what is with the store, and what waits behind it.

/// Batches of one kind. The store has all that had come when it was asked; whatever comes meanwhile goes together into
/// the next question: a client that comes back with a full outbox is bound by the disk, and pays it once.
pub(super) struct Work<T> {
    waiting: Vec<T>,
    bytes: usize,
    /// How many each batch that waits has.
    next: Vec<usize>,
    /// How many each batch has that is with the store; empty while nothing is.
    under_way: Vec<usize>,
}

impl<T> Default for Work<T> {
    fn default() -> Self {
        Self { waiting: Vec::new(), bytes: 0, next: Vec::new(), under_way: Vec::new() }
    }
}

impl<T> Work<T> {
    /// One more batch, which came in so many bytes.
    pub(super) fn add(&mut self, batch: Vec<T>, bytes: usize) {
        self.next.push(batch.len());
        self.waiting.extend(batch);
        self.bytes += bytes;
    }

    /// All that waits, for the store; none while that is at work, or if nothing waits.
    pub(super) fn begin(&mut self) -> Option<Vec<T>> {
        if self.is_under_way() || self.next.is_empty() {
            return None;
        }
        self.under_way = std::mem::take(&mut self.next);
        self.bytes = 0;
        Some(std::mem::take(&mut self.waiting))
    }

    /// The store is done. Returns how many each batch had.
    pub(super) fn done(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.under_way)
    }

    /// Whether the store is at work.
    pub(super) fn is_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Bytes of what waits.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many wait or are with the store.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.under_way.iter().sum::<usize>()
    }
}
