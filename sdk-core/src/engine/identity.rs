//! Another id for a client whose own was used by a copy of it.

use super::{Engine, fence::Fence};
use crate::{
    clock::Millis,
    outbox::{Batch, Entry},
};

impl Engine {
    /// Whether anything may be sent: not while the id that it would go out under is not durable, and
    /// not once another client has the store.
    pub(super) fn may_connect(&self) -> bool {
        self.network && !self.ids.is_renewing() && self.fence != Fence::Lost
    }

    /// The next operations to send. What was made under a former id names it: a copy of this client may hold the same
    /// operation, and have taken yet another id, and the server has to see that it is one and the same.
    pub(super) fn take_batch(&mut self) -> Batch {
        let mut batch = self.outbox.take_batch(&self.limits, self.batch, self.ids.meta.actor);
        batch.operations.iter_mut().for_each(|operation| operation.maker = self.ids.maker(operation.seq));
        batch
    }

    /// Takes another id once the server has judged all that it may know under this one.
    pub(super) fn renew_identity(&mut self, now: Millis) {
        if self.saving.is_busy() || self.ids.is_renewing() || !self.outbox.is_ready_to_renew() {
            return;
        }
        let mut bytes = [0; 16];
        bytes.iter_mut().for_each(|byte| *byte = self.random.u8(..));
        let oldest = self.outbox.entries().next().map_or(self.ids.upcoming(), Entry::seq);
        self.outbox.renewed(self.ids.meta.actor);
        self.ids.renew(self.config.fresh_client.mixed_with(bytes), oldest);
        // What is asked for under the former id is not to be answered any more.
        self.disconnect(now);
        self.socket.hurry(now);
    }
}
