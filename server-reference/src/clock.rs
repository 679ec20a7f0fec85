//! This machine's clocks, for the parts that do I/O; the others have time passed in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sdk_core::clock::Millis;
use tokio::time::Instant;

use crate::gateway::session::Now;

/// Unix time.
pub fn wall() -> Millis {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A monotonic clock, counted from when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: self.monotonic(), wall: wall() }
    }

    /// Only the monotonic time.
    pub(crate) fn monotonic(&self) -> Millis {
        millis(self.start.elapsed())
    }

    /// The moment of a monotonic time; none if it is further away than this clock reaches.
    pub(crate) fn at(&self, monotonic: Millis) -> Option<Instant> {
        self.start.checked_add(Duration::from_millis(monotonic.0))
    }
}

fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
