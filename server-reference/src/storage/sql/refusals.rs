//! What clients were refused for good, within a transaction.

use std::ops::ControlFlow;

use sdk_core::{
    clock::Millis,
    protocol::{
        ClientId, DocKey, ErrorCode, EventName, Judgement, Operation, Outcome, Rejection, Seq, Strategy,
        decode, encode,
    },
};

use super::{Connection, Row, corrupt, origins::Origin};
use crate::{
    storage::{
        StorageError,
        events::{Attempt, LetterId, MAX_HISTORY, TopicName},
        refusals::{ClientLetter, MAX_CLIENT_LETTERS, MAX_TENANT_BYTES, MAX_TENANT_LETTERS, Note, Place},
    },
    tenant::TenantScope,
};

/// A refusal as it is kept.
pub(super) struct Refused<'a> {
    pub(super) scope: &'a TenantScope,
    pub(super) client: ClientId,
    pub(super) seq: Seq,
    pub(super) place: Place,
    /// As which the client knows the collection of an operation.
    pub(super) strategy: Option<Strategy>,
    pub(super) body: String,
    pub(super) why: &'a Rejection,
    pub(super) now: Millis,
    /// The operation in whose place it stands, which is itself unless it was tried again.
    pub(super) origin: (&'a str, Seq),
}

impl Refused<'_> {
    /// Keeps an operation. If it comes again, it is there already.
    pub(super) fn keep(&self, connection: &dyn Connection) -> Result<(), StorageError> {
        let (kind, name, document) = columns(&self.place);
        let (tenant, client) = (self.scope.tenant(), self.client.to_string());
        let history = encode_history(&[self.attempt()])?;
        let sql = "INSERT INTO refused
            (tenant, client, seq, subject, kind, name, document, strategy, body, edited, since, round, history,
            origin_client, origin_seq, event)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, FALSE, ?10, 1, ?11, ?12, ?13, ?14)
            ON CONFLICT (tenant, client, seq) DO NOTHING";
        let new = connection.execute(
            sql,
            (
                tenant,
                &client,
                self.seq.0,
                self.scope.subject(),
                kind,
                name,
                document,
                self.strategy.map(Strategy::as_str),
                &self.body,
                self.now.0,
                history,
                self.origin.0,
                self.origin.1.0,
                self.event(),
            ),
        )?;
        if new > 0 {
            count(connection, tenant, 1, signed(self.body.len()))?;
            make_room(connection, tenant, &client)?;
        }
        Ok(())
    }

    /// The name of the event that it is, as it is kept.
    fn event(&self) -> Option<String> {
        let Place::Topic(_) = &self.place else { return None };
        EventName::of(&self.body).ok().map(|name| name.text())
    }

    /// Keeps an event. Its client may have tried it once more, or mended it, or a copy of the client has another of that
    /// number: the newest is kept, but what an operator has made of one stays.
    fn keep_event(&self, connection: &dyn Connection) -> Result<(), StorageError> {
        let (tenant, client) = (self.scope.tenant(), self.client.to_string());
        let sql = format!("{COLUMNS} WHERE tenant = ?1 AND client = ?2 AND seq = ?3");
        let there = connection.optional(&sql, (tenant, &client, self.seq.0), stored)?;
        let Some(there) = there else { return self.keep(connection) };
        if matches!(there.letter.place, Place::Document(_)) {
            // An edit of a copy of the client has that number.
            return Ok(());
        }
        let edited = there.letter.edited && there.outcome.is_none();
        there.refused_again(connection, tenant, self.attempt(), (!edited).then_some(self))
    }

    fn attempt(&self) -> Attempt {
        let Rejection { code, message } = self.why;
        Attempt { at: self.now.0, worker: self.client.to_string(), error: format!("{code}: {message}") }
    }
}

/// Keeps what was refused of a client's publications, and takes away the letters of what was not.
pub(in crate::storage) fn note(
    connection: &dyn Connection,
    scope: &TenantScope,
    client: ClientId,
    notes: &[Note],
    now: Millis,
) -> Result<(), StorageError> {
    for note in notes {
        match note {
            Note::Refused(publication, why) => {
                let (seq, place) = (publication.seq, Place::Topic(publication.topic.clone()));
                let body = publication.event.as_str().to_owned();
                let name = client.to_string();
                let origin = (name.as_str(), seq);
                Refused { scope, client, seq, place, strategy: None, body, why, now, origin }
                    .keep_event(connection)?;
            }
            Note::Published(seq) => {
                let sql = "SELECT key, octet_length(body) FROM refused
                    WHERE tenant = ?1 AND client = ?2 AND seq = ?3 AND kind = ?4";
                let of = (scope.tenant(), client.to_string(), seq.0, TOPIC);
                let found = connection.optional(sql, of, |row| Ok((row.get(0)?, row.get(1)?)))?;
                if let Some((key, bytes)) = found {
                    remove(connection, scope.tenant(), key, bytes)?;
                }
            }
        }
    }
    Ok(())
}

/// How many letters there are, of all tenants.
pub(in crate::storage) fn letters(connection: &dyn Connection) -> Result<i64, StorageError> {
    let sql = "SELECT CAST(coalesce(sum(letters), 0) AS BIGINT) FROM refused_tenants";
    connection.one(sql, (), |row| row.get(0))
}

/// Takes away the letters of what stood in the place of an operation.
pub(super) fn end(connection: &dyn Connection, origin: &Origin) -> Result<(), StorageError> {
    let Origin { tenant, client, seq, doc } = origin;
    let sql = "SELECT key, octet_length(body) FROM refused
        WHERE tenant = ?1 AND origin_client = ?2 AND origin_seq = ?3 AND name = ?4 AND document = ?5";
    let of = (tenant, client, seq.0, doc.collection.as_str(), doc.id.as_str());
    let over: Vec<(i64, usize)> = connection.all(sql, of, |row| Ok((row.get(0)?, row.get(1)?)))?;
    over.into_iter().try_for_each(|(key, bytes)| remove(connection, tenant, key, bytes))
}

/// A letter of which the client says that it holds it still, and which somebody has applied.
pub(super) struct AppliedLetter {
    pub(super) doc: Option<DocKey>,
    pub(super) judgement: Judgement,
}

/// Takes away the letters that their client does not hold any more, and returns those that were applied.
pub(super) fn reconcile(
    connection: &dyn Connection,
    tenant: &str,
    client: ClientId,
    holds: &[Seq],
) -> Result<Vec<AppliedLetter>, StorageError> {
    // Without what they hold, which may be much.
    let sql = "SELECT key, seq, octet_length(body), name, document, outcome FROM refused
        WHERE tenant = ?1 AND client = ?2 ORDER BY seq";
    let (mut over, mut applied) = (Vec::new(), Vec::new());
    connection.each(sql, (tenant, client.to_string()), |row| {
        if !holds.contains(&Seq(row.get(1)?)) {
            over.push((row.get(0)?, row.get(2)?));
        } else if let Some(outcome) = row.get::<Option<String>>(5)? {
            let judgement = decode(&outcome).map_err(corrupt("a dead letter"))?;
            let (name, document): (String, Option<String>) = (row.get(3)?, row.get(4)?);
            let doc = document.map(|id| DocKey::new(&name, &id)).transpose();
            applied.push(AppliedLetter { doc: doc.map_err(corrupt("a dead letter"))?, judgement });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (key, bytes) in over {
        remove(connection, tenant, key, bytes)?;
    }
    Ok(applied)
}

/// Whether letters of a client are kept.
pub(super) fn has_letters(
    connection: &dyn Connection,
    tenant: &str,
    client: ClientId,
) -> Result<bool, StorageError> {
    let sql = "SELECT 1 FROM refused WHERE tenant = ?1 AND client = ?2 LIMIT 1";
    connection.exists(sql, (tenant, client.to_string()))
}

/// A letter as it is kept. One that was applied is there until its client has heard of it.
pub(super) struct Stored {
    pub(super) letter: ClientLetter,
    pub(super) strategy: Option<Strategy>,
    pub(super) outcome: Option<Judgement>,
    origin: (String, Seq),
    /// The name of the event that its client holds, whatever an operator has made of it.
    pub(super) event: Option<String>,
}

impl Stored {
    /// The letter of an id that nobody has applied yet.
    pub(super) fn find(
        connection: &dyn Connection,
        tenant: &str,
        id: LetterId,
    ) -> Result<Option<Self>, StorageError> {
        let sql = format!("{COLUMNS} WHERE tenant = ?1 AND key = ?2 AND round = ?3 AND outcome IS NULL");
        connection.optional(&sql, (tenant, id.key, id.round), stored)
    }

    /// Letters behind one that nobody has applied yet, in their order.
    pub(super) fn after(
        connection: &dyn Connection,
        tenant: &str,
        key: i64,
        most: usize,
    ) -> Result<Vec<Self>, StorageError> {
        let sql =
            format!("{COLUMNS} WHERE tenant = ?1 AND key > ?2 AND outcome IS NULL ORDER BY key LIMIT ?3");
        connection.all(&sql, (tenant, key, most), stored)
    }

    /// The operation in whose place a letter's stands; none of an event.
    pub(super) fn origin(&self, tenant: &str) -> Option<Origin> {
        let Place::Document(doc) = &self.letter.place else { return None };
        let (client, seq) = self.origin.clone();
        Some(Origin { tenant: tenant.to_owned(), client, seq, doc: doc.clone() })
    }

    /// Whether something else was decided about it: two copies of a client may each have a letter of one operation.
    pub(super) fn is_decided(&self, connection: &dyn Connection, tenant: &str) -> Result<bool, StorageError> {
        let origin = self.origin(tenant);
        origin.map_or(Ok(false), |origin| origin.is_decided(connection, self.letter.seq))
    }

    pub(super) fn edit(
        &self,
        connection: &dyn Connection,
        tenant: &str,
        body: &str,
    ) -> Result<(), StorageError> {
        let sql = "UPDATE refused SET body = ?2, edited = TRUE WHERE key = ?1";
        connection.execute(sql, (self.letter.id.key, body))?;
        count(connection, tenant, 0, signed(body.len()) - signed(self.letter.body.len()))
    }

    /// It was refused once more, as it is here or as another: a repetition of what was decided before decides nothing.
    pub(super) fn refused_again(
        self,
        connection: &dyn Connection,
        tenant: &str,
        attempt: Attempt,
        other: Option<&Refused<'_>>,
    ) -> Result<(), StorageError> {
        let Self { letter, event, .. } = self;
        let edited = letter.edited && other.is_none();
        let body = other.map_or(&letter.body, |other| &other.body);
        let (_, name, _) = columns(other.map_or(&letter.place, |other| &other.place));
        let event = other.map_or(event, Refused::event);
        let (mut attempts, since) = (letter.attempts, attempt.at);
        attempts.push(attempt);
        attempts.drain(..attempts.len().saturating_sub(MAX_HISTORY));
        let sql = "UPDATE refused SET body = ?2, edited = ?3, since = ?4, history = ?5, round = round + 1,
            outcome = NULL, name = ?6, event = ?7 WHERE key = ?1";
        let history = encode_history(&attempts)?;
        connection.execute(sql, (letter.id.key, body, edited, since, history, name, event))?;
        count(connection, tenant, 0, signed(body.len()) - signed(letter.body.len()))
    }

    /// It was applied. What it held is in its place now, and only the outcome is kept, for its client.
    pub(super) fn applied(
        &self,
        connection: &dyn Connection,
        tenant: &str,
        outcome: &Judgement,
    ) -> Result<(), StorageError> {
        let sql = "UPDATE refused SET body = '', outcome = ?2 WHERE key = ?1";
        connection.execute(sql, (self.letter.id.key, encode(outcome)))?;
        count(connection, tenant, 0, -signed(self.letter.body.len()))?;
        if let Some(origin) = self.origin(tenant) {
            origin.applied(connection, &self.operation()?, outcome)?;
        }
        if matches!(self.letter.place, Place::Topic(_)) {
            // Events have no judgement that is kept; one of that number is of a copy's operation.
            return Ok(());
        }
        // An operation that comes again, from whichever copy of its client, is told so as well.
        let sql = "UPDATE judgements SET judgement = ?4 WHERE tenant = ?1 AND client = ?2 AND seq = ?3";
        connection
            .execute(sql, (tenant, self.letter.client.to_string(), self.letter.seq.0, encode(outcome)))?;
        Ok(())
    }

    pub(super) fn discard(&self, connection: &dyn Connection, tenant: &str) -> Result<(), StorageError> {
        remove(connection, tenant, self.letter.id.key, self.letter.body.len())
    }

    /// The operation that it holds.
    pub(super) fn operation(&self) -> Result<Operation, StorageError> {
        decode(&self.letter.body).map_err(corrupt("a dead letter"))
    }
}

/// How many letters of a tenant were let go because there were too many.
pub(super) fn dropped(connection: &dyn Connection, tenant: &str) -> Result<u64, StorageError> {
    let sql = "SELECT dropped FROM refused_tenants WHERE tenant = ?1";
    let dropped = connection.optional(sql, (tenant,), |row| row.get(0))?;
    Ok(dropped.unwrap_or(0))
}

/// Lets the oldest letters of a client and of a tenant go, where there are more than may be.
fn make_room(connection: &dyn Connection, tenant: &str, client: &str) -> Result<(), StorageError> {
    let sql = "SELECT count(*) FROM refused WHERE tenant = ?1 AND client = ?2";
    let mut of_client: usize = connection.one(sql, (tenant, client), |row| row.get(0))?;
    loop {
        let sql = "SELECT letters, bytes FROM refused_tenants WHERE tenant = ?1";
        let (letters, bytes): (u64, u64) =
            connection.one(sql, (tenant,), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let too_many = of_client > MAX_CLIENT_LETTERS;
        if !too_many && letters <= MAX_TENANT_LETTERS && bytes <= MAX_TENANT_BYTES {
            return Ok(());
        }
        let sql = "SELECT key, octet_length(body), client = ?2 FROM refused
            WHERE tenant = ?1 AND (NOT ?3 OR client = ?2) ORDER BY key LIMIT 1";
        let oldest: Option<(i64, usize, bool)> =
            connection.optional(sql, (tenant, client, too_many), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
        let Some((key, bytes, own)) = oldest else { return Ok(()) };
        remove(connection, tenant, key, bytes)?;
        of_client -= usize::from(own);
        let sql = "UPDATE refused_tenants SET dropped = dropped + 1 WHERE tenant = ?1";
        connection.execute(sql, (tenant,))?;
    }
}

fn remove(connection: &dyn Connection, tenant: &str, key: i64, bytes: usize) -> Result<(), StorageError> {
    connection.execute("DELETE FROM refused WHERE key = ?1", (key,))?;
    count(connection, tenant, -1, -signed(bytes))
}

fn count(connection: &dyn Connection, tenant: &str, letters: i64, bytes: i64) -> Result<(), StorageError> {
    let sql = "INSERT INTO refused_tenants (tenant, letters, bytes, dropped, seq) VALUES (?1, ?2, ?3, 0, 0)
        ON CONFLICT (tenant) DO UPDATE SET letters = refused_tenants.letters + ?2,
            bytes = refused_tenants.bytes + ?3";
    connection.execute(sql, (tenant, letters, bytes))?;
    Ok(())
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

const COLUMNS: &str =
    "SELECT key, round, client, seq, subject, kind, name, document, strategy, body, edited, since,
    history, outcome, origin_client, origin_seq, event FROM refused";
const DOCUMENT: &str = "document";
const TOPIC: &str = "topic";

fn columns(place: &Place) -> (&'static str, &str, Option<&str>) {
    match place {
        Place::Document(doc) => (DOCUMENT, doc.collection.as_str(), Some(doc.id.as_str())),
        Place::Topic(topic) => (TOPIC, topic.as_str(), None),
    }
}

fn stored(row: &dyn Row) -> Result<Stored, StorageError> {
    let (kind, name, document): (String, String, Option<String>) = (row.get(5)?, row.get(6)?, row.get(7)?);
    let place = match document {
        Some(id) => DocKey::new(&name, &id).ok().map(Place::Document),
        None => TopicName::new(&name).ok().map(Place::Topic),
    };
    let client = row.get::<String>(2)?.parse::<ClientId>().ok();
    let history: String = row.get(12)?;
    let attempts = serde_json::from_str(&history).ok();
    let outcome = row.get::<Option<String>>(13)?.map(|text| decode::<Judgement>(&text)).transpose();
    let (Some(place), Some(client), Some(attempts), Ok(outcome)) = (place, client, attempts, outcome) else {
        let source = format!("a {kind} has no place, client, history or outcome that can be read").into();
        return Err(StorageError::Corrupt { what: "a dead letter", source });
    };
    let letter = ClientLetter {
        id: LetterId { key: row.get(0)?, round: row.get(1)? },
        client,
        seq: Seq(row.get(3)?),
        subject: row.get(4)?,
        place,
        body: row.get(9)?,
        edited: row.get(10)?,
        since: Millis(row.get(11)?),
        attempts,
    };
    let strategy = row.get::<Option<String>>(8)?.and_then(|text| Strategy::named(&text));
    let origin = (row.get(14)?, Seq(row.get(15)?));
    let named = row.get::<Option<String>>(16)?;
    // One of before has no name; if nobody has edited it, it holds the event as it came.
    let as_it_came = || EventName::of(&letter.body).ok().filter(|_| !letter.edited).map(|name| name.text());
    let event = named.or_else(|| matches!(letter.place, Place::Topic(_)).then(as_it_came).flatten());
    Ok(Stored { letter, strategy, outcome, origin, event })
}

fn encode_history(attempts: &[Attempt]) -> Result<String, StorageError> {
    serde_json::to_string(attempts).map_err(corrupt("a dead letter"))
}

/// Why an operation rests with its client as a dead letter, if it does: one that comes again under another id does not.
pub(super) fn for_good(judgement: &Judgement) -> Option<&Rejection> {
    match &judgement.outcome {
        Outcome::Rejected(why) if why.code != ErrorCode::OperationIdReused => Some(why),
        _ => None,
    }
}
