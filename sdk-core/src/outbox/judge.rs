//! What becomes of operations: judgements of the server, and failures that follow from others.

use super::{Claim, Clashing, Dead, Entry, Outbox, State, Work};
use crate::{
    clock::{Dot, Millis},
    protocol::{ActorId, ErrorCode, Judgement, Operation, Outcome, Rejection, Seq, StreamPosition},
    sorted::SortedSet,
};

impl Dead {
    /// Something that an operation was to wait for did not succeed.
    pub fn of_dependency(at: Millis) -> Self {
        let message = "an operation that it depends on was not applied".to_owned();
        Self { reason: Rejection { code: ErrorCode::DependencyFailed, message }, at }
    }
}

impl Outbox {
    /// Records a judgement. None if the operation was not waiting for one; else the operations that became dead
    /// letters by it, which are those that waited for a rejected one, too. After an operation that was not rejected the
    /// rest of its lane moves onto the new base.
    pub fn judge(&mut self, judgement: Judgement, actor: Option<ActorId>, at: Millis) -> Option<Vec<Seq>> {
        let Judgement { seq, outcome, position } = judgement;
        let entry = self.entries.get(&seq)?;
        if !matches!(entry.state, State::InFlight | State::Queued) {
            return None;
        }
        let known = actor.map(|actor| Dot { actor, seq });
        match outcome {
            Outcome::Rejected(reason)
                if reason.code == ErrorCode::OperationIdReused && entry.identity == Claim::Ours =>
            {
                self.claim(seq, Claim::Taken);
                self.set_state(seq, State::Queued);
                Some(Vec::new())
            }
            Outcome::Rejected(reason) => {
                self.hold_behind(seq);
                Some(self.reject(seq, Dead { reason, at }, actor))
            }
            // It only waits behind another one that conflicts.
            Outcome::Conflicted(collision) if collision.fields.is_empty() && self.is_behind_conflict(seq) => {
                self.set_state(seq, State::Queued);
                Some(Vec::new())
            }
            Outcome::Conflicted(collision) => {
                self.park(seq, Clashing { collision, position, problem: None });
                Some(Vec::new())
            }
            outcome => {
                self.pass_on(seq, known);
                self.set_state(seq, State::Judged { outcome, position });
                Some(Vec::new())
            }
        }
    }

    /// Makes dead letters of an operation that may have been sent and of those that wait for it; returns them all.
    pub fn reject(&mut self, seq: Seq, why: Dead, actor: Option<ActorId>) -> Vec<Seq> {
        // What its maker had seen, the maker of the next had seen as well.
        let clock = self.edit(seq).map(|operation| &operation.base.clock);
        let earlier = clock.and_then(|clock| clock.dots().find(|dot| Some(dot.actor) == actor));
        self.pass_on(seq, earlier);
        self.fail(seq, why)
    }

    /// Lets an operation wait for somebody to decide its conflict.
    pub fn park(&mut self, seq: Seq, clashing: Clashing) {
        self.set_state(seq, State::Conflicted(clashing));
        self.packs.rewrite(seq);
    }

    /// A conflict is over before anybody has decided: the operation is sent again as it was.
    pub fn unpark(&mut self, seq: Seq) {
        self.set_state(seq, if self.is_unstored(seq) { State::Saving } else { State::Queued });
        self.packs.rewrite(seq);
    }

    /// A conflict of the operation was resolved without a person.
    pub fn count_round(&mut self, seq: Seq) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.rounds += 1;
        }
    }

    fn is_behind_conflict(&self, seq: Seq) -> bool {
        let lane = self.entries.get(&seq).map(Entry::lane);
        self.conflicted().any(|other| other.seq() < seq && Some(other.lane()) == lane)
    }

    /// What was sent behind an event that was refused has no judgement, and is queued again.
    fn hold_behind(&mut self, seq: Seq) {
        let Some(topic) = self.entries.get(&seq).and_then(Entry::event).map(|event| &event.topic) else {
            return;
        };
        let of_topic = |later: &&Seq| {
            **later > seq && self.entries[*later].event().is_some_and(|event| event.topic == *topic)
        };
        let behind: Vec<Seq> = self.published.iter().filter(of_topic).copied().collect();
        behind.into_iter().for_each(|later| self.set_state(later, State::Queued));
    }

    /// Whether the client needs another id, and nothing is left that the server may know under this one: what may have
    /// been sent is judged first, so that nothing is applied under both.
    pub fn is_ready_to_renew(&self) -> bool {
        let sent = |seq: &Seq| self.entries.get(seq).is_some_and(|entry| entry.restored);
        let held = !self.outdated.is_empty() || self.changes.keys().any(sent);
        !self.taken.is_empty() && !held && self.in_flight == 0 && self.judged.is_empty() && !self.has_ready()
    }

    /// The client has another id.
    pub fn renewed(&mut self) {
        for seq in std::mem::take(&mut self.taken) {
            self.claim(seq, Claim::Renewed);
        }
    }

    fn claim(&mut self, seq: Seq, claim: Claim) {
        let Some(entry) = self.entries.get_mut(&seq) else { return };
        entry.identity = claim;
        if claim == Claim::Taken {
            self.taken.insert(seq);
        }
    }

    /// Gives a judged operation another position to wait for; none for the next commit of the replica.
    pub fn wait_for(&mut self, seq: Seq, other: Option<StreamPosition>) {
        if let Some(State::Judged { position, .. }) = self.entries.get_mut(&seq).map(|entry| &mut entry.state)
        {
            *position = other;
        }
    }

    /// Makes dead letters of an operation and of those that wait for it; returns them all.
    pub(super) fn fail(&mut self, seq: Seq, why: Dead) -> Vec<Seq> {
        let mut failed = vec![seq];
        let follows = Dead::of_dependency(why.at);
        self.bury(seq, why);
        for child in self.dependents(seq) {
            self.bury(child, follows.clone());
            failed.push(child);
        }
        failed
    }

    /// Whoever waits for an operation, and whoever waits for those.
    pub(super) fn dependents(&self, seq: Seq) -> SortedSet<Seq> {
        let (mut found, mut next) = (SortedSet::default(), vec![seq]);
        while let Some(parent) = next.pop() {
            for child in self.children.get(&parent).into_iter().flatten() {
                if self.entries[child].is_visible() && found.insert(*child) {
                    next.push(*child);
                }
            }
        }
        found
    }

    pub(super) fn bury(&mut self, seq: Seq, why: Dead) {
        self.set_state(seq, State::Rejected(why));
        self.packs.rewrite(seq);
    }

    /// Whoever made the next operation of a lane had seen this one. The others hear of it when they are sent.
    pub(super) fn pass_on(&mut self, seq: Seq, dot: Option<Dot>) {
        let later = |operation: &Operation| {
            let mut later = self.lane(&operation.doc).filter(|entry| entry.seq() > seq && entry.is_visible());
            later.next().map(Entry::seq)
        };
        let Some((dot, next)) = dot.zip(self.edit(seq).and_then(later)) else { return };
        if let Some(Work::Edit(operation)) = self.entries.get_mut(&next).map(|entry| &mut entry.work) {
            // A full clock loses nothing: the server knows the order of a lane by itself.
            let _ = operation.base.clock.record(dot);
        }
    }
}
