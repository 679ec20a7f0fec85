//! What the server tells of other clients' work, and of this one's.

use super::{Engine, Event, replica::Arrival};
use crate::protocol::Changes;

impl Engine {
    pub(super) fn changes(&mut self, now: super::Now, changes: Changes) {
        if self.replica.has_outrun(&changes) || self.takes_snapshot(&changes) {
            return;
        }
        let (name, epoch) = (changes.collection.clone(), changes.to.epoch.clone());
        let whole = (!changes.more).then(|| changes.to.clone());
        for changed in &changes.documents {
            if let Some(stamp) = changed.doc.written {
                self.clock.observe(stamp.at, self.server_time(now.wall), crate::protocol::MAX_SKEW);
            }
        }
        let knew =
            self.replica.collections.get(&name).is_some_and(|collection| collection.received.is_some());
        if self.replica.receive(changes) == Arrival::Anew {
            self.views.mark_stale(|key| key.collection == name);
            // What was judged in the history that begins is contained where it says, and not before: this may be the
            // answer to a question that was asked earlier.
            self.forget_positions(|collection, position| *collection == name && position.epoch != epoch);
            if knew {
                self.emit(Event::NotRecovered(name.clone()));
            }
        }
        if let Some(to) = whole {
            self.move_positions(&name, &to);
        }
    }
}
