//! Conflicts, and who resolves them.

use super::{Write, apply, causality::Seen, effect::Effect, yields};
use crate::{
    protocol::{
        Author, Base, Choice, DocKey, Document, FieldName, Fields, Intent, Operation, Register, ResolvedBy,
        Resolves, Stamp, Strategy, StreamPosition,
    },
    wire::{record, tagged},
};

/// What one operation and the writes that its maker had not seen disagree about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The document.
    pub doc: DocKey,
    /// The fields that both wrote, with different values.
    pub fields: Vec<FieldName>,
    /// What the operation's maker saw of the fields it writes; none where nobody wrote that down.
    pub base: Option<Fields>,
    /// The document as the operation would have it; none if it deletes it.
    pub mine: Option<Fields>,
    /// The document as it is; none if it is deleted.
    pub theirs: Option<Fields>,
    /// The newest write that the operation collides with, where that is known.
    pub author: Option<Author>,
}

/// How a conflict is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// The operation is applied as it was made, over what is there.
    TakeMine,
    /// The document stays as it is, and the operation has no effect.
    TakeTheirs,
    /// The document shall have these values. Of the fields in conflict those that are not named shall be gone; what
    /// else the operation does stands. Where one side deleted the document it shall hold exactly these fields.
    Merged(Fields),
    /// Not decided here: the conflict waits for somebody else.
    Defer,
}

/// Decides conflicts of a collection. Pure and synchronous: equal conflicts get equal resolutions, on every machine
/// and whenever it is asked again.
pub trait Resolver {
    /// Decides one.
    fn resolve(&self, conflict: &Conflict) -> Resolution;
}

impl<F: Fn(&Conflict) -> Resolution> Resolver for F {
    fn resolve(&self, conflict: &Conflict) -> Resolution {
        self(conflict)
    }
}

/// Where an operation collides with writes that its maker had not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The fields that both wrote, with different values.
    pub fields: Vec<FieldName>,
    /// The newest write among them.
    pub theirs: Option<Stamp>,
}

/// Finds where a write collides, in collections whose collisions are conflicts.
///
/// Of an edit: the fields that it assigns or takes away and that an unseen write has given another value; and all of
/// them, if the document was deleted unseen. Of a deletion: every field with an unseen write. Increments and members
/// collide with deletions only.
pub fn collisions(strategy: Strategy, document: &Document, write: &Write<'_>) -> Option<Clash> {
    if !strategy.has_conflicts() || yields(write.operation) {
        return None;
    }
    let seen = Seen::of(write);
    let effect = Effect::of_operation(strategy, write.operation);
    let (fields, stamps) = if effect.deletes {
        unseen_writes(document, &seen)
    } else if seen.misses_deletion(document) {
        let fields = effect.fields.keys().cloned().collect();
        return Some(Clash { fields, theirs: document.burial.as_ref().map(|burial| burial.stamp) });
    } else {
        colliding_fields(document, &effect, &seen)
    };
    if fields.is_empty() && stamps.is_empty() {
        return None;
    }
    Some(Clash { fields, theirs: stamps.into_iter().max_by_key(Stamp::rank) })
}

/// What a deletion would take with it unseen.
fn unseen_writes(document: &Document, seen: &Seen<'_>) -> (Vec<FieldName>, Vec<Stamp>) {
    let (mut fields, mut stamps) = (Vec::new(), Vec::new());
    stamps.extend(document.written.filter(|written| !seen.covers(written)));
    for (name, register) in &document.fields {
        let assigned = register.stamp.filter(|stamp| !seen.covers(stamp));
        if assigned.is_some() || seen.misses_contributions(register) {
            fields.push(name.clone());
        }
        stamps.extend(assigned);
    }
    (fields, stamps)
}

fn colliding_fields(
    document: &Document,
    effect: &Effect<'_>,
    seen: &Seen<'_>,
) -> (Vec<FieldName>, Vec<Stamp>) {
    let collides = |(name, register): (&FieldName, &Register)| {
        let stamp = register.stamp.filter(|stamp| !seen.covers(stamp))?;
        let differs = match effect.fields.get(name) {
            Some(change) => change.assigns.as_ref().is_some_and(|value| *value != register.value),
            None => effect.leaves_out(name) && register.value.is_some(),
        };
        differs.then(|| (name.clone(), stamp))
    };
    document.fields.iter().filter_map(collides).unzip()
}

impl Conflict {
    /// The conflict of a write that [collides](collisions), as a resolver or a person gets it.
    pub fn new(
        strategy: Strategy,
        document: &Document,
        write: &Write<'_>,
        clash: Clash,
        author: Option<Author>,
    ) -> Self {
        let mine = apply(strategy, document, write).document;
        Self {
            doc: write.operation.doc.clone(),
            fields: clash.fields,
            base: write.operation.base.was.clone(),
            mine: values(&mine),
            theirs: values(document),
            author,
        }
    }
}

/// What a document shows; none if it does not exist.
fn values(document: &Document) -> Option<Fields> {
    let values = || document.values().map(|(name, value)| (name.clone(), value)).collect();
    document.is_alive().then(values)
}

impl Resolution {
    /// The choice it stands for; none if it is none.
    pub fn choice(&self) -> Option<Choice> {
        match self {
            Self::TakeMine => Some(Choice::Mine),
            Self::TakeTheirs => Some(Choice::Theirs),
            Self::Merged(_) => Some(Choice::Merged),
            Self::Defer => None,
        }
    }

    /// The operation that ends the conflict: its intents by this resolution, made by somebody who has seen the
    /// document and the collection up to `seen`. None if nothing was decided.
    pub fn settle(
        &self,
        by: ResolvedBy,
        conflict: &Conflict,
        operation: &Operation,
        document: &Document,
        seen: StreamPosition,
    ) -> Option<Operation> {
        let mut was = operation.base.was.clone();
        let intents = match self {
            Self::Defer => return None,
            Self::TakeMine | Self::TakeTheirs => operation.intents.clone(),
            Self::Merged(fields) if conflict.mine.is_none() || conflict.theirs.is_none() => {
                was = conflict.theirs.clone();
                vec![Intent::Put(fields.clone())]
            }
            Self::Merged(fields) => {
                let gone = |name: &&FieldName| !fields.contains_key(*name);
                let gone: Vec<FieldName> = conflict.fields.iter().filter(gone).cloned().collect();
                // Also a value that the maker once saw is a decision now, and not what was left as it was.
                if let Some(was) = &mut was {
                    was.retain(|name, _| !fields.contains_key(name) && !conflict.fields.contains(name));
                }
                let set = (!fields.is_empty()).then(|| Intent::Set(fields.clone()));
                let unset = (!gone.is_empty()).then_some(Intent::Unset(gone));
                let decided = |name: &FieldName| fields.contains_key(name) || conflict.fields.contains(name);
                let rest = operation.intents.iter().filter_map(|intent| without(intent, decided));
                rest.chain(set).chain(unset).collect()
            }
        };
        // One that collides again after it was resolved still says what was wanted at first.
        let former = operation.resolves.as_ref().filter(|former| !former.mine.is_empty());
        let changed = || if intents == operation.intents { Vec::new() } else { operation.intents.clone() };
        let resolves = Resolves {
            choice: self.choice()?,
            by,
            mine: former.map_or_else(changed, |former| former.mine.clone()),
            was: former.map_or_else(|| operation.base.was.clone(), |former| former.was.clone()),
        };
        let base = Base { clock: document.clock.clone(), seen: Some(seen), was };
        Some(Operation { intents, base, resolves: Some(resolves), ..operation.clone() })
    }
}

/// What an intent does to other fields than those that are decided; none if that is nothing.
fn without(intent: &Intent, decided: impl Fn(&FieldName) -> bool) -> Option<Intent> {
    let mut intent = intent.clone();
    let some = match &mut intent {
        Intent::Put(fields) => {
            fields.retain(|name, _| !decided(name));
            true
        }
        Intent::Set(fields) => {
            fields.retain(|name, _| !decided(name));
            !fields.is_empty()
        }
        Intent::Unset(names) => {
            names.retain(|name| !decided(name));
            !names.is_empty()
        }
        Intent::Increment(amounts) => {
            amounts.retain(|name, _| !decided(name));
            !amounts.is_empty()
        }
        Intent::Add(members) | Intent::Remove(members) => {
            members.retain(|name, _| !decided(name));
            !members.is_empty()
        }
        Intent::Delete {} => true,
    };
    some.then_some(intent)
}

tagged!(Resolution { "merged" => Merged } { "mine" => TakeMine, "theirs" => TakeTheirs, "defer" => Defer });

record!(Conflict {
    doc: "doc";
    fields: "fields";
    base: "base";
    mine: "mine";
    theirs: "theirs";
    author: "by";
});
