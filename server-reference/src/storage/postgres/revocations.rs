//! Revocations, and the record of what was tried in vain.

use futures::future::{BoxFuture, FutureExt};
use sdk_core::clock::Millis;

use super::store::PostgresStore;
use crate::{
    auth::{Revocation, Whose},
    storage::{
        StorageError,
        attempts::{Attempt, AttemptLog},
        revocations::{RevocationError, Revocations, Revoking, Standing},
        sql::revocations,
        sqlite::audit,
    },
    tenant::TenantScope,
};

impl Revocations for PostgresStore {
    fn revoke(
        &self,
        scope: TenantScope,
        revocation: Revocation,
        now: Millis,
    ) -> BoxFuture<'_, Result<Revoking, RevocationError>> {
        let writer = self.writer(scope.tenant());
        writer
            .call(move |judging| {
                judging.within(scope.tenant(), |connection, _| {
                    revocations::revoke(connection, &scope, &revocation, now)
                })
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
        // By a writer, since it is recorded before it is shown.
        let writer = self.writer(scope.tenant());
        writer
            .call(move |judging| {
                judging.within(scope.tenant(), |connection, _| {
                    revocations::list(connection, &scope, after, most, now)
                })
            })
            .boxed()
    }

    fn standing(&self, now: Millis) -> BoxFuture<'_, Result<Standing, StorageError>> {
        self.readers.read(None, move |connection| revocations::standing(connection, now)).boxed()
    }
}

impl AttemptLog for PostgresStore {
    fn refused(
        &self,
        _: TenantScope,
        attempt: Attempt,
        now: Millis,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        let writer = self.writer(&attempt.tenant);
        writer
            .call(move |judging| {
                judging.within(&attempt.tenant, |connection, _| audit::refused(connection, &attempt, now))
            })
            .boxed()
    }
}
