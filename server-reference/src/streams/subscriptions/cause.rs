//! In which trace topics move, so that who is woken by it can go on there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{MAX_MOVED, Moved, Spot};
use crate::trace::TraceContext;

/// The traces of what is being appended. Where several append to a topic at once, one of them is the cause.
#[derive(Default)]
pub(super) struct Causes(Mutex<HashMap<Spot, TraceContext>>);

impl Causes {
    /// The trace in which a topic has moved.
    pub(super) fn of(&self, spot: &Spot) -> Option<TraceContext> {
        self.all().remove(spot)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Spot, TraceContext>> {
        // Each change is one call that leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that is being appended to a topic in a trace.
pub(crate) struct Cause {
    moved: Arc<Moved>,
    spot: Spot,
}

impl Cause {
    /// None where there are too many.
    pub(super) fn new(moved: Arc<Moved>, spot: Spot, context: TraceContext) -> Option<Self> {
        let mut all = moved.causes.all();
        if all.len() >= MAX_MOVED {
            return None;
        }
        all.insert(spot.clone(), context);
        drop(all);
        Some(Self { moved, spot })
    }
}

impl Drop for Cause {
    fn drop(&mut self) {
        // What was appended was told of before its caller had an answer; the rest was refused.
        self.moved.causes.all().remove(&self.spot);
    }
}
