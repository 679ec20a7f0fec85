//! How often which limit was reached.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Limit, Unit};

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was done, and more is to wait.
    Wait,
    /// It was not done.
    Refused,
    /// The session ended.
    Ended,
}

impl Answer {
    const ALL: [Self; 3] = [Self::Wait, Self::Refused, Self::Ended];

    fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Refused => "refused",
            Self::Ended => "ended",
        }
    }
}

/// A number for each limit, unit and answer that there is.
#[derive(Debug, Default)]
pub(crate) struct Figures([[[AtomicU64; Answer::ALL.len()]; Unit::ALL.len()]; Limit::ALL.len()]);

impl Figures {
    pub(super) fn add(&self, limit: Limit, unit: Unit, answer: Answer) {
        self.0[limit as usize][unit as usize][answer as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Those that are not zero: the names of limit, unit and answer, and how often.
    pub(crate) fn read(&self) -> impl Iterator<Item = ([&'static str; 3], u64)> {
        let each = |limit: Limit| Unit::ALL.into_iter().map(move |unit| (limit, unit));
        let each = Limit::ALL.into_iter().flat_map(each);
        let each =
            each.flat_map(|(limit, unit)| Answer::ALL.into_iter().map(move |answer| (limit, unit, answer)));
        each.filter_map(|(limit, unit, answer)| {
            let count = self.0[limit as usize][unit as usize][answer as usize].load(Ordering::Relaxed);
            (count > 0).then_some(([limit.as_str(), unit.as_str(), answer.as_str()], count))
        })
    }
}
