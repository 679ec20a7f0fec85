//! The reference model: what the documents of a collection must be, worked out from the operations in the order in
//! which the server judged them. It shares no code with the server's reconciliation; it follows its documented rules,
//! written down here as plainly as they can be.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::protocol::{Intent, MAX_FIELDS, MAX_SKEW, Operation, Outcome, Strategy};

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
    /// Each field that was ever written since the last deletion: its value, none if unset, and who wrote it.
    pub(crate) fields: BTreeMap<String, (Option<String>, Mark)>,
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
}

impl Expected {
    /// Applies the next operation; returns the outcome that the server must have given.
    pub(crate) fn apply(&mut self, strategy: Strategy, judged: Judged<'_>) -> Outcome {
        self.rev = judged.rev;
        let mark = self.mark(judged);
        let (deletes, replaces, edits) = fold(&judged.operation.intents);
        if deletes {
            self.fields.clear();
            self.written = None;
            let all_seen = self.deletions_seen(judged);
            self.deletions.retain(|earlier| !all_seen && !judged.knew_writer(earlier.by));
            self.deletions.push(mark);
            self.deleted_at = judged.rev;
            if self.last_deletion.is_none_or(|last| (mark.at, mark.by) > (last.at, last.by)) {
                self.last_deletion = Some(mark);
            }
            return Outcome::Accepted {};
        }
        if !self.deletions_seen(judged) {
            return Outcome::Superseded {};
        }
        match strategy {
            Strategy::LastWriteWins => self.write_whole(judged, mark, edits),
            _ => self.write_fields(judged, mark, replaces, edits),
        }
    }

    /// Names and values, in bytes, and the number of fields: what the limit of a document counts.
    pub(crate) fn is_within(&self, bytes: usize) -> bool {
        let size = |(name, (value, _)): (&String, &(Option<String>, Mark))| {
            name.len() + value.as_ref().map_or(0, String::len)
        };
        self.fields.len() <= MAX_FIELDS && self.fields.iter().map(size).sum::<usize>() <= bytes
    }

    /// The fields that readers see.
    pub(crate) fn values(&self) -> BTreeMap<&str, &str> {
        self.fields.iter().filter_map(|(name, (value, _))| Some((name.as_str(), value.as_deref()?))).collect()
    }

    /// Whether a writer had seen every deletion: it had read as far as the newest, or knew each by its writer.
    fn deletions_seen(&self, judged: Judged<'_>) -> bool {
        judged.read(self.deleted_at) || self.deletions.iter().all(|deletion| judged.knew_writer(deletion.by))
    }

    /// A clock too far ahead is corrected; and a write is never older than what its maker had seen.
    fn mark(&self, judged: Judged<'_>) -> Mark {
        let claimed = (judged.operation.at.wall.0, judged.operation.at.counter);
        let mut at = if claimed.0 > judged.now + MAX_SKEW { (judged.now, 0) } else { claimed };
        let last_deletion = self.last_deletion.map(|last| Mark { rev: self.deleted_at, ..last });
        let marks = self.fields.values().map(|(_, mark)| mark).chain(&self.written).chain(&last_deletion);
        for seen in marks.filter(|mark| judged.knew(mark)) {
            if at <= seen.at {
                at = match seen.at.1.checked_add(1) {
                    Some(counter) => (seen.at.0, counter),
                    None => (seen.at.0 + 1, 0),
                };
            }
        }
        Mark { at, by: (judged.actor, judged.operation.seq.0), rev: judged.rev }
    }

    fn write_whole(
        &mut self,
        judged: Judged<'_>,
        mark: Mark,
        edits: BTreeMap<String, Option<String>>,
    ) -> Outcome {
        if self.written.is_some_and(|there| !judged.beats(mark, there)) {
            return Outcome::Superseded {};
        }
        let set = edits.into_iter().filter(|(_, value)| value.is_some());
        self.fields = set.map(|(name, value)| (name, (value, mark))).collect();
        self.written = Some(mark);
        Outcome::Accepted {}
    }

    fn write_fields(
        &mut self,
        judged: Judged<'_>,
        mark: Mark,
        replaces: bool,
        edits: BTreeMap<String, Option<String>>,
    ) -> Outcome {
        if replaces {
            for (name, (value, there)) in &mut self.fields {
                if !edits.contains_key(name) && judged.knew(there) {
                    *value = None;
                }
            }
        }
        let named = edits.len();
        let mut lost = BTreeSet::new();
        for (name, value) in edits {
            if self.fields.get(&name).is_some_and(|(_, there)| !judged.beats(mark, *there)) {
                lost.insert(name);
            } else {
                self.fields.insert(name, (value, mark));
            }
        }
        if named > 0 && lost.len() == named && !replaces {
            return Outcome::Superseded {};
        }
        if self.written.is_none_or(|there| (mark.at, mark.by) > (there.at, there.by)) {
            self.written = Some(mark);
        }
        if lost.is_empty() {
            return Outcome::Accepted {};
        }
        let name = |name: String| name.parse().expect("a field's name stays one");
        Outcome::Merged { lost: lost.into_iter().map(name).collect() }
    }
}

impl Judged<'_> {
    /// Whether the maker had seen a write.
    fn knew(&self, mark: &Mark) -> bool {
        self.knew_writer(mark.by) || self.read(mark.rev)
    }

    /// Whether a write is the maker's own, or in the clock it had.
    fn knew_writer(&self, by: Writer) -> bool {
        let clock = &self.operation.base.clock;
        by.0 == self.actor || clock.dots().any(|dot| dot.actor.0 == by.0 && dot.seq.0 >= by.1)
    }

    /// Whether the maker had read the collection so far.
    fn read(&self, rev: u64) -> bool {
        let seen = self.operation.base.seen.as_ref();
        seen.is_some_and(|seen| seen.epoch.as_str() == self.epoch && seen.offset.0 >= rev)
    }

    /// Whether a write stays against one that is there: it knew of it, or is later.
    fn beats(&self, mark: Mark, there: Mark) -> bool {
        self.knew(&there) || (mark.at, mark.by) > (there.at, there.by)
    }
}

/// What the intents of an operation do, one after the other: whether the document goes, whether fields that are not
/// named go, and the value of each named field.
pub(crate) fn fold(intents: &[Intent]) -> (bool, bool, BTreeMap<String, Option<String>>) {
    let (mut deletes, mut replaces, mut edits) = (false, false, BTreeMap::new());
    for intent in intents {
        if matches!(intent, Intent::Put(_) | Intent::Delete {}) {
            replaces = true;
            edits.clear();
        }
        deletes = matches!(intent, Intent::Delete {});
        match intent {
            Intent::Put(fields) | Intent::Set(fields) => {
                let field = |(name, value): (&sdk_core::protocol::FieldName, &sdk_core::protocol::Json)| {
                    (name.to_string(), Some(value.as_str().to_owned()))
                };
                edits.extend(fields.iter().map(field));
            }
            Intent::Unset(names) => edits.extend(names.iter().map(|name| (name.to_string(), None))),
            _ => {}
        }
    }
    (deletes, replaces, edits)
}
