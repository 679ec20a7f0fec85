//! One call, within the transaction that it shares with others.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use sdk_core::{clock::Millis, protocol::Json};

use super::{
    Caps,
    records::{Changing, Seen},
};
use crate::{
    random,
    storage::{
        StorageError,
        sql::{Connection, Row, corrupt},
        transactions::{NotRun, Ran, Run, Verdict},
    },
    tenant::TenantScope,
    transactions::handler::{Call, Fault, Limit, MAX_ANSWER},
};

/// A handler that takes longer is reported: every transaction waits for it.
const SLOW: Duration = Duration::from_millis(20);

/// Runs a call, or finds that it has run. What it wrote is in the transaction, also of a refusal.
pub(in crate::storage) fn run(
    connection: &dyn Connection,
    scope: &TenantScope,
    run: &Run,
    caps: Caps,
    now: Millis,
) -> Result<Ran, NotRun> {
    let (tenant, subject, key) = (&**scope.tenant(), &**scope.subject(), run.key.as_str());
    let hash = digest(&SHA256, run.body.as_str().as_bytes());
    let sql = "SELECT name, body_hash, answer, code, message FROM calls
               WHERE tenant = ?1 AND subject = ?2 AND key = ?3";
    let call = |row: &dyn Row| {
        let (name, hash): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        Ok((name, hash, row.get(2)?, row.get(3)?, row.get(4)?))
    };
    let found = connection.optional(sql, (tenant, subject, key), call)?;
    if let Some((name, known, answer, code, message)) = found {
        if name != run.name.as_str() || known != hash.as_ref() {
            return Err(NotRun::KeyReused);
        }
        return Ok(Ran { verdict: stored(answer, code, message)?, replayed: true });
    }
    let used = counted(connection, tenant)?;
    if used.keys >= caps.keys {
        return Err(NotRun::TooManyKeys);
    }

    connection.control("SAVEPOINT attempt")?;
    let verdict = handle(connection, scope, run, caps, used, now);
    // A decision against it takes back what was written on the way to it.
    connection.control(match &verdict {
        Ok(Verdict::Done(_)) => "RELEASE attempt",
        Ok(Verdict::Refused(_)) | Err(_) => "ROLLBACK TO attempt; RELEASE attempt",
    })?;
    let verdict = verdict?;

    let (answer, code, message) = match &verdict {
        Verdict::Done(answer) => (Some(answer.as_str()), None, None),
        Verdict::Refused(refusal) => (None, Some(refusal.code.as_str()), Some(refusal.message.as_str())),
    };
    let sql = "INSERT INTO calls (tenant, subject, key, name, body_hash, at, answer, code, message)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let row = (tenant, subject, key, run.name.as_str(), hash.as_ref(), now.0, answer, code, message);
    connection.execute(sql, row)?;
    count(connection, tenant, Counts { keys: 1, ..Counts::default() })?;
    Ok(Ran { verdict, replayed: false })
}

fn handle(
    connection: &dyn Connection,
    scope: &TenantScope,
    run: &Run,
    caps: Caps,
    used: Used,
    now: Millis,
) -> Result<Verdict, NotRun> {
    let mut records = Changing {
        seen: Seen::new(connection, scope.tenant()),
        caps,
        now,
        name: random::name(),
        source: format!("urn:webwaka:transaction:{}", run.name),
        writes: 0,
        events: 0,
        records: 0,
    };
    let call = Call { subject: scope.subject(), body: &run.body, now };
    let started = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| run.handler.run(call, &mut records)));
    let took = started.elapsed();
    if took > SLOW {
        tracing::warn!(name = %run.name, ?took, "a handler is slow, and every transaction waits for it");
    }
    // Whatever it says then, it has not seen or not written what it meant to.
    if records.seen.failed.get() {
        return match result {
            Ok(Err(Fault::Storage(error))) => Err(error.into()),
            _ => Err(StorageError::Unavailable("a handler went on after the store had failed".into()).into()),
        };
    }
    match result {
        Ok(Ok(answer)) if answer.as_str().len() <= MAX_ANSWER => {
            let Changing { records, events, .. } = records;
            let (more, events) = (u64::try_from(records).unwrap_or(0), events as u64);
            if more > 0 && used.records + more > caps.records {
                return Err(Limit::Records.into());
            }
            if events > 0 && used.waiting + events > caps.waiting {
                return Err(Limit::Waiting.into());
            }
            count(connection, scope.tenant(), Counts { keys: 0, records, waiting: events as i64 })?;
            Ok(Verdict::Done(answer))
        }
        Ok(Ok(_)) => Err(Limit::Handler("an answer is too large").into()),
        Ok(Err(Fault::Refused(refusal))) => Ok(Verdict::Refused(refusal)),
        Ok(Err(Fault::Storage(error))) => Err(error.into()),
        Ok(Err(Fault::Limit(limit))) => Err(limit.into()),
        Err(_) => {
            tracing::error!(name = %run.name, "a handler panicked; nothing of its transaction was stored");
            Err(NotRun::Panicked)
        }
    }
}

fn stored(
    answer: Option<String>,
    code: Option<String>,
    message: Option<String>,
) -> Result<Verdict, StorageError> {
    match answer {
        Some(answer) => Ok(Verdict::Done(Json::parse(answer).map_err(corrupt("an answer"))?)),
        None => Ok(Verdict::Refused(crate::transactions::handler::Refusal {
            code: code.unwrap_or_default(),
            message: message.unwrap_or_default(),
        })),
    }
}

/// What a tenant has of what is capped.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    keys: u64,
    records: u64,
    waiting: u64,
}

/// By how much that changes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) keys: i64,
    pub(super) records: i64,
    pub(super) waiting: i64,
}

fn counted(connection: &dyn Connection, tenant: &str) -> Result<Used, StorageError> {
    let sql = "SELECT keys, records, waiting FROM tenants WHERE tenant = ?1";
    let used = connection.optional(sql, (tenant,), |row| {
        Ok(Used { keys: row.get(0)?, records: row.get(1)?, waiting: row.get(2)? })
    })?;
    Ok(used.unwrap_or_default())
}

pub(super) fn count(
    connection: &dyn Connection,
    tenant: &str,
    Counts { keys, records, waiting }: Counts,
) -> Result<(), StorageError> {
    let sql = "INSERT INTO tenants (tenant, keys, records, waiting) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (tenant) DO UPDATE SET
                   keys = tenants.keys + excluded.keys,
                   records = tenants.records + excluded.records,
                   waiting = tenants.waiting + excluded.waiting";
    connection.execute(sql, (tenant, keys, records, waiting))?;
    Ok(())
}
