//! The embedded store on threads: one writes, some read.

use std::{path::Path, sync::Arc, thread};

use futures::future::{BoxFuture, FutureExt};
use sdk_core::{
    clock::Millis,
    protocol::{Changes, ClientId, CollectionName, Limits, Manifest},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    NewEpoch, SqliteDocuments, UPKEEP_SLICE,
    readers::{Readers, stopped},
};
use crate::{
    resolvers::Resolvers,
    snapshot::{Export, Exports},
    storage::{
        Advance, Batch, Committed, Documents, Page, StorageError,
        events::{Answer, LetterId, Which},
        refusals::{ClientChange, ClientDead, ClientFate, ClientLetters, Note, Refusals},
        sql::read,
    },
    tenant::TenantScope,
};

/// Batches waiting for the writer. Who comes after waits, too, holding one batch.
const QUEUE: usize = 256;
/// Batches in one transaction.
const GROUP: usize = 128;

/// Called with each advance after its commit, in the order of commits, before the commit is acknowledged. Runs on
/// the writer's thread and must not wait.
pub type OnAdvance = Box<dyn Fn(&Arc<Advance>) + Send>;

enum Job {
    Commit(Box<Batch>, oneshot::Sender<Result<Committed, StorageError>>),
    Check(oneshot::Sender<Result<(), StorageError>>),
    Prune(Millis, oneshot::Sender<Result<usize, StorageError>>),
    /// Something else, which answers for itself and tells what readers are to be told.
    Call(Box<dyn FnOnce(&mut SqliteDocuments) -> Answered + Send>),
}

/// What became of a call: who follows is told before whoever called.
struct Answered {
    advances: Vec<Arc<Advance>>,
    answer: Box<dyn FnOnce()>,
}

/// The embedded store. Whatever waits while one transaction is under way goes together into the next, so the cost of
/// reaching the disk is shared. The writer stops, having finished its queue, when the last owner is gone.
pub struct SqliteStore {
    jobs: mpsc::Sender<Job>,
    readers: Readers,
}

impl SqliteStore {
    /// Opens or creates the database at `path` and starts its threads.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`].
    pub fn open(
        path: &Path,
        limits: Limits,
        new_epoch: NewEpoch,
        resolvers: Resolvers,
        on_advance: OnAdvance,
    ) -> Result<Self, StorageError> {
        let documents = SqliteDocuments::open(path, limits, new_epoch)?.with_resolvers(resolvers);
        let readers = Readers::open(path)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || write(documents, queue, &on_advance))
            .map_err(|error| StorageError::Unavailable(Box::new(error)))?;
        Ok(Self { jobs, readers })
    }

    /// Removes what is left of all documents that were deleted at or before a Unix time, and returns of how many. Slice
    /// by slice; commits have their turn between two.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; some may have been removed.
    pub async fn prune(&self, before: Millis) -> Result<usize, StorageError> {
        let mut removed = 0;
        loop {
            let slice = self.ask(|reply| Job::Prune(before, reply)).await?;
            removed += slice;
            if slice < UPKEEP_SLICE {
                return Ok(removed);
            }
        }
    }

    /// How many dead letters of clients there are, of all tenants.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    pub(crate) async fn client_letter_count(&self) -> Result<i64, StorageError> {
        const COUNT: &str = "SELECT coalesce(sum(letters), 0) FROM refused_tenants";
        self.readers.read(|connection| Ok(connection.query_row(COUNT, [], |row| row.get(0))?)).await
    }

    /// Calls the writer, in its turn.
    pub(super) async fn call<T: Send + 'static, E: From<StorageError> + Send + 'static>(
        &self,
        call: impl FnOnce(&mut SqliteDocuments) -> Result<(T, Vec<Arc<Advance>>), E> + Send + 'static,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        let call = Box::new(move |documents: &mut SqliteDocuments| {
            let (result, advances) = match call(documents) {
                Ok((value, advances)) => (Ok(value), advances),
                Err(error) => (Err(error), Vec::new()),
            };
            Answered { advances, answer: Box::new(move || drop(reply.send(result))) }
        });
        self.jobs.send(Job::Call(call)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StorageError>>) -> Job,
    ) -> Result<T, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Exports for SqliteStore {
    fn export(
        &self,
        scope: TenantScope,
        collection: CollectionName,
        to: Box<dyn Export>,
    ) -> BoxFuture<'_, Result<Manifest, StorageError>> {
        self.readers
            .read(move |connection| {
                let mut to = to;
                let at = read::export(connection, &scope, &collection, &mut *to)?;
                to.finish(at)
            })
            .boxed()
    }
}

impl Documents for SqliteStore {
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StorageError>> {
        self.ask(|reply| Job::Commit(Box::new(batch), reply)).boxed()
    }

    fn changes(&self, scope: TenantScope, page: Page) -> BoxFuture<'_, Result<Changes, StorageError>> {
        self.readers.read(move |connection| read::changes(connection, &scope, &page)).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.ask(Job::Check).boxed()
    }
}

impl Refusals for SqliteStore {
    fn note(
        &self,
        scope: TenantScope,
        client: ClientId,
        notes: Vec<Note>,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.call(move |documents| Ok((documents.note(&scope, client, &notes, now)?, Vec::new()))).boxed()
    }
}

impl ClientLetters for SqliteStore {
    fn client_letters(&self, scope: TenantScope, which: Which, now: Millis) -> Answer<'_, ClientDead> {
        // By the writer, since it is recorded before it is shown.
        self.call(move |documents| Ok((documents.client_letters(&scope, which, now)?, Vec::new()))).boxed()
    }

    fn change_client_letters(
        &self,
        scope: TenantScope,
        change: ClientChange,
        now: Millis,
    ) -> Answer<'_, Vec<(LetterId, ClientFate)>> {
        self.call(move |documents| documents.change_client_letters(&scope, &change, now)).boxed()
    }
}

fn write(mut documents: SqliteDocuments, mut queue: mpsc::Receiver<Job>, on_advance: &OnAdvance) {
    while let Some(first) = queue.blocking_recv() {
        let (mut group, mut replies) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Commit(batch, reply) => {
                    group.push(*batch);
                    replies.push(reply);
                }
                Job::Check(reply) => {
                    // Who asked may have gone away.
                    let _ = reply.send(documents.check());
                }
                Job::Prune(before, reply) => {
                    let _ = reply.send(documents.prune(before));
                }
                Job::Call(call) => {
                    let Answered { advances, answer } = call(&mut documents);
                    advances.iter().for_each(on_advance);
                    answer();
                }
            }
            next = if group.len() < GROUP { queue.try_recv().ok() } else { None };
        }
        let results = documents.commit_group(group);
        for committed in results.iter().flatten() {
            committed.advances.iter().for_each(on_advance);
        }
        for (reply, result) in replies.into_iter().zip(results) {
            if let Err(StorageError::Unavailable(error)) = &result {
                tracing::error!(error, "a commit failed; nothing of it was acknowledged");
            }
            // A session that has gone away asks again and gets the same judgements.
            let _ = reply.send(result);
        }
    }
}
