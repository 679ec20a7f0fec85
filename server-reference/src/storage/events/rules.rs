//! What holds of a topic in every log.

use sdk_core::clock::Millis;

use super::{ContentType, Lifetime, NewTopic, TopicState};

/// Where a topic parts from its source.
pub(in crate::storage) struct Parting<'a> {
    pub(in crate::storage) source: &'a str,
    /// The offset that was asked for.
    pub(in crate::storage) anchor: u64,
    /// What of the events behind that is shared as well.
    pub(in crate::storage) more: u64,
}

impl NewTopic {
    /// Whether a topic that is there is what this would make.
    pub(in crate::storage) fn is_there(&self, state: &TopicState, parting: Option<Parting<'_>>) -> bool {
        let fork = match (parting, &self.fork) {
            (None, None) => {
                self.content_type.as_ref().unwrap_or(&ContentType::octets()) == &state.content_type
                    && self.lifetime == state.lifetime
            }
            (Some(parting), Some(fork)) => {
                parting.source == fork.source.as_str()
                    && parting.more == fork.more
                    && fork.at.is_none_or(|at| at.offset == parting.anchor)
                    && self.content_type.as_ref().is_none_or(|kind| *kind == state.content_type)
                    && (self.lifetime == Lifetime::Unlimited || self.lifetime == state.lifetime)
            }
            _ => false,
        };
        fork && self.closed == state.closed
            && self.retention == state.retention
            && self.redelivery == state.redelivery
    }
}

impl Lifetime {
    /// Whether it is over for a topic whose last use is noted so.
    pub(in crate::storage) fn is_over(&self, used: Millis, now: Millis) -> bool {
        match self {
            Self::Unlimited => false,
            Self::Idle(seconds) => now >= used.plus(Self::idle(*seconds)),
            Self::Until(time, _) => now >= *time,
        }
    }

    /// Whether a use has to be noted. Not each has: the end of an idle topic may come a little late.
    pub(in crate::storage) fn wants_note(&self, used: Millis, now: Millis) -> bool {
        matches!(self, Self::Idle(seconds) if now.since(used) > slack(seconds.saturating_mul(1000)))
    }

    /// Milliseconds after its last use that is noted at which a topic ends that may be idle for so many seconds.
    pub(in crate::storage) fn idle(seconds: u64) -> u64 {
        let idle = seconds.saturating_mul(1000);
        idle.saturating_add(slack(idle))
    }
}

fn slack(idle: u64) -> u64 {
    idle / 16
}
