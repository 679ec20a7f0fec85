//! Several copies of one client: its storage is cloned onto another device, or put back to what it once was.
//!
//! Copies make different operations under the same numbers, and hold the same ones under the ids that each comes to.
//! An operation is told by its ticket wherever it turns up, and is judged once for all copies together.

use std::collections::BTreeSet;

use sdk_core::protocol::Operation;

use crate::{
    client::Client,
    disk::Disk,
    ledger::OpKey,
    network::Path,
    world::{Event, World},
};

/// Clients of a run, copies included.
const MOST: usize = 8;

/// Which clients have copies, and what may be put back.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// Clients with copies, and the copies.
    origins: BTreeSet<(usize, usize)>,
    /// By client.
    backups: Vec<(usize, Disk)>,
    /// Edits that have to come under another id, by ticket: others of their lane may be judged before them.
    pub(crate) late: BTreeSet<u64>,
}

impl Copies {
    /// Whether a client, known by its tenant and number, has copies: what others do under its ids is not all its own.
    pub(crate) fn has(&self, client: &Client) -> bool {
        self.origins.contains(&(client.tenant, client.number))
    }

    /// Whether both are copies of one client.
    pub(crate) fn are_fellows(&self, one: &Client, other: &Client) -> bool {
        self.has(one) && (one.tenant, one.number) == (other.tenant, other.number)
    }
}

impl World {
    /// A client's process ends, and its storage is cloned. Both go on from there.
    pub(crate) fn clone_client(&mut self, index: usize) {
        if self.clients.len() >= MOST || !self.stop_client(index) {
            return;
        }
        let copy = self.clients.len();
        let skew = self.up_to(self.plan.skew.max(1)).cast_signed();
        let origin = &self.clients[index];
        let mut clone = Client::new(origin.tenant, origin.number, skew, origin.uptime, self.plan.relaxed);
        clone.copy = u8::try_from(copy).expect("few enough");
        clone.disk = origin.disk.clone();
        self.copies.origins.insert((origin.tenant, origin.number));
        self.clients.push(clone);
        self.inherit(copy);
        self.network.paths.push(Path::default());
        self.tally.clones += 1;
        self.note(format_args!("client {index} is cloned as {copy}"));
        for client in [index, copy] {
            let downtime = self.up_to(20_000);
            self.agenda.after(downtime, Event::Start(client));
        }
        let pause = self.up_to(self.plan.pace);
        self.agenda.after(pause, Event::Act(copy));
    }

    /// A client's process ends, and its storage is what it was at the last backup; without one, this is a backup.
    pub(crate) fn restore_client(&mut self, index: usize) {
        if !self.stop_client(index) {
            return;
        }
        let downtime = self.up_to(20_000);
        self.agenda.after(downtime, Event::Start(index));
        let place = self.copies.backups.iter().position(|(of, _)| *of == index);
        let Some(place) = place else {
            self.note(format_args!("client {index} is backed up"));
            let disk = self.clients[index].disk.clone();
            self.copies.backups.push((index, disk));
            return;
        };
        self.note(format_args!("client {index} is restored"));
        self.tally.restores += 1;
        let (_, backup) = self.copies.backups.swap_remove(place);
        let client = &mut self.clients[index];
        self.copies.origins.insert((client.tenant, client.number));
        client.disk = backup;
        client.reads.forget_seen();
        client.newest = None;
        self.inherit(index);
        self.put_back(index);
        self.settle_wiped();
    }

    /// A client finds the operations of others in its outbox, and takes them for its own.
    fn inherit(&mut self, index: usize) {
        let newest = self.ledger.newest_ticket();
        let Client { disk, reads, .. } = &mut self.clients[index];
        let doc = |ticket| self.ledger.submissions.get(&ticket).map(|one| (one.doc.clone(), ticket));
        let kept = disk.kept().map(|kept| self.ledger.ticket_at(kept.schema, kept.seq));
        reads.inherit(newest, kept.flat_map(|ticket| self.ledger.with_parts(ticket)).filter_map(doc));
    }

    /// An operation is refused under its id: another copy of the client has used that for another one, or is ahead of
    /// it on the document; or it would overtake one that was.
    pub(crate) fn check_reused(&mut self, key: &OpKey, operation: &Operation, overtaking: bool) {
        let ticket = self.ledger.ticket(operation);
        let others = self.ledger.committed.iter().any(|((tenant, client, seq), one)| {
            let ahead = *seq > key.2 && one.operation.doc == operation.doc;
            *tenant == key.0 && *client == key.1 && (*seq == key.2 || ahead)
        });
        let one = self.ledger.submissions.get(&ticket);
        let copied = one.is_some_and(|one| self.copies.has(&self.clients[one.client]));
        let judged = self.ledger.judged_at(ticket, key.2).is_some();
        self.copies.late.insert(ticket);
        self.claim(
            (others || overtaking) && copied && !judged,
            "only operations of copies are refused under their ids, and only new ones",
            || format!("{key:?} {operation:?}; judged: {judged}, copied: {copied}"),
        );
    }
}
