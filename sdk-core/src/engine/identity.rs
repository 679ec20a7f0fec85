//! Another id for a client whose own was used by a copy of it.

use super::Engine;
use crate::clock::Millis;

impl Engine {
    /// Whether anything may be sent: not while the id that it would go out under is not durable.
    pub(super) fn may_connect(&self) -> bool {
        self.network && !self.ids.is_renewing()
    }

    /// Takes another id once the server has judged all that it may know under this one. Where the same operations came
    /// from both copies, they get the judgement that is there, and none is applied twice.
    pub(super) fn renew_identity(&mut self, now: Millis) {
        if self.saving.is_busy() || self.ids.is_renewing() || !self.outbox.is_ready_to_renew() {
            return;
        }
        let mut bytes = [0; 16];
        bytes.iter_mut().for_each(|byte| *byte = self.random.u8(..));
        self.ids.renew(self.config.fresh_client.mixed_with(bytes));
        self.outbox.renewed();
        // What is asked for under the former id is not to be answered any more.
        self.drop_link(now, 0);
        self.socket.rest();
        self.poll.stop();
        self.request = None;
        self.socket.hurry(now);
    }
}
