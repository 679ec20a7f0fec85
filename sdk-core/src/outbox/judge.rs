//! What becomes of operations: judgements of the server, and failures that follow from others.

use super::{Claim, Clashing, Dead, Entry, Outbox, State, Work};
use crate::{
    clock::{Dot, Millis},
    protocol::{ActorId, ErrorCode, Judgement, Outcome, Rejection, Seq, StreamPosition},
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
        let Judgement { seq, outcome, position, by, event } = judgement;
        let entry = self.entries.get(&seq)?;
        if event.is_some_and(|event| !entry.is_event(&event)) {
            // It is about what a copy of this client holds under that number.
            return None;
        }
        let asked = match &entry.state {
            State::InFlight | State::Queued => true,
            // Somebody has applied it all the same.
            State::Rejected(_) => !matches!(outcome, Outcome::Rejected(_) | Outcome::Conflicted(_)),
            _ => false,
        };
        if !asked {
            return None;
        }
        // A copy of this client may have sent it before, in another name.
        let dot = by.or(actor).map(|actor| Dot { actor, seq });
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
                Some(self.reject(seq, Dead { reason, at }))
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
                if by.is_some() && by != actor {
                    self.pass_on_to_all(seq, dot);
                } else {
                    self.pass_on(seq, dot);
                }
                self.set_state(seq, State::Judged { outcome, position, dot });
                Some(Vec::new())
            }
        }
    }

    /// Makes dead letters of an operation that may have been sent and of those that wait for it; returns them all.
    pub fn reject(&mut self, seq: Seq, why: Dead) -> Vec<Seq> {
        // What its maker had seen, the maker of the next had seen as well.
        let seen: Vec<Dot> =
            self.edit(seq).map(|operation| operation.base.clock.dots().collect()).unwrap_or_default();
        self.pass_on(seq, seen);
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

    /// The client has another id; the server called it `former` until now. What the first of a lane knows of those before
    /// it by that name, the others will not be known to descend from by the name of the first.
    pub fn renewed(&mut self, former: Option<ActorId>) {
        for seq in std::mem::take(&mut self.taken) {
            self.claim(seq, Claim::Renewed);
        }
        let first = |lane: &SortedSet<Seq>| {
            let entry = &self.entries[lane.first()?];
            let dot = entry.edit()?.base.clock.dots().find(|dot| Some(dot.actor) == former);
            Some((entry.seq(), dot?))
        };
        let known: Vec<(Seq, Dot)> = self.lanes.iter().filter_map(|(_, lane)| first(lane)).collect();
        for (seq, dot) in known {
            self.pass_on_to_all(seq, Some(dot));
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

    /// Whoever made the next operation of a lane had seen this one. The others hear of it when they are sent: they name
    /// the one before them, and the server knows the order of what came under one name.
    pub(super) fn pass_on(&mut self, seq: Seq, dots: impl IntoIterator<Item = Dot>) {
        let next = self.later(seq).next();
        if let Some(Work::Edit(operation)) =
            next.and_then(|next| self.entries.get_mut(&next)).map(|entry| &mut entry.work)
        {
            for dot in dots {
                // A full clock loses nothing: the server knows the order of a lane by itself.
                let _ = operation.base.clock.record(dot);
            }
        }
    }

    /// The same of every later one of the lane, because by its own name the one before it does not tell. It is stored with
    /// them: once this one is gone, nothing else tells.
    fn pass_on_to_all(&mut self, seq: Seq, dot: Option<Dot>) {
        let Some(dot) = dot else { return };
        let later: Vec<Seq> = self.later(seq).collect();
        for later in later {
            if let Some(Work::Edit(operation)) = self.entries.get_mut(&later).map(|entry| &mut entry.work) {
                let _ = operation.base.clock.record(dot);
                self.packs.rewrite(later);
            }
        }
    }

    /// The operations of the same document behind one, but for dead letters.
    fn later(&self, seq: Seq) -> impl Iterator<Item = Seq> {
        let lane = self.edit(seq).map(|operation| self.lane(&operation.doc));
        let later = lane.into_iter().flatten().filter(move |entry| entry.seq() > seq && entry.is_visible());
        later.map(Entry::seq)
    }
}
