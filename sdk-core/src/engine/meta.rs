//! The outbox's own record: who this client is, and what must outlive its operations.

use super::topics::{self, Bookmark};
use crate::{
    clock::Hlc,
    protocol::{ActorId, ClientId, Identity, Seq},
    wire::{encode, record},
};

/// Numbers reserved at a time, so that most commits need not write this record.
const RESERVE: u64 = 1_024;
/// Former ids that are kept. A client takes another when it finds out that it is a copy, or has one: a device that
/// comes to more, with operations that wait all the while, is cloned over and over.
const MAX_FORMER: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) client: ClientId,
    /// No operation has had this number or a larger one.
    reserved: Seq,
    /// The server's name for the client, once met.
    pub(super) actor: Option<ActorId>,
    /// Whose data this is, once met.
    pub(super) identity: Option<Identity>,
    /// A time that no earlier operation was later than, when this was written.
    newest: Hlc,
    /// Records with smaller keys are an earlier client's, whose id is lost. What they hold may have been applied under
    /// that id, so it must not go out under this one.
    since: u64,
    /// Ids that this client had before, oldest first, each with the number at which the next begins.
    former: Vec<(ClientId, Seq)>,
    /// How far the readers of topics have come that last.
    pub(super) bookmarks: Vec<Bookmark>,
}

record!(Meta {
    client: "client";
    reserved: "reserved";
    actor: "actor";
    identity: "identity";
    newest: "newest";
    since: "since" or 0;
    former: "former", or_empty;
    bookmarks: "topics", or_empty;
});

/// The record, and what has been handed out since it was stored.
#[derive(Debug)]
pub(super) struct Identifiers {
    pub(super) meta: Meta,
    next: Seq,
    dirty: bool,
    /// The client has another id than the one that is stored; nothing goes out before that is durable.
    renewing: bool,
    /// A bookmark is not stored yet.
    reading: bool,
}

impl Identifiers {
    /// A client that was never here before.
    pub(super) fn fresh(client: ClientId) -> Self {
        let meta = Meta {
            client,
            reserved: Seq(1),
            actor: None,
            identity: None,
            newest: Hlc::default(),
            since: 0,
            former: Vec::new(),
            bookmarks: Vec::new(),
        };
        Self { meta, next: Seq(1), dirty: true, renewing: false, reading: false }
    }

    /// A client in the place of one whose id is lost, and of whose records the last has the key `last`. Its numbers
    /// begin beyond all that the other can have used, since receipts of that one's operations may still be around.
    pub(super) fn succeed(client: ClientId, last: u64) -> Self {
        let mut ids = Self::fresh(client);
        ids.meta.since = last.saturating_add(RESERVE);
        ids.meta.reserved = Seq(ids.meta.since);
        ids.next = ids.meta.reserved;
        ids
    }

    pub(super) fn restore(meta: Meta) -> Self {
        Self { next: meta.reserved, meta, dirty: false, renewing: false, reading: false }
    }

    /// Whether the record of this key is this client's.
    pub(super) fn owns(&self, key: u64) -> bool {
        key >= self.meta.since
    }

    /// The number that the next operation gets.
    pub(super) fn upcoming(&self) -> Seq {
        self.next
    }

    /// A number that was never used.
    pub(super) fn next_seq(&mut self) -> Seq {
        let seq = self.next;
        self.next = seq.next();
        if self.next > self.meta.reserved {
            self.meta.reserved = Seq(seq.0 + RESERVE);
            self.dirty = true;
        }
        seq
    }

    /// The server has told who this client is.
    pub(super) fn met(&mut self, actor: ActorId, identity: &Identity) {
        if self.meta.actor != Some(actor) || self.meta.identity.as_ref() != Some(identity) {
            self.meta.actor = Some(actor);
            self.meta.identity = Some(identity.clone());
            self.dirty = true;
        }
    }

    /// Takes another id; the numbers go on. Of former ones those are kept that an operation from `oldest` on was made
    /// under.
    pub(super) fn renew(&mut self, client: ClientId, oldest: Seq) {
        self.meta.former.push((self.meta.client, self.next));
        self.meta.former.retain(|(_, next)| *next > oldest);
        let surplus = self.meta.former.len().saturating_sub(MAX_FORMER);
        self.meta.former.drain(..surplus);
        (self.meta.client, self.meta.actor) = (client, None);
        (self.dirty, self.renewing) = (true, true);
    }

    /// Under which id the operation of that number was made, if it was a former one.
    pub(super) fn maker(&self, seq: Seq) -> Option<ClientId> {
        self.meta.former.iter().find(|(_, next)| seq < *next).map(|(client, _)| *client)
    }

    /// Whether another id is on its way to storage.
    pub(super) fn is_renewing(&self) -> bool {
        self.renewing
    }

    /// Notes how far a reader has come, or where it went `back` to.
    pub(super) fn keep(&mut self, mark: Bookmark, back: bool) {
        if topics::keep(&mut self.meta.bookmarks, mark, back) {
            (self.dirty, self.reading) = (true, true);
        }
    }

    /// Whether the record is to be written though no operation is.
    pub(super) fn is_urgent(&self) -> bool {
        self.renewing || self.reading
    }

    /// The record is durable. Whether it brought another id.
    pub(super) fn confirm(&mut self) -> bool {
        std::mem::take(&mut self.renewing)
    }

    pub(super) fn newest(&self) -> Hlc {
        self.meta.newest
    }

    /// The record's text if it has to be written.
    pub(super) fn flush(&mut self, newest: Hlc) -> Option<String> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        self.meta.newest = newest;
        self.reading = false;
        Some(encode(&self.meta))
    }

    /// The record was not written.
    pub(super) fn take_back(&mut self) {
        self.dirty = true;
        self.reading = !self.meta.bookmarks.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode;

    fn id(number: u8) -> ClientId {
        ClientId::from_random([number; 16])
    }

    #[test]
    fn each_operation_names_the_id_that_it_was_made_under_also_after_a_restart() {
        let mut ids = Identifiers::fresh(id(0));
        let mut made = vec![];
        for number in 1..=3 {
            made.extend([ids.next_seq(), ids.next_seq()]);
            ids.renew(id(number), made[0]);
        }
        made.push(ids.next_seq());
        let expected = [0, 0, 1, 1, 2, 2].map(|number| Some(id(number))).into_iter().chain([None]);
        let expected: Vec<_> = expected.collect();
        let makers = |ids: &Identifiers| made.iter().map(|seq| ids.maker(*seq)).collect::<Vec<_>>();
        assert_eq!(makers(&ids), expected);
        let stored = ids.flush(Hlc::default()).unwrap();
        let mut later = Identifiers::restore(decode(&stored).unwrap());
        assert_eq!(makers(&later), expected);
        // Once nothing is left of what was made under the first two, they are not kept any longer.
        later.renew(id(4), made[4]);
        assert_eq!(later.meta.former.iter().map(|(client, _)| *client).collect::<Vec<_>>(), [id(2), id(3)]);
    }

    #[test]
    fn former_ids_have_a_cap() {
        let mut ids = Identifiers::fresh(id(0));
        let first = ids.next_seq();
        for number in 1..100 {
            ids.next_seq();
            ids.renew(id(number), first);
        }
        assert_eq!(ids.meta.former.len(), MAX_FORMER);
        assert_eq!(ids.meta.former.last().unwrap().0, id(98), "the newest stay");
    }
}
