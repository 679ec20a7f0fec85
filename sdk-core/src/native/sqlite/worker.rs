//! A thread that owns one database and does what it is sent, in order.

use std::{fmt, thread};

use tokio::sync::{mpsc, oneshot};

use crate::engine::storage::StoreError;

/// Jobs that wait for the thread; who brings more waits with them.
const QUEUE: usize = 32;

enum Job<T> {
    Run(Box<dyn FnOnce(&mut T) + Send>),
    Stop,
}

/// Hands jobs to its thread. Dropping it waits until those already handed over are done and `T` is dropped.
pub(super) struct Worker<T> {
    jobs: Option<mpsc::Sender<Job<T>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl<T: 'static> Worker<T> {
    /// Starts the thread and opens what it owns there.
    pub(super) async fn start(
        name: &str,
        open: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (jobs, mut queue) = mpsc::channel::<Job<T>>(QUEUE);
        let (opened, when_opened) = oneshot::channel();
        let body = move || {
            let mut owned = match open() {
                Ok(owned) => owned,
                Err(error) => return drop(opened.send(Err(error))),
            };
            if opened.send(Ok(())).is_err() {
                return;
            }
            while let Some(Job::Run(job)) = queue.blocking_recv() {
                job(&mut owned);
            }
            // Before the queue, whose end tells that this is done.
            drop(owned);
            drop(queue);
        };
        let thread = thread::Builder::new().name(name.into()).spawn(body);
        let thread = thread.map_err(|error| StoreError::Failed(format!("no thread: {error}")))?;
        let worker = Self { jobs: Some(jobs), thread: Some(thread) };
        when_opened.await.map_err(|_| gone())??;
        Ok(worker)
    }

    /// Runs a job on the thread. If the future is dropped the job runs whole or not at all.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut T) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (answer, when_done) = oneshot::channel();
        let job = Job::Run(Box::new(move |owned: &mut T| {
            // The one who asked may have gone; the job is done all the same.
            let _ = answer.send(job(owned));
        }));
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).await.map_err(|_| gone())?;
        when_done.await.map_err(|_| gone())?
    }

    /// Takes no further jobs; resolves when those already handed over are done and `T` is dropped.
    pub(super) async fn stop(&self) {
        if let Some(jobs) = &self.jobs {
            // Refused only by a thread that has ended.
            let _ = jobs.send(Job::Stop).await;
            jobs.closed().await;
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has dropped what it owned, which is all that counts here.
            let _ = thread.join();
        }
    }
}

impl<T> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("thread", &self.thread).finish_non_exhaustive()
    }
}

fn gone() -> StoreError {
    StoreError::Failed("the store is closed".into())
}
