//! What an application decides with code of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{MaybeSend, MaybeSync, Runtime};
use crate::reconcile::{Conflict, Resolution};

/// An application's own functions. They are pure and synchronous: equal arguments give equal results.
pub trait Rules: MaybeSend + MaybeSync + 'static {
    /// Decides a conflict in a collection with the strategy `Merge`. [`Resolution::Defer`] leaves it to a person, as
    /// does an error, whose words are shown with it, and a panic.
    ///
    /// # Errors
    /// In words, why there is no decision.
    fn resolve(&self, conflict: &Conflict) -> Result<Resolution, String>;
}

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
