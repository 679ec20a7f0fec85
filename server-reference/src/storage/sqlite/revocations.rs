//! Revocations, beside the documents.

use futures::future::{BoxFuture, FutureExt};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};
use sdk_core::clock::Millis;

use super::{
    SqliteDocuments, SqliteStore,
    audit::{self, Office},
};
use crate::{
    auth::{Revocation, Whose},
    storage::{
        StorageError,
        revocations::{
            MAX_REVOCATIONS, MAX_TENANT_REVOCATIONS, RevocationError, Revocations, Revoking, Standing,
            may_revoke,
        },
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

/// Names a revocation on record.
const ACTION: &str = "tokens revoked";
const COLUMNS: &str = "SELECT whose, name, issued_before, until, at, maker, tenant FROM revocations";

impl Revocations for SqliteStore {
    fn revoke(
        &self,
        scope: TenantScope,
        revocation: Revocation,
        now: Millis,
    ) -> BoxFuture<'_, Result<Revoking, RevocationError>> {
        self.call(move |documents| Ok((documents.revoke(&scope, &revocation, now)?, Vec::new()))).boxed()
    }

    fn revocations(
        &self,
        scope: TenantScope,
        after: Option<(Whose, String)>,
        most: usize,
        now: Millis,
    ) -> BoxFuture<'_, Result<Vec<Revoking>, RevocationError>> {
        // By the writer, since it is recorded before it is shown.
        let list = move |documents: &mut SqliteDocuments| {
            Ok((documents.revocations(&scope, after, most, now)?, Vec::new()))
        };
        self.call(list).boxed()
    }

    fn standing(&self, now: Millis) -> BoxFuture<'_, Result<Standing, StorageError>> {
        self.call(move |documents| Ok((documents.standing_revocations(now)?, Vec::new()))).boxed()
    }
}

impl SqliteDocuments {
    pub(super) fn revoke(
        &mut self,
        scope: &TenantScope,
        revocation: &Revocation,
        now: Millis,
    ) -> Result<Revoking, RevocationError> {
        if !may_revoke(scope.access(), revocation.whose, &revocation.name) {
            return Err(RevocationError::Forbidden);
        }
        let by = [&**scope.tenant(), &**scope.subject()];
        self.take_back(by, revocation, now, |connection, target| {
            audit::record(connection, scope, ACTION, target, now)
        })
    }

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
        self.take_back([tenant, office.subject], revocation, now, |connection, target| {
            office.record(connection, tenant, ACTION, target, now)
        })
    }

    /// Takes tokens of a tenant back by somebody, with the record of it.
    fn take_back(
        &mut self,
        by: [&str; 2],
        revocation: &Revocation,
        now: Millis,
        record: impl FnOnce(&Connection, &str) -> Result<(), StorageError>,
    ) -> Result<Revoking, RevocationError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StorageError::from)?;
        record(&transaction, &format!("{} {}", revocation.whose.as_str(), revocation.name))?;
        let kept = keep(&transaction, by, revocation, now)
            .map_err(StorageError::from)?
            .ok_or(RevocationError::TooMany)?;
        transaction.commit().map_err(StorageError::from)?;
        Ok(kept)
    }

    fn revocations(
        &mut self,
        scope: &TenantScope,
        after: Option<(Whose, String)>,
        most: usize,
        now: Millis,
    ) -> Result<Vec<Revoking>, RevocationError> {
        if !scope.access().administers_subjects() {
            return Err(RevocationError::Forbidden);
        }
        audit::record(&self.connection, scope, "revocations listed", "", now)?;
        let (whose, name) =
            after.map_or((String::new(), String::new()), |(whose, name)| (whose.as_str().to_owned(), name));
        let list = || {
            let sql = format!(
                "{COLUMNS} WHERE tenant = ?1 AND (whose, name) > (?2, ?3) AND until > ?4 ORDER BY whose, name"
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query((&**scope.tenant(), whose, name, now.0))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let Some(kept) = read(row)? else { continue };
                let Revocation { whose, name, .. } = &kept.revocation;
                if may_revoke(scope.access(), *whose, name) {
                    found.push(kept);
                }
                if found.len() >= most.min(MAX_REVOCATIONS) {
                    break;
                }
            }
            Ok::<_, rusqlite::Error>(found)
        };
        Ok(list().map_err(StorageError::from)?)
    }

    fn standing_revocations(&self, now: Millis) -> Result<Standing, StorageError> {
        let mut statement = self.connection.prepare_cached(&format!("{COLUMNS} WHERE until > ?1"))?;
        let mut rows = statement.query([now.0])?;
        let mut standing = Standing::new();
        while let Some(row) = rows.next()? {
            if let Some(kept) = read(row)? {
                standing.push((row.get::<_, String>(6)?.into(), kept.revocation));
            }
        }
        Ok(standing)
    }
}

/// Keeps a revocation of a tenant by somebody, and forgets those that are over; none if there is no room.
fn keep(
    connection: &Connection,
    [tenant, by]: [&str; 2],
    revocation: &Revocation,
    now: Millis,
) -> Result<Option<Revoking>, rusqlite::Error> {
    let Revocation { whose, name, before, until } = revocation;
    connection.prepare_cached("DELETE FROM revocations WHERE until <= ?1")?.execute([now.0])?;
    let key = (tenant, whose.as_str(), &**name);
    let sql = format!("{COLUMNS} WHERE tenant = ?1 AND whose = ?2 AND name = ?3");
    let found = connection.prepare_cached(&sql)?.query_row(key, read).optional()?.flatten();
    // What was issued since the first time is only taken back where that was asked for.
    if let Some(found) = found.filter(|found| *whose != Whose::Subject || found.revocation.before >= *before)
    {
        return Ok(Some(found));
    }
    let sql = "SELECT count(*) FROM revocations WHERE tenant = ?1 AND (whose, name) <> (?2, ?3)";
    let others: u64 = connection.prepare_cached(sql)?.query_row(key, |row| row.get(0))?;
    if others >= MAX_TENANT_REVOCATIONS {
        return Ok(None);
    }
    let sql = "REPLACE INTO revocations (tenant, whose, name, issued_before, until, at, maker)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    connection.prepare_cached(sql)?.execute((key.0, key.1, key.2, before.0, until.0, now.0, by))?;
    Ok(Some(Revoking { revocation: revocation.clone(), at: now, by: by.to_owned() }))
}

/// A row; none if this version does not know what it is for.
fn read(row: &Row<'_>) -> Result<Option<Revoking>, rusqlite::Error> {
    let kind: String = row.get(0)?;
    let Some(whose) = Whose::ALL.into_iter().find(|whose| whose.as_str() == kind) else { return Ok(None) };
    let (before, until) = (Millis(row.get(2)?), Millis(row.get(3)?));
    let revocation = Revocation { whose, name: row.get::<_, String>(1)?.into(), before, until };
    Ok(Some(Revoking { revocation, at: Millis(row.get(4)?), by: row.get(5)? }))
}
