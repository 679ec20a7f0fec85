//! Submissions that other pages left in the store: each becomes an operation once.
//!
//! Whoever drives the engine names the submission, and then asks for what it says under the same ticket. The batch
//! that stores the operation puts a receipt in the submission's place, so that it is found either waiting or adopted,
//! and never both or neither. One that is refused for good, of a page that is gone, becomes a dead letter in the same
//! way: what somebody has written is not lost for want of anybody to tell.

use super::{Ticket, storage::Adopted};
use crate::{protocol::Seq, sorted::SortedMap};

/// Submissions on their way into the outbox.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    /// Named, and not asked for yet; its caller asks at once.
    expected: SortedMap<Ticket, String>,
    /// The newest of these whose page is gone.
    orphan: Option<Ticket>,
    /// Their operations go with the next commit.
    ready: Vec<Adopted>,
}

impl Adoption {
    pub(super) fn expect(&mut self, ticket: Ticket, key: String, orphan: bool) {
        self.expected.insert(ticket, key);
        self.orphan = orphan.then_some(ticket);
    }

    /// Whether nobody is left to hear of a refusal of what is asked under the ticket.
    pub(super) fn is_orphan(&self, ticket: Ticket) -> bool {
        self.orphan == Some(ticket)
    }

    /// What was asked under the ticket has its place, or was refused and leaves the submission as it is.
    pub(super) fn answered(&mut self, ticket: Ticket, place: Option<Seq>) {
        let key = self.expected.remove(&ticket);
        self.ready.extend(key.zip(place).map(|(key, seq)| Adopted { key, seq }));
    }

    /// For the batch that stores them. If it fails their tickets are refused, and the submissions are still there.
    pub(super) fn take(&mut self) -> Vec<Adopted> {
        std::mem::take(&mut self.ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_is_adopted_with_the_batch_that_stores_its_operation() {
        let mut adoption = Adoption::default();
        adoption.expect(Ticket(1), "a".into(), false);
        assert_eq!(adoption.take(), []);
        adoption.answered(Ticket(1), Some(Seq(7)));
        adoption.answered(Ticket(2), Some(Seq(8)));
        assert_eq!(adoption.take(), [Adopted { key: "a".into(), seq: Seq(7) }]);
        assert_eq!(adoption.take(), []);
    }

    #[test]
    fn a_refused_submission_stays_in_the_store() {
        let mut adoption = Adoption::default();
        adoption.expect(Ticket(1), "a".into(), false);
        adoption.answered(Ticket(1), None);
        adoption.answered(Ticket(1), Some(Seq(7)));
        assert_eq!(adoption.take(), []);
    }
}
