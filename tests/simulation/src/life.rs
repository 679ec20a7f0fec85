//! The lives of a client: how a process starts from its storage, and what is left of that when it ends.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::engine::{Engine, Input};

use crate::{
    download::Downloads,
    ledger::Said,
    wishes::Wishes,
    world::{Event, World},
};

/// What is wiped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wiped {
    /// Everything: as when a person clears the site's data, or a browser evicts it.
    Everything,
    /// The outbox; the copy of the server's documents is still there.
    Outbox,
    /// The copy of the server's documents, and nothing else.
    Replica,
}

impl World {
    /// A client's process starts: its engine comes from its storage.
    pub(crate) fn start(&mut self, index: usize) {
        let unreadable = self.healed.is_none() && self.chance(30);
        let seed = self.random.u64(..);
        let client = &mut self.clients[index];
        if client.engine.is_some() {
            return;
        }
        client.life += 1;
        let life = client.life;
        let config = client.config(&self.plan);
        let mut stored = client.disk.load();
        if unreadable {
            stored.cursors = None;
            stored.notes.clear();
            client.reads.forget_seen();
        }
        client.wishes = Wishes::start(client.disk.kept().map(|kept| kept.seq));
        client.reads.start(stored.cursors.as_deref().unwrap_or_default());
        client.downloads = Downloads::start(client.disk.copy());
        if unreadable {
            client.downloads.doubt();
        }
        let records = stored.outbox.len();
        let engine = Engine::restore(stored, config, seed);
        let damaged = engine.status().damaged;
        client.engine = Some(engine);
        if damaged > 0 {
            return self
                .violate("what an engine wrote it can read", format!("{damaged} records are damaged"));
        }
        client.timer += 1;
        client.armed = None;
        client.asleep_until = 0;
        client.welcomed = false;
        self.note(format_args!("client {index} starts life {life} with {records} records"));
        self.input(index, Input::Wake);
        let queries = self.clients[index].queries.clone();
        for (id, query) in queries {
            self.input(index, Input::Open(id, query));
        }
    }

    /// A client's process ends. What is on its way to its storage gets there or not.
    pub(crate) fn crash_client(&mut self, index: usize) {
        if self.stop_client(index) {
            let downtime = self.up_to(20_000);
            self.agenda.after(downtime, Event::Start(index));
        }
    }

    /// A client's process ends, and when it starts again its storage is gone, or one of its two parts.
    pub(crate) fn wipe_client(&mut self, index: usize) {
        if !self.end_life(index) {
            return;
        }
        let wiped = match self.random.u8(0..3) {
            0 => Wiped::Everything,
            1 => Wiped::Outbox,
            _ => Wiped::Replica,
        };
        self.note(format_args!("client {index} is wiped: {wiped:?}"));
        let newest = self.ledger.newest_ticket();
        let client = &mut self.clients[index];
        if wiped != Wiped::Outbox {
            client.disk.wipe_replica();
            client.reads.forget_seen();
        }
        if wiped != Wiped::Replica {
            client.disk.wipe_outbox();
            client.newest = None;
            client.reads.reborn(newest);
            self.settle_wiped();
        }
        self.settle_unanswered(index);
        let downtime = self.up_to(20_000);
        self.agenda.after(downtime, Event::Start(index));
    }

    /// Ends a process, if it runs, and settles what its storage tells.
    pub(crate) fn stop_client(&mut self, index: usize) -> bool {
        let ended = self.end_life(index);
        if ended {
            self.settle_unanswered(index);
        }
        ended
    }

    /// Ends a process, if it runs.
    fn end_life(&mut self, index: usize) -> bool {
        if self.clients[index].engine.take().is_none() {
            return false;
        }
        self.tally.client_crashes += 1;
        let writes = std::mem::take(&mut self.clients[index].writes);
        let mut survived = 0;
        // Commits of one domain are carried out in order, so of those under way the first few survive.
        for (_, (_, batch)) in writes {
            if self.random.bool() {
                self.apply(index, batch);
                survived += 1;
            }
        }
        let relaxed = self.clients[index].disk.relaxed();
        let lost = if self.random.bool() { self.random.usize(0..=relaxed) } else { 0 };
        self.clients[index].disk.crash(lost);
        if lost > 0 {
            self.clients[index].reads.forget_seen();
        }
        self.note(format_args!(
            "client {index} crashes: {survived} commits survive, {lost} relaxed ones do not"
        ));
        if let Some((_, Some(connection))) = self.clients[index].link.take() {
            self.sever(connection, true);
        }
        true
    }

    /// After a crash the storage tells which edits that were never answered are there all the same.
    fn settle_unanswered(&mut self, index: usize) {
        self.settle_amendments(index);
        let doubtful = std::mem::take(&mut self.clients[index].wishes.doubtful_edits);
        self.settle_folds(index, &doubtful);
        let client = &mut self.clients[index];
        let kept = client.disk.kept().map(|kept| (self.ledger.ticket_at(kept.schema, kept.seq), kept.seq));
        let kept: BTreeMap<u64, u64> = kept.collect();
        client.reads.crashed(|ticket| kept.contains_key(&self.ledger.whole(ticket)));
        let mut back = None;
        for (ticket, one) in self.ledger.submissions.iter_mut().filter(|(_, one)| one.client == index) {
            match (kept.get(ticket), one.said) {
                // A refused edit that its store had written although it said otherwise, and that the client had no
                // time to take back, is an edit like any other after a restart.
                (Some(seq), Said::Nothing | Said::Refused) => {
                    if one.said == Said::Refused && !doubtful.contains(ticket) {
                        back = Some((*ticket, *seq));
                    }
                    one.said = Said::Durable(*seq);
                }
                (None, Said::Nothing) => one.said = Said::Lost,
                _ => {}
            }
        }
        self.claim(back.is_none(), "what was refused is stored only if the storage lied about it", || {
            format!("client {index} has {back:?}")
        });
    }

    /// What was durable, is not judged and is in no client's storage any more is lost, unless it is on its way to the
    /// server or in a backup. Copies of a client keep what they have of it.
    pub(crate) fn settle_wiped(&mut self) {
        let kept = self.clients.iter().flat_map(|client| client.disk.kept());
        let kept = kept.map(|kept| (self.ledger.ticket_at(kept.schema, kept.seq), kept.seq));
        let kept: BTreeSet<(u64, u64)> = kept.collect();
        let mut lost = 0;
        for ticket in 1..=self.ledger.newest_ticket() {
            let judged = self.ledger.judged(ticket).is_some();
            let one = self.ledger.submissions.get_mut(&ticket).filter(|_| !judged);
            if let Some(one) = one
                && let Said::Durable(seq) = one.said
                && !kept.contains(&(ticket, seq))
            {
                one.said = Said::Wiped(seq);
                lost += 1;
            }
        }
        self.tally.wiped += lost;
        self.note(format_args!("{lost} edits are lost with a storage"));
    }
}
