//! Access grants: asking for them, deciding about them, and putting on record what is done under them.

use std::ops::ControlFlow;

use sdk_core::clock::Millis;

use super::{Connection, Row, corrupt};
use crate::{
    office::{Duty, Officer},
    storage::{
        StorageError,
        grants::{
            AccessGrant, Act, Asked, Counted, Decided, Decision, Extent, GrantError, GrantId, GrantState,
            LISTED, MAX_GRANTS, MAX_OWN_GRANTS, MAX_PAGE, Reach, WAITS,
        },
        sqlite::audit::{self, ALLOWED, Entry},
    },
    tenant::TenantScope,
};

const COLUMNS: &str =
    "SELECT id, tenant, holder_tenant, holder, justification, scope, may, seconds, requested, state,
    decider_tenant, decider, ends FROM grants";

/// Grants that wait or are in force at a time.
const LIVE: &str = "state IN ('pending', 'active') AND ends > ?1";

pub(in crate::storage) fn request(
    connection: &dyn Connection,
    scope: &TenantScope,
    asked: Asked,
    now: Millis,
) -> Result<AccessGrant, GrantError> {
    let Asked { id, tenant, justification, scope: reach, may, seconds, needs_approval } = asked;
    if !scope.office().may(Duty::Request, &tenant) {
        return Err(GrantError::Forbidden);
    }
    let by = scope.holder();
    forget(connection, now)?;
    let count = |row: &dyn Row| row.get::<u64>(0);
    let sql = format!("SELECT count(*) FROM grants WHERE {LIVE} AND holder_tenant = ?2 AND holder = ?3");
    let own = connection.one(&sql, (now.0, &by.tenant, &by.subject), count)?;
    let all = connection.one(&format!("SELECT count(*) FROM grants WHERE {LIVE}"), (now.0,), count)?;
    if own >= MAX_OWN_GRANTS || all >= MAX_GRANTS {
        return Err(GrantError::TooMany);
    }
    let (state, ends) = if needs_approval {
        (GrantState::Pending, now.plus(WAITS))
    } else {
        (GrantState::Active, now.plus(seconds.saturating_mul(1000)))
    };
    let grant = AccessGrant {
        id,
        tenant,
        by,
        justification,
        scope: reach,
        may,
        seconds,
        requested: now,
        state,
        decided_by: None,
        ends,
    };
    note(connection, &grant, &grant.by, "access requested", now)?;
    insert(connection, &grant)?;
    Ok(grant)
}

pub(in crate::storage) fn decide(
    connection: &dyn Connection,
    scope: &TenantScope,
    id: &GrantId,
    decision: Decision,
    now: Millis,
) -> Result<Decided, GrantError> {
    let mut grant = seen(connection, scope, id, now)?;
    let by = scope.holder();
    let may_approve = scope.office().may(Duty::Approve, &grant.tenant);
    let (state, action) = match decision {
        Decision::Approve => (GrantState::Active, "access approved"),
        Decision::Refuse => (GrantState::Refused, "access refused"),
        Decision::Withdraw => (GrantState::Withdrawn, "access withdrawn"),
    };
    if decision != Decision::Withdraw {
        if grant.by == by {
            return Err(GrantError::Own);
        }
        if !may_approve {
            return Err(GrantError::Forbidden);
        }
    }
    let again = grant.state == state && grant.decided_by.as_ref() == Some(&by);
    let open = match decision {
        Decision::Approve | Decision::Refuse => grant.state == GrantState::Pending,
        Decision::Withdraw => matches!(grant.state, GrantState::Pending | GrantState::Active),
    };
    if again {
        return Ok(Decided { grant, anew: false });
    }
    if !open {
        return Err(GrantError::Decided(grant.state));
    }
    (grant.state, grant.ends) = match decision {
        Decision::Approve => (state, now.plus(grant.seconds.saturating_mul(1000))),
        Decision::Refuse | Decision::Withdraw => (state, now),
    };
    // Who has withdrawn it must not stand where those look who ask by whose leave it was.
    if decision != Decision::Withdraw {
        grant.decided_by = Some(by.clone());
    }
    note(connection, &grant, &by, action, now)?;
    let sql = "UPDATE grants SET state = ?2, ends = ?3, decider_tenant = ?4, decider = ?5 WHERE id = ?1";
    let decider = grant.decided_by.as_ref().map(|officer| (&*officer.tenant, &*officer.subject));
    let (tenant, subject) = decider.unzip();
    connection.execute(sql, (grant.id.as_str(), grant.state.as_str(), grant.ends.0, tenant, subject))?;
    Ok(Decided { grant, anew: true })
}

pub(in crate::storage) fn list(
    connection: &dyn Connection,
    scope: &TenantScope,
    after: Option<&GrantId>,
    most: usize,
    now: Millis,
) -> Result<Vec<AccessGrant>, GrantError> {
    if !scope.office().is_held() {
        return Err(GrantError::Forbidden);
    }
    let sql = format!(
        "{COLUMNS} WHERE key < coalesce((SELECT key FROM grants WHERE id = ?1), 9223372036854775807)
         ORDER BY key DESC"
    );
    let (most, mut found) = (most.min(MAX_PAGE), Vec::new());
    connection.through(&sql, (after.map(GrantId::as_str),), |row| {
        if found.len() >= most {
            return Ok(ControlFlow::Break(()));
        }
        found.extend(Some(read(row, now)?).filter(|grant| is_for(grant, scope)));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

pub(in crate::storage) fn act(
    connection: &dyn Connection,
    scope: &TenantScope,
    id: &GrantId,
    act: &Act,
    now: Millis,
) -> Result<TenantScope, GrantError> {
    let grant = find(connection, id, now)?.filter(|grant| grant.by == scope.holder());
    let grant = grant.ok_or(GrantError::NoSuchGrant)?;
    // An office that was taken from its holder ends what came of it.
    let stands = grant.state == GrantState::Active && scope.office().may(Duty::Request, &grant.tenant);
    if !stands || act.extent > grant.may {
        return Err(GrantError::Unusable(grant.tenant));
    }
    let under = TenantScope::under(grant, scope);
    let target = format!("{} under {}", act.target, id.as_str());
    audit::record(connection, &under, "data accessed", &target, now)?;
    Ok(under)
}

/// Counts the grants that wait and are in force, and those whose time was over since some time. No more is read than may be in
/// force at once, and what has ended since.
pub(in crate::storage) fn count(
    connection: &dyn Connection,
    since: Millis,
    now: Millis,
) -> Result<Counted, StorageError> {
    let until = now.max(since);
    let mut counted = Counted { since, until, ..Counted::default() };
    let sql = "SELECT state, ends > ?2, count(*) FROM grants
        WHERE ends > ?1 AND state IN ('pending', 'active') GROUP BY 1, 2";
    connection.each(sql, (since.0, until.0), |row| {
        let (state, lasts, number): (&str, bool, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        match (lasts, state) {
            (false, _) => counted.over += u64::from(number),
            (true, "pending") => counted.pending += i64::from(number),
            (true, _) => counted.active += i64::from(number),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(counted)
}

/// Whether somebody is told of a grant.
fn is_for(grant: &AccessGrant, scope: &TenantScope) -> bool {
    grant.by == scope.holder() || scope.office().may(Duty::Approve, &grant.tenant)
}

/// A grant of which somebody is told.
pub(in crate::storage) fn seen(
    connection: &dyn Connection,
    scope: &TenantScope,
    id: &GrantId,
    now: Millis,
) -> Result<AccessGrant, GrantError> {
    let grant = find(connection, id, now)?.filter(|grant| is_for(grant, scope));
    grant.ok_or(GrantError::NoSuchGrant)
}

fn find(connection: &dyn Connection, id: &GrantId, now: Millis) -> Result<Option<AccessGrant>, StorageError> {
    connection.optional(&format!("{COLUMNS} WHERE id = ?1"), (id.as_str(),), |row| read(row, now))
}

/// Records what becomes of a grant in the chain of the tenant whose data it is for.
fn note(
    connection: &dyn Connection,
    grant: &AccessGrant,
    by: &Officer,
    action: &str,
    now: Millis,
) -> Result<(), StorageError> {
    let AccessGrant { id, tenant, justification, scope, may, seconds, decided_by, .. } = grant;
    let (what, may) = (text(scope), text(may));
    let target = format!("{} to {} {what} for {seconds} s", id.as_str(), may.trim_matches('"'));
    let approver = decided_by.as_ref().map_or_else(String::new, Officer::to_string);
    let parts = [&*by.to_string(), &target, justification, &approver];
    audit::append(connection, tenant, &Entry { action, outcome: ALLOWED, parts }, now)
}

fn insert(connection: &dyn Connection, grant: &AccessGrant) -> Result<(), StorageError> {
    let AccessGrant { id, tenant, by, justification, scope, may, seconds, requested, state, ends, .. } =
        grant;
    let sql = "INSERT INTO grants (id, tenant, holder_tenant, holder, justification, scope, may, seconds, requested, state, ends)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let row = (
        id.as_str(),
        tenant,
        &by.tenant,
        &by.subject,
        justification,
        text(scope),
        text(may),
        seconds,
        requested.0,
        state.as_str(),
        ends.0,
    );
    connection.execute(sql, row).map(drop)
}

/// Forgets the grants that ended long ago: what was done under them is in the audit.
fn forget(connection: &dyn Connection, now: Millis) -> Result<(), StorageError> {
    let sql = "DELETE FROM grants WHERE ends <= ?1";
    connection.execute(sql, (now.0.saturating_sub(LISTED),)).map(drop)
}

fn text(value: &impl serde::Serialize) -> String {
    // Names and words have no form that could fail.
    serde_json::to_string(value).unwrap_or_default()
}

fn read(row: &dyn Row, now: Millis) -> Result<AccessGrant, StorageError> {
    let unknown = |what| corrupt("an access grant")(Unknown(what));
    let scope: Reach = serde_json::from_str(row.get(5)?).map_err(corrupt("an access grant"))?;
    let may: Extent = serde_json::from_str(row.get(6)?).map_err(corrupt("an access grant"))?;
    let stored: &str = row.get(9)?;
    let state = GrantState::ALL.into_iter().find(|state| state.as_str() == stored);
    let state = state.ok_or_else(|| unknown("state"))?;
    let ends = Millis(row.get(12)?);
    let is_over = matches!(state, GrantState::Pending | GrantState::Active) && ends <= now;
    let officer = |tenant: &str, subject: &str| Officer { tenant: tenant.into(), subject: subject.into() };
    let decider: (Option<&str>, Option<&str>) = (row.get(10)?, row.get(11)?);
    Ok(AccessGrant {
        id: GrantId::parse(row.get(0)?).ok_or_else(|| unknown("name"))?,
        tenant: row.get::<&str>(1)?.into(),
        by: officer(row.get(2)?, row.get(3)?),
        justification: row.get(4)?,
        scope,
        may,
        seconds: row.get(7)?,
        requested: Millis(row.get(8)?),
        state: if is_over { GrantState::Over } else { state },
        decided_by: decider.0.zip(decider.1).map(|(tenant, subject)| officer(tenant, subject)),
        ends,
    })
}

/// A word of a row is none that this version knows.
#[derive(Debug, thiserror::Error)]
#[error("it is no {0}")]
struct Unknown(&'static str);
