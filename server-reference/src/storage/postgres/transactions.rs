//! The critical transactions of several servers.

use std::{sync::Arc, thread};

use futures::future::{BoxFuture, FutureExt};
use sdk_core::clock::Millis;
use tokio::sync::mpsc;

use super::{
    audit::Chains,
    connection::Signer,
    readers::Readers,
    schema::{self, TRANSACTIONS},
    session::{Session, Whose, enter},
    settings::{Options, Settings, apart},
};
use crate::{
    storage::{
        StorageError,
        sql::{
            Connection, stopped,
            transactions::{Answers, Caps, Failing, Job, answer, job, misused, outgoing, run},
        },
        sqlite::audit,
        transactions::{
            Ask, Backlog, Fate, NotRun, Outgoing, Parcel, ParcelId, Ran, Run, Transactions, Verdict,
        },
    },
    tenant::TenantScope,
};

/// Calls waiting for a writer. Who comes after waits, too.
const QUEUE: usize = 256;
/// Calls in one transaction.
const GROUP: usize = 64;

/// Called after each commit, for it may hold events to be appended. Runs on a writer's thread and must not wait.
pub type OnCommit = Arc<dyn Fn() + Send + Sync>;

/// One instance's part of the store. Its threads stop, having finished their queues, when the last owner is gone.
pub struct PostgresTransactions {
    writers: Vec<mpsc::Sender<Work>>,
    readers: Readers,
    caps: Caps,
    settings: Arc<Settings>,
    signer: Arc<Signer>,
}

enum Work {
    /// A call of a tenant's, which others may share the transaction of.
    Call(Arc<str>, Job),
    /// Upkeep, which is every tenant's.
    Every(Job),
}

impl PostgresTransactions {
    /// Connects and starts the threads. The tables must [be there](super::migrate_transactions). Waits for the database.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], also where the role is one that sees the rows of every tenant.
    pub fn open(
        options: &Options,
        caps: Caps,
        audit_key: audit::Key,
        on_commit: OnCommit,
    ) -> Result<Self, StorageError> {
        let settings = Arc::new(Settings::new(options)?);
        apart(|| schema::check(&mut settings.connect()?, &TRANSACTIONS))?;
        let signer = Arc::new(Signer { key: audit_key, chain: audit::TRANSACTIONS });
        let start = |_| {
            let (work, queue) = mpsc::channel(QUEUE);
            let session = Session::new(settings.clone(), signer.clone());
            let on_commit = on_commit.clone();
            thread::Builder::new()
                .name("transactions-writer".into())
                .spawn(move || write(session, queue, &on_commit))
                .map_err(|error| StorageError::Unavailable(Box::new(error)))?;
            Ok(work)
        };
        let writers = (0..options.writers.max(1)).map(start).collect::<Result<_, StorageError>>()?;
        let readers = Readers::start(options.readers, &settings, &signer)?;
        Ok(Self { writers, readers, caps, settings, signer })
    }

    /// The chains of its audit.
    pub fn chains(&self) -> Chains {
        Chains::of(self.settings.clone(), self.signer.clone())
    }

    /// Forgets the keys that were used at or before a time. Slice by slice; calls have their turn between two.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; some may have been forgotten.
    pub async fn forget(&self, before: Millis) -> Result<(), StorageError> {
        loop {
            let (job, answer) = job(move |connection| outgoing::forget(connection, before));
            self.writers[0].send(Work::Every(job)).await.map_err(|_| stopped())?;
            if !answer.await.map_err(|_| stopped())?? {
                return Ok(());
            }
        }
    }

    async fn write<T: Send + 'static, E: Failing>(
        &self,
        tenant: Arc<str>,
        call: impl FnOnce(&dyn Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let writer = &self.writers[super::place(&tenant, self.writers.len())];
        let (job, answer) = job(call);
        writer.send(Work::Call(tenant, job)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Transactions for PostgresTransactions {
    fn run(&self, scope: TenantScope, call: Run, now: Millis) -> BoxFuture<'_, Result<Ran, NotRun>> {
        let caps = self.caps;
        self.write(scope.tenant().clone(), move |connection| run(connection, &scope, &call, caps, now))
            .boxed()
    }

    fn ask(&self, scope: TenantScope, ask: Ask, now: Millis) -> BoxFuture<'_, Result<Verdict, NotRun>> {
        let tenant = scope.tenant().clone();
        self.readers.read(Some(tenant), move |connection| answer(connection, &scope, &ask, now)).boxed()
    }

    fn misused(
        &self,
        scope: TenantScope,
        by: String,
        how: String,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.write(scope.tenant().clone(), move |connection| misused(connection, &scope, by, how, now))
            .boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        // Takes part in a transaction as everybody does, and writes nothing.
        self.write("".into(), |_| Ok(())).boxed()
    }
}

impl Outgoing for PostgresTransactions {
    fn waiting(&self, now: Millis) -> BoxFuture<'_, Result<Vec<Parcel>, StorageError>> {
        self.readers.read(None, move |connection| outgoing::waiting(connection, now)).boxed()
    }

    fn settle(&self, fates: Vec<(ParcelId, Fate)>) -> BoxFuture<'_, Result<(), StorageError>> {
        let settle = async move {
            // Each tenant's with its writer, so that nobody else waits. A lane that is gone has nothing to settle.
            let find = move |connection: &dyn Connection| {
                // In their order, which is that of their next turns.
                let mut of = Vec::<(String, Vec<_>)>::new();
                for (id, fate) in fates {
                    let sql = "SELECT tenant FROM lanes WHERE lane = ?1";
                    let tenant: Option<String> = connection.optional(sql, (id.lane,), |row| row.get(0))?;
                    let Some(tenant) = tenant else { continue };
                    match of.iter_mut().find(|(known, _)| *known == tenant) {
                        Some((_, fates)) => fates.push((id, fate)),
                        None => of.push((tenant, vec![(id, fate)])),
                    }
                }
                Ok::<_, StorageError>(of)
            };
            for (tenant, fates) in self.readers.read(None, find).await? {
                self.write(tenant.into(), move |connection| outgoing::settle(connection, &fates)).await?;
            }
            Ok(())
        };
        settle.boxed()
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, StorageError>> {
        self.readers.read(None, |connection| outgoing::backlog(connection)).boxed()
    }
}

fn write(mut session: Session, mut queue: mpsc::Receiver<Work>, on_commit: &OnCommit) {
    let mut behind = None;
    while let Some(first) = behind.take().or_else(|| queue.blocking_recv()) {
        let mut answers = Answers::default();
        let committed = match first {
            Work::Every(job) => session.write(Whose::Every, |connection| answers.of(connection, job)),
            Work::Call(tenant, job) => {
                // Who is in a transaction has to be known before it begins, for its lock.
                let mut calls = vec![(tenant, job)];
                while calls.len() < GROUP && behind.is_none() {
                    match queue.try_recv() {
                        Ok(Work::Call(tenant, job)) => calls.push((tenant, job)),
                        Ok(every) => behind = Some(every),
                        Err(_) => break,
                    }
                }
                group(&mut session, calls, &mut answers)
            }
        };
        if committed.is_ok() {
            on_commit();
        }
        answers.settle(committed);
    }
}

/// Runs calls in one transaction. What is kept of them is durable when this returns.
fn group(
    session: &mut Session,
    calls: Vec<(Arc<str>, Job)>,
    answers: &mut Answers,
) -> Result<(), StorageError> {
    let tenants: Vec<Arc<str>> = calls.iter().map(|(tenant, _)| tenant.clone()).collect();
    let tenants: Vec<&str> = tenants.iter().map(|tenant| &**tenant).collect();
    session.write_group(&tenants, |connection| {
        calls.into_iter().try_for_each(|(tenant, job)| {
            enter(connection, Whose::Tenant(&tenant))?;
            answers.of(connection, job)
        })
    })
}
