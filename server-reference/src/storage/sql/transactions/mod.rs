//! Critical transactions, whichever database they are in.

mod calls;
pub(in crate::storage) mod outgoing;
mod records;
mod run;

use std::panic::{AssertUnwindSafe, catch_unwind};

use sdk_core::clock::Millis;

use super::Connection;
use crate::{
    storage::{
        StorageError,
        attempts::Attempt,
        sqlite::audit,
        transactions::{Ask, NotRun, Verdict},
    },
    tenant::TenantScope,
    transactions::handler::{Call, Fault, Limit, MAX_ANSWER},
};

pub(in crate::storage) use calls::{Answers, Failing, Job, job};
pub(in crate::storage) use run::run;

/// What a tenant may have.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// Keys that are kept.
    pub keys: u64,
    /// Records.
    pub records: u64,
    /// Events that wait to be appended to topics.
    pub waiting: u64,
    /// Bytes of one event.
    pub event_bytes: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Self { keys: 10_000_000, records: 10_000_000, waiting: 100_000, event_bytes: 128 * 1024 }
    }
}

/// Answers a question from what the connection sees.
pub(in crate::storage) fn answer(
    connection: &dyn Connection,
    scope: &TenantScope,
    ask: &Ask,
    now: Millis,
) -> Result<Verdict, NotRun> {
    let seen = records::Seen::new(connection, scope.tenant());
    let call = Call { subject: scope.subject(), body: &ask.parameters, now };
    let query = AssertUnwindSafe(|| ask.query.run(call, &seen));
    match catch_unwind(query) {
        Ok(Ok(answer)) if answer.as_str().len() <= MAX_ANSWER => Ok(Verdict::Done(answer)),
        Ok(Ok(_)) => Err(Limit::Handler("an answer is too large").into()),
        Ok(Err(Fault::Refused(refusal))) => Ok(Verdict::Refused(refusal)),
        Ok(Err(Fault::Storage(error))) => Err(error.into()),
        Ok(Err(Fault::Limit(limit))) => Err(limit.into()),
        Err(_) => Err(NotRun::Panicked),
    }
}

/// Records that somebody tried to have a transaction in a way that there is not.
pub(in crate::storage) fn misused(
    connection: &dyn Connection,
    scope: &TenantScope,
    by: String,
    how: String,
    now: Millis,
) -> Result<(), StorageError> {
    let (tenant, action) = (scope.tenant().clone(), "critical transaction misplaced");
    audit::refused(connection, &Attempt { tenant, by, action, target: how }, now)
}
