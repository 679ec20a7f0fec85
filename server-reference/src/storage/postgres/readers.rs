//! Threads that work for whoever asks, each over a connection of its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    connection::Signer,
    session::{Session, Whose},
    settings::Settings,
};
use crate::storage::{
    StorageError,
    sql::{Connection, stopped},
};

/// What waits for a thread. Who comes after waits, too.
const QUEUE: usize = 1_024;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// Threads that each have a connection. They stop, having finished their queue, when the last owner is gone.
pub(super) struct Sessions(mpsc::Sender<Job>);

impl Sessions {
    pub(super) fn start(
        name: &str,
        count: usize,
        settings: &Arc<Settings>,
        signer: &Arc<Signer>,
    ) -> Result<Self, StorageError> {
        let (jobs, queue) = mpsc::channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..count.max(1) {
            let (queue, settings, signer) = (queue.clone(), settings.clone(), signer.clone());
            let serve = move || {
                let mut session = Session::new(settings, signer);
                // Whoever waits for a job holds the lock, and those behind wait for that.
                while let Some(job) = { lock(&queue).blocking_recv() } {
                    job(&mut session);
                }
            };
            thread::Builder::new()
                .name(name.into())
                .spawn(serve)
                .map_err(|error| StorageError::Unavailable(Box::new(error)))?;
        }
        Ok(Self(jobs))
    }

    /// Has one of the threads do something.
    pub(super) async fn ask<T: Send + 'static, E: From<StorageError> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        // Who asked may have gone away.
        let job = Box::new(move |session: &mut Session| drop(reply.send(work(session))));
        self.0.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// Those that read.
pub(super) struct Readers(Sessions);

impl Readers {
    pub(super) fn start(
        count: usize,
        settings: &Arc<Settings>,
        signer: &Arc<Signer>,
    ) -> Result<Self, StorageError> {
        Ok(Self(Sessions::start("postgres-reader", count, settings, signer)?))
    }

    /// Reads one tenant's rows at one point in time; those of all, where none is named.
    pub(super) async fn read<T: Send + 'static, E: From<StorageError> + Send + 'static>(
        &self,
        tenant: Option<Arc<str>>,
        read: impl FnOnce(&dyn Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let read = move |session: &mut Session| {
            session.read(tenant.as_deref().map_or(Whose::Every, Whose::Tenant), read)
        };
        self.0.ask(read).await
    }
}

fn lock(queue: &Mutex<mpsc::Receiver<Job>>) -> std::sync::MutexGuard<'_, mpsc::Receiver<Job>> {
    // A reader that panicked has left the queue whole.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
