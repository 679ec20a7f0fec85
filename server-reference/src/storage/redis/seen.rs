//! How far an instance has seen topics, by which it notices that Redis has less than before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::storage::events::{Position, TopicName};

/// Topics that are remembered.
const MOST: usize = 65_536;

type Spot = (Arc<str>, TopicName);

/// The greatest end of each topic that anybody has been told of.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<Spot, Position>>);

impl Seen {
    /// Notes an end.
    pub(super) fn note(&self, tenant: &Arc<str>, topic: &TopicName, tail: Position) {
        let mut all = self.all();
        let spot = (tenant.clone(), topic.clone());
        match all.get_mut(&spot) {
            // Answers may overtake one another.
            Some(known) if known.epoch == tail.epoch => known.offset = known.offset.max(tail.offset),
            Some(known) => *known = tail,
            None => {
                if all.len() >= MOST {
                    // Those that are still in use are soon here again.
                    all.clear();
                }
                all.insert(spot, tail);
            }
        }
    }

    pub(super) fn known(&self, tenant: &Arc<str>, topic: &TopicName) -> Option<Position> {
        self.all().get(&(tenant.clone(), topic.clone())).copied()
    }

    /// Forgets a topic; tells whether it was known.
    pub(super) fn forget(&self, tenant: &Arc<str>, topic: &TopicName) -> bool {
        self.all().remove(&(tenant.clone(), topic.clone())).is_some()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Spot, Position>> {
        // Each change is one call that leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
