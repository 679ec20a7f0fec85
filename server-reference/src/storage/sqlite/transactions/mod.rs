//! The embedded store of critical transactions: a database of its own, with one thread that writes and some that read.
//!
//! Whatever waits while one commit is under way goes together into the next, each call in a savepoint of its own: one that
//! is refused, fails or panics takes nothing from the others.

mod outgoing;
mod records;
mod run;
mod schema;
#[cfg(test)]
mod tests;

use std::{path::Path, thread};

use futures::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, Savepoint, TransactionBehavior};
use sdk_core::clock::Millis;
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use super::{audit, readers::Readers};
use crate::{
    storage::{
        StorageError,
        sql::stopped,
        transactions::{
            Ask, Backlog, Fate, Misuse, NotRun, Outgoing, Parcel, ParcelId, Ran, Run, Transactions, Verdict,
        },
    },
    tenant::TenantScope,
    transactions::handler::{Call, Fault, Limit, MAX_ANSWER},
};

/// Calls waiting for the writer. Who comes after waits, too.
const QUEUE: usize = 1_024;
/// Calls in one transaction.
const GROUP: usize = 256;

/// What a tenant may have.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// Keys that are kept.
    pub keys: u64,
    /// Records.
    pub records: u64,
    /// Events that wait to be appended to topics.
    pub waiting: u64,
    /// Bytes of one event.
    pub event_bytes: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { keys: 10_000_000, records: 10_000_000, waiting: 100_000, event_bytes: 128 * 1024 }
    }
}

/// Called after each commit, for it may hold events to be appended. Runs on the writer's thread and must not wait.
pub type OnCommit = Box<dyn Fn() + Send>;

/// The embedded store of transactions. The writer stops, having finished its queue, when the last owner is gone.
pub struct TransactionStore {
    jobs: mpsc::Sender<Job>,
    readers: Readers,
    caps: Caps,
}

/// What the writer does for one caller: it takes part in a transaction, and gives back how to answer.
type Job = Box<dyn FnOnce(&mut Savepoint<'_>) -> Pending + Send>;

/// Tells a caller what became of its call, once the transaction was committed or has failed.
type Settle = Box<dyn FnOnce(Result<(), &str>) + Send>;

/// An answer that waits for its commit.
struct Pending {
    /// What it wrote is to stay.
    keep: bool,
    /// The database failed in the middle of it: the transaction has to be given up.
    broken: bool,
    answer: Settle,
}

/// What a caller is told if the database failed, and whether that is it.
trait Failing: From<StorageError> + Send + 'static {
    fn is_unavailable(&self) -> bool;
}

impl Failing for StorageError {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl Failing for NotRun {
    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_unavailable())
    }
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
        while self.write(move |savepoint| outgoing::forget(savepoint, before)).await? {}
        Ok(())
    }

    async fn write<T: Send + 'static, E: Failing>(
        &self,
        call: impl FnOnce(&mut Savepoint<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        // What is logged on the writer's thread is logged for the caller.
        let span = Span::current();
        let job: Job = Box::new(move |savepoint| {
            let result = span.in_scope(|| call(savepoint));
            let (keep, broken) = (result.is_ok(), result.as_ref().is_err_and(Failing::is_unavailable));
            let answer = move |committed: Result<(), &str>| {
                let failed = |error: &str| StorageError::Unavailable(error.to_owned().into()).into();
                // Who asked may have gone away.
                let _ = reply.send(committed.map_err(failed).and(result));
            };
            Pending { keep, broken, answer: Box::new(answer) }
        });
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Transactions for TransactionStore {
    fn run(&self, scope: TenantScope, run: Run, now: Millis) -> BoxFuture<'_, Result<Ran, NotRun>> {
        let caps = self.caps;
        self.write(move |savepoint| run::run(savepoint, &scope, &run, caps, now)).boxed()
    }

    fn ask(&self, scope: TenantScope, ask: Ask, now: Millis) -> BoxFuture<'_, Result<Verdict, NotRun>> {
        self.readers.read(move |connection| answer(connection, &scope, &ask, now)).boxed()
    }

    fn misused(
        &self,
        scope: TenantScope,
        how: Misuse,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.write(move |savepoint| {
            let target = match how {
                Misuse::Socket => "in a frame",
                Misuse::Push => "in a push",
            };
            audit::refusal(&**savepoint, &scope, "critical transaction misplaced", target, now)
        })
        .boxed()
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
        self.write(move |savepoint| outgoing::settle(savepoint, &fates)).boxed()
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, StorageError>> {
        self.readers.read(outgoing::backlog).boxed()
    }
}

fn answer(connection: &Connection, scope: &TenantScope, ask: &Ask, now: Millis) -> Result<Verdict, NotRun> {
    let seen = records::Seen::new(connection, scope.tenant());
    let call = Call { subject: scope.subject(), body: &ask.parameters, now };
    let query = std::panic::AssertUnwindSafe(|| ask.query.run(call, &seen));
    match std::panic::catch_unwind(query) {
        Ok(Ok(answer)) if answer.as_str().len() <= MAX_ANSWER => Ok(Verdict::Done(answer)),
        Ok(Ok(_)) => Err(Limit::Handler("an answer is too large").into()),
        Ok(Err(Fault::Refused(refusal))) => Ok(Verdict::Refused(refusal)),
        Ok(Err(Fault::Storage(error))) => Err(error.into()),
        Ok(Err(Fault::Limit(limit))) => Err(limit.into()),
        Err(_) => Err(NotRun::Panicked),
    }
}

fn write(mut connection: Connection, mut queue: mpsc::Receiver<Job>, on_commit: &OnCommit) {
    while let Some(first) = queue.blocking_recv() {
        let mut answers = Vec::new();
        match group(&mut connection, first, &mut queue, &mut answers) {
            Ok(()) => {
                on_commit();
                answers.into_iter().for_each(|answer| answer(Ok(())));
            }
            Err(error) => {
                tracing::error!(%error, "a commit failed; nothing of it was acknowledged");
                let error = error.to_string();
                answers.into_iter().for_each(|answer| answer(Err(&error)));
            }
        }
    }
}

/// Runs calls in one transaction, each in a savepoint of its own. What is kept of them is durable when this returns.
fn group(
    connection: &mut Connection,
    first: Job,
    queue: &mut mpsc::Receiver<Job>,
    answers: &mut Vec<Settle>,
) -> Result<(), StorageError> {
    // Taken at once: a read that turns into a write could fail half-way.
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut next = Some(first);
    while let Some(job) = next.take() {
        let mut savepoint = transaction.savepoint()?;
        let Pending { keep, broken, answer } = job(&mut savepoint);
        answers.push(answer);
        if broken {
            return Err(StorageError::Unavailable("the transaction was given up".into()));
        }
        // A savepoint that is not kept is rolled back.
        if keep {
            savepoint.commit()?
        } else {
            savepoint.finish()?
        }
        if answers.len() < GROUP {
            next = queue.try_recv().ok();
        }
    }
    Ok(transaction.commit()?)
}
