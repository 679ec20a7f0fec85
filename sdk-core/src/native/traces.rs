//! Which trace what is sent belongs to: the application says.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use crate::protocol::is_traceparent;

type Source = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Tells the trace of what is sent now, once the application has said how to find that out.
#[derive(Clone, Default)]
pub(super) struct Traces(Arc<RwLock<Option<Source>>>);

impl Traces {
    pub(super) fn ask(&self, source: Source) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// The `traceparent` of what is sent now; none if there is none, or none that may be sent.
    pub(super) fn current(&self) -> Option<String> {
        let source = self.0.read().unwrap_or_else(PoisonError::into_inner);
        source.as_ref()?().filter(|parent| is_traceparent(parent))
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}
