//! What applications do with what is in their outbox: they change, withdraw and try again operations, and let some wait
//! for others.
//!
//! One that was withdrawn, replaced, or waited in vain never has an effect. While the commit that is to say so is under
//! way the application is shown the new state, and may have to be shown the former again.

use std::collections::BTreeSet;

use sdk_core::{
    engine::{Amendment, Input, Refusal, Ticket},
    protocol::{DocKey, ErrorCode, Outcome, Seq},
};

use crate::{
    disk::Kept,
    ledger::{OpKey, Said, Submission},
    wishes::{Amending, Change},
    workload,
    world::World,
};

/// Tickets of withdrawals and of new attempts begin here; those of edits and decisions are smaller.
pub(crate) const AMENDMENTS: u64 = 1 << 41;
/// Operations that one waits for, at most.
const PARENTS: usize = 2;

impl World {
    /// An application changes its mind about something in its outbox.
    pub(crate) fn amend(&mut self, index: usize) {
        let client = &self.clients[index];
        let Some(engine) = &client.engine else { return };
        let dead: BTreeSet<u64> = engine.rejected().into_iter().map(|one| one.seq.0).collect();
        let kept = client.disk.kept().map(|kept| (self.ledger.ticket_at(kept.schema, kept.seq), kept.seq));
        let kept = kept.filter(|(ticket, _)| !client.wishes.is_amending(*ticket));
        let (ended, others): (Vec<_>, Vec<_>) = kept.partition(|(_, seq)| dead.contains(seq));
        let kept = if ended.is_empty() || self.random.bool() { others } else { ended };
        // The newest are the likeliest not to have been sent.
        let Some((target, seq)) = self.random.choice(kept.iter().rev().take(3)).copied() else { return };
        let is_mine = |one: &Submission| one.client == index && one.is_at(seq);
        if !self.ledger.submissions.get(&target).is_some_and(is_mine) {
            return;
        }
        let copied = self.copies.has(&self.clients[index]);
        // Of copies each would make a new operation of its own of the same.
        let is_first = self.ledger.submissions[&target].wire == target;
        let change = match (dead.contains(&seq), self.random.u8(0..4)) {
            (true, 0) | (false, 0 | 1) => Change::Edit,
            (true, 1 | 2) if !copied && is_first => Change::Retry,
            _ => Change::Abort,
        };
        let docs = self.waiting_for(index, target);
        let number = match change {
            Change::Edit => self.edit(index, target),
            Change::Retry | Change::Abort => {
                self.amendments += 1;
                AMENDMENTS + self.amendments
            }
        };
        self.note(format_args!("client {index} amends {target} at {seq}: {change:?} as {number}"));
        let wishes = &mut self.clients[index].wishes;
        wishes.open.insert(number, Amending { target, seq, change, docs });
        wishes.unwanted.insert(seq);
        let amendment = match change {
            Change::Edit => {
                let intents = self.ledger.submissions[&number].intents.clone();
                Amendment::Edit(u32::try_from(number).expect("few enough"), intents)
            }
            Change::Retry => Amendment::Retry,
            Change::Abort => Amendment::Abort,
        };
        self.tally.amendments += 1;
        self.input(index, Input::Amend(Ticket(number), Seq(seq), amendment));
    }

    /// Another form of an operation, upon the same document.
    fn edit(&mut self, index: usize, target: u64) -> u64 {
        let former = self.ledger.submissions[&target].clone();
        let tag = self.ledger.newest_ticket() + 1;
        let intents = workload::intents(&mut self.random, &self.plan, &former.doc.collection, tag);
        let Some(maker) = self.clients[index].engine.as_ref().map(|engine| engine.client()) else { return 0 };
        let doc = former.doc.clone();
        let ticket = self.ledger.submit(index, maker, doc.clone(), intents);
        self.ledger.submissions.entry(ticket).and_modify(|one| {
            one.after = former.after;
            one.replaces = Some(target);
        });
        self.clients[index].reads.edited(&doc, ticket);
        self.clients[index].reads.moved(&doc, ticket, target);
        self.tally.submissions += 1;
        ticket
    }

    /// What a new operation may wait for: operations of the same application that are stored, and not known to have
    /// failed.
    pub(crate) fn parents(&mut self, index: usize) -> Vec<(u64, Seq)> {
        if self.random.u8(0..4) > 0 {
            return Vec::new();
        }
        let client = &self.clients[index];
        let mine = client.disk.kept().filter_map(|kept| {
            let ticket = self.ledger.ticket_at(kept.schema, kept.seq);
            let one = self.ledger.submissions.get(&ticket)?;
            let alive = one.client == index && one.is_at(kept.seq) && !one.rejected && !kept.dead;
            alive.then_some((ticket, Seq(kept.seq)))
        });
        let mine: Vec<(u64, Seq)> = mine.collect();
        let count = self.random.usize(1..=PARENTS);
        let chosen: BTreeSet<(u64, Seq)> =
            (0..count).filter_map(|_| self.random.choice(mine.iter()).copied()).collect();
        chosen.into_iter().collect()
    }

    /// The documents of an operation and of all that wait for it.
    fn waiting_for(&self, index: usize, target: u64) -> BTreeSet<DocKey> {
        let mut found = BTreeSet::from([target]);
        loop {
            let waits = |(ticket, one): &(&u64, &Submission)| {
                let behind = one.after.iter().any(|parent| found.contains(&self.ledger.form_of(*parent)));
                one.client == index && behind && !found.contains(ticket)
            };
            let more: Vec<u64> =
                self.ledger.submissions.iter().filter(waits).map(|(ticket, _)| *ticket).collect();
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        found.iter().map(|ticket| self.ledger.submissions[ticket].doc.clone()).collect()
    }

    /// Whether what shows of a document depends on a change whose commit is under way.
    pub(crate) fn is_amending(&self, index: usize, doc: &DocKey) -> bool {
        self.clients[index].wishes.open.values().any(|one| one.docs.contains(doc))
    }

    /// A change is durable. Whether there was one under that ticket.
    pub(crate) fn told_amended(&mut self, index: usize, ticket: u64, seq: u64) -> bool {
        let Some(one) = self.clients[index].wishes.answered(ticket, false) else { return false };
        match one.change {
            Change::Abort => self.withdrawn(index, one.target),
            Change::Edit => self.replaced(index, &one, ticket, seq),
            Change::Retry => self.revived(index, one.target, seq),
        }
        true
    }

    /// Another form of an operation is stored: in the place of the former, or as a new one if that was a dead letter.
    fn replaced(
        &mut self,
        index: usize,
        Amending { target, seq: former_seq, .. }: &Amending,
        ticket: u64,
        seq: u64,
    ) {
        let Some(former) = self.ledger.submissions.get(target).cloned() else { return };
        if seq == *former_seq {
            self.ledger.submissions.entry(*target).and_modify(|one| one.said = Said::Replaced(ticket));
            self.ledger.submissions.entry(ticket).and_modify(|one| one.maker = former.maker);
        } else {
            self.ledger.submissions.entry(*target).and_modify(|one| one.revived = Some(ticket));
            self.place(index, ticket, seq);
            self.wait_again(index, ticket, seq);
        }
        self.end_reads(index, *target);
    }

    /// A dead letter is an operation again, under another number.
    fn revived(&mut self, index: usize, ticket: u64, seq: u64) {
        self.wait_again(index, ticket, seq);
        let Some(one) = self.ledger.submissions.get_mut(&ticket) else { return };
        (one.said, one.rejected, one.judged) = (Said::Durable(seq), false, None);
        let doc = one.doc.clone();
        if let Some(engine) = &self.clients[index].engine {
            one.maker = engine.client();
        }
        self.tally.retried += 1;
        for part in self.ledger.with_parts(ticket) {
            self.clients[index].reads.forget(&doc, part);
            self.clients[index].reads.edited(&doc, part);
            self.place(index, part, seq);
        }
    }

    /// An edit that has another number stands among those of its document where that has it.
    fn place(&mut self, index: usize, ticket: u64, seq: u64) {
        let Some(doc) = self.ledger.submissions.get(&ticket).map(|one| one.doc.clone()) else { return };
        let is_later = |other: u64| match self.ledger.submissions[&self.ledger.whole(other)].said {
            Said::Durable(at) => at > seq,
            Said::Nothing => other > ticket,
            _ => false,
        };
        self.clients[index].reads.placed(&doc, ticket, is_later);
    }

    /// What a dead letter waits for once it is an operation again: of what it was to wait for, the rest.
    fn wait_again(&mut self, index: usize, ticket: u64, seq: u64) {
        let disk = &self.clients[index].disk;
        let Some(kept) = disk.kept().find(|kept| kept.seq == seq) else { return };
        let waits: Vec<u64> = kept.after.iter().filter_map(|parent| self.ticket_of(index, *parent)).collect();
        let Some(one) = self.ledger.submissions.get_mut(&ticket) else { return };
        let named = std::mem::replace(&mut one.after, waits.clone());
        let goes_on = |parent: &u64| {
            waits.iter().any(|other| self.ledger.form_of(*parent) == self.ledger.form_of(*other))
        };
        let over = |parent: &u64| self.is_applied(*parent) || self.is_doomed(index, *parent);
        let right = named.iter().all(|parent| goes_on(parent) || over(parent));
        self.claim(right, "an operation that comes to life again waits for all that is not over", || {
            format!("client {index}: {ticket} was to wait for {named:?} and waits for {waits:?}")
        });
    }

    /// Whether what an operation stands for by now was applied.
    fn is_applied(&self, ticket: u64) -> bool {
        let committed = self.ledger.committed(self.ledger.form_of(ticket));
        committed.is_some_and(|committed| committed.judgement.position.is_some())
    }

    /// Whether an operation came to nothing, or is about to because of what its application asked for.
    fn is_doomed(&self, index: usize, ticket: u64) -> bool {
        let ticket = self.ledger.form_of(ticket);
        let Some(one) = self.ledger.submissions.get(&ticket) else { return false };
        let behind = || one.after.iter().any(|parent| self.is_doomed(index, *parent));
        one.rejected || one.is_void() || self.clients[index].wishes.is_withdrawing(ticket) || behind()
    }

    /// A change was refused: what it was to change is as before. Whether the reason makes sense; none if there was no
    /// change under that ticket.
    pub(crate) fn told_unamended(&mut self, index: usize, ticket: u64, refusal: &Refusal) -> Option<bool> {
        let wishes = &mut self.clients[index].wishes;
        let failed = matches!(refusal, Refusal::NotDurable(_));
        let Amending { target, seq, change, .. } = wishes.answered(ticket, failed)?;
        if failed && change == Change::Abort {
            self.clients[index].stayed += 1;
        }
        let wishes = &self.clients[index].wishes;
        let sent = wishes.is_older(seq)
            || self
                .ledger
                .submissions
                .get(&target)
                .is_some_and(|one| self.ledger.sent.contains(&(one.wire, seq)));
        Some(match refusal {
            // What the application has let go of meanwhile cannot be changed either.
            Refusal::TooLate => sent || wishes.unwanted.contains(&seq),
            Refusal::NotRejected => change == Change::Retry,
            Refusal::NotDurable(error) => Some(error) == self.clients[index].disk_error.as_ref(),
            _ => false,
        })
    }

    /// Whether an edit may be refused because of what it was to wait for.
    pub(crate) fn waits_in_vain(&self, index: usize, ticket: u64) -> bool {
        let one = self.ledger.submissions.get(&ticket);
        one.is_some_and(|one| one.after.iter().any(|parent| self.is_doomed(index, *parent)))
    }

    /// The application is told that an operation ended on its own device. Whether that is what it was told.
    pub(crate) fn told_ended(&mut self, index: usize, seq: u64, outcome: &Outcome) -> bool {
        let Outcome::Rejected(reason) = outcome else { return false };
        match reason.code {
            ErrorCode::Aborted => {
                let asked = self.clients[index].wishes.unwanted.contains(&seq);
                self.claim(asked, "only what the application withdrew is withdrawn", || {
                    format!("client {index} is told that {seq} was")
                });
                self.let_go(index, seq);
                self.ticket_of(index, seq).into_iter().for_each(|ticket| self.fail_unsaved(index, ticket));
                true
            }
            ErrorCode::DependencyFailed => {
                let ticket = self.ticket_of(index, seq);
                self.claim(ticket.is_some(), "an operation's end is told after its submission", || {
                    format!("client {index} is told that {seq} waited in vain, and has not stored it")
                });
                if let Some(ticket) = ticket {
                    self.fail(index, ticket, seq);
                    self.fail_unsaved(index, ticket);
                }
                true
            }
            _ => false,
        }
    }

    /// Edits that nothing was said of yet show no more if what they wait for has come to nothing. They are told so once they
    /// are stored.
    pub(crate) fn fail_unsaved(&mut self, index: usize, ended: u64) {
        let ended = self.ledger.form_of(ended);
        let waits = |one: &Submission| {
            let behind = one.after.iter().any(|parent| self.ledger.form_of(*parent) == ended);
            one.client == index && one.said == Said::Nothing && behind
        };
        let unsaid = self.ledger.submissions.iter().filter(|(_, one)| waits(one));
        let tickets: Vec<u64> = unsaid.map(|(ticket, _)| *ticket).collect();
        tickets.into_iter().for_each(|ticket| self.end_reads(index, ticket));
    }

    /// An operation waited in vain.
    fn fail(&mut self, index: usize, ticket: u64, seq: u64) {
        let Some(one) = self.ledger.submissions.get(&ticket).filter(|one| one.is_at(seq)).cloned() else {
            return;
        };
        let why = self.waits_in_vain(index, ticket);
        let judged = self.ledger.judged(ticket).is_some();
        self.claim(why && !judged, "only what waits for something that failed fails with it", || {
            format!("client {index}: {ticket} at {seq}, {one:?}")
        });
        self.ledger.submissions.entry(ticket).and_modify(|one| one.said = Said::Failed);
        self.tally.orphaned += 1;
        self.end_reads(index, ticket);
    }

    /// An edit has come to nothing, and what was laid into it.
    fn end_reads(&mut self, index: usize, ticket: u64) {
        let Some(doc) = self.ledger.submissions.get(&ticket).map(|one| one.doc.clone()) else { return };
        for part in self.ledger.with_parts(ticket) {
            self.clients[index].reads.ended(&doc, part);
        }
    }

    /// A process has ended before some changes were answered, or after its storage had carried them out and called them
    /// failed: the storage tells what became of them.
    pub(crate) fn settle_amendments(&mut self, index: usize) {
        let wishes = &mut self.clients[index].wishes;
        let mut pending = std::mem::take(&mut wishes.open);
        pending.append(&mut wishes.doubtful);
        let kept: Vec<Kept> = self.clients[index].disk.kept().cloned().collect();
        let place = |kept: &Kept| self.ledger.ticket_at(kept.schema, kept.seq);
        let kept: Vec<(u64, Kept)> = kept.into_iter().map(|kept| (place(&kept), kept)).collect();
        let at = |ticket: u64| kept.iter().find(|(of, _)| *of == ticket).map(|(_, kept)| kept);
        for (ticket, one) in &pending {
            match (one.change, at(*ticket), at(one.target)) {
                (Change::Edit, Some(form), _) => self.replaced(index, one, *ticket, form.seq),
                (Change::Retry, _, Some(kept)) if !kept.dead && kept.seq != one.seq => {
                    self.revived(index, one.target, kept.seq);
                }
                (Change::Abort, _, None) => self.withdrawn(index, one.target),
                _ => {}
            }
        }
        for seq in std::mem::take(&mut self.clients[index].wishes.unwanted) {
            if !kept.iter().any(|(_, kept)| kept.seq == seq) {
                self.let_go(index, seq);
            }
        }
        for (ticket, kept) in kept.iter().filter(|(_, kept)| kept.dead) {
            if self.ledger.judged_at(*ticket, kept.seq).is_none() {
                self.fail(index, *ticket, kept.seq);
            }
        }
    }

    /// The application has withdrawn what was in that place, or has seen it fail.
    fn let_go(&mut self, index: usize, seq: u64) {
        let Some(ticket) = self.ticket_of(index, seq) else { return };
        let open = self.ledger.submissions.get(&ticket).is_some_and(|one| one.is_at(seq));
        if open && self.ledger.judged(ticket).is_none() {
            self.withdrawn(index, ticket);
        }
    }

    /// An operation is gone from the storage of the application that asked for that.
    fn withdrawn(&mut self, index: usize, ticket: u64) {
        let Some(former) = self.ledger.submissions.get_mut(&ticket) else { return };
        if !former.rejected && !former.is_void() {
            former.said = Said::Withdrawn;
            self.tally.withdrawn += 1;
        }
        self.end_reads(index, ticket);
    }

    /// What is in a storage that was put back is there, whatever became of it later.
    pub(crate) fn put_back(&mut self, index: usize) {
        for kept in self.clients[index].disk.kept() {
            let ticket = self.ledger.ticket_at(kept.schema, kept.seq);
            let one = self.ledger.submissions.get_mut(&ticket).filter(|one| one.is_void() && !kept.dead);
            if let Some(one) = one {
                one.said = Said::Durable(kept.seq);
            }
        }
    }

    /// Whatever an operation waited for was applied before it.
    pub(crate) fn check_parents(&mut self, key: &OpKey, one: &Submission) {
        let all = one.after.iter().all(|parent| self.is_applied(*parent));
        self.claim(all, "an operation is judged only after those that it waits for were applied", || {
            format!("{key:?}: {one:?}")
        });
    }
}
