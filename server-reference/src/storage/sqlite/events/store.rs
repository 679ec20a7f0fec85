//! The embedded event log on threads: one writes, some read.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use futures::future::FutureExt;
use sdk_core::{clock::Millis, protocol::TopicPosition};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{mpsc, oneshot},
    task::{block_in_place, try_id},
};

use super::{
    super::readers::Readers, Caps, NewBits, SqliteEvents, append, create, group::Group, publish, read,
};
use crate::{
    metrics::Held,
    storage::{
        StorageError,
        events::{
            Answer, Append, Appended, Created, EventLog, LogError, NewTopic, News, Publications, Publish,
            Published, Read, Slice, TopicName, TopicState,
        },
        sql::stopped,
    },
    tenant::TenantScope,
};

/// Calls waiting for the writer. Who comes after waits, too.
const QUEUE: usize = 1_024;
/// Calls in one transaction.
const GROUP: usize = 512;

/// Called with each piece of news after its commit, in the order of commits, before the commit is acknowledged. Runs
/// on the writer's thread and must not wait.
pub type OnNews = Box<dyn Fn(News) + Send>;

/// The embedded event log. Whatever waits while one transaction is under way goes together into the next, so the cost
/// of reaching the disk is shared. The writer stops, having finished its queue, when the last owner is gone.
pub struct EventStore {
    writer: Arc<Mutex<Writer>>,
    jobs: mpsc::Sender<Job>,
    pub(super) readers: Readers,
}

/// What the writer does for one caller: it takes part in a transaction, and gives back how to answer.
type Job = Box<dyn FnOnce(&mut Group<'_>) -> Pending + Send>;

/// Tells a caller what became of its call, once the transaction was committed or has failed.
type Settle = Box<dyn FnOnce(Result<(), &str>) + Send>;

/// An answer that waits for its commit.
struct Pending {
    /// The database failed in the middle of it: the transaction has to be given up.
    broken: bool,
    answer: Settle,
}

impl EventStore {
    /// Opens or creates the database at `path` and starts its threads.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    pub fn open(path: &Path, caps: Caps, new_bits: NewBits, on_news: OnNews) -> Result<Self, StorageError> {
        let events = SqliteEvents::open(path, caps, new_bits)?;
        let readers = Readers::open(path)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Arc::new(Mutex::new(Writer { events, on_news, last: 1 }));
        let shared = writer.clone();
        thread::Builder::new()
            .name("events-writer".into())
            .spawn(move || write(&shared, queue))
            .map_err(|error| StorageError::Unavailable(Box::new(error)))?;
        Ok(Self { writer, jobs, readers })
    }

    /// Removes what is over. Slice by slice; other calls have their turn between two.
    ///
    /// # Errors
    /// [`LogError::Storage`]; some may have been removed.
    pub async fn tidy(&self, now: Millis) -> Result<(), LogError> {
        while self.ask(move |group| group.tidy(now)).await? {}
        Ok(())
    }

    /// What consumer groups and subscriptions hold, of all tenants.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    pub(crate) async fn held(&self) -> Result<Held, StorageError> {
        const HELD: &str = "
            SELECT count(*) FILTER (WHERE groups.name IS NOT NULL),
                coalesce(sum(max(topics.tail - groups.scanned, 0) + groups.unresolved)
                    FILTER (WHERE groups.name IS NOT NULL), 0),
                (SELECT count(*) FROM leases), coalesce(sum(groups.letters), 0)
            FROM groups LEFT JOIN topics ON topics.key = groups.topic";
        const LINKS: &str = "
            SELECT links.value ->> '$.acked', topics.epoch, topics.tail
            FROM subscriptions, json_each(subscriptions.text, '$.links') AS links
            JOIN topics ON topics.tenant = subscriptions.tenant AND topics.name = links.key
                AND topics.hidden = 0";
        const SUBSCRIPTIONS: &str = "
            SELECT count(*), count(*) FILTER (WHERE text ->> '$.failures' > 0) FROM subscriptions";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Held {
                groups: row.get(0)?,
                group_lag: row.get(1)?,
                group_leases: row.get(2)?,
                group_letters: row.get(3)?,
                ..Held::default()
            })
        };
        let call = move |connection: &rusqlite::Connection| {
            let mut held = connection.query_row(HELD, [], read)?;
            let counts = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            (held.subscriptions, held.subscriptions_failing) =
                connection.query_row(SUBSCRIPTIONS, [], counts)?;
            let mut statement = connection.prepare_cached(LINKS)?;
            let mut links = statement.query([])?;
            while let Some(link) = links.next()? {
                let (acked, epoch, tail): (String, u64, u64) = (link.get(0)?, link.get(1)?, link.get(2)?);
                let acked = acked.parse::<TopicPosition>().ok().filter(|acked| acked.epoch.0 == epoch);
                let waits = tail.saturating_sub(acked.map_or(0, |acked| acked.offset));
                held.subscription_lag += i64::try_from(waits).unwrap_or(i64::MAX);
            }
            Ok(held)
        };
        self.readers.read(call).await
    }

    /// Has the writer's thread take part for a caller.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Group<'_>) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let (job, answer) = job(call);
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// The same for what clients wait for one after the other. A caller who is alone has it done on its own thread: to wake the
    /// writer's, and to be woken by it, would take longer than all of the call but the disk's part.
    async fn ask_at_once<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Group<'_>) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let (job, answer) = job(call);
        if let Some(job) = self.do_alone(job) {
            self.jobs.send(job).await.map_err(|_| stopped())?;
        }
        answer.await.map_err(|_| stopped())?
    }

    /// Does a job on this thread, if nobody else is at work or was with the last transaction. Gives it back otherwise.
    fn do_alone(&self, job: Job) -> Option<Job> {
        let idle = self.jobs.capacity() == QUEUE && may_block();
        let writer = if idle { self.writer.try_lock().ok() } else { None };
        match writer {
            Some(mut writer) if writer.last == 1 => {
                block_in_place(|| writer.commit(job, || None));
                None
            }
            _ => Some(job),
        }
    }
}

/// Whether this thread may wait for the disk: one of a runtime's workers may, since another takes over what else it had to do.
/// Who only drives a future has nobody for that.
fn may_block() -> bool {
    let several = |runtime: Handle| runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
    try_id().is_some() && Handle::try_current().is_ok_and(several)
}

/// A call as the writer sees it, and where its answer comes.
fn job<T: Send + 'static>(
    call: impl FnOnce(&mut Group<'_>) -> Result<T, LogError> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, LogError>>) {
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |group| {
        let result = call(group);
        let broken = matches!(result, Err(LogError::Storage(StorageError::Unavailable(_))));
        let answer = move |committed: Result<(), &str>| {
            let failed = |error: &str| StorageError::Unavailable(error.to_owned().into()).into();
            // Who asked may have gone away.
            let _ = reply.send(committed.map_err(failed).and(result));
        };
        Pending { broken, answer: Box::new(answer) }
    });
    (job, answer)
}

impl Publications for EventStore {
    fn publish(
        &self,
        scope: TenantScope,
        batch: Vec<Publish>,
        now: Millis,
    ) -> Answer<'_, Vec<Option<Published>>> {
        self.ask_at_once(move |group| publish::publish(group, &scope, &batch, now)).boxed()
    }
}

impl EventLog for EventStore {
    fn create(
        &self,
        scope: TenantScope,
        topic: TopicName,
        new: NewTopic,
        now: Millis,
    ) -> Answer<'_, Created> {
        self.ask(move |group| create::create(group, &scope, &topic, &new, now)).boxed()
    }

    fn append(
        &self,
        scope: TenantScope,
        topic: TopicName,
        append: Append,
        now: Millis,
    ) -> Answer<'_, Appended> {
        self.ask_at_once(move |group| append::append(group, &scope, &topic, &append, now)).boxed()
    }

    fn read(&self, scope: TenantScope, topic: TopicName, read: Read, now: Millis) -> Answer<'_, Slice> {
        async move {
            let (whose, which) = (scope.tenant().clone(), topic.clone());
            let (slice, touch) = self
                .readers
                .read(move |connection| read::read(connection, &scope, &topic, read, now))
                .await?;
            if touch {
                // Once in a sixteenth of the time that the topic may be idle. It has to be on the disk before somebody is
                // told that the topic is there.
                self.ask(move |group| group.touch(&whose, &which, now)).await?;
            }
            Ok(slice)
        }
        .boxed()
    }

    fn describe(&self, scope: TenantScope, topic: TopicName, now: Millis) -> Answer<'_, TopicState> {
        self.readers.read(move |connection| read::describe(connection, &scope, &topic, now)).boxed()
    }

    fn delete(&self, scope: TenantScope, topic: TopicName, now: Millis) -> Answer<'_, ()> {
        self.ask(move |group| create::delete(group, &scope, &topic, now)).boxed()
    }

    fn check(&self) -> Answer<'_, ()> {
        // Takes part in a transaction as everybody does, and writes nothing.
        self.ask(|_| Ok(())).boxed()
    }
}

fn write(writer: &Mutex<Writer>, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        // Who panicked in the midst of a transaction leaves a writer that nobody can trust.
        let Ok(mut writer) = writer.lock() else { return };
        writer.commit(first, || queue.try_recv().ok());
    }
}

/// Who has it writes.
struct Writer {
    events: SqliteEvents,
    on_news: OnNews,
    /// Calls in the last transaction.
    last: usize,
}

impl Writer {
    /// Does a job and others in one transaction, and settles all of them.
    fn commit(&mut self, first: Job, mut more: impl FnMut() -> Option<Job>) {
        let mut answers = Vec::new();
        let result = self.events.transaction(|group| {
            let mut next = Some(first);
            while let Some(job) = next.take() {
                let Pending { broken, answer } = job(group);
                answers.push(answer);
                if broken {
                    return Err(StorageError::Unavailable("the transaction was given up".into()).into());
                }
                if answers.len() < GROUP {
                    next = more();
                }
            }
            Ok(())
        });
        self.last = answers.len();
        match result {
            Ok(((), news)) => {
                news.into_iter().for_each(&self.on_news);
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
