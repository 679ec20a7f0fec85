//! Access grants, beside the documents.

use futures::future::FutureExt;
use sdk_core::clock::Millis;

use super::{SqliteDocuments, SqliteStore};
use crate::{
    storage::{
        grants::{AccessGrant, Act, Answer, Asked, Decided, Decision, GrantError, GrantId, Grants},
        sql::{Connection, grants},
    },
    tenant::TenantScope,
};

/// `holder` is who asked, `decider` who has decided; `state` is what somebody has decided, and `ends` when time decides.
pub(super) const TABLE: &str = "
    CREATE TABLE grants (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        holder_tenant TEXT NOT NULL,
        holder TEXT NOT NULL,
        justification TEXT NOT NULL,
        scope TEXT NOT NULL,
        may TEXT NOT NULL,
        seconds INTEGER NOT NULL,
        requested INTEGER NOT NULL,
        state TEXT NOT NULL,
        decider_tenant TEXT,
        decider TEXT,
        ends INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX grants_by_holder ON grants (holder_tenant, holder, ends);
    CREATE INDEX grants_by_end ON grants (ends);
";

impl Grants for SqliteStore {
    fn request(&self, scope: TenantScope, asked: Asked, now: Millis) -> Answer<'_, AccessGrant> {
        self.granting(move |connection| grants::request(connection, &scope, asked, now))
    }

    fn decide(
        &self,
        scope: TenantScope,
        id: GrantId,
        decision: Decision,
        now: Millis,
    ) -> Answer<'_, Decided> {
        self.granting(move |connection| grants::decide(connection, &scope, &id, decision, now))
    }

    fn grants(
        &self,
        scope: TenantScope,
        after: Option<GrantId>,
        most: usize,
        now: Millis,
    ) -> Answer<'_, Vec<AccessGrant>> {
        self.granting(move |connection| grants::list(connection, &scope, after.as_ref(), most, now))
    }

    fn grant(&self, scope: TenantScope, id: GrantId, now: Millis) -> Answer<'_, AccessGrant> {
        self.granting(move |connection| grants::seen(connection, &scope, &id, now))
    }

    fn act(&self, scope: TenantScope, id: GrantId, act: Act, now: Millis) -> Answer<'_, TenantScope> {
        self.granting(move |connection| grants::act(connection, &scope, &id, &act, now))
    }
}

impl SqliteStore {
    /// Has the writer do something in one transaction.
    fn granting<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Connection) -> Result<T, GrantError> + Send + 'static,
    ) -> Answer<'_, T> {
        let work = move |documents: &mut SqliteDocuments| documents.within(|connection, _| work(connection));
        self.writer.call(work).boxed()
    }
}
