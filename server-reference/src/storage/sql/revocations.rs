//! Tokens that were taken back: keeping and listing them, on record.

use std::ops::ControlFlow;

use sdk_core::clock::Millis;

use super::{Connection, Row};
use crate::{
    auth::{Revocation, Whose},
    storage::{
        StorageError,
        revocations::{
            MAX_REVOCATIONS, MAX_TENANT_REVOCATIONS, RevocationError, Revoking, Standing, may_revoke,
        },
        sqlite::audit::{self, Office},
    },
    tenant::TenantScope,
};

/// Names a revocation on record.
const ACTION: &str = "tokens revoked";
const COLUMNS: &str = "SELECT whose, name, issued_before, until, at, maker, tenant FROM revocations";

pub(in crate::storage) fn revoke(
    connection: &dyn Connection,
    scope: &TenantScope,
    revocation: &Revocation,
    now: Millis,
) -> Result<Revoking, RevocationError> {
    if !may_revoke(scope.access(), revocation.whose, &revocation.name) {
        return Err(RevocationError::Forbidden);
    }
    audit::record(connection, scope, ACTION, &target(revocation), now)?;
    keep(connection, [scope.tenant(), scope.subject()], revocation, now)
}

/// The same as who owns the store, who needs no right to it; on record as they say.
pub(in crate::storage) fn revoke_as(
    connection: &dyn Connection,
    office: &Office<'_>,
    tenant: &str,
    revocation: &Revocation,
    now: Millis,
) -> Result<Revoking, RevocationError> {
    office.record(connection, tenant, ACTION, &target(revocation), now)?;
    keep(connection, [tenant, office.subject], revocation, now)
}

/// What is taken back, as it is put on record.
fn target(revocation: &Revocation) -> String {
    format!("{} {}", revocation.whose.as_str(), revocation.name)
}

pub(in crate::storage) fn list(
    connection: &dyn Connection,
    scope: &TenantScope,
    after: Option<(Whose, String)>,
    most: usize,
    now: Millis,
) -> Result<Vec<Revoking>, RevocationError> {
    if !scope.access().administers_subjects() {
        return Err(RevocationError::Forbidden);
    }
    audit::record(connection, scope, "revocations listed", "", now)?;
    let (whose, name) = after.map_or(("", String::new()), |(whose, name)| (whose.as_str(), name));
    let sql = format!(
        "{COLUMNS} WHERE tenant = ?1 AND (whose, name) > (?2, ?3) AND until > ?4 ORDER BY whose, name"
    );
    let (most, mut found) = (most.min(MAX_REVOCATIONS), Vec::new());
    connection.through(&sql, (scope.tenant(), whose, name, now.0), |row| {
        let seen = |kept: &Revoking| may_revoke(scope.access(), kept.revocation.whose, &kept.revocation.name);
        found.extend(read(row)?.filter(seen));
        Ok(if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

pub(in crate::storage) fn standing(
    connection: &dyn Connection,
    now: Millis,
) -> Result<Standing, StorageError> {
    let mut standing = Standing::new();
    connection.through(&format!("{COLUMNS} WHERE until > ?1"), (now.0,), |row| {
        if let Some(kept) = read(row)? {
            standing.push((row.get::<&str>(6)?.into(), kept.revocation));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(standing)
}

/// Keeps a revocation of a tenant by somebody, and forgets those that are over.
fn keep(
    connection: &dyn Connection,
    [tenant, by]: [&str; 2],
    revocation: &Revocation,
    now: Millis,
) -> Result<Revoking, RevocationError> {
    let Revocation { whose, name, before, until } = revocation;
    connection.execute("DELETE FROM revocations WHERE until <= ?1", (now.0,))?;
    let key = (tenant, whose.as_str(), &**name);
    let sql = format!("{COLUMNS} WHERE tenant = ?1 AND whose = ?2 AND name = ?3");
    let found = connection.optional(&sql, key, read)?.flatten();
    // What was issued since the first time is only taken back where that was asked for.
    if let Some(found) = found.filter(|found| *whose != Whose::Subject || found.revocation.before >= *before)
    {
        return Ok(found);
    }
    let sql = "SELECT count(*) FROM revocations WHERE tenant = ?1 AND (whose, name) <> (?2, ?3)";
    let others: u64 = connection.one(sql, key, |row| row.get(0))?;
    if others >= MAX_TENANT_REVOCATIONS {
        return Err(RevocationError::TooMany);
    }
    let sql = "INSERT INTO revocations (tenant, whose, name, issued_before, until, at, maker)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (tenant, whose, name) DO UPDATE SET issued_before = excluded.issued_before,
             until = excluded.until, at = excluded.at, maker = excluded.maker";
    connection.execute(sql, (key.0, key.1, key.2, before.0, until.0, now.0, by))?;
    Ok(Revoking { revocation: revocation.clone(), at: now, by: by.to_owned() })
}

/// A row; none if this version does not know what it is for.
fn read(row: &dyn Row) -> Result<Option<Revoking>, StorageError> {
    let kind: &str = row.get(0)?;
    let Some(whose) = Whose::ALL.into_iter().find(|whose| whose.as_str() == kind) else { return Ok(None) };
    let (before, until) = (Millis(row.get(2)?), Millis(row.get(3)?));
    let revocation = Revocation { whose, name: row.get::<&str>(1)?.into(), before, until };
    Ok(Some(Revoking { revocation, at: Millis(row.get(4)?), by: row.get(5)? }))
}
