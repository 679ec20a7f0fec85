//! What an application may expect to see: its own edits, and nothing older than what it has seen.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::{
    engine::{
        View, ViewDocument,
        storage::{Batch, Clear, MAX_QUERY, Query},
    },
    protocol::{CollectionName, DocKey, Json, Outcome, Strategy, StreamPosition},
};

use crate::{
    client::tenant,
    ledger::{Committed, Said, Touch},
    model::{Change, Effect, bare, fold},
    workload,
    world::World,
};

/// How far an edit has come, as far as its application was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not settled: it shows.
    Open,
    /// Settled, and the copy of the server's documents that contains it is still there.
    Settled,
    /// Settled, but the copy that contained it is gone. Or it was rejected, and a crash may have forgotten that.
    Unsure,
    /// Rejected: it does not show.
    Rejected,
}

/// An edit of one's own.
#[derive(Debug)]
struct Own {
    ticket: u64,
    /// How far its maker knew the collection.
    knew: Option<StreamPosition>,
    /// Its maker's edits of the document that were not settled then: it descends from them, whoever sends them.
    behind: Vec<u64>,
    stage: Stage,
}

/// What one application did and saw.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Its edits by document, in order.
    edits: BTreeMap<DocKey, Vec<Own>>,
    /// How far each collection is known.
    applied: BTreeMap<CollectionName, StreamPosition>,
    /// The offset of the write that each field was last seen with.
    seen: BTreeMap<(DocKey, String), u64>,
    /// Whether a copy of the server's documents that could not be read was thrown away. What was read of it shows until
    /// there is another.
    thrown_away: bool,
    /// Edits up to this ticket are those of a former identity, and of nobody that it knows.
    born: u64,
}

/// What must show of one document.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    /// Fields with their values; none for one that must not be there.
    fields: BTreeMap<String, Option<String>>,
    /// Fields about which nothing can be said.
    open: BTreeSet<String>,
    /// Whether no other fields may be there.
    bare: bool,
}

impl Reads {
    /// The application edits a document.
    pub(crate) fn edited(&mut self, doc: &DocKey, ticket: u64) {
        let knew = self.applied.get(&doc.collection).cloned();
        let lane = self.edits.entry(doc.clone()).or_default();
        let open = lane.iter().filter(|own| own.stage == Stage::Open);
        let behind = open.map(|own| own.ticket).collect();
        lane.push(Own { ticket, knew, behind, stage: Stage::Open });
    }

    /// Another form of an edit stands where that one does.
    pub(crate) fn moved(&mut self, doc: &DocKey, ticket: u64, former: u64) {
        let Some(lane) = self.edits.get_mut(doc) else { return };
        let Some(at) = lane.iter().position(|own| own.ticket == ticket) else { return };
        let own = lane.remove(at);
        let to = lane.iter().position(|own| own.ticket == former);
        lane.insert(to.map_or(lane.len(), |to| to + 1), own);
    }

    /// An edit stands before the first of its document that comes later.
    pub(crate) fn placed(&mut self, doc: &DocKey, ticket: u64, is_later: impl Fn(u64) -> bool) {
        let Some(lane) = self.edits.get_mut(doc) else { return };
        let Some(at) = lane.iter().position(|own| own.ticket == ticket) else { return };
        let own = lane.remove(at);
        let to = lane.iter().position(|own| is_later(own.ticket));
        lane.insert(to.unwrap_or(lane.len()), own);
    }

    /// An edit has come to nothing.
    pub(crate) fn ended(&mut self, doc: &DocKey, ticket: u64) {
        let owns = self.edits.get_mut(doc).into_iter().flatten();
        owns.filter(|own| own.ticket == ticket).for_each(|own| own.stage = Stage::Rejected);
    }

    /// An edit is to be made anew.
    pub(crate) fn forget(&mut self, doc: &DocKey, ticket: u64) {
        if let Some(lane) = self.edits.get_mut(doc) {
            lane.retain(|own| own.ticket != ticket);
        }
    }

    /// The application hears what became of an edit.
    pub(crate) fn settled(&mut self, doc: &DocKey, ticket: u64, outcome: &Outcome) {
        let own = self.edits.get_mut(doc).and_then(|edits| edits.iter_mut().find(|own| own.ticket == ticket));
        if let Some(own) = own {
            own.stage =
                if matches!(outcome, Outcome::Rejected(_)) { Stage::Rejected } else { Stage::Settled };
        }
    }

    /// The copy of the server's documents is fetched anew.
    pub(crate) fn lost_replica(&mut self) {
        self.applied.clear();
        self.doubt(|own| own.stage == Stage::Settled);
    }

    /// The copy is not what it was when the application looked last.
    pub(crate) fn forget_seen(&mut self) {
        self.lost_replica();
        self.seen.clear();
    }

    /// A new process finds these positions.
    pub(crate) fn start(&mut self, cursors: &[(CollectionName, StreamPosition)]) {
        self.applied = cursors.iter().cloned().collect();
    }

    /// The process has ended. Of what was rejected some may be in the outbox again.
    pub(crate) fn crashed(&mut self, kept: impl Fn(u64) -> bool) {
        self.doubt(|own| own.stage == Stage::Rejected && kept(own.ticket));
    }

    /// The client begins anew under another identity. Edits up to a ticket are not its own any more.
    pub(crate) fn reborn(&mut self, newest: u64) {
        let (applied, thrown_away) = (std::mem::take(&mut self.applied), self.thrown_away);
        *self = Self { applied, thrown_away, born: newest, ..Self::default() };
    }

    /// The same, with operations of others in its outbox that it takes for its own.
    pub(crate) fn inherit(&mut self, newest: u64, kept: impl Iterator<Item = (DocKey, u64)>) {
        self.reborn(newest);
        for (doc, ticket) in kept {
            let lane = self.edits.entry(doc).or_default();
            let behind = lane.iter().map(|own| own.ticket).collect();
            lane.push(Own { ticket, knew: None, behind, stage: Stage::Open });
        }
    }

    /// A commit is durable.
    pub(crate) fn committed(&mut self, batch: &Batch) {
        let Batch::Replica(batch) = batch else { return };
        match &batch.clear {
            Clear::Nothing => {}
            Clear::Collections(names) => self.applied.retain(|name, _| !names.contains(name)),
            Clear::All => {
                self.applied.clear();
                self.thrown_away = true;
            }
        }
        self.applied.extend(batch.cursors.iter().cloned());
    }

    fn doubt(&mut self, which: impl Fn(&Own) -> bool) {
        let owns = self.edits.values_mut().flatten().filter(|own| which(own));
        owns.for_each(|own| own.stage = Stage::Unsure);
    }

    /// Whether the copy of a collection is another than the one that a write was seen in, and has not come that far: a
    /// snapshot may be older than what was thrown away, until its tail has come.
    fn is_behind(&self, collection: &CollectionName, offset: u64) -> bool {
        self.thrown_away && self.applied.get(collection).is_none_or(|applied| applied.offset.0 < offset)
    }

    fn is_open(&self, doc: &DocKey) -> bool {
        self.edits.get(doc).is_some_and(|edits| edits.iter().any(|own| own.stage == Stage::Open))
    }
}

impl World {
    /// An application looks: it sees its own edits, and nothing older than before.
    pub(crate) fn check_reads(&mut self, index: usize, query: &Query, view: &View) {
        for document in &view.documents {
            let doc = DocKey { collection: query.collection().clone(), id: document.id.clone() };
            // A merge writes old values anew, so there they tell nothing.
            let tells = !workload::strategy(&doc.collection).has_conflicts();
            // Before the store was read only what is pending shows, be it judged meanwhile and found to be late.
            if tells && view.loaded && !document.pending && !self.clients[index].reads.is_open(&doc) {
                self.check_monotonic(index, &doc, document);
            }
        }
        let docs: Vec<DocKey> = self.clients[index].reads.edits.keys().cloned().collect();
        for doc in docs.into_iter().filter(|doc| query.selects(doc)) {
            let document = view.documents.iter().find(|document| document.id == doc.id);
            let last = view.documents.last().is_some_and(|last| last.id >= doc.id);
            // Beyond the last document of a view that is full, nothing is known.
            let whole = query.limit().is_none_or(|limit| limit >= MAX_QUERY) || last;
            if (document.is_some() || whole) && !self.is_amending(index, &doc) {
                self.check_own(index, &doc, document, view.loaded);
            }
        }
    }

    fn check_own(&mut self, index: usize, doc: &DocKey, shown: Option<&ViewDocument>, loaded: bool) {
        let expected = self.expected(index, doc, loaded);
        let seen = shown.map(ViewDocument::values).unwrap_or_default();
        let value = |name: &str| {
            seen.iter().find(|(field, _)| field.as_str() == name).map(|(_, value)| value.as_str().to_owned())
        };
        let named = expected.fields.iter().all(|(name, wanted)| value(name) == *wanted);
        let known = |name: &str| expected.fields.contains_key(name) || expected.open.contains(name);

        let bare = !expected.bare || seen.keys().all(|name| known(name.as_str()));
        self.claim(named && bare, "an application sees its own edits", || {
            format!("client {index} sees {shown:?} of {doc} and should see {expected:?}")
        });
    }

    /// What must show of a client's own edits: each field as its newest edit of it left it, unless somebody else has
    /// written the field and the edit's maker had not seen that.
    fn expected(&self, index: usize, doc: &DocKey, loaded: bool) -> Expected {
        let reads = &self.clients[index].reads;
        let strategy = workload::strategy(&doc.collection);
        let whole = strategy == Strategy::LastWriteWins;
        // Who decides against an edit decides against all of it.
        let together = whole || strategy.has_conflicts();
        let mut expected = Expected::default();
        for own in reads.edits.get(doc).into_iter().flatten().rev() {
            let Some(one) = self.ledger.submissions.get(&own.ticket) else { continue };
            let operation = &self.ledger.submissions[&self.ledger.whole(own.ticket)];
            let undone = matches!(one.said, Said::Refused | Said::Lost) || operation.is_void();
            if undone || own.stage == Stage::Rejected {
                continue;
            }
            // What a copy made earlier may have been judged in the name of another, so that one's own edit counts as not
            // knowing of it, and comes after it all the same.
            let settled = own.stage == Stage::Settled && loaded && !self.copies.has(&self.clients[index]);
            // What the server has rejected may be seen to be missing before the client hears of it.
            let sure = !operation.rejected && (own.stage == Stage::Open || settled);
            let Effect { deletes, replaces, changes } = fold(&one.intents);
            let others = self.unseen(index, doc, own);
            // Copies go by one name for a while, in which a write of one is taken for the other's.
            let sure = sure && !others.iter().any(|touch| self.is_fellows(index, touch));
            // What has to come under another id may come after what was made later.
            let mut earlier = reads.edits[doc].iter().take_while(|earlier| earlier.ticket != own.ticket);
            let late = |earlier: &Own| {
                earlier.stage == Stage::Open && self.copies.late.contains(&self.ledger.whole(earlier.ticket))
            };
            let sure = sure && !earlier.any(late);
            let open = |field: Option<&str>| {
                !sure || others.iter().any(|touch| together || touch.writes.touches(field))
            };
            for (name, change) in changes {
                if expected.fields.contains_key(&name) || expected.open.contains(&name) {
                    continue;
                }
                match change {
                    Change::Assign(value)
                        if !open(Some(&name)) && !self.may_be_left(index, doc, own, &name) =>
                    {
                        expected.fields.insert(name, value);
                    }
                    // What counts and sets come to depends on others; the model knows.
                    _ => {
                        expected.open.insert(name);
                    }
                }
            }
            if deletes || replaces || whole {
                // Where collisions are conflicts a put leaves out only what its maker saw.
                expected.bare = !strategy.has_conflicts() && !open(None);
                return expected;
            }
        }
        expected
    }

    /// Whether a write is of another copy of the client.
    fn is_fellows(&self, index: usize, touch: &Touch) -> bool {
        let client = &self.clients[index];
        let fellows = self.copies.are_fellows(client, &self.clients[touch.client]);
        fellows && (touch.client != index || touch.ticket <= client.reads.born)
    }

    /// Whether the maker of an edit may have left a field as an earlier edit of its own had it, which came to nothing or
    /// collided. Where collisions are conflicts, what is left as it was is no edit.
    fn may_be_left(&self, index: usize, doc: &DocKey, own: &Own, name: &str) -> bool {
        if !workload::strategy(&doc.collection).has_conflicts() {
            return false;
        }
        let lane = self.clients[index].reads.edits.get(doc).into_iter().flatten();
        lane.take_while(|earlier| earlier.ticket != own.ticket).any(|earlier| {
            let Some(one) = self.ledger.submissions.get(&earlier.ticket) else { return false };
            let whole = &self.ledger.submissions[&self.ledger.whole(earlier.ticket)];
            let Effect { deletes, replaces, changes } = fold(&one.intents);
            let collided = |(_, _, one): &(_, _, Committed)| {
                self.ledger.ticket(&one.operation) == self.ledger.whole(earlier.ticket)
            };
            let void = whole.rejected || matches!(earlier.stage, Stage::Rejected | Stage::Unsure);
            (deletes || replaces || changes.contains_key(name))
                && (void || self.ledger.conflicted.iter().any(collided))
        })
    }

    /// The writes of a document that others made and the maker of an edit had not seen. Deletions are known all
    /// together by position, or each by its writer: whoever had read past one, and made another that was judged later,
    /// or waits to be judged, is not taken to know both. Once some were forgotten only a position past all of these tells.
    fn unseen(&self, index: usize, doc: &DocKey, own: &Own) -> Vec<&Touch> {
        let client = &self.clients[index];
        let log = self.ledger.touches.get(&(tenant(client.tenant), doc.clone()));
        let log = log.map_or(&[][..], Vec::as_slice);
        let collection = (tenant(client.tenant), doc.collection.to_string());
        let horizon = self.ledger.horizons.get(&collection).copied().unwrap_or(0);
        let deleted = log.iter().rfind(|touch| touch.writes.deletes()).map(|touch| touch.position.offset);
        let lane = client.reads.edits.get(doc).into_iter().flatten();
        let before = lane.take_while(|earlier| earlier.ticket != own.ticket);
        let waits = before.filter(|earlier| earlier.stage == Stage::Open);
        let deletes = |earlier: &Own| {
            let one = self.ledger.submissions.get(&earlier.ticket);
            one.is_some_and(|one| fold(&one.intents).deletes)
        };
        // A position in a history that is over tells nothing, and so nothing of what was forgotten since.
        let void = |knew: &StreamPosition| horizon > 0 && self.retired.contains(bare(knew.epoch.as_str()));
        let beyond = own.knew.as_ref().is_none_or(|knew| knew.offset.0 < horizon || void(knew));
        if deleted.is_some() && (beyond || waits.into_iter().any(deletes)) {
            return log.iter().collect();
        }
        // What a client wrote under a former id is known by position, as what others wrote is; and to what was made
        // while it waited.
        let name = |ticket| self.ledger.judged(ticket).map(|key| key.1.clone());
        let now = || Some(client.engine.as_ref()?.client().to_string());
        let own_name = name(own.ticket).or_else(now);
        let others = log.iter().filter(|touch| {
            if self.is_fellows(index, touch) {
                return true;
            }
            let renamed = name(touch.ticket) != own_name && !own.behind.contains(&touch.ticket);
            let foreign = touch.client != index || touch.ticket <= client.reads.born || renamed;
            let same = |knew: &&StreamPosition| {
                // A reader compares the names of histories, and does not look into them: from beyond the horizon, or
                // from nothing, it comes into one of another name, and may have heard of it before that is stored.
                let applied = client.reads.applied.get(&doc.collection);
                let goes_on =
                    knew.offset.0 >= horizon && applied.map_or(horizon == 0, |at| at.epoch == knew.epoch);
                let epoch = bare(knew.epoch.as_str());
                goes_on && epoch == bare(touch.position.epoch.as_str()) && !self.retired.contains(epoch)
            };
            let read = |knew: &StreamPosition| match deleted.filter(|_| touch.writes.deletes()) {
                Some(last) => knew.offset >= last,
                None => knew.offset >= touch.position.offset,
            };
            foreign && !own.knew.as_ref().filter(same).is_some_and(read)
        });
        others.collect()
    }

    fn check_monotonic(&mut self, index: usize, doc: &DocKey, document: &ViewDocument) {
        for (name, value) in &document.values() {
            let Some(ticket) = ticket_of(value) else { continue };
            let judged = self.ledger.submissions.get(&ticket).and_then(|one| one.judged.as_ref());
            let Some(offset) = judged.map(|position| position.offset.0) else {
                self.violate(
                    "what is not pending is the server's",
                    format!("client {index} sees {value:?} in {doc}, which the server has not taken"),
                );
                continue;
            };
            let reads = &mut self.clients[index].reads;
            let before = reads.seen.insert((doc.clone(), name.to_string()), offset);
            let holds =
                before.is_none_or(|before| before <= offset || reads.is_behind(&doc.collection, before));
            self.claim(holds, "what is read never goes back", || {
                format!("client {index} sees {name} of {doc} as of {offset}, after {before:?}")
            });
        }
    }
}

/// The ticket of the edit that wrote a value, if the value tells. Counts and sets do not.
pub(crate) fn ticket_of(value: &Json) -> Option<u64> {
    let text = value.as_str();
    let digits = text.strip_prefix(['"', '{'])?.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// What a query says of itself.
trait Described {
    fn limit(&self) -> Option<usize>;
}

impl Described for Query {
    fn limit(&self) -> Option<usize> {
        match self {
            Query::One(_) => None,
            Query::Range { limit, .. } => Some(*limit),
        }
    }
}
