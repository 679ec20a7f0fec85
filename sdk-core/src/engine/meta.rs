//! The outbox's own record: who this client is, and what must outlive its operations.

use crate::{
    clock::Hlc,
    protocol::{ActorId, ClientId, Identity, Seq},
    wire::{encode, record},
};

/// Numbers reserved at a time, so that most commits need not write this record.
const RESERVE: u64 = 1_024;

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
}

record!(Meta {
    client: "client";
    reserved: "reserved";
    actor: "actor";
    identity: "identity";
    newest: "newest";
    since: "since" or 0;
});

/// The record, and what has been handed out since it was stored.
#[derive(Debug)]
pub(super) struct Identifiers {
    pub(super) meta: Meta,
    next: Seq,
    dirty: bool,
    /// The client has another id than the one that is stored; nothing goes out before that is durable.
    renewing: bool,
}

impl Identifiers {
    /// A client that was never here before.
    pub(super) fn fresh(client: ClientId) -> Self {
        let meta =
            Meta { client, reserved: Seq(1), actor: None, identity: None, newest: Hlc::default(), since: 0 };
        Self { meta, next: Seq(1), dirty: true, renewing: false }
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
        Self { next: meta.reserved, meta, dirty: false, renewing: false }
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

    /// Takes another id; the numbers go on.
    pub(super) fn renew(&mut self, client: ClientId) {
        (self.meta.client, self.meta.actor) = (client, None);
        (self.dirty, self.renewing) = (true, true);
    }

    /// Whether another id is on its way to storage.
    pub(super) fn is_renewing(&self) -> bool {
        self.renewing
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
        Some(encode(&self.meta))
    }

    /// The record was not written.
    pub(super) fn take_back(&mut self) {
        self.dirty = true;
    }
}
