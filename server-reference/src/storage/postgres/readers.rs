//! Threads that read, each over a connection of its own.

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

/// Reads that wait for a thread. Who comes after waits, too.
const QUEUE: usize = 1_024;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// The threads. They stop, having finished their queue, when the last owner is gone.
pub(super) struct Readers(mpsc::Sender<Job>);

impl Readers {
    pub(super) fn start(
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
                .name("postgres-reader".into())
                .spawn(serve)
                .map_err(|error| StorageError::Unavailable(Box::new(error)))?;
        }
        Ok(Self(jobs))
    }

    /// Reads one tenant's rows at one point in time; those of all, where none is named.
    pub(super) async fn read<T: Send + 'static, E: From<StorageError> + Send + 'static>(
        &self,
        tenant: Option<Arc<str>>,
        read: impl FnOnce(&dyn Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move |session: &mut Session| {
            let whose = tenant.as_deref().map_or(Whose::Every, Whose::Tenant);
            // Who asked may have gone away.
            let _ = reply.send(session.read(whose, read));
        });
        self.0.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

fn lock(queue: &Mutex<mpsc::Receiver<Job>>) -> std::sync::MutexGuard<'_, mpsc::Receiver<Job>> {
    // A reader that panicked has left the queue whole.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
