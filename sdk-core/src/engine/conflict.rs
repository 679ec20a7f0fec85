//! The conflict inbox: operations that collide with what others wrote, until the application's function or a person
//! has decided. An operation that was decided is made anew under its `Seq`, saved, and sent again.

use std::borrow::Cow;

use super::{
    Effect, Engine, Event, ReadId, Refusal, ResolveId,
    storage::{Generation, Query, Scan},
};
use crate::{
    clock::{Dot, Millis},
    outbox::{Clashing, Entry, Outbox, State},
    protocol::{
        Author, CollectionName, DocKey, Document, FieldName, Fields, Offset, Operation, ResolvedBy, Resolves,
        Seq, Strategy, StreamPosition,
    },
    reconcile::{Clash, Conflict, Resolution, Write, collisions},
    sorted::SortedMap,
    wire::record,
};

/// Times that a conflict of one operation is resolved by a function; one that still collides waits for a person.
const MAX_ROUNDS: u32 = 8;
/// Milliseconds that the application's function may take before it is called slow.
const SLOW: u64 = 50;

/// A conflict as the application shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "typescript", derive(tsify::Tsify), serde(rename_all = "camelCase"))]
pub struct Conflicted {
    /// The operation.
    #[cfg_attr(feature = "typescript", tsify(type = "number"))]
    pub seq: Seq,
    /// The document it edits.
    #[cfg_attr(feature = "typescript", tsify(type = "[collection: string, id: string]"))]
    pub doc: DocKey,
    /// The fields that both wrote.
    #[cfg_attr(feature = "typescript", tsify(type = "string[]"))]
    pub fields: Vec<FieldName>,
    /// What its maker saw of the fields it writes, where that was at hand.
    #[cfg_attr(feature = "typescript", tsify(type = "Record<string, unknown>", optional))]
    pub base: Option<Fields>,
    /// The document as the operation would have it; none if it deletes it.
    #[cfg_attr(feature = "typescript", tsify(type = "Record<string, unknown>", optional))]
    pub mine: Option<Fields>,
    /// The document as it is now; none if it is deleted.
    #[cfg_attr(feature = "typescript", tsify(type = "Record<string, unknown>", optional))]
    pub theirs: Option<Fields>,
    /// When the operation was made; Unix time in milliseconds.
    #[cfg_attr(feature = "typescript", tsify(type = "number"))]
    pub mine_at: Millis,
    /// Who wrote what it collides with, and when, where the server told.
    #[cfg_attr(feature = "typescript", tsify(type = "{ subject: string; at: number }", optional))]
    pub by: Option<Author>,
    /// Why the application's function did not decide it.
    #[cfg_attr(feature = "typescript", tsify(optional))]
    pub problem: Option<String>,
}

/// What is known of the conflicts beside what the outbox keeps.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Conflicts whose document is being read.
    reads: SortedMap<ReadId, (Seq, Query, Scan)>,
    /// Those whose document was read, with the generation of the collection that was read.
    known: SortedMap<Seq, Generation>,
    /// Questions without an answer, with the revision they are about.
    asked: SortedMap<Seq, (ResolveId, Offset)>,
    dirty: bool,
}

impl Inbox {
    /// A read is over; what it was to find, if it was for a conflict. From here on the document is known: if it could
    /// not be read, the replica is fetched again and brings it.
    pub(super) fn take_read(&mut self, id: ReadId) -> Option<(Query, Scan)> {
        let (seq, query, scan) = self.reads.remove(&id)?;
        self.dirty = true;
        self.known.insert(seq, scan.generation);
        Some((query, scan))
    }

    /// What was stored of these collections is emptied: reads that may be from before are begun again.
    pub(super) fn cleared(&mut self, gone: impl Fn(&CollectionName) -> bool) {
        self.reads.retain(|_, (_, query, _)| !gone(query.collection()));
    }

    /// A document has changed.
    pub(super) fn touch(&mut self, outbox: &Outbox, key: &DocKey) {
        self.dirty |= outbox.conflicted().filter_map(Entry::edit).any(|operation| operation.doc == *key);
    }

    /// The conflicts have changed.
    pub(super) fn changed(&mut self) {
        self.dirty = true;
    }
}

/// A conflict with what it takes to end it.
struct Dispute {
    conflict: Conflict,
    document: Document,
    /// How far the collection is known; none if not far enough to decide.
    seen: Option<StreamPosition>,
}

impl Engine {
    /// The conflicts that wait for somebody to decide, oldest first.
    pub fn conflicts(&self) -> Vec<Conflicted> {
        let shown = |entry: &Entry| {
            let State::Conflicted(clashing) = &entry.state else { return None };
            let Conflict { doc, fields, base, mine, theirs, author } =
                self.dispute(entry, clashing)?.conflict;
            let (seq, mine_at, problem) = (entry.seq(), entry.edit()?.at.wall, clashing.problem.clone());
            Some(Conflicted { seq, doc, fields, base, mine, theirs, mine_at, by: author, problem })
        };
        self.outbox.conflicted().filter_map(shown).collect()
    }

    /// Reads the documents of new conflicts, and asks the application's function about those it may decide.
    pub(super) fn advance_conflicts(&mut self) {
        let outbox = &self.outbox;
        let in_conflict =
            |seq: &Seq| outbox.get(*seq).is_some_and(|entry| matches!(entry.state, State::Conflicted(_)));
        self.inbox.known.retain(|seq, _| in_conflict(seq));
        self.inbox.asked.retain(|seq, _| in_conflict(seq));
        let open: Vec<Seq> = outbox.conflicted().map(Entry::seq).collect();
        for seq in open {
            if self.was_applied(seq) {
                self.outbox.unpark(seq);
                self.inbox.changed();
            } else if self.is_at_hand(seq) {
                self.ask(seq);
            } else {
                self.look_up(seq);
            }
        }
        if std::mem::take(&mut self.inbox.dirty) {
            self.emit(Event::ConflictsChanged);
        }
    }

    /// Whether the document contains the operation: a copy of it that was late on the way collided with nothing any
    /// more. It gets that judgement when it is sent again.
    fn was_applied(&self, seq: Seq) -> bool {
        let document = self.outbox.edit(seq).and_then(|operation| self.views.document(&operation.doc));
        let dot = self.ids.meta.actor.map(|actor| Dot { actor, seq });
        document.zip(dot).is_some_and(|(document, dot)| document.clock.covers(dot))
    }

    /// Whether the other version of a document in conflict is known, be it that there is none.
    fn is_at_hand(&self, seq: Seq) -> bool {
        let Some(doc) = self.outbox.edit(seq).map(|operation| operation.doc.clone()) else { return false };
        let (current, query) = (self.views.is_current(&doc), Query::One(doc));
        let known = self.inbox.known.get(&seq);
        current || known.is_some_and(|known| *known == self.replica.scan(&query).generation)
    }

    fn look_up(&mut self, seq: Seq) {
        let Some(doc) = self.outbox.edit(seq).map(|operation| operation.doc.clone()) else { return };
        let reading = self.inbox.reads.values().any(|(of, ..)| *of == seq);
        if !reading && !self.replica.is_flipping(&doc.collection) {
            let (read, query) = (ReadId(self.next_id()), Query::One(doc));
            let scan = self.replica.scan(&query);
            self.effects.push_back(Effect::Read(read, query.clone(), scan));
            self.inbox.reads.insert(read, (seq, query, scan));
        }
    }

    fn ask(&mut self, seq: Seq) {
        let Some(entry) = self.outbox.get(seq) else { return };
        let State::Conflicted(clashing) = &entry.state else { return };
        let collection = entry.edit().and_then(|edit| self.replica.collections.get(&edit.doc.collection));
        let by_function = collection.is_some_and(|collection| collection.strategy == Strategy::Merge);
        // What is decided is stored by itself: not beside a form that is not durable, and not upon one that passes.
        let in_between = self.outbox.is_outdated(seq) || self.outbox.is_changing(seq);
        if !by_function || clashing.problem.is_some() || in_between {
            return;
        }
        if entry.rounds >= MAX_ROUNDS {
            self.park(seq, "it was resolved again and again, and still conflicts".into());
            return;
        }
        let Some(Dispute { conflict, document, seen: Some(_) }) = self.dispute(entry, clashing) else {
            return;
        };
        if self.inbox.asked.get(&seq).is_none_or(|(_, rev)| *rev != document.rev) {
            let id = ResolveId(self.next_id());
            self.inbox.asked.insert(seq, (id, document.rev));
            self.effects.push_back(Effect::Resolve(seq, id, conflict));
        }
    }

    /// The application's function has answered. A question that another has taken the place of is passed over.
    pub(super) fn resolved(
        &mut self,
        seq: Seq,
        id: ResolveId,
        resolution: Result<Resolution, String>,
        took: u64,
    ) {
        if self.inbox.asked.get(&seq).is_none_or(|(asked, _)| *asked != id) {
            return;
        }
        self.inbox.asked.remove(&seq);
        let Some(doc) = self.outbox.edit(seq).map(|operation| operation.doc.clone()) else { return };
        if took > SLOW {
            self.emit(Event::SlowResolver(doc, took));
        }
        match resolution {
            Ok(Resolution::Defer) => self.park(seq, "the merge function left it to a person".into()),
            Ok(resolution) => match self.resolve(seq, &resolution, ResolvedBy::Merger) {
                Ok(_) => self.outbox.count_round(seq),
                // The document has gone ahead meanwhile; the next change asks again.
                Err(Refusal::NotReady) => {}
                Err(refusal) => self.park(seq, refusal.to_string()),
            },
            Err(problem) => self.park(seq, problem),
        }
    }

    /// Ends a conflict: the operation is made anew by this decision, upon what is known of the document now.
    pub(super) fn resolve(
        &mut self,
        seq: Seq,
        resolution: &Resolution,
        by: ResolvedBy,
    ) -> Result<Seq, Refusal> {
        let entry = self.outbox.get(seq).ok_or(Refusal::NotConflicted)?;
        let State::Conflicted(clashing) = &entry.state else { return Err(Refusal::NotConflicted) };
        if !self.is_at_hand(seq) || self.outbox.is_outdated(seq) {
            return Err(Refusal::NotReady);
        }
        let Dispute { conflict, document, seen } =
            self.dispute(entry, clashing).ok_or(Refusal::UnknownCollection)?;
        let seen = seen.ok_or(Refusal::NotReady)?;
        let edit = entry.edit().ok_or(Refusal::NotConflicted)?;
        let operation = resolution.settle(by, &conflict, edit, &document, seen);
        let mut operation = operation.ok_or_else(|| Refusal::Invalid("nothing was decided".into()))?;
        let bytes = self.check_decided(&mut operation)?;
        self.views.touch(&operation.doc);
        self.outbox.replace(operation.into(), bytes).map_err(|full| self.full(full))?;
        self.inbox.changed();
        Ok(seq)
    }

    /// Whether a decision makes sense, and its size. What it says only for the record makes way where it would be too
    /// large.
    pub(super) fn check_decided(&self, operation: &mut Operation) -> Result<usize, Refusal> {
        let shorter: [fn(&mut Resolves); 2] =
            [|resolves| resolves.was = None, |resolves| resolves.mine.clear()];
        for shorten in shorter {
            match self.check(operation) {
                Err(Refusal::TooLarge { .. }) => operation.resolves.iter_mut().for_each(shorten),
                checked => return checked,
            }
        }
        self.check(operation)
    }

    /// Leaves a conflict to a person, saying why.
    fn park(&mut self, seq: Seq, problem: String) {
        let Some(State::Conflicted(clashing)) = self.outbox.get(seq).map(|entry| &entry.state) else {
            return;
        };
        let clashing = Clashing { problem: Some(problem), ..clashing.clone() };
        self.outbox.park(seq, clashing);
        self.inbox.changed();
    }

    /// The conflict as it is now: others may have written since.
    fn dispute(&self, entry: &Entry, clashing: &Clashing) -> Option<Dispute> {
        let operation = entry.edit()?;
        let collection = self.replica.collections.get(&operation.doc.collection)?;
        let document = self.views.document(&operation.doc).map(Cow::into_owned).unwrap_or_default();
        let by = Dot { actor: self.ids.meta.actor.unwrap_or(super::view::UNMET), seq: entry.seq() };
        let now = operation.at.wall.max(self.clock.newest().wall);
        let (epoch, rev) = (&collection.history, document.rev);
        let write = Write { operation, by, epoch, rev, now, horizon: Offset(0) };
        let told = || Clash { fields: clashing.collision.fields.clone(), theirs: None };
        let clash = collisions(collection.strategy, &document, &write).unwrap_or_else(told);
        let author = clashing.collision.theirs.clone();
        let conflict = Conflict::new(collection.strategy, &document, &write, clash, author);
        let far = |applied: &&StreamPosition| match &clashing.position {
            Some(at) => applied.epoch != at.epoch || applied.includes(&at.epoch, at.offset),
            None => true,
        };
        let seen = collection.applied.as_ref().filter(far).cloned();
        Some(Dispute { conflict, document, seen })
    }
}

record!(out Conflicted {
    seq: "seq";
    doc: "doc";
    fields: "fields";
    base: "base";
    mine: "mine";
    theirs: "theirs";
    mine_at: "mineAt";
    by: "by";
    problem: "problem";
});
