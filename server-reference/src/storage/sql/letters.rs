//! The dead letters of clients, for those who administer what they are for.

use std::sync::Arc;

use sdk_core::{
    clock::Millis,
    protocol::{Judgement, Operation, Outcome, Rejection, Resume, TopicPosition, decode, encode},
};

use super::{
    Connection, Rules, commit, read,
    refusals::{self, Stored},
};
use crate::{
    access::{Portion, Right},
    storage::{
        Advance, Batch, StorageError,
        events::{Attempt, CloudEvent, LetterId, LogError, MAX_LETTERS, Which, allow},
        refusals::{ClientChange, ClientDead, ClientFate, ClientLetter, Place},
        sqlite::audit,
    },
    tenant::TenantScope,
};

/// What became of letters, and what readers of documents are told of it.
pub(in crate::storage) type Changed = (Vec<(LetterId, ClientFate)>, Vec<Arc<Advance>>);

/// The letters of those that a scope administers. That they are shown is on record first.
pub(in crate::storage) fn list(
    connection: &dyn Connection,
    scope: &TenantScope,
    which: Which,
    now: Millis,
) -> Result<ClientDead, LogError> {
    if !scope.access().administers_any() {
        return Err(LogError::Forbidden);
    }
    let letters = match which {
        Which::One(id) => {
            let stored = find(connection, scope, id)?.ok_or(LogError::NoSuchLetter)?;
            audit::record(connection, scope, "dead letter read", &target(&[id]), now)?;
            vec![stored.letter]
        }
        Which::After(key, most) => {
            audit::viewing(connection, scope, CLIENTS, now)?;
            page(connection, scope, key, most)?
        }
    };
    let dropped = refusals::dropped(connection, scope.tenant())?;
    Ok(ClientDead { letters, dropped })
}

/// Changes letters, of those that a scope administers. On an error the caller rolls back.
pub(in crate::storage) fn change(
    connection: &dyn Connection,
    rules: &mut Rules,
    scope: &TenantScope,
    change: &ClientChange,
    now: Millis,
) -> Result<Changed, LogError> {
    if !scope.access().administers_any() {
        return Err(LogError::Forbidden);
    }
    let tenant = scope.tenant();
    let mut advances = Vec::new();
    let record = |action: &str, ids: &[LetterId]| audit::record(connection, scope, action, &target(ids), now);
    let fates = match change {
        ClientChange::Edit(id, text) => {
            let stored = find(connection, scope, *id)?.ok_or(LogError::NoSuchLetter)?;
            stored.edit(connection, tenant, &edited(&stored.letter, text)?)?;
            record("dead letter edited", &[*id])?;
            vec![(*id, ClientFate::Edited)]
        }
        ClientChange::Discard(ids) => {
            let discard = |id: &LetterId| {
                let Some(stored) = find(connection, scope, *id)? else {
                    return Ok((*id, ClientFate::Gone));
                };
                stored.discard(connection, tenant)?;
                Ok::<_, LogError>((*id, ClientFate::Discarded))
            };
            let fates = ids.iter().map(discard).collect::<Result<_, _>>()?;
            record("dead letters discarded", ids)?;
            fates
        }
        ClientChange::Retry(id) => {
            record("dead letters retried", &[*id])?;
            let fate = match find(connection, scope, *id)? {
                None => ClientFate::Gone,
                Some(stored) => match &stored.letter.place {
                    Place::Topic(topic) => {
                        allow(scope, topic, Right::Write)?;
                        ClientFate::Publish(topic.clone(), stored.letter.body)
                    }
                    Place::Document(_) if stored.is_decided(connection, tenant)? => {
                        stored.discard(connection, tenant)?;
                        ClientFate::Gone
                    }
                    Place::Document(_) => {
                        let batch = batch(connection, scope, &stored, now)?;
                        let operation = stored.operation()?;
                        let (judgement, told) = commit::again(connection, &batch, operation, rules)?;
                        advances = told;
                        settle(connection, scope, stored, judgement, now)?
                    }
                },
            };
            vec![(*id, fate)]
        }
        ClientChange::Settle(id, answer) => {
            let fate = match find(connection, scope, *id)? {
                None => ClientFate::Gone,
                Some(stored) => {
                    let judgement = published(&stored, answer);
                    settle(connection, scope, stored, judgement, now)?
                }
            };
            vec![(*id, fate)]
        }
    };
    Ok((fates, advances))
}

/// What a record of the audit names, where the letters of groups have the name of their group.
const CLIENTS: &str = "(clients)";

fn target(ids: &[LetterId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("{CLIENTS} {}", ids.join(","))
}

/// Whether a scope administers what a letter is for.
fn administers(scope: &TenantScope, letter: &ClientLetter) -> bool {
    match &letter.place {
        Place::Document(doc) => scope.access().administers(doc),
        Place::Topic(topic) => scope.topic(topic.as_str(), Right::Admin),
    }
}

/// A letter, if it is there and the scope administers what it is for: others learn nothing of it.
fn find(
    connection: &dyn Connection,
    scope: &TenantScope,
    id: LetterId,
) -> Result<Option<Stored>, StorageError> {
    let found = Stored::find(connection, scope.tenant(), id)?;
    Ok(found.filter(|stored| administers(scope, &stored.letter)))
}

/// The letters behind one that the scope administers. There are so few that all may be looked at.
fn page(
    connection: &dyn Connection,
    scope: &TenantScope,
    mut key: i64,
    most: usize,
) -> Result<Vec<ClientLetter>, StorageError> {
    let (most, mut letters) = (most.min(MAX_LETTERS), Vec::new());
    loop {
        let page = Stored::after(connection, scope.tenant(), key, most)?;
        let Some(last) = page.last() else { return Ok(letters) };
        key = last.letter.id.key;
        let administered = page.into_iter().map(|stored| stored.letter).filter(|one| administers(scope, one));
        letters.extend(administered.map(|letter| ClientLetter { body: String::new(), ..letter }));
        if letters.len() >= most {
            letters.truncate(most);
            return Ok(letters);
        }
    }
}

/// What an operator puts in place of a letter's content, as it is kept.
fn edited(letter: &ClientLetter, text: &str) -> Result<String, LogError> {
    match &letter.place {
        Place::Topic(_) => {
            CloudEvent::new(text.to_owned().into())
                .map_err(|no_event| LogError::BadEdit(no_event.to_string()))?;
            Ok(text.to_owned())
        }
        Place::Document(doc) => {
            let operation: Operation = decode(text).map_err(|error| LogError::BadEdit(error.to_string()))?;
            if (&operation.doc, operation.seq) == (doc, letter.seq) {
                Ok(encode(&operation))
            } else {
                Err(LogError::BadEdit("an operation stays one on its document, with its seq".into()))
            }
        }
    }
}

/// In whose name, and upon which collection, a letter's operation is judged once more.
fn batch(
    connection: &dyn Connection,
    scope: &TenantScope,
    stored: &Stored,
    now: Millis,
) -> Result<Batch, LogError> {
    let Place::Document(doc) = &stored.letter.place else { return Err(LogError::NoSuchLetter) };
    if scope.access().portion(&doc.collection) == Portion::Nothing {
        return Err(LogError::Forbidden);
    }
    // As it was set up, or as the client wanted it to be.
    let there = read::collection(connection, scope.tenant(), doc.collection.as_str())?;
    let strategy = there.map(|collection| collection.strategy).or(stored.strategy);
    let resume = |strategy| Resume { collection: doc.collection.clone(), strategy, after: None };
    Ok(Batch {
        scope: scope.clone(),
        client: stored.letter.client,
        collections: strategy.map(resume).into_iter().collect(),
        operations: Vec::new(),
        holds: None,
        now,
    })
}

fn published(stored: &Stored, answer: &Result<TopicPosition, Rejection>) -> Judgement {
    let outcome = match answer {
        Ok(position) => Outcome::Published { position: *position },
        Err(why) => Outcome::Rejected(why.clone()),
    };
    Judgement { seq: stored.letter.seq, outcome, position: None, by: None, event: stored.event.clone() }
}

/// Ends a letter, or keeps it with one more attempt.
fn settle(
    connection: &dyn Connection,
    scope: &TenantScope,
    stored: Stored,
    judgement: Judgement,
    now: Millis,
) -> Result<ClientFate, StorageError> {
    let error = match &judgement.outcome {
        Outcome::Rejected(Rejection { code, message }) => format!("{code}: {message}"),
        Outcome::Conflicted(_) => "conflicted: it is for its client to decide".into(),
        _ => {
            stored.applied(connection, scope.tenant(), &judgement)?;
            return Ok(ClientFate::Applied);
        }
    };
    let attempt = Attempt { at: now.0, worker: scope.subject().to_string(), error };
    stored.refused_again(connection, scope.tenant(), attempt, None)?;
    Ok(ClientFate::Refused)
}
