//! Conflicts: a person decides them at some moment, or an application's function does, or the server's; and what the
//! server calls one is one.

use sdk_core::{
    engine::{Amendment, Input, ResolveId, Ticket},
    protocol::{Fields, Judgement, Operation, Seq},
    reconcile::{Conflict, Resolution},
};
use server_reference::storage::Batch;

use crate::{
    ledger::{Committed, OpKey},
    world::World,
};

/// Tickets of decisions begin here; those of edits are smaller.
pub(crate) const DECISIONS: u64 = 1 << 40;

impl World {
    /// A person looks through the conflicts, and decides some.
    pub(crate) fn decide(&mut self, index: usize) {
        let Some(engine) = &self.clients[index].engine else { return };
        let open: Vec<(Seq, Option<Fields>, Option<Fields>)> =
            engine.conflicts().into_iter().map(|one| (one.seq, one.mine, one.theirs)).collect();
        for (seq, mine, theirs) in open {
            if self.healed.is_none() && self.random.bool() {
                continue;
            }
            let resolution = match self.random.u8(0..3) {
                0 => Resolution::TakeTheirs,
                1 => Resolution::TakeMine,
                _ => Resolution::Merged(both(mine, theirs)),
            };
            self.decisions += 1;
            self.tally.decided += 1;
            self.note(format_args!("client {index} decides {}: {resolution:?}", seq.0));
            let ticket = Ticket(DECISIONS + self.decisions);
            self.input(index, Input::Amend(ticket, seq, Amendment::Resolve(resolution)));
        }
    }

    /// The application's function is asked. Sometimes it leaves the conflict to a person, or fails.
    pub(crate) fn ask(&mut self, index: usize, seq: Seq, id: ResolveId, conflict: &Conflict) {
        let resolution = match self.random.u8(0..8) {
            0 => Ok(Resolution::Defer),
            1 => Err("the function failed".to_owned()),
            2 | 3 => Ok(Resolution::TakeTheirs),
            4 | 5 => Ok(Resolution::TakeMine),
            _ => Ok(Resolution::Merged(both(conflict.mine.clone(), conflict.theirs.clone()))),
        };
        self.tally.decided += 1;
        self.note(format_args!("client {index} is asked about {}: {resolution:?}", seq.0));
        let took = self.random.u64(0..100);
        self.input(index, Input::Resolved { seq, id, resolution, took });
    }

    /// The server calls an operation conflicted: it came from where it says, and nothing was judged.
    pub(crate) fn check_conflicted(
        &mut self,
        key: OpKey,
        actor: u32,
        batch: &Batch,
        operation: &Operation,
        judgement: &Judgement,
    ) {
        self.tally.conflicted += 1;
        let judged = self.ledger.committed.contains_key(&key);
        self.claim(!judged, "what was judged is in no conflict afterwards", || format!("{key:?}"));
        self.check_new(&key, operation, judgement);
        let (order, now) = (self.ledger.next_order(), batch.now);
        let epoch = self.epoch_of(&key, operation, judgement);
        let (operation, judgement) = (operation.clone(), judgement.clone());
        let committed = Committed { operation, now, judgement, epoch, order };
        self.ledger.conflicted.push((key, actor, committed));
    }
}

/// What is in either; of a field in both the greater text, whoever is asked.
fn both(mine: Option<Fields>, theirs: Option<Fields>) -> Fields {
    let mut merged = mine.unwrap_or_default();
    for (name, value) in theirs.unwrap_or_default().iter() {
        if merged.get(name).is_none_or(|other| other.as_str() < value.as_str()) {
            merged.insert(name.clone(), value.clone());
        }
    }
    merged
}
