//! What an application decides with code of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{MaybeSend, MaybeSync, Runtime};
use crate::engine::{Migrated, Outdated, migration_failed};
use crate::protocol::{ErrorCode, Intent, Rejection};
use crate::reconcile::{Conflict, Resolution};
use crate::wire::tagged;

/// An application's own functions. They are pure and synchronous: equal arguments give equal results.
pub trait Rules: MaybeSend + MaybeSync + 'static {
    /// Decides a conflict in a collection with the strategy `Merge`. [`Resolution::Defer`] leaves it to a person, as
    /// does an error, whose words are shown with it, and a panic.
    ///
    /// # Errors
    /// In words, why there is no decision.
    fn resolve(&self, conflict: &Conflict) -> Result<Resolution, String>;

    /// The version of the application's own schema, which each operation is stored with; 0 unless it says otherwise.
    fn schema(&self) -> u32 {
        0
    }

    /// Says what an operation that an earlier version of the application has left does in the next version of the
    /// schema, `operation.schema + 1`. It is called step by step, up to [`schema`](Self::schema). An error, whose words
    /// are shown with it, and a panic make it a dead letter with the code `migration_failed`; that keeps what it did.
    ///
    /// # Errors
    /// In words, why there is no such form; that there is no such migration, unless this is implemented.
    fn migrate(&self, operation: &Outdated) -> Result<Migration, String> {
        Err(format!("there is no migration to schema {}", operation.schema.saturating_add(1)))
    }
}

/// What becomes of an operation in the next version of the application's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Migration {
    /// It does this, to the same document.
    Intents(Vec<Intent>),
    /// It has no meaning any more: a dead letter with the code `migration_dropped`.
    Drop,
}

tagged!(Migration { "intents" => Intents } { "drop" => Drop });

/// Leaves everything to people.
impl Rules for () {
    fn resolve(&self, _: &Conflict) -> Result<Resolution, String> {
        Ok(Resolution::Defer)
    }
}

/// Asks for a decision; returns it with the milliseconds that it took.
pub(super) fn resolve(
    rules: &dyn Rules,
    runtime: &impl Runtime,
    conflict: &Conflict,
) -> (Result<Resolution, String>, u64) {
    let start = runtime.now().monotonic;
    let resolution = catch_unwind(AssertUnwindSafe(|| rules.resolve(conflict)))
        .unwrap_or_else(|_| Err("the merge function panicked".into()));
    (resolution, runtime.now().monotonic.since(start))
}

/// Brings operations up to the application's schema.
pub(super) fn migrate(rules: &dyn Rules, outdated: Vec<Outdated>) -> Vec<Migrated> {
    let schema = rules.schema();
    let step_by_step = |mut operation: Outdated| {
        let (seq, at) = (operation.seq, operation.at);
        let intents = loop {
            if operation.schema >= schema {
                break Ok(operation.intents);
            }
            match catch_unwind(AssertUnwindSafe(|| rules.migrate(&operation))) {
                Ok(Ok(Migration::Intents(intents))) => operation.intents = intents,
                Ok(Ok(Migration::Drop)) => {
                    let message = "dropped by the migration".to_owned();
                    break Err(Rejection { code: ErrorCode::MigrationDropped, message });
                }
                Ok(Err(problem)) => break Err(migration_failed(problem)),
                Err(_) => break Err(migration_failed("the migration panicked".into())),
            }
            operation.schema += 1;
        };
        Migrated { seq, at, intents }
    };
    outdated.into_iter().map(step_by_step).collect()
}
