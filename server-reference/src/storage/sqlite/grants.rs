//! Access grants, beside the documents.

use futures::future::FutureExt;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, types::Type};
use sdk_core::clock::Millis;

use super::{
    SqliteDocuments, SqliteStore,
    audit::{self, ALLOWED, Entry},
};
use crate::{
    office::{Duty, Officer},
    storage::{
        StorageError,
        grants::{
            AccessGrant, Act, Answer, Asked, Counted, Decided, Decision, Extent, GrantError, GrantId,
            GrantState, Grants, LISTED, MAX_GRANTS, MAX_OWN_GRANTS, MAX_PAGE, Reach, WAITS,
        },
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

const COLUMNS: &str =
    "SELECT id, tenant, holder_tenant, holder, justification, scope, may, seconds, requested, state,
    decider_tenant, decider, ends FROM grants";

/// Grants that wait or are in force at a time.
const LIVE: &str = "state IN ('pending', 'active') AND ends > ?";

impl Grants for SqliteStore {
    fn request(&self, scope: TenantScope, asked: Asked, now: Millis) -> Answer<'_, AccessGrant> {
        self.call(move |documents| Ok((documents.request_grant(&scope, asked, now)?, Vec::new()))).boxed()
    }

    fn decide(
        &self,
        scope: TenantScope,
        id: GrantId,
        decision: Decision,
        now: Millis,
    ) -> Answer<'_, Decided> {
        self.call(move |documents| Ok((documents.decide_grant(&scope, &id, decision, now)?, Vec::new())))
            .boxed()
    }

    fn grants(
        &self,
        scope: TenantScope,
        after: Option<GrantId>,
        most: usize,
        now: Millis,
    ) -> Answer<'_, Vec<AccessGrant>> {
        self.call(move |documents| {
            Ok((documents.list_grants(&scope, after.as_ref(), most, now)?, Vec::new()))
        })
        .boxed()
    }

    fn grant(&self, scope: TenantScope, id: GrantId, now: Millis) -> Answer<'_, AccessGrant> {
        self.call(move |documents| Ok((seen(&documents.connection, &scope, &id, now)?, Vec::new()))).boxed()
    }

    fn act(&self, scope: TenantScope, id: GrantId, act: Act, now: Millis) -> Answer<'_, TenantScope> {
        self.call(move |documents| Ok((documents.act(&scope, &id, &act, now)?, Vec::new()))).boxed()
    }
}

impl SqliteDocuments {
    fn request_grant(
        &mut self,
        scope: &TenantScope,
        asked: Asked,
        now: Millis,
    ) -> Result<AccessGrant, GrantError> {
        let Asked { id, tenant, justification, scope: reach, may, seconds, needs_approval } = asked;
        if !scope.office().may(Duty::Request, &tenant) {
            return Err(GrantError::Forbidden);
        }
        let transaction = begin(&mut self.connection)?;
        let by = scope.holder();
        forget(&transaction, now)?;
        let live = |condition: &str, values: &[&dyn rusqlite::ToSql]| {
            let sql = format!("SELECT count(*) FROM grants WHERE {LIVE} {condition}");
            transaction.prepare_cached(&sql)?.query_row(values, |row| row.get::<_, u64>(0))
        };
        let own = live("AND holder_tenant = ? AND holder = ?", &[&now.0, &&*by.tenant, &&*by.subject]);
        let all = live("", &[&now.0]);
        if own.map_err(StorageError::from)? >= MAX_OWN_GRANTS
            || all.map_err(StorageError::from)? >= MAX_GRANTS
        {
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
        note(&transaction, &grant, &grant.by, "access requested", now)?;
        insert(&transaction, &grant)?;
        transaction.commit().map_err(StorageError::from)?;
        Ok(grant)
    }

    fn decide_grant(
        &mut self,
        scope: &TenantScope,
        id: &GrantId,
        decision: Decision,
        now: Millis,
    ) -> Result<Decided, GrantError> {
        let transaction = begin(&mut self.connection)?;
        let mut grant = seen(&transaction, scope, id, now)?;
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
        note(&transaction, &grant, &by, action, now)?;
        let sql = "UPDATE grants SET state = ?2, ends = ?3, decider_tenant = ?4, decider = ?5 WHERE id = ?1";
        let decider = grant.decided_by.as_ref().map(|officer| (&*officer.tenant, &*officer.subject));
        let (tenant, subject) = decider.unzip();
        transaction
            .execute(sql, (grant.id.as_str(), grant.state.as_str(), grant.ends.0, tenant, subject))
            .map_err(StorageError::from)?;
        transaction.commit().map_err(StorageError::from)?;
        Ok(Decided { grant, anew: true })
    }

    fn list_grants(
        &self,
        scope: &TenantScope,
        after: Option<&GrantId>,
        most: usize,
        now: Millis,
    ) -> Result<Vec<AccessGrant>, GrantError> {
        if !scope.office().is_held() {
            return Err(GrantError::Forbidden);
        }
        let list = || {
            let sql = format!(
                "{COLUMNS} WHERE key < coalesce((SELECT key FROM grants WHERE id = ?1), 9223372036854775807)
                 ORDER BY key DESC"
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query([after.map(GrantId::as_str)])?;
            let mut found = Vec::new();
            while found.len() < most.min(MAX_PAGE)
                && let Some(row) = rows.next()?
            {
                found.extend(Some(read(row, now)?).filter(|grant| is_for(grant, scope)));
            }
            Ok::<_, rusqlite::Error>(found)
        };
        Ok(list().map_err(StorageError::from)?)
    }

    fn act(
        &mut self,
        scope: &TenantScope,
        id: &GrantId,
        act: &Act,
        now: Millis,
    ) -> Result<TenantScope, GrantError> {
        let transaction = begin(&mut self.connection)?;
        let grant = find(&transaction, id, now)?.filter(|grant| grant.by == scope.holder());
        let grant = grant.ok_or(GrantError::NoSuchGrant)?;
        // An office that was taken from its holder ends what came of it.
        let stands = grant.state == GrantState::Active && scope.office().may(Duty::Request, &grant.tenant);
        if !stands || act.extent > grant.may {
            return Err(GrantError::Unusable(grant.tenant));
        }
        let under = TenantScope::under(grant, scope);
        let target = format!("{} under {}", act.target, id.as_str());
        audit::record(&*transaction, &under, "data accessed", &target, now)?;
        transaction.commit().map_err(StorageError::from)?;
        Ok(under)
    }
}

/// Counts the grants that wait and are in force, and those whose time was over since some time. No more is read than may be in
/// force at once, and what has ended since.
pub(super) fn count(connection: &Connection, since: Millis, now: Millis) -> Result<Counted, StorageError> {
    let until = now.max(since);
    let mut counted = Counted { since, until, ..Counted::default() };
    let sql = "SELECT state, ends > ?2, count(*) FROM grants
        WHERE ends > ?1 AND state IN ('pending', 'active') GROUP BY 1, 2";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([since.0, until.0])?;
    while let Some(row) = rows.next()? {
        let (state, lasts, number) = (row.get::<_, String>(0)?, row.get(1)?, row.get::<_, u32>(2)?);
        match (lasts, state.as_str()) {
            (false, _) => counted.over += u64::from(number),
            (true, "pending") => counted.pending += i64::from(number),
            (true, _) => counted.active += i64::from(number),
        }
    }
    Ok(counted)
}

fn begin(connection: &mut Connection) -> Result<rusqlite::Transaction<'_>, StorageError> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// Whether somebody is told of a grant.
fn is_for(grant: &AccessGrant, scope: &TenantScope) -> bool {
    grant.by == scope.holder() || scope.office().may(Duty::Approve, &grant.tenant)
}

/// A grant of which somebody is told.
fn seen(
    connection: &Connection,
    scope: &TenantScope,
    id: &GrantId,
    now: Millis,
) -> Result<AccessGrant, GrantError> {
    let grant = find(connection, id, now)?.filter(|grant| is_for(grant, scope));
    grant.ok_or(GrantError::NoSuchGrant)
}

fn find(connection: &Connection, id: &GrantId, now: Millis) -> Result<Option<AccessGrant>, StorageError> {
    let sql = format!("{COLUMNS} WHERE id = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([id.as_str()], |row| read(row, now)).optional()?;
    Ok(found)
}

/// Records what becomes of a grant in the chain of the tenant whose data it is for.
fn note(
    connection: &Connection,
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

fn insert(connection: &Connection, grant: &AccessGrant) -> Result<(), StorageError> {
    let AccessGrant { id, tenant, by, justification, scope, may, seconds, requested, state, ends, .. } =
        grant;
    let sql = "INSERT INTO grants (id, tenant, holder_tenant, holder, justification, scope, may, seconds, requested, state, ends)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    connection.prepare_cached(sql)?.execute(rusqlite::params![
        id.as_str(),
        &**tenant,
        &*by.tenant,
        &*by.subject,
        justification,
        text(scope),
        text(may),
        seconds,
        requested.0,
        state.as_str(),
        ends.0,
    ])?;
    Ok(())
}

/// Forgets the grants that ended long ago: what was done under them is in the audit.
fn forget(connection: &Connection, now: Millis) -> Result<(), StorageError> {
    let sql = "DELETE FROM grants WHERE ends <= ?1";
    connection.prepare_cached(sql)?.execute([now.0.saturating_sub(LISTED)])?;
    Ok(())
}

fn text(value: &impl serde::Serialize) -> String {
    // Names and words have no form that could fail.
    serde_json::to_string(value).unwrap_or_default()
}

fn read(row: &Row<'_>, now: Millis) -> Result<AccessGrant, rusqlite::Error> {
    let unknown = |column, what: &str| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("it is no {what}").into())
    };
    let word = |column| row.get::<_, String>(column);
    let json = |column: usize, error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    };
    let scope: Reach = serde_json::from_str(&word(5)?).map_err(|error| json(5, error))?;
    let may: Extent = serde_json::from_str(&word(6)?).map_err(|error| json(6, error))?;
    let stored = word(9)?;
    let state = GrantState::ALL.into_iter().find(|state| state.as_str() == stored);
    let state = state.ok_or_else(|| unknown(9, "state"))?;
    let ends = Millis(row.get(12)?);
    let is_over = matches!(state, GrantState::Pending | GrantState::Active) && ends <= now;
    let officer =
        |tenant: String, subject: String| Officer { tenant: tenant.into(), subject: subject.into() };
    let decider: (Option<String>, Option<String>) = (row.get(10)?, row.get(11)?);
    Ok(AccessGrant {
        id: GrantId::parse(&word(0)?).ok_or_else(|| unknown(0, "name"))?,
        tenant: word(1)?.into(),
        by: officer(word(2)?, word(3)?),
        justification: word(4)?,
        scope,
        may,
        seconds: row.get(7)?,
        requested: Millis(row.get(8)?),
        state: if is_over { GrantState::Over } else { state },
        decided_by: decider.0.zip(decider.1).map(|(tenant, subject)| officer(tenant, subject)),
        ends,
    })
}
