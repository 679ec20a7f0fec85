//! A store that fails when it is told to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    driver::Store,
    engine::storage::{Batch, Clear, Query, Rows, Scan, StoreError, Stored},
};

/// How a write fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteFault {
    /// Nothing is written, as the contract promises of an error.
    NotWritten(StoreError),
    /// The batch is written and yet reported as failed: real storage breaks the promise this way when a
    /// connection is lost between commit and report.
    Written(StoreError),
}

/// Decides what fails; shared by a test and the [`FaultyStore`] it has given away.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    writes: u64,
    write_faults: Vec<(u64, WriteFault)>,
    random: Option<(fastrand::Rng, f64)>,
    load: Option<StoreError>,
    read: Option<StoreError>,
    replica_broken: bool,
}

impl Faults {
    /// Nothing fails until it is told to.
    pub fn none() -> Self {
        Self::default()
    }

    /// Each write fails with this probability, half of them although written. Equal seeds and calls give equal
    /// faults.
    pub fn seeded(seed: u64, probability: f64) -> Self {
        let faults = Self::default();
        faults.plan().random = Some((fastrand::Rng::with_seed(seed), probability));
        faults
    }

    /// The n-th write from now on fails; the next is the first.
    pub fn fail_write(&self, n: u64, fault: WriteFault) {
        let mut plan = self.plan();
        let at = plan.writes + n;
        plan.write_faults.push((at, fault));
    }

    /// Loading fails until this is called with none.
    pub fn fail_load(&self, error: Option<StoreError>) {
        self.plan().load = error;
    }

    /// Reading fails until this is called with none.
    pub fn fail_read(&self, error: Option<StoreError>) {
        self.plan().read = error;
    }

    /// Loading says that the replica could not be read, until it is cleared as a whole.
    pub fn break_replica(&self) {
        self.plan().replica_broken = true;
    }

    /// How many batches came, failed ones included.
    pub fn writes(&self) -> u64 {
        self.plan().writes
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn next_write(&mut self, batch: &Batch) -> Option<WriteFault> {
        self.writes += 1;
        if self.replica_broken && matches!(batch, Batch::Replica(replica) if replica.clear != Clear::All) {
            return Some(WriteFault::NotWritten(StoreError::Corrupt("injected".into())));
        }
        if let Some(at) = self.write_faults.iter().position(|(n, _)| *n == self.writes) {
            return Some(self.write_faults.swap_remove(at).1);
        }
        let (random, probability) = self.random.as_mut()?;
        if random.f64() >= *probability {
            return None;
        }
        let error = StoreError::Failed("injected".into());
        Some(if random.bool() { WriteFault::Written(error) } else { WriteFault::NotWritten(error) })
    }
}

/// Passes everything on to another store, but for what its [`Faults`] say.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    faults: Faults,
}

impl<S: Store> FaultyStore<S> {
    /// Puts faults before a store.
    pub fn new(inner: S, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

impl<S: Store> Store for FaultyStore<S> {
    async fn load(&self) -> Result<Stored, StoreError> {
        let (error, replica_broken) = {
            let plan = self.faults.plan();
            (plan.load.clone(), plan.replica_broken)
        };
        match error {
            Some(error) => Err(error),
            None if replica_broken => {
                Ok(Stored { cursors: None, notes: Vec::new(), ..self.inner.load().await? })
            }
            None => self.inner.load().await,
        }
    }

    async fn read(&self, query: Query, scan: Scan) -> Result<Rows, StoreError> {
        let error = {
            let plan = self.faults.plan();
            let broken = plan.replica_broken.then(|| StoreError::Corrupt("injected".into()));
            plan.read.clone().or(broken)
        };
        match error {
            Some(error) => Err(error),
            None => self.inner.read(query, scan).await,
        }
    }

    async fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        let fault = self.faults.plan().next_write(&batch);
        if let Some(WriteFault::NotWritten(error)) = fault {
            return Err(error);
        }
        let heals = matches!(&batch, Batch::Replica(replica) if replica.clear == Clear::All);
        self.inner.apply(batch).await?;
        if heals {
            self.faults.plan().replica_broken = false;
        }
        match fault {
            Some(WriteFault::Written(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::{
        driver::MemoryStore,
        engine::storage::{OutboxBatch, OutboxRecord, ReplicaBatch},
    };

    fn write(store: &impl Store, key: u64) -> Result<(), StoreError> {
        let put = vec![OutboxRecord { key, text: String::new() }];
        block_on(store.apply(Batch::Outbox(OutboxBatch { put, ..OutboxBatch::default() })))
    }

    fn keys(store: &impl Store) -> Vec<u64> {
        block_on(store.load()).unwrap().outbox.iter().map(|record| record.key).collect()
    }

    #[test]
    fn the_writes_that_were_named_fail_and_no_others() {
        let faults = Faults::none();
        let store = FaultyStore::new(MemoryStore::new(), faults.clone());
        let full = StoreError::Full("injected".into());
        faults.fail_write(2, WriteFault::NotWritten(full.clone()));
        faults.fail_write(3, WriteFault::Written(full.clone()));
        let results: Vec<_> = (1..=4).map(|key| write(&store, key)).collect();
        assert_eq!(results, [Ok(()), Err(full.clone()), Err(full), Ok(())]);
        assert_eq!((keys(&store), faults.writes()), (vec![1, 3, 4], 4));
    }

    #[test]
    fn equal_seeds_give_equal_faults() {
        let run = |seed| {
            let store = FaultyStore::new(MemoryStore::new(), Faults::seeded(seed, 0.5));
            let failed: Vec<_> = (0..64).map(|key| write(&store, key).is_err()).collect();
            (failed, keys(&store))
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_broken_replica_stays_broken_until_it_is_cleared() {
        let faults = Faults::none();
        let store = FaultyStore::new(MemoryStore::new(), faults.clone());
        faults.break_replica();
        let apply =
            |clear| block_on(store.apply(Batch::Replica(ReplicaBatch { clear, ..ReplicaBatch::default() })));
        assert_eq!(block_on(store.load()).unwrap().cursors, None);
        assert!(apply(Clear::Nothing).is_err());
        assert_eq!(apply(Clear::All), Ok(()));
        assert_eq!(block_on(store.load()).unwrap().cursors, Some(vec![]));
    }
}
