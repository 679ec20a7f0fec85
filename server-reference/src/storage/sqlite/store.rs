//! The embedded store on threads: one writes, some read.

use std::{path::Path, sync::Arc};

use futures::future::{BoxFuture, FutureExt};
use sdk_core::{
    clock::Millis,
    protocol::{Changes, ClientId, CollectionName, Limits, Manifest},
};

use super::{NewEpoch, SqliteDocuments, UPKEEP_SLICE, audit, readers::Readers};
use crate::{
    resolvers::Resolvers,
    snapshot::{Export, Exports},
    storage::{
        Advance, Batch, Committed, Documents, Page, StorageError,
        attempts::{Attempt, AttemptLog},
        events::{Answer, LetterId, Which},
        grants::Counted,
        refusals::{ClientChange, ClientDead, ClientFate, ClientLetters, Note, Refusals},
        sql::{Writer, grants, read, refusals},
    },
    tenant::TenantScope,
};

/// Called with each advance after its commit, in the order of commits, before the commit is acknowledged. Runs on
/// the writer's thread and must not wait.
pub type OnAdvance = Box<dyn Fn(&Arc<Advance>) + Send>;

/// The embedded store. Whatever waits while one transaction is under way goes together into the next, so the cost of
/// reaching the disk is shared. The writer stops, having finished its queue, when the last owner is gone.
pub struct SqliteStore {
    pub(super) writer: Writer<SqliteDocuments>,
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
        let writer = Writer::start("sqlite-writer", || documents, on_advance)?;
        Ok(Self { writer, readers })
    }

    /// Removes what is left of all documents that were deleted at or before a Unix time, and returns of how many. Slice
    /// by slice; commits have their turn between two.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; some may have been removed.
    pub async fn prune(&self, before: Millis) -> Result<usize, StorageError> {
        let mut removed = 0;
        loop {
            let slice = self.writer.call(move |documents| documents.prune(before)).await?;
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
        self.readers.read(|connection| refusals::letters(connection)).await
    }

    /// How many access grants there are of all tenants, and how many have come to their end since some time.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    pub(crate) async fn grant_count(&self, since: Millis, now: Millis) -> Result<Counted, StorageError> {
        self.readers.read(move |connection| grants::count(connection, since, now)).await
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
        self.writer.commit(batch).boxed()
    }

    fn changes(&self, scope: TenantScope, page: Page) -> BoxFuture<'_, Result<Changes, StorageError>> {
        self.readers.read(move |connection| read::changes(connection, &scope, &page)).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.writer.call(|documents| documents.check()).boxed()
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
        self.writer.call(move |documents| documents.note(&scope, client, &notes, now)).boxed()
    }
}

impl AttemptLog for SqliteStore {
    fn refused(
        &self,
        _: TenantScope,
        attempt: Attempt,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.writer
            .call(move |documents| {
                documents.within(|connection, _| audit::refused(connection, &attempt, now))
            })
            .boxed()
    }
}

impl ClientLetters for SqliteStore {
    fn client_letters(&self, scope: TenantScope, which: Which, now: Millis) -> Answer<'_, ClientDead> {
        // By the writer, since it is recorded before it is shown.
        self.writer.call(move |documents| documents.client_letters(&scope, which, now)).boxed()
    }

    fn change_client_letters(
        &self,
        scope: TenantScope,
        change: ClientChange,
        now: Millis,
    ) -> Answer<'_, Vec<(LetterId, ClientFate)>> {
        self.writer.tell(move |documents| documents.change_client_letters(&scope, &change, now)).boxed()
    }
}
