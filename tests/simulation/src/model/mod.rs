//! The reference model: what the documents of a collection must be, worked out from the operations in the order in
//! which the server judged them. It shares no code with the server's reconciliation; it follows its documented rules,
//! written down here as plainly as they can be.

mod field;
mod fold;

use std::collections::BTreeMap;

use sdk_core::protocol::{Choice, MAX_FIELDS, MAX_SKEW, Operation, Outcome, Strategy};

pub(crate) use field::Field;
pub(crate) use fold::{Change, Effect, fold};

/// When a write counts as made: wall clock, counter.
type Moment = (u64, u32);
/// A writer and its sequence number.
type Writer = (u32, u64);

/// A write that left something in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// When.
    pub(crate) at: Moment,
    /// Who.
    pub(crate) by: Writer,
    /// At which offset.
    pub(crate) rev: u64,
}

/// A document, by the rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// Each field that was ever written since the last deletion.
    pub(crate) fields: BTreeMap<String, Field>,
    /// The newest write of the document as a whole; none if it does not exist.
    pub(crate) written: Option<Mark>,
    /// The deletions that no later deletion stands for. It does for those whose writes its maker knew; and for all
    /// if its maker had read past them.
    pub(crate) deletions: Vec<Mark>,
    /// The deletion that was made last, as clocks have it.
    pub(crate) last_deletion: Option<Mark>,
    /// Offset of the newest deletion.
    pub(crate) deleted_at: u64,
    /// Offset of the newest operation.
    pub(crate) rev: u64,
}

/// One judged operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    /// The operation.
    pub(crate) operation: &'a Operation,
    /// The writer's number.
    pub(crate) actor: u32,
    /// The offset it got.
    pub(crate) rev: u64,
    /// The history it belongs to.
    pub(crate) epoch: &'a str,
    /// The server's time.
    pub(crate) now: u64,
    /// Offset of the newest deletion that the collection has forgotten; 0 if it has forgotten none.
    pub(crate) horizon: u64,
    /// Whether somebody has decided for it, having seen everything.
    pub(crate) decided: bool,
}

/// The name of a history without what it adds for readers that began after deletions were forgotten.
pub(crate) fn bare(epoch: &str) -> &str {
    epoch.split('~').next().unwrap_or(epoch)
}

impl Expected {
    /// Applies the next operation; returns the outcome that the server must have given. Where it collides, either it has
    /// its way or others do, as the server's resolver decides; none if there is nobody to decide, and the server must
    /// not have judged it.
    pub(crate) fn judge(
        &mut self,
        strategy: Strategy,
        judged: Judged<'_>,
        takes_mine: Option<bool>,
    ) -> Option<Outcome> {
        if !self.collides(strategy, judged) {
            return Some(self.apply(strategy, judged));
        }
        if judged.operation.resolves.is_none() && takes_mine? {
            return Some(self.apply(strategy, Judged { decided: true, ..judged }));
        }
        self.rev = judged.rev;
        (judged.operation.resolves.is_none()).then_some(Outcome::Superseded {})
    }

    fn apply(&mut self, strategy: Strategy, judged: Judged<'_>) -> Outcome {
        let missed = !self.deletions_seen(judged);
        self.rev = judged.rev;
        let mark = self.mark(judged);
        let effect = judged.effect(strategy);
        if judged.yields() {
            return Outcome::Superseded {};
        }
        if effect.deletes {
            self.delete(judged, mark);
            return Outcome::Accepted {};
        }
        if !asks(strategy) && missed {
            return Outcome::Superseded {};
        }
        match strategy {
            Strategy::LastWriteWins => self.write_whole(judged, mark, effect),
            _ => self.write_fields(judged, mark, effect, asks(strategy)),
        }
    }

    /// Whether an operation, in a collection where that is for somebody to decide, disagrees with what its maker had
    /// not seen.
    pub(crate) fn collides(&self, strategy: Strategy, judged: Judged<'_>) -> bool {
        if !asks(strategy) || judged.yields() {
            return false;
        }
        let effect = judged.effect(strategy);
        if effect.deletes {
            let unseen = self.written.is_some_and(|written| !judged.knew(&written));
            return unseen || self.fields.values().any(|field| field.has_unseen(&judged));
        }
        if !self.deletions_seen(judged) {
            return true;
        }
        self.fields.iter().any(|(name, field)| match effect.changes.get(name) {
            Some(Change::Assign(value)) => field.differs_unseen(&judged, value),
            Some(_) => false,
            None => {
                judged.leaves_out(&effect, name) && field.has_value() && field.differs_unseen(&judged, &None)
            }
        })
    }

    /// Names and values, in bytes, and the number of fields: what the limit of a document counts.
    pub(crate) fn is_within(&self, bytes: usize) -> bool {
        let size = |(name, field): (&String, &Field)| name.len() + field.size();
        self.fields.len() <= MAX_FIELDS && self.fields.iter().map(size).sum::<usize>() <= bytes
    }

    /// The fields that readers see.
    pub(crate) fn values(&self) -> BTreeMap<&str, String> {
        self.fields.iter().filter_map(|(name, field)| Some((name.as_str(), field.shown()?))).collect()
    }

    fn delete(&mut self, judged: Judged<'_>, mark: Mark) {
        self.fields.clear();
        self.written = None;
        let all_seen = self.deletions_seen(judged);
        self.deletions.retain(|earlier| !all_seen && !judged.knew_writer(earlier.by));
        self.deletions.push(mark);
        self.deleted_at = judged.rev;
        if self.last_deletion.is_none_or(|last| judged.is_later(mark, last)) {
            self.last_deletion = Some(mark);
        }
    }

    /// Whether a writer had seen every deletion: it had read as far as the newest, or knew each by its writer. Of a
    /// document that is not there, but that its maker had, a deletion was forgotten; whoever had read as far as the
    /// newest that was has seen it.
    fn deletions_seen(&self, judged: Judged<'_>) -> bool {
        let had = judged.operation.base.clock.dots().next().is_some();
        let there = self.written.is_some() || !self.deletions.is_empty();
        if !there && judged.horizon > 0 && had && !judged.read(judged.horizon) {
            return false;
        }
        judged.read(self.deleted_at) || self.deletions.iter().all(|deletion| judged.knew_writer(deletion.by))
    }

    /// A clock too far ahead is corrected; and a write is never older than what its maker had seen.
    fn mark(&self, judged: Judged<'_>) -> Mark {
        let claimed = (judged.operation.at.wall.0, judged.operation.at.counter);
        let mut at = if claimed.0 > judged.now + MAX_SKEW { (judged.now, 0) } else { claimed };
        let last_deletion = self.last_deletion.map(|last| Mark { rev: self.deleted_at, ..last });
        let marks = self.fields.values().filter_map(Field::mark).chain(&self.written).chain(&last_deletion);
        for seen in marks.filter(|mark| judged.knew(mark) && !judged.is_to_come(mark)) {
            if at <= seen.at {
                at = match seen.at.1.checked_add(1) {
                    Some(counter) => (seen.at.0, counter),
                    None => (seen.at.0 + 1, 0),
                };
            }
        }
        Mark { at, by: (judged.actor, judged.operation.seq.0), rev: judged.rev }
    }

    fn write_whole(&mut self, judged: Judged<'_>, mark: Mark, effect: Effect) -> Outcome {
        if self.written.is_some_and(|there| !judged.beats(mark, there)) {
            return Outcome::Superseded {};
        }
        self.fields.clear();
        for (name, change) in effect.changes {
            if matches!(change, Change::Assign(Some(_))) {
                self.fields.entry(name).or_default().take(change, mark, &judged, false);
            }
        }
        self.written = Some(mark);
        Outcome::Accepted {}
    }

    fn write_fields(&mut self, judged: Judged<'_>, mark: Mark, effect: Effect, asked: bool) -> Outcome {
        for (name, field) in &mut self.fields {
            if judged.leaves_out(&effect, name) {
                field.leave_out(mark, &judged, asked);
            }
        }
        let named = effect.changes.len();
        let assigns = |change: &Change| matches!(change, Change::Assign(_));
        let contributes = !effect.changes.values().all(assigns);
        let mut lost = Vec::new();
        for (name, change) in effect.changes {
            if !self.fields.entry(name.clone()).or_default().take(change, mark, &judged, asked) {
                lost.push(name);
            }
        }
        self.fields.retain(|_, field| !field.is_void());
        let superseded = named > 0 && lost.len() == named && !effect.replaces;
        let later = self.written.is_none_or(|there| judged.is_later(mark, there));
        if later && (!superseded || contributes) {
            self.written = Some(mark);
        }
        if superseded {
            return Outcome::Superseded {};
        }
        if lost.is_empty() {
            return Outcome::Accepted {};
        }
        let name = |name: String| name.parse().expect("a field's name stays one");
        Outcome::Merged { lost: lost.into_iter().map(name).collect() }
    }
}

impl Judged<'_> {
    /// What the operation does. Where collisions are for somebody to decide, what its maker left as it was is no edit.
    fn effect(&self, strategy: Strategy) -> Effect {
        let mut effect = fold(&self.operation.intents);
        if let Some(was) = self.operation.base.was.as_ref().filter(|_| asks(strategy)) {
            for (name, change) in &mut effect.changes {
                let before =
                    was.iter().find(|(other, _)| other.as_str() == name).map(|(_, value)| value.as_str());
                if matches!(change, Change::Assign(Some(value)) if before == Some(value)) {
                    *change = Change::Nothing;
                }
            }
        }
        effect
    }

    /// Whether an operation makes a field go by not naming it. One that its maker did not see is not meant.
    fn leaves_out(&self, effect: &Effect, name: &str) -> bool {
        let was = self.operation.base.was.as_ref();
        let saw = was.is_none_or(|was| was.iter().any(|(other, _)| other.as_str() == name));
        effect.replaces && !effect.changes.contains_key(name) && saw
    }

    /// Whether the operation says that others shall have their way.
    fn yields(&self) -> bool {
        self.operation.resolves.as_ref().is_some_and(|resolves| resolves.choice == Choice::Theirs)
    }

    /// Whether the maker had seen a write.
    fn knew(&self, mark: &Mark) -> bool {
        self.saw((mark.by, mark.rev))
    }

    fn saw(&self, (by, rev): (Writer, u64)) -> bool {
        self.knew_writer(by) || self.read(rev)
    }

    /// Whether a write is the maker's own, or in the clock it had.
    fn knew_writer(&self, by: Writer) -> bool {
        let clock = &self.operation.base.clock;
        by.0 == self.actor || clock.dots().any(|dot| dot.actor.0 == by.0 && dot.seq.0 >= by.1)
    }

    /// Whether the maker had read the collection so far.
    fn read(&self, rev: u64) -> bool {
        let seen = self.operation.base.seen.as_ref();
        self.decided
            || seen.is_some_and(|seen| bare(seen.epoch.as_str()) == self.epoch && seen.offset.0 >= rev)
    }

    /// Whether a write stays against one that is there: it knew of it, or is later.
    fn beats(&self, mark: Mark, there: Mark) -> bool {
        self.knew(&there) || self.is_later(mark, there)
    }

    /// Whether a write is later than one that is there; any is than one from the future.
    fn is_later(&self, mark: Mark, there: Mark) -> bool {
        self.is_to_come(&there) || (mark.at, mark.by) > (there.at, there.by)
    }

    /// Whether a write's time lies further ahead than clocks may differ: the server's clock was wrong then.
    fn is_to_come(&self, mark: &Mark) -> bool {
        mark.at.0 > self.now + MAX_SKEW
    }
}

/// Whether collisions are for somebody to decide.
fn asks(strategy: Strategy) -> bool {
    matches!(strategy, Strategy::Merge | Strategy::Manual)
}
