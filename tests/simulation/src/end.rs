//! What must hold at the end, when everything has come to rest.

use std::collections::BTreeMap;

use sdk_core::{
    engine::{QueryId, storage::Query},
    protocol::{CollectionName, Document, ErrorCode, Outcome, Strategy, decode},
};

use server_reference::storage::ResolutionRecord;

use crate::{
    client::tenant,
    ledger::{Committed, OpKey, Pruning, Said, Submission},
    model::{Expected, Judged, bare},
    records::{Collection, Records},
    replays::is_told,
    workload,
    world::World,
};

impl World {
    /// What is not settled yet; none if everything is.
    pub(crate) fn pending(&self) -> Option<String> {
        if self.server.documents.is_none() {
            return Some("the server is down".into());
        }
        let records = match Records::read(&self.server.path()) {
            Ok(records) => records,
            Err(error) => return Some(format!("the database cannot be read: {error}")),
        };
        (0..self.clients.len()).find_map(|index| self.unsettled(index, &records))
    }

    fn unsettled(&self, index: usize, records: &Records) -> Option<String> {
        let client = &self.clients[index];
        let Some(engine) = &client.engine else { return Some(format!("client {index} is down")) };
        let status = engine.status();
        if status.pending > 0 || status.rejected > 0 {
            return Some(format!("client {index}: {status:?}"));
        }
        if client.disk.kept().next().is_some() || !client.writes.is_empty() {
            return Some(format!("client {index} has something in its outbox or on its way there"));
        }
        for (name, _) in workload::collections() {
            let stored = client.disk.copy().cursors.get(&name);
            let Some(there) = records.collections.get(&(tenant(client.tenant), name.to_string())) else {
                return Some(format!("collection {name} was never set up"));
            };
            let same =
                stored.is_some_and(|at| bare(at.epoch.as_str()) == there.epoch && at.offset.0 == there.head);
            if !same {
                return Some(format!(
                    "client {index} is at {stored:?} of {name}, the server at {}",
                    there.head
                ));
            }
        }
        None
    }

    /// Holds everything against the database.
    pub(crate) fn check_end(&mut self) {
        if let Some(what) = self.pending() {
            return self.violate("what has come to rest stays at rest", what);
        }
        let records = match Records::whole(&self.server.path()) {
            Ok(records) => records,
            Err(error) => return self.violate("the database can be read", error.to_string()),
        };
        self.check_judgements(&records);
        self.check_submissions(&records);
        self.check_resolutions(&records);
        for ((tenant, name), collection) in &records.collections {
            self.check_log(tenant, name, collection);
            self.check_model(&records, tenant, name, collection);
        }
        for index in 0..self.clients.len() {
            self.check_replica(index, &records);
        }
    }

    /// The database holds the judgements that were committed, those and no others.
    fn check_judgements(&mut self, records: &Records) {
        let committed: BTreeMap<&OpKey, _> =
            self.ledger.committed.iter().map(|(key, one)| (key, &one.judgement)).collect();
        let stored: BTreeMap<&OpKey, _> = records.judgements.iter().collect();
        let missing = committed.iter().find(|(key, one)| stored.get(*key) != Some(one));
        let extra = stored.keys().find(|key| !committed.contains_key(*key));
        let seen = format!("missing or different: {missing:?}; not committed: {extra:?}");
        let same = missing.is_none() && extra.is_none();
        self.claim(same, "the database holds each judgement as it was committed", || seen);
    }

    /// What was reported durable was judged, once; what was not was never.
    fn check_submissions(&mut self, records: &Records) {
        let mut judged: BTreeMap<u64, Vec<&OpKey>> = BTreeMap::new();
        for (key, one) in &self.ledger.committed {
            judged.entry(self.ledger.ticket(&one.operation)).or_default().push(key);
        }
        let mut broken = None;
        for (ticket, one) in &self.ledger.submissions {
            let home = tenant(self.clients[one.client].tenant);
            let there = judged.get(ticket).map_or(&[][..], Vec::as_slice);
            // What was rejected may have been tried again under another number.
            let rejected = |key: &&OpKey| self.ledger.committed[*key].judgement.position.is_none();
            let now_as = |seq: u64| -> Vec<&OpKey> {
                let tried = |key: &&&OpKey| key.2 == seq || !rejected(key);
                there.iter().filter(tried).copied().collect()
            };
            let holds = match one.said {
                Said::Durable(seq) => match now_as(seq)[..] {
                    [key] => self.is_of(one, key, &home, seq) && records.judgements.contains_key(key),
                    _ => false,
                },
                Said::Wiped(seq) => match now_as(seq)[..] {
                    [] => true,
                    [key] => self.is_of(one, key, &home, seq),
                    _ => false,
                },
                Said::Refused | Said::Lost | Said::Replaced(_) | Said::Withdrawn | Said::Failed => {
                    there.iter().all(rejected)
                }
                Said::Folded(head) => {
                    let whole = self.ledger.submissions.get(&head);
                    there.is_empty() && whole.is_some_and(|whole| whole.parts.contains(ticket))
                }
                Said::Nothing => false,
            };
            if !holds {
                broken
                    .get_or_insert(format!("ticket {ticket} was {:?} and is judged as {there:?}", one.said));
            }
        }
        if let Some(broken) = broken {
            self.violate("what was reported durable is judged exactly once, and nothing else is", broken);
        }
    }

    /// Whether an id is that of an operation as its client was told; of a copy of the client all but the client's part.
    fn is_of(&self, one: &Submission, key: &OpKey, home: &str, seq: u64) -> bool {
        let same = key.1 == one.maker.to_string() || self.copies.has(&self.clients[one.client]);
        key.0 == home && same && key.2 == seq
    }

    /// Offsets are gapless, and grow along each lane.
    fn check_log(&mut self, tenant: &str, name: &str, collection: &Collection) {
        let log = self.log(tenant, name);
        let placed = |(key, one): &(OpKey, Committed)| {
            Some((one.judgement.position.as_ref()?.offset.0, key.clone(), one.operation.doc.id.to_string()))
        };
        let log: Vec<(u64, OpKey, String)> = log.iter().filter_map(placed).collect();
        let offsets: Vec<u64> = log.iter().map(|(offset, ..)| *offset).collect();
        let gapless = offsets.iter().copied().eq(1..=collection.head);
        let mut lanes: BTreeMap<(String, String), u64> = BTreeMap::new();
        let mut ordered = true;
        for (_, key, document) in &log {
            let (_, client, seq) = key;
            // What is forgotten of a document tells nobody that another copy was ahead.
            let one = self.ledger.committed.get(key).and_then(|one| self.ledger.submission(&one.operation));
            if one.is_some_and(|one| self.copies.has(&self.clients[one.client])) {
                continue;
            }
            let newest = lanes.entry((client.clone(), document.clone())).or_default();
            ordered &= *seq > *newest;
            *newest = *seq;
        }
        self.claim(gapless, "the offsets of a collection have no gaps and no doubles", || {
            format!("{tenant} {name}: {offsets:?} with head {}", collection.head)
        });
        self.claim(ordered, "the offsets of a lane grow with its operations", || format!("{tenant} {name}"));
    }

    /// The judged operations of a collection in the order in which they were committed.
    fn log(&self, tenant: &str, name: &str) -> Vec<(OpKey, Committed)> {
        let mine = |(key, one): &(&OpKey, &Committed)| {
            key.0 == tenant && one.operation.doc.collection.as_str() == name
        };
        let mut log: Vec<(OpKey, Committed)> =
            self.ledger.committed.iter().filter(mine).map(|(key, one)| (key.clone(), one.clone())).collect();
        log.sort_by_key(|(_, one)| one.order);
        log
    }

    /// Every document and every outcome is what the rules say.
    fn check_model(&mut self, records: &Records, tenant: &str, name: &str, collection: &Collection) {
        let mut expected: BTreeMap<String, Expected> = BTreeMap::new();
        let log = self.log(tenant, name);
        let decisions = records.resolutions.iter().filter(|(of, _)| of == tenant);
        let decisions: BTreeMap<OpKey, &ResolutionRecord> = decisions
            .map(|(of, record)| ((of.clone(), record.client.to_string(), record.seq.0), record))
            .collect();
        let (mut head, mut horizon) = (0, 0);
        let prunings = self.ledger.prunings.clone();
        let mut prunings = prunings
            .iter()
            .filter(|pruning| pruning.collection == (tenant.to_owned(), name.to_owned()))
            .peekable();
        let conflicted = self.ledger.conflicted.clone();
        let mine = |(key, _, one): &&(OpKey, u32, Committed)| {
            key.0 == tenant && one.operation.doc.collection.as_str() == name
        };
        let mut conflicted = conflicted.iter().filter(mine).peekable();
        for (key @ (_, client, _), one) in &log {
            while let Some((_, actor, other)) = conflicted.next_if(|(_, _, other)| other.order <= one.order) {
                while let Some(pruning) = prunings.next_if(|pruning| pruning.order < other.order) {
                    horizon = horizon.max(self.forget(&mut expected, pruning));
                }
                self.check_conflict(collection.strategy, &expected, *actor, other, horizon);
            }
            while let Some(pruning) = prunings.next_if(|pruning| pruning.order <= one.order) {
                horizon = horizon.max(self.forget(&mut expected, pruning));
            }
            let (operation, judgement) = (&one.operation, &one.judgement);
            let actor = records.actors.get(&(tenant.to_owned(), client.clone())).copied().unwrap_or_default();
            let id = operation.doc.id.to_string();
            let before = expected.get(&id).cloned().unwrap_or_default();
            let resolves = self.plan.server_resolves && name == workload::RESOLVED;
            let mine = resolves.then_some(self.plan.takes_mine && workload::takes_mine(&id));
            let judge = || {
                let judged = Judged {
                    operation,
                    actor,
                    rev: head + 1,
                    epoch: &one.epoch,
                    now: one.now.0,
                    horizon,
                    decided: false,
                };
                let mut after = before.clone();
                let outcome = after.judge(collection.strategy, judged, mine);
                let within = after.is_within(self.plan.limits.document_bytes);
                (after, outcome, within)
            };
            let seen = format!("{tenant} {name}: {operation:?} by {actor} on {before:?} was {judgement:?}");
            let holds = match (&judgement.position, &judgement.outcome) {
                (Some(position), outcome) => {
                    let (after, rule, within) = judge();
                    let record = decisions.get(key);
                    let told = record.is_none_or(|record| is_told(record, &before, &after));
                    self.claim(
                        told,
                        "a record tells what a decision was made from and what came of it",
                        || format!("{record:?} on {before:?} led to {after:?}"),
                    );
                    expected.insert(id, after);
                    head = position.offset.0;
                    rule.as_ref() == Some(outcome) && within
                }
                (None, Outcome::Rejected(why)) if why.code == ErrorCode::DocumentTooLarge => !judge().2,
                (None, _) => false,
            };
            self.claim(holds, "the server judges as the reference model does", || seen);
        }
        for pruning in prunings {
            self.forget(&mut expected, pruning);
        }
        let same = expected.keys().eq(collection.documents.keys());
        self.claim(same, "the server holds the documents that were written", || format!("{tenant} {name}"));
        for (id, (rev, text)) in &collection.documents {
            let Some(expected) = expected.get(id) else { continue };
            let Ok(document) = decode::<Document>(text) else {
                return self.violate("a stored document can be read", text.clone());
            };
            let values: BTreeMap<&str, String> =
                document.values().map(|(name, value)| (name.as_str(), value.as_str().to_owned())).collect();
            let same = *rev == expected.rev
                && document.rev.0 == expected.rev
                && document.is_alive() == expected.written.is_some()
                && values == expected.values();
            self.claim(same, "the server's documents are those of the reference model", || {
                format!("{tenant} {name}/{id}: {text} should be {expected:?}")
            });
        }
    }

    /// An operation that the server called conflicted collides with what its maker had not seen, or waits behind one
    /// that does.
    fn check_conflict(
        &mut self,
        strategy: Strategy,
        expected: &BTreeMap<String, Expected>,
        actor: u32,
        one: &Committed,
        horizon: u64,
    ) {
        let behind =
            matches!(&one.judgement.outcome, Outcome::Conflicted(collision) if collision.fields.is_empty());
        let (operation, now) = (&one.operation, one.now.0);
        let judged = Judged { operation, actor, rev: 0, epoch: &one.epoch, now, horizon, decided: false };
        let before = expected.get(operation.doc.id.as_str()).cloned().unwrap_or_default();
        self.claim(
            behind || before.collides(strategy, judged),
            "what the server calls a conflict is one",
            || format!("{one:?} on {before:?}"),
        );
    }

    /// The server forgets documents; they must have been deleted. Returns the newest revision among them.
    fn forget(&mut self, expected: &mut BTreeMap<String, Expected>, pruning: &Pruning) -> u64 {
        let mut newest = 0;
        for id in &pruning.documents {
            let Some(gone) = expected.remove(id) else { continue };
            newest = newest.max(gone.rev);
            self.claim(gone.written.is_none(), "only what was deleted is forgotten", || {
                format!("{:?} {id}: {gone:?}", pruning.collection)
            });
        }
        newest
    }

    /// A client's replica has the server's documents byte for byte, and its views show them.
    fn check_replica(&mut self, index: usize, records: &Records) {
        for (name, _) in workload::collections() {
            let key = (tenant(self.clients[index].tenant), name.to_string());
            let Some(collection) = records.collections.get(&key) else { continue };
            let alive: BTreeMap<String, (Document, String)> = collection
                .documents
                .iter()
                .filter_map(|(id, (_, text))| {
                    let document: Document = decode(text).ok()?;
                    document.is_alive().then(|| (id.clone(), (document, text.clone())))
                })
                .collect();
            let copy = self.clients[index].disk.copy();
            let (stored, leftovers) = (copy.living(&name), copy.leftovers(&name));
            let noted = copy.notes.get(&name).cloned();
            self.claim(leftovers.is_empty(), "of snapshots only the one in view is stored", || {
                format!("client {index} has generations {leftovers:?} of {name} and notes {noted:?}")
            });
            let same = stored.len() == alive.len()
                && alive.iter().all(|(id, (_, text))| stored.get(id) == Some(text));
            let seen = format!("client {index} {name}: {stored:?} against {alive:?}");
            self.claim(same, "every replica is byte for byte the server's", || seen);
            self.check_views(index, &name, &alive);
        }
    }

    fn check_views(
        &mut self,
        index: usize,
        name: &CollectionName,
        alive: &BTreeMap<String, (Document, String)>,
    ) {
        let queries: Vec<(QueryId, Query)> =
            self.clients[index].queries.iter().map(|(id, query)| (*id, query.clone())).collect();
        for (id, query) in queries {
            let limit = match &query {
                Query::One(key) if key.collection == *name => 1,
                Query::Range { collection, limit, .. } if collection == name => *limit,
                _ => continue,
            };
            let Some(view) = self.clients[index].engine.as_ref().and_then(|engine| engine.view(id)) else {
                self.violate(
                    "a query that was opened has a view",
                    format!("client {index} {id:?} {query:?}"),
                );
                continue;
            };
            let wanted = alive.iter().filter(|(id, _)| {
                let id = id.parse().expect("a document's id");
                query.selects(&sdk_core::protocol::DocKey { collection: name.clone(), id })
            });
            let wanted: Vec<(&str, Vec<(String, String)>)> = wanted
                .take(limit)
                .map(|(id, (document, _))| {
                    let values =
                        document.values().map(|(name, value)| (name.to_string(), value.as_str().to_owned()));
                    (id.as_str(), values.collect())
                })
                .collect();
            let shown: Vec<(&str, Vec<(String, String)>)> = view
                .documents
                .iter()
                .map(|document| {
                    let values = document.values().into_iter();
                    let values = values.map(|(name, value)| (name.to_string(), value.as_str().to_owned()));
                    (document.id.as_str(), values.collect())
                })
                .collect();
            let settled = view.loaded && view.documents.iter().all(|document| !document.pending);
            let seen = format!("client {index} {query:?} shows {view:?} and should show {wanted:?}");
            self.claim(settled && shown == wanted, "every view shows the server's documents", || seen);
        }
    }
}
