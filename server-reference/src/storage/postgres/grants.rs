//! Access grants. Each is a row of the tenant whose data it is for, and concerns people of other tenants: who is counted, listed
//! or looked up by name is found among those of every tenant.

use std::sync::Arc;

use futures::future::FutureExt;
use sdk_core::clock::Millis;

use super::{session::Whose, store::PostgresStore};
use crate::{
    storage::{
        StorageError,
        grants::{AccessGrant, Act, Answer, Asked, Counted, Decided, Decision, GrantError, GrantId, Grants},
        sql::{Connection, grants},
    },
    tenant::TenantScope,
};

impl Grants for PostgresStore {
    fn request(&self, scope: TenantScope, asked: Asked, now: Millis) -> Answer<'_, AccessGrant> {
        // How many there are is capped for all tenants together, so nobody else asks meanwhile.
        let request = move |connection: &dyn Connection| grants::request(connection, &scope, asked, now);
        self.writers[0].call(move |judging| judging.session.write(Whose::Every, request)).boxed()
    }

    fn decide(
        &self,
        scope: TenantScope,
        id: GrantId,
        decision: Decision,
        now: Millis,
    ) -> Answer<'_, Decided> {
        let decide = async move {
            let tenant = self.tenant_of(id.clone()).await?;
            self.granting(tenant, move |connection| grants::decide(connection, &scope, &id, decision, now))
                .await
        };
        decide.boxed()
    }

    fn grants(
        &self,
        scope: TenantScope,
        after: Option<GrantId>,
        most: usize,
        now: Millis,
    ) -> Answer<'_, Vec<AccessGrant>> {
        let list =
            move |connection: &dyn Connection| grants::list(connection, &scope, after.as_ref(), most, now);
        self.readers.read(None, list).boxed()
    }

    fn grant(&self, scope: TenantScope, id: GrantId, now: Millis) -> Answer<'_, AccessGrant> {
        self.readers.read(None, move |connection| grants::seen(connection, &scope, &id, now)).boxed()
    }

    fn act(&self, scope: TenantScope, id: GrantId, act: Act, now: Millis) -> Answer<'_, TenantScope> {
        let act = async move {
            let tenant = self.tenant_of(id.clone()).await?;
            self.granting(tenant, move |connection| grants::act(connection, &scope, &id, &act, now)).await
        };
        act.boxed()
    }
}

impl PostgresStore {
    /// How many access grants there are of all tenants, and how many have come to their end since some time.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    pub async fn grant_count(&self, since: Millis, now: Millis) -> Result<Counted, StorageError> {
        self.readers.read(None, move |connection| grants::count(connection, since, now)).await
    }

    /// In whose data a grant is, which stays so: its lock is needed before anything about it is decided.
    async fn tenant_of(&self, id: GrantId) -> Result<Arc<str>, GrantError> {
        let find = move |connection: &dyn Connection| {
            let sql = "SELECT tenant FROM grants WHERE id = ?1";
            connection.optional(sql, (id.as_str(),), |row| Ok(row.get::<&str>(0)?.into()))
        };
        self.readers.read::<_, StorageError>(None, find).await?.ok_or(GrantError::NoSuchGrant)
    }

    async fn granting<T: Send + 'static>(
        &self,
        tenant: Arc<str>,
        work: impl FnOnce(&dyn Connection) -> Result<T, GrantError> + Send + 'static,
    ) -> Result<T, GrantError> {
        let writer = self.writer(&tenant);
        writer.call(move |judging| judging.within(&tenant, |connection, _| work(connection))).await
    }
}
