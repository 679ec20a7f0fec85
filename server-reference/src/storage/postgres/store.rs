//! The store on threads: some write, some read.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use sdk_core::{
    clock::Millis,
    protocol::{Changes, ClientId, CollectionName, DocKey, Epoch, Limits, Manifest},
};

use super::{
    audit::Chains,
    connection::Signer,
    readers::Readers,
    schema,
    session::{Session, Whose, enter},
    settings::{Options, Settings, apart},
};
use crate::{
    resolvers::Resolvers,
    snapshot::{Export, Exports},
    storage::{
        Advance, Batch, Committed, Documents, Page, ResolutionRecord, StorageError,
        events::{Answer, LetterId, Which},
        refusals::{ClientChange, ClientDead, ClientFate, ClientLetters, Note, Refusals},
        sql::{Commits, Connection, Rules, Writer, commit, conflict, letters, read, refusals, upkeep},
        sqlite::{UPKEEP_SLICE, audit},
    },
    tenant::TenantScope,
};

/// Hears of advances, from every writer.
pub type OnAdvance = Arc<dyn Fn(&Arc<Advance>) + Send + Sync>;

/// What the writers of a store have in common.
pub struct Shared {
    /// Caps on operations and documents.
    pub limits: Limits,
    /// What decides conflicts.
    pub resolvers: Resolvers,
    /// Makes the name of a new epoch, unlike any before in any instance.
    pub new_epoch: Arc<dyn Fn() -> Epoch + Send + Sync>,
    /// Called with each advance of this instance, before its commit is acknowledged; those of a tenant come in the order of
    /// commits. Must not wait.
    pub on_advance: OnAdvance,
    /// What all instances sign the audit with.
    pub audit_key: audit::Key,
}

/// One instance's part of the store.
pub struct PostgresStore {
    pub(super) writers: Vec<Writer<Judging>>,
    pub(super) readers: Readers,
    settings: Arc<Settings>,
    signer: Arc<Signer>,
}

/// What one writer's thread has.
pub(super) struct Judging {
    pub(super) session: Session,
    rules: Rules,
}

impl PostgresStore {
    /// Connects and starts the threads. The tables must [be there](super::migrate). Waits for the database.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], also where the role is one that sees the rows of every tenant.
    pub fn open(options: &Options, shared: Shared) -> Result<Self, StorageError> {
        let settings = Arc::new(Settings::new(options)?);
        apart(|| schema::check(&mut settings.connect()?, &schema::DOCUMENTS))?;
        let Shared { limits, resolvers, new_epoch, on_advance, audit_key } = shared;
        let signer = Arc::new(Signer { key: audit_key, chain: audit::DOCUMENTS });
        let start = |_| {
            let (session, new_epoch) = (Session::new(settings.clone(), signer.clone()), new_epoch.clone());
            let rules =
                Rules { limits, resolvers: resolvers.clone(), new_epoch: Box::new(move || new_epoch()) };
            let told = on_advance.clone();
            let open = || Judging { session, rules };
            Writer::start("postgres-writer", open, Box::new(move |advance| told(advance)))
        };
        let writers = (0..options.writers.max(1)).map(start).collect::<Result<_, _>>()?;
        let readers = Readers::start(options.readers, &settings, &signer)?;
        Ok(Self { writers, readers, settings, signer })
    }

    /// The chains of its audit.
    pub fn chains(&self) -> Chains {
        Chains::of(self.settings.clone(), self.signer.clone())
    }

    /// Removes what is left of all documents that were deleted at or before a Unix time, and returns of how many. Slice
    /// by slice; commits have their turn between two.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; some may have been removed.
    pub async fn prune(&self, before: Millis) -> Result<usize, StorageError> {
        let mut removed = 0;
        loop {
            let slice = self.every(move |connection, _| upkeep::prune(connection, before, UPKEEP_SLICE));
            let slice = slice.await?;
            removed += slice;
            if slice < UPKEEP_SLICE {
                return Ok(removed);
            }
        }
    }

    /// Brings back to `now` what is stamped with a time beyond it and the allowed skew, and returns how many documents that
    /// were. For a database one of whose servers had a clock that was ahead. Slice by slice.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] or [`StorageError::Corrupt`]; some documents may have been changed. It may be called again.
    pub async fn heal(&self, now: Millis) -> Result<usize, StorageError> {
        let mut progress = upkeep::Progress::default();
        while !progress.done {
            let slice = move |connection: &dyn Connection, _: &mut Rules| {
                upkeep::heal(connection, now, UPKEEP_SLICE, progress)
            };
            progress = self.every(slice).await?;
        }
        Ok(progress.healed)
    }

    /// How conflicts about a document were decided, oldest first; the newest
    /// [`KEPT_RESOLUTIONS`](crate::storage::KEPT_RESOLUTIONS) are kept.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] or [`StorageError::Corrupt`].
    pub async fn resolutions(
        &self,
        scope: TenantScope,
        doc: DocKey,
    ) -> Result<Vec<ResolutionRecord>, StorageError> {
        let tenant = scope.tenant().clone();
        let of = tenant.clone();
        let read = move |connection: &dyn Connection| {
            conflict::records(connection, &of, doc.collection.as_str(), doc.id.as_str())
        };
        self.readers.read(Some(tenant), read).await
    }

    /// How many dead letters of clients there are, of all tenants.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    pub async fn client_letter_count(&self) -> Result<i64, StorageError> {
        self.readers.read(None, refusals::letters).await
    }

    /// Begins a new epoch in every collection and returns how many there are. For a database that was restored from a backup, as
    /// of the [embedded store](crate::storage::sqlite::SqliteDocuments::renew_epochs).
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; nothing was changed.
    pub async fn renew_epochs(&self) -> Result<usize, StorageError> {
        self.every(|connection, rules| upkeep::renew_epochs(connection, &mut rules.new_epoch)).await
    }

    /// Does something in a transaction that nobody else writes beside.
    async fn every<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Connection, &mut Rules) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        self.writers[0]
            .call(|Judging { session, rules }| session.write(Whose::Every, |c| work(c, rules)))
            .await
    }

    /// The writer that a tenant's batches go to.
    pub(super) fn writer(&self, tenant: &str) -> &Writer<Judging> {
        &self.writers[super::place(tenant, self.writers.len())]
    }
}

impl Judging {
    /// Does something for a tenant in one transaction, which is committed unless it fails.
    pub(super) fn within<T, E: From<StorageError>>(
        &mut self,
        tenant: &str,
        work: impl FnOnce(&dyn Connection, &mut Rules) -> Result<T, E>,
    ) -> Result<T, E> {
        let Self { session, rules } = self;
        session.write(Whose::Tenant(tenant), |connection| work(connection, rules))
    }
}

impl Commits for Judging {
    fn commit_group(&mut self, group: Vec<Batch>) -> Vec<Result<Committed, StorageError>> {
        if group.is_empty() {
            return Vec::new();
        }
        let Self { session, rules } = self;
        let tenants: Vec<&str> = group.iter().map(|batch| &**batch.scope.tenant()).collect();
        let results = session.write_group(&tenants, |connection| {
            let judge = |batch| in_savepoint(connection, batch, rules);
            group.iter().map(judge).collect::<Result<Vec<_>, _>>()
        });
        results.unwrap_or_else(|error| {
            let failure = error.to_string();
            group.iter().map(|_| Err(StorageError::Unavailable(failure.clone().into()))).collect()
        })
    }
}

/// Judges a batch. One that fails takes nothing from the others, unless the transaction is lost as a whole.
fn in_savepoint(
    connection: &dyn Connection,
    batch: &Batch,
    rules: &mut Rules,
) -> Result<Result<Committed, StorageError>, StorageError> {
    connection.control("SAVEPOINT batch")?;
    let judged = enter(connection, Whose::Tenant(batch.scope.tenant()))
        .and_then(|()| commit::batch(connection, batch, rules));
    connection.control(match &judged {
        Ok(_) => "RELEASE batch",
        Err(_) => "ROLLBACK TO batch",
    })?;
    Ok(judged)
}

impl Documents for PostgresStore {
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StorageError>> {
        self.writer(batch.scope.tenant()).commit(batch).boxed()
    }

    fn changes(&self, scope: TenantScope, page: Page) -> BoxFuture<'_, Result<Changes, StorageError>> {
        let tenant = scope.tenant().clone();
        self.readers.read(Some(tenant), move |connection| read::changes(connection, &scope, &page)).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        let look = |connection: &dyn Connection| connection.execute("SELECT 1 FROM collections LIMIT 1", ());
        self.writers[0].call(move |judging| judging.session.write(Whose::Tenant(""), look).map(drop)).boxed()
    }
}

impl Exports for PostgresStore {
    fn export(
        &self,
        scope: TenantScope,
        collection: CollectionName,
        mut to: Box<dyn Export>,
    ) -> BoxFuture<'_, Result<Manifest, StorageError>> {
        let tenant = scope.tenant().clone();
        let export = move |connection: &dyn Connection| {
            let at = read::export(connection, &scope, &collection, &mut *to)?;
            to.finish(at)
        };
        self.readers.read(Some(tenant), export).boxed()
    }
}

impl Refusals for PostgresStore {
    fn note(
        &self,
        scope: TenantScope,
        client: ClientId,
        notes: Vec<Note>,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        let writer = self.writer(scope.tenant());
        let note = move |judging: &mut Judging| {
            judging.within(scope.tenant(), |connection, _| {
                refusals::note(connection, &scope, client, &notes, now)
            })
        };
        writer.call(note).boxed()
    }
}

impl ClientLetters for PostgresStore {
    fn client_letters(&self, scope: TenantScope, which: Which, now: Millis) -> Answer<'_, ClientDead> {
        let writer = self.writer(scope.tenant());
        let list = move |judging: &mut Judging| {
            judging.within(scope.tenant(), |connection, _| letters::list(connection, &scope, which, now))
        };
        writer.call(list).boxed()
    }

    fn change_client_letters(
        &self,
        scope: TenantScope,
        change: ClientChange,
        now: Millis,
    ) -> Answer<'_, Vec<(LetterId, ClientFate)>> {
        let writer = self.writer(scope.tenant());
        let change = move |judging: &mut Judging| {
            judging.within(scope.tenant(), |connection, rules| {
                letters::change(connection, rules, &scope, &change, now)
            })
        };
        writer.tell(change).boxed()
    }
}
