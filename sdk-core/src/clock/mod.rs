//! Logical time: which write saw which, and which of two that saw neither came later.
//!
//! A [`VectorClock`] answers the first question and decides whether two writes conflict at all. A [`Hlc`]
//! answers the second, and only breaks ties between writes that are truly concurrent.

mod hybrid;
mod vector;

pub use hybrid::{Hlc, HybridClock};
pub use vector::{ClockFull, Dot, MAX_ACTORS, VectorClock};

use crate::wire::transparent;

/// Milliseconds: of Unix time, or of a monotonic clock with an arbitrary start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// Later by `millis`, at most the end of time.
    pub fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// How much later this is than `earlier`; 0 if it is not.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

transparent!(Millis);
