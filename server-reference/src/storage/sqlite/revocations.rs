//! Revocations, beside the documents.

use futures::future::{BoxFuture, FutureExt};
use sdk_core::clock::Millis;

use super::{SqliteDocuments, SqliteStore, audit::Office};
use crate::{
    auth::{Revocation, Whose},
    storage::{
        StorageError,
        revocations::{RevocationError, Revocations, Revoking, Standing},
        sql::revocations,
    },
    tenant::TenantScope,
};

/// `issued_before` is the time before which the tokens of a subject are taken back, `until` when no such token can live, `at`
/// and `maker` who has made the revocation last.
pub(super) const TABLE: &str = "
    CREATE TABLE revocations (
        tenant TEXT NOT NULL,
        whose TEXT NOT NULL,
        name TEXT NOT NULL,
        issued_before INTEGER NOT NULL,
        until INTEGER NOT NULL,
        at INTEGER NOT NULL,
        maker TEXT NOT NULL,
        PRIMARY KEY (tenant, whose, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX revocations_by_end ON revocations (until);
";

impl Revocations for SqliteStore {
    fn revoke(
        &self,
        scope: TenantScope,
        revocation: Revocation,
        now: Millis,
    ) -> BoxFuture<'_, Result<Revoking, RevocationError>> {
        self.writer
            .call(move |documents| {
                documents.within(|connection, _| revocations::revoke(connection, &scope, &revocation, now))
            })
            .boxed()
    }

    fn revocations(
        &self,
        scope: TenantScope,
        after: Option<(Whose, String)>,
        most: usize,
        now: Millis,
    ) -> BoxFuture<'_, Result<Vec<Revoking>, RevocationError>> {
        // By the writer, since it is recorded before it is shown.
        self.writer
            .call(move |documents| {
                documents.within(|connection, _| revocations::list(connection, &scope, after, most, now))
            })
            .boxed()
    }

    fn standing(&self, now: Millis) -> BoxFuture<'_, Result<Standing, StorageError>> {
        self.writer
            .call(move |documents| documents.within(|connection, _| revocations::standing(connection, now)))
            .boxed()
    }
}

impl SqliteDocuments {
    /// Takes tokens of a tenant back, as who owns the data folder of a server that is not running. It is on record as they say.
    ///
    /// # Errors
    /// See [`RevocationError`]; nothing was taken back.
    pub fn revoke_as(
        &mut self,
        office: &Office<'_>,
        tenant: &str,
        revocation: &Revocation,
        now: Millis,
    ) -> Result<Revoking, RevocationError> {
        self.within(|connection, _| revocations::revoke_as(connection, office, tenant, revocation, now))
    }
}
