//! The embedded store of critical transactions: a database of its own, with one thread that writes and some that read.
//!
//! Whatever waits while one commit is under way goes together into the next, each call in a savepoint of its own: one that
//! is refused, fails or panics takes nothing from the others.

mod schema;
#[cfg(test)]
mod tests;

use std::{path::Path, thread};

use futures::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, TransactionBehavior};
use sdk_core::clock::Millis;
use tokio::sync::mpsc;

use super::{audit, readers::Readers};
use crate::{
    storage::{
        StorageError,
        sql::{
            self, stopped,
            transactions::{Answers, Failing, Job, answer, job, misused, outgoing, run},
        },
        transactions::{
            Ask, Backlog, Fate, NotRun, Outgoing, Parcel, ParcelId, Ran, Run, Transactions, Verdict,
        },
    },
    tenant::TenantScope,
};

pub use crate::storage::sql::transactions::Caps;

/// Calls waiting for the writer. Who comes after waits, too.
const QUEUE: usize = 1_024;
/// Calls in one transaction.
const GROUP: usize = 256;

/// Called after each commit, for it may hold events to be appended. Runs on the writer's thread and must not wait.
pub type OnCommit = Box<dyn Fn() + Send>;

/// The embedded store of transactions. The writer stops, having finished its queue, when the last owner is gone.
pub struct TransactionStore {
    jobs: mpsc::Sender<Job>,
    readers: Readers,
    caps: Caps,
}

impl TransactionStore {
    /// Opens or creates the database at `path` and starts its threads.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    pub fn open(path: &Path, caps: Caps, on_commit: OnCommit) -> Result<Self, StorageError> {
        let mut connection = Connection::open(path)?;
        audit::enable(&connection, audit::key(Some(path))?, audit::TRANSACTIONS)?;
        schema::prepare(&mut connection)?;
        connection.set_prepared_statement_cache_capacity(64);
        let readers = Readers::open(path)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name("transactions-writer".into())
            .spawn(move || write(connection, queue, &on_commit))
            .map_err(|error| StorageError::Unavailable(Box::new(error)))?;
        Ok(Self { jobs, readers, caps })
    }

    /// Forgets the keys that were used at or before a time. Slice by slice; calls have their turn between two.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; some may have been forgotten.
    pub async fn forget(&self, before: Millis) -> Result<(), StorageError> {
        while self.write(move |connection| outgoing::forget(connection, before)).await? {}
        Ok(())
    }

    async fn write<T: Send + 'static, E: Failing>(
        &self,
        call: impl FnOnce(&dyn sql::Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (job, answer) = job(call);
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Transactions for TransactionStore {
    fn run(&self, scope: TenantScope, call: Run, now: Millis) -> BoxFuture<'_, Result<Ran, NotRun>> {
        let caps = self.caps;
        self.write(move |connection| run(connection, &scope, &call, caps, now)).boxed()
    }

    fn ask(&self, scope: TenantScope, ask: Ask, now: Millis) -> BoxFuture<'_, Result<Verdict, NotRun>> {
        self.readers.read(move |connection| answer(connection, &scope, &ask, now)).boxed()
    }

    fn misused(
        &self,
        scope: TenantScope,
        by: String,
        how: String,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.write(move |connection| misused(connection, &scope, by, how, now)).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        // Takes part in a transaction as everybody does, and writes nothing.
        self.write(|_| Ok(())).boxed()
    }
}

impl Outgoing for TransactionStore {
    fn waiting(&self, now: Millis) -> BoxFuture<'_, Result<Vec<Parcel>, StorageError>> {
        self.readers.read(move |connection| outgoing::waiting(connection, now)).boxed()
    }

    fn settle(&self, fates: Vec<(ParcelId, Fate)>) -> BoxFuture<'_, Result<(), StorageError>> {
        self.write(move |connection| outgoing::settle(connection, &fates)).boxed()
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, StorageError>> {
        self.readers.read(|connection| outgoing::backlog(connection)).boxed()
    }
}

fn write(mut connection: Connection, mut queue: mpsc::Receiver<Job>, on_commit: &OnCommit) {
    while let Some(first) = queue.blocking_recv() {
        let mut answers = Answers::default();
        let committed = group(&mut connection, first, &mut queue, &mut answers);
        if committed.is_ok() {
            on_commit();
        }
        answers.settle(committed);
    }
}

/// Runs calls in one transaction. What is kept of them is durable when this returns.
fn group(
    connection: &mut Connection,
    first: Job,
    queue: &mut mpsc::Receiver<Job>,
    answers: &mut Answers,
) -> Result<(), StorageError> {
    // Taken at once: a read that turns into a write could fail half-way.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut next = Some(first);
    while let Some(job) = next.take() {
        answers.of(&*transaction, job)?;
        if answers.len() < GROUP {
            next = queue.try_recv().ok();
        }
    }
    Ok(transaction.commit()?)
}
