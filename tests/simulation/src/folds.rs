//! Edits that continue others: the client may lay one into an operation that it has not sent. The operation then does what
//! all of its parts do, once; and each part shares its fate.
//!
//! Such edits travel under the ticket of the first, so that operations of one ticket are told apart by their numbers.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::{
    engine::{Input, Ticket},
    protocol::{Intent, decode},
};

use crate::{
    disk::Kept,
    ledger::{Said, Submission},
    model::{Change, Effect, fold},
    workload,
    world::World,
};

/// Edits of one ticket that are not answered, at most.
const OPEN: usize = 3;

impl World {
    /// An application goes on with what it has edited last.
    pub(crate) fn go_on_with(&mut self, index: usize, target: u64) {
        let Some(former) = self.ledger.submissions.get(&target).cloned() else { return };
        let Some(maker) = self.clients[index].engine.as_ref().map(|engine| engine.client()) else { return };
        let family = self.ledger.submissions.values().filter(|one| one.wire == former.wire);
        let open = family.filter(|one| one.said == Said::Nothing).count();
        if open >= OPEN || former.client != index {
            return;
        }
        let tag = self.ledger.newest_ticket() + 1;
        let intents = workload::more(&mut self.random, &self.plan, &former.doc.collection, tag);
        let ticket = self.ledger.submit(index, maker, former.doc.clone(), intents.clone());
        self.ledger.submissions.entry(ticket).and_modify(|one| one.wire = former.wire);
        self.clients[index].reads.edited(&former.doc, ticket);
        self.clients[index].newest = Some(ticket);
        self.tally.submissions += 1;
        self.note(format_args!("client {index} submits {ticket} on {} as more of {target}", former.doc));
        let schema = u32::try_from(former.wire).expect("few enough");
        let (ticket, doc) = (Ticket(ticket), former.doc);
        self.input(index, Input::Submit { ticket, doc, schema, intents, after: Vec::new() });
    }

    /// An edit that continues another is durable: whether as a part of one that was.
    pub(crate) fn told_folded(&mut self, index: usize, ticket: u64, seq: u64) -> bool {
        let Some(wire) = self.ledger.submissions.get(&ticket).map(|one| one.wire) else { return false };
        if wire == ticket {
            return false;
        }
        let head = self.ledger.ticket_at(wire, seq);
        if head == ticket || !self.ledger.submissions.get(&head).is_some_and(|one| one.is_at(seq)) {
            self.ledger.apart.insert((wire, seq), ticket);
            return false;
        }
        let said = self.ledger.submissions[&ticket].said;
        self.claim(said == Said::Nothing, "an edit is answered once", || format!("{ticket} was {said:?}"));
        let sent = self.ledger.sent.contains(&(wire, seq));
        self.claim(!sent, "an edit is laid only into what was never sent", || {
            format!("client {index} lays {ticket} into {head} at {seq}")
        });
        self.fold_into(head, ticket);
        true
    }

    fn fold_into(&mut self, head: u64, ticket: u64) {
        self.tally.folded += 1;
        self.ledger.submissions.entry(head).and_modify(|one| one.parts.push(ticket));
        self.ledger.submissions.entry(ticket).and_modify(|one| one.said = Said::Folded(head));
    }

    /// A process has ended: what its storage holds tells which edits that were not answered are in it, in which operation.
    pub(crate) fn settle_folds(&mut self, index: usize, doubtful: &BTreeSet<u64>) {
        let mut families: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let open = |(ticket, one): &(&u64, &Submission)| {
            one.client == index && (one.said == Said::Nothing || doubtful.contains(ticket))
        };
        for (ticket, one) in self.ledger.submissions.iter().filter(open) {
            families.entry(one.wire).or_default().push(*ticket);
        }
        families.retain(|wire, open| open.iter().any(|ticket| ticket != wire));
        let mut kept: Vec<Kept> = self.clients[index].disk.kept().cloned().collect();
        kept.sort_by_key(|kept| kept.seq);
        for (wire, mut open) in families {
            for kept in kept.iter().filter(|kept| kept.schema == wire) {
                let Ok(stored) = decode::<Vec<Intent>>(&kept.intents) else { continue };
                let head = self.ledger.ticket_at(wire, kept.seq);
                let known = self.ledger.submissions.get(&head).is_some_and(|one| one.is_at(kept.seq));
                let before = if known { self.ledger.total(head) } else { Vec::new() };
                let mut found: Vec<u64> = match self.parts_of(&before, &open, &effect_of(&stored)) {
                    Some(found) => found,
                    None => continue,
                };
                open.retain(|ticket| !found.contains(ticket));
                let head = match known {
                    true => head,
                    false if found.is_empty() => continue,
                    false => found.remove(0),
                };
                if !known {
                    self.ledger.submissions.entry(head).and_modify(|one| one.said = Said::Durable(kept.seq));
                    self.ledger.apart.insert((wire, kept.seq), head);
                }
                found.into_iter().for_each(|part| self.fold_into(head, part));
            }
        }
    }

    /// Which of some edits, in their order, have that effect together, after others.
    fn parts_of(&self, before: &[Intent], open: &[u64], effect: &Effect) -> Option<Vec<u64>> {
        (0_u32..1 << open.len()).find_map(|set| {
            let chosen = open.iter().enumerate().filter(|(place, _)| set & (1 << place) != 0);
            let chosen: Vec<u64> = chosen.map(|(_, ticket)| *ticket).collect();
            let parts = chosen.iter().flat_map(|ticket| self.ledger.submissions[ticket].intents.clone());
            let all: Vec<Intent> = before.iter().cloned().chain(parts).collect();
            (effect_of(&all) == *effect).then_some(chosen)
        })
    }
}

/// What intents do, in the one way to say it: where a document is replaced, it says nothing to take a field away.
pub(crate) fn effect_of(intents: &[Intent]) -> Effect {
    let mut effect = fold(intents);
    if effect.replaces {
        effect.changes.retain(|_, change| *change != Change::Assign(None));
    }
    effect
}
