//! Calls that share a transaction, each in a savepoint of its own: one that is refused, fails or panics takes nothing from the
//! others.

use tokio::sync::oneshot;
use tracing::Span;

use super::{Connection, NotRun, StorageError};

/// What a writer does for one caller: it takes part in a transaction, and gives back how to answer.
pub(in crate::storage) type Job = Box<dyn FnOnce(&dyn Connection) -> Pending + Send>;

/// Tells a caller what became of its call, once the transaction was committed or has failed.
type Settle = Box<dyn FnOnce(Result<(), &str>) + Send>;

/// An answer that waits for its commit.
pub(in crate::storage) struct Pending {
    /// What it wrote is to stay.
    keep: bool,
    /// The database failed in the middle of it: the transaction has to be given up.
    broken: bool,
    answer: Settle,
}

/// What a caller is told if the database failed, and whether that is it.
pub(in crate::storage) trait Failing: From<StorageError> + Send + 'static {
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

/// A call as a job, and where its answer comes.
pub(in crate::storage) fn job<T: Send + 'static, E: Failing>(
    call: impl FnOnce(&dyn Connection) -> Result<T, E> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, E>>) {
    let (reply, answer) = oneshot::channel();
    // What is logged on the writer's thread is logged for the caller.
    let span = Span::current();
    let job: Job = Box::new(move |connection| {
        let result = span.in_scope(|| call(connection));
        let (keep, broken) = (result.is_ok(), result.as_ref().is_err_and(Failing::is_unavailable));
        let answer = move |committed: Result<(), &str>| {
            let failed = |error: &str| StorageError::Unavailable(error.to_owned().into()).into();
            // Who asked may have gone away.
            let _ = reply.send(committed.map_err(failed).and(result));
        };
        Pending { keep, broken, answer: Box::new(answer) }
    });
    (job, answer)
}

/// The answers of one transaction.
#[derive(Default)]
pub(in crate::storage) struct Answers(Vec<Settle>);

impl Answers {
    pub(in crate::storage) fn len(&self) -> usize {
        self.0.len()
    }

    /// Does a job in a savepoint. On an error the transaction is to be given up.
    pub(in crate::storage) fn of(
        &mut self,
        connection: &dyn Connection,
        job: Job,
    ) -> Result<(), StorageError> {
        connection.control("SAVEPOINT call")?;
        let Pending { keep, broken, answer } = job(connection);
        self.0.push(answer);
        if broken {
            return Err(StorageError::Unavailable("the transaction was given up".into()));
        }
        connection.control(if keep { "RELEASE call" } else { "ROLLBACK TO call; RELEASE call" })
    }

    /// Tells all callers what became of the transaction.
    pub(in crate::storage) fn settle(self, committed: Result<(), StorageError>) {
        match committed {
            Ok(()) => self.0.into_iter().for_each(|answer| answer(Ok(()))),
            Err(error) => {
                tracing::error!(%error, "a commit failed; nothing of it was acknowledged");
                let error = error.to_string();
                self.0.into_iter().for_each(|answer| answer(Err(&error)));
            }
        }
    }
}
