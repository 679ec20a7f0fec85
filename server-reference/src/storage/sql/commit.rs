//! Judging one batch within a transaction.
//!
//! The row in `judgements` goes into the same transaction as the effect it speaks of, so there is never one without
//! the other. Whatever is judged and not rejected takes the next offset of its collection, also where other writes
//! were later and it changed nothing: its document's clock has grown. Of a conflict that nobody here decides nothing
//! is written at all.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};
use sdk_core::{
    clock::Dot,
    protocol::{
        ActorId, Base, Changed, Changes, CollectionName, Collision, DocKey, Document, ErrorCode, Judgement,
        Limits, MAX_SAFE_INTEGER, Operation, Outcome, Rejection, Resume, Seq, ServerFrame, StreamPosition,
        decode, encode,
    },
    reconcile::{Write, collisions, validate},
};

use super::{
    Connection, Rules,
    admit::{Open, actor, operators, settle},
    conflict::{self, Case, Decided, misfit, shown},
    corrupt,
    earlier::Earlier,
    origins::Origin,
    refusals::{self, AppliedLetter, Refused},
};
use crate::{
    access::Portion,
    resolvers::Resolvers,
    storage::{
        Advance, Batch, Committed, News, ResolutionRecord, StorageError, history::nowhere, refusals::Place,
    },
};

/// Bytes of documents that an advance carries along; beyond that its readers read for themselves.
const ADVANCE_BYTES: usize = 32 * 1024;

/// Judges a batch. On an error the caller rolls back.
pub(in crate::storage) fn batch(
    connection: &dyn Connection,
    batch: &Batch,
    rules: &mut Rules,
) -> Result<Committed, StorageError> {
    let actor = actor(connection, batch)?;
    let mut judge = Judge::open(connection, batch, rules, actor)?;
    let applied = match &batch.holds {
        Some(holds) => judge.reconcile(holds)?,
        None => Vec::new(),
    };
    let judgements =
        batch.operations.iter().map(|operation| judge.operation(operation)).collect::<Result<_, _>>()?;
    let advances = judge.write()?;
    let has_letters = refusals::has_letters(connection, batch.scope.tenant(), batch.client)?;
    Ok(Committed { actor, judgements, applied, has_letters, advances })
}

/// Judges an operation that was refused once more: made anew upon the document as it is, in the name of the tenant's
/// operators. On an error the caller rolls back.
pub(super) fn again(
    connection: &dyn Connection,
    batch: &Batch,
    mut operation: Operation,
    rules: &mut Rules,
) -> Result<(Judgement, Vec<Arc<Advance>>), StorageError> {
    let seq = operation.seq;
    let by = operators(connection, batch.scope.tenant())?;
    let mut judge = Judge::open(connection, batch, rules, by.actor)?;
    if let Some(open) = judge.collections.get(&operation.doc.collection) {
        let seen = StreamPosition { epoch: open.name.clone(), offset: open.collection.head };
        let clock = document(connection, open.collection.key, &operation)?.clock;
        operation.base = Base { clock, seen: Some(seen), was: None };
    }
    (operation.seq, operation.at, operation.maker) = (by.seq, (batch.now, 0).into(), None);
    let bytes = operation.payload().len();
    let judgement = judge.judge(&operation, bytes)?;
    Ok((Judgement { seq, ..judgement }, judge.write()?))
}

/// A batch half-way. Documents are read once and written once, however many operations are on them.
pub(super) struct Judge<'a> {
    pub(super) connection: &'a dyn Connection,
    pub(super) batch: &'a Batch,
    limits: &'a Limits,
    resolvers: &'a Resolvers,
    actor: ActorId,
    collections: BTreeMap<CollectionName, Open>,
    documents: BTreeMap<DocKey, Document>,
    /// Documents with an operation that waits for somebody to decide, and which no later one may overtake.
    conflicted: BTreeSet<DocKey>,
    /// Documents with an operation that is to come again under another id, and which no later one may overtake.
    taken: BTreeSet<DocKey>,
}

impl<'a> Judge<'a> {
    fn open(
        connection: &'a dyn Connection,
        batch: &'a Batch,
        Rules { limits, resolvers, new_epoch }: &'a mut Rules,
        actor: ActorId,
    ) -> Result<Self, StorageError> {
        let mut collections = BTreeMap::new();
        for Resume { collection: name, strategy, after } in &batch.collections {
            let portion = batch.scope.access().portion(name);
            if portion == Portion::Nothing {
                continue;
            }
            let collection = settle(connection, batch.scope.tenant(), name, *strategy, new_epoch)?;
            collections.insert(name.clone(), Open::new(collection, portion, after.as_ref())?);
        }
        Ok(Self {
            connection,
            batch,
            limits,
            resolvers,
            actor,
            collections,
            documents: BTreeMap::new(),
            conflicted: BTreeSet::new(),
            taken: BTreeSet::new(),
        })
    }

    /// What the client is told of those letters that it holds and somebody has applied.
    fn reconcile(&self, holds: &[Seq]) -> Result<Vec<Judgement>, StorageError> {
        let (tenant, client) = (self.batch.scope.tenant(), self.batch.client);
        let applied = refusals::reconcile(self.connection, tenant, client, holds)?;
        let tell = |letter: AppliedLetter| match letter.doc {
            Some(doc) => self.told(&doc, letter.judgement),
            None => Ok(letter.judgement),
        };
        applied.into_iter().map(tell).collect()
    }

    fn operation(&mut self, operation: &Operation) -> Result<Judgement, StorageError> {
        let seq = operation.seq;
        if seq.0 == 0 || seq.0 > MAX_SAFE_INTEGER {
            // No id, so there is nothing that a judgement could be kept under.
            return Ok(rejected(
                operation,
                ErrorCode::InvalidOperation,
                "operation has a number out of range",
            ));
        }
        let payload = operation.payload();
        let hash = digest(&SHA256, payload.as_bytes());
        let (tenant, client) = (self.batch.scope.tenant(), self.batch.client.to_string());
        let maker = self.maker(operation)?;
        let origin = self.origin(operation, maker.as_ref())?;
        match self.earlier(operation, hash.as_ref(), maker.as_deref())? {
            Some(Earlier::Same(judgement)) => {
                self.keep(operation, &judgement, &origin)?;
                return self.told(&operation.doc, judgement);
            }
            Some(Earlier::Other) => {
                self.taken.insert(operation.doc.clone());
                let words = "the id was used for another operation before";
                return Ok(rejected(operation, ErrorCode::OperationIdReused, words));
            }
            None if self.taken.contains(&operation.doc) => {
                let words = "an earlier operation on the document has to come under another id";
                return Ok(rejected(operation, ErrorCode::OperationIdReused, words));
            }
            None => {}
        }
        let judgement = match origin.settled(self.connection, operation)? {
            Some(judgement) => judgement,
            None => self.judge(operation, payload.len())?,
        };
        match &judgement.outcome {
            // Nothing was written, and the id stays free for the operation that ends the conflict.
            Outcome::Conflicted(_) => {
                self.conflicted.insert(operation.doc.clone());
                return self.told(&operation.doc, judgement);
            }
            // It comes again under another id, and is judged then.
            Outcome::Rejected(why) if why.code == ErrorCode::OperationIdReused => {
                self.taken.insert(operation.doc.clone());
                return Ok(judgement);
            }
            _ => {}
        }
        let made = encode(&(operation.at, operation.schema, &operation.doc, operation.resolves.is_some()));
        self.connection.execute(
            "INSERT INTO judgements (tenant, client, seq, payload_hash, made, judgement, maker)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (tenant, &client, seq.0, hash.as_ref(), made, encode(&judgement), maker),
        )?;
        if operation.replaces.is_some() {
            origin.tried_again(self.connection, seq)?;
        }
        self.keep(operation, &judgement, &origin)?;
        self.told(&operation.doc, judgement)
    }

    /// Keeps an operation that was refused for good, unless something else was decided about it meanwhile.
    fn keep(
        &self,
        operation: &Operation,
        judgement: &Judgement,
        origin: &Origin,
    ) -> Result<(), StorageError> {
        let Some(why) = refusals::for_good(judgement) else { return Ok(()) };
        if origin.is_decided(self.connection, operation.seq)? {
            return Ok(());
        }
        let Batch { scope, client, collections, now, .. } = self.batch;
        let named = |known: &&Resume| known.collection == operation.doc.collection;
        let refused = Refused {
            scope,
            client: *client,
            seq: operation.seq,
            place: Place::Document(operation.doc.clone()),
            strategy: collections.iter().find(named).map(|known| known.strategy),
            body: encode(operation),
            why,
            now: *now,
            origin: (&origin.client, origin.seq),
        };
        refused.keep(self.connection)
    }

    /// A stored judgement as the client is told it: with the position in the history that it knows.
    fn told(&self, doc: &DocKey, mut judgement: Judgement) -> Result<Judgement, StorageError> {
        let Some(position) = &mut judgement.position else { return Ok(judgement) };
        let name = &doc.collection;
        if self.batch.scope.access().portion(name) == Portion::Nothing {
            *position = nowhere().map_err(corrupt("a judgement"))?;
        } else if let Some(open) =
            self.collections.get(name).filter(|open| open.collection.epoch == position.epoch)
        {
            position.epoch = open.name.clone();
        }
        Ok(judgement)
    }

    /// Judges an operation that is new.
    fn judge(&mut self, operation: &Operation, bytes: usize) -> Result<Judgement, StorageError> {
        let portion = self.batch.scope.access().portion(&operation.doc.collection);
        if !portion.holds(&operation.doc.id) {
            // Never more than this: whether the document or the collection exists is not told.
            return Ok(rejected(operation, ErrorCode::Forbidden, "the token does not allow this document"));
        }
        let Some(open) = self.collections.get_mut(&operation.doc.collection) else {
            let words = "the collection was not named with its strategy";
            return Ok(rejected(operation, ErrorCode::InvalidOperation, words));
        };
        if let Err(rejection) = validate(open.collection.strategy, operation) {
            return Ok(Judgement {
                seq: operation.seq,
                outcome: Outcome::Rejected(rejection),
                position: None,
                by: None,
                event: None,
            });
        }
        if bytes > self.limits.operation_bytes {
            let words = format!("operation has {bytes} bytes, {} are allowed", self.limits.operation_bytes);
            return Ok(rejected(operation, ErrorCode::InvalidOperation, words));
        }
        let head = open.collection.position();
        if self.conflicted.contains(&operation.doc) {
            let behind = Collision { fields: Vec::new(), theirs: None };
            return Ok(conflicted(operation, behind, head));
        }
        let document = match self.documents.entry(operation.doc.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let document = document(self.connection, open.collection.key, operation)?;
                entry.insert(document)
            }
        };
        let (rev, strategy) = (open.collection.head.next(), open.collection.strategy);
        let by = Dot { actor: self.actor, seq: operation.seq };
        if document.clock.covers(by) {
            // One client sends those of a document in their order, so that the other is a copy's. What each of the two
            // had seen cannot be told apart while they go by one name.
            let words = "a later operation on the document came under the same client id";
            return Ok(rejected(operation, ErrorCode::OperationIdReused, words));
        }
        let (epoch, now) = (open.name_in(operation), self.batch.now);
        let write = Write { operation, by, epoch: &epoch, rev, now, horizon: open.collection.pruned };
        let case = Case { strategy, document, write, limits: self.limits };
        let (applied, decided) = match collisions(strategy, document, &write) {
            None => {
                let applied = case.apply();
                let decided = case.decided_before(&applied);
                (applied, decided)
            }
            Some(clash) => {
                let conflict = case.conflict(self.connection, self.batch.scope.tenant(), clash)?;
                let collision =
                    Collision { fields: conflict.fields.clone(), theirs: conflict.author.clone() };
                match case.decide(self.resolvers, conflict) {
                    Some((applied, decided)) => (applied, Some(decided)),
                    None => return Ok(conflicted(operation, collision, head)),
                }
            }
        };
        if let Some(rejection) = misfit(&applied.document, self.limits) {
            return Ok(Judgement {
                seq: operation.seq,
                outcome: Outcome::Rejected(rejection),
                position: None,
                by: None,
                event: None,
            });
        }
        if let Some(Decided { conflict, resolution, by, on_server }) = decided {
            let record = ResolutionRecord {
                client: self.batch.client,
                seq: operation.seq,
                conflict,
                resolution,
                by,
                on_server,
                at: now,
                result: shown(&applied.document),
            };
            conflict::keep(self.connection, open.collection.key, &record)?;
        }
        *document = applied.document;
        open.collection.head = rev;
        Ok(Judgement {
            seq: operation.seq,
            outcome: applied.outcome,
            position: Some(open.collection.position()),
            by: None,
            event: None,
        })
    }

    /// Writes what the operations came to.
    fn write(self) -> Result<Vec<Arc<Advance>>, StorageError> {
        let Self { connection, batch, collections, documents, .. } = self;
        let mut changed: BTreeMap<CollectionName, Vec<Changed>> = BTreeMap::new();
        let write = "INSERT INTO documents (collection, id, rev, state, buried) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (collection, id)
             DO UPDATE SET rev = excluded.rev, state = excluded.state, buried = excluded.buried";
        let mut bytes = 0;
        for (key, doc) in documents {
            let Some(open) = collections.get(&key.collection) else { continue };
            if doc.rev <= open.before.offset {
                // Read for an operation that was rejected.
                continue;
            }
            let state = encode(&doc);
            let buried = (!doc.is_alive()).then_some(batch.now.0);
            let row = (open.collection.key, key.id.as_str(), doc.rev.0, &state, buried);
            connection.execute(write, row)?;
            bytes += state.len();
            changed.entry(key.collection).or_default().push(Changed { id: key.id, doc });
        }
        let mut advances = Vec::new();
        for (name, mut documents) in changed {
            let Some(Open { collection, before, .. }) = collections.get(&name) else { continue };
            connection.execute(
                "UPDATE collections SET head = ?1 WHERE key = ?2",
                (collection.head.0, collection.key),
            )?;
            documents.sort_by_key(|changed| changed.doc.rev);
            let (from, to) = (before.clone(), collection.position());
            let news = (bytes <= ADVANCE_BYTES).then(|| {
                let changes = Changes {
                    collection: name.clone(),
                    from: Some(from.clone()),
                    to: to.clone(),
                    documents: documents.clone(),
                    recovered: true,
                    more: false,
                };
                News { frame: encode(&ServerFrame::Changes(changes)).into(), documents }
            });
            let tenant = batch.scope.tenant().clone();
            advances.push(Arc::new(Advance { tenant, collection: name, from, to, news }));
        }
        Ok(advances)
    }
}

fn document(
    connection: &dyn Connection,
    collection: i64,
    operation: &Operation,
) -> Result<Document, StorageError> {
    let state: Option<String> = connection.optional(
        "SELECT state FROM documents WHERE collection = ?1 AND id = ?2",
        (collection, operation.doc.id.as_str()),
        |row| row.get(0),
    )?;
    match state {
        Some(state) => decode(&state).map_err(corrupt("a document")),
        None => Ok(Document::default()),
    }
}

fn rejected(operation: &Operation, code: ErrorCode, message: impl Into<String>) -> Judgement {
    let outcome = Outcome::Rejected(Rejection { code, message: message.into() });
    Judgement { seq: operation.seq, outcome, position: None, by: None, event: None }
}

fn conflicted(operation: &Operation, collision: Collision, head: StreamPosition) -> Judgement {
    Judgement {
        seq: operation.seq,
        outcome: Outcome::Conflicted(collision),
        position: Some(head),
        by: None,
        event: None,
    }
}
