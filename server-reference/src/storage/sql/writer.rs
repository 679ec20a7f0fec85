//! A thread that writes: whatever waits while one transaction is under way goes together into the next.

use std::{sync::Arc, thread};

use tokio::sync::{mpsc, oneshot};

use crate::storage::{Advance, Batch, Committed, StorageError};

/// Batches waiting for a writer. Who comes after waits, too, holding one batch.
const QUEUE: usize = 256;
/// Batches in one transaction.
const GROUP: usize = 128;

/// What commits groups of batches.
pub(in crate::storage) trait Commits: 'static {
    /// Judges several batches in one transaction, each in a savepoint of its own. When this returns, all that is `Ok` is
    /// durable.
    fn commit_group(&mut self, group: Vec<Batch>) -> Vec<Result<Committed, StorageError>>;
}

/// Called with each advance after its commit, in the order of commits, before the commit is acknowledged. Runs on
/// a writer's thread and must not wait.
pub(in crate::storage) type Told = Box<dyn Fn(&Arc<Advance>) + Send>;

enum Job<D> {
    Commit(Box<Batch>, oneshot::Sender<Result<Committed, StorageError>>),
    /// Something else, which answers for itself and tells what readers are to be told.
    Call(Box<dyn FnOnce(&mut D) -> Answered + Send>),
}

/// What became of a call: who follows is told before whoever called.
struct Answered {
    advances: Vec<Arc<Advance>>,
    answer: Box<dyn FnOnce()>,
}

/// The thread. It stops, having finished its queue, when the last owner is gone.
pub(in crate::storage) struct Writer<D>(mpsc::Sender<Job<D>>);

impl<D: Commits> Writer<D> {
    /// Starts it; what it writes to is made there.
    pub(in crate::storage) fn start(
        name: &str,
        open: impl FnOnce() -> D + Send + 'static,
        on_advance: Told,
    ) -> Result<Self, StorageError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name(name.into())
            .spawn(move || write(open(), queue, &on_advance))
            .map_err(|error| StorageError::Unavailable(Box::new(error)))?;
        Ok(Self(jobs))
    }

    /// Commits a batch, together with others.
    pub(in crate::storage) async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Job::Commit(Box::new(batch), reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Does something else, in its turn.
    pub(in crate::storage) async fn call<T: Send + 'static, E: From<StorageError> + Send + 'static>(
        &self,
        call: impl FnOnce(&mut D) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        self.tell(|store| Ok((call(store)?, Vec::new()))).await
    }

    /// The same, of which those who follow are to be told.
    pub(in crate::storage) async fn tell<T: Send + 'static, E: From<StorageError> + Send + 'static>(
        &self,
        call: impl FnOnce(&mut D) -> Result<(T, Vec<Arc<Advance>>), E> + Send + 'static,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        let call = Box::new(move |store: &mut D| {
            let (result, advances) = match call(store) {
                Ok((value, advances)) => (Ok(value), advances),
                Err(error) => (Err(error), Vec::new()),
            };
            // Who asked may have gone away.
            Answered { advances, answer: Box::new(move || drop(reply.send(result))) }
        });
        self.0.send(Job::Call(call)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn write<D: Commits>(mut store: D, mut queue: mpsc::Receiver<Job<D>>, on_advance: &Told) {
    while let Some(first) = queue.blocking_recv() {
        let (mut group, mut replies) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Commit(batch, reply) => {
                    group.push(*batch);
                    replies.push(reply);
                }
                Job::Call(call) => {
                    let Answered { advances, answer } = call(&mut store);
                    advances.iter().for_each(on_advance);
                    answer();
                }
            }
            next = if group.len() < GROUP { queue.try_recv().ok() } else { None };
        }
        let results = store.commit_group(group);
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

/// What a caller is told when the thread that was to answer is gone.
pub(in crate::storage) fn stopped() -> StorageError {
    StorageError::Unavailable("the store has stopped".into())
}
