//! What stands in the place of an operation that was refused. Its client may try it again, as a new operation that names
//! it, and an operator may apply it. Both have it judged, and whoever comes first has decided: what a client tries again
//! takes the letter away from the operators, and what they have applied is the answer to what the client tries later.
//!
//! All of that goes by the *origin*: the first operation of those that stand in one another's place.

use aws_lc_rs::digest::{SHA256, digest};
use sdk_core::protocol::{ClientId, DocKey, Judgement, Operation, Outcome, Seq, decode, encode};

use super::{Connection, corrupt, refusals};
use crate::storage::StorageError;

/// An operation by who made it and its number, which nothing that stands in its place changes.
pub(super) struct Origin {
    pub(super) tenant: String,
    pub(super) client: String,
    pub(super) seq: Seq,
    pub(super) doc: DocKey,
}

impl Origin {
    /// Of what another operation says that it stands in the place of; `owned` is the id of a client, if it is one of the
    /// subject's: whoever names somebody else's learns nothing and takes nothing. An operation that stands in nobody's
    /// place, and that has this `maker`, is its own.
    pub(super) fn of(
        tenant: &str,
        operation: &Operation,
        maker: String,
        owned: impl FnOnce(ClientId) -> Result<Option<String>, StorageError>,
    ) -> Result<Self, StorageError> {
        let named = match &operation.replaces {
            Some(first) => owned(first.client)?.map(|client| (client, first.seq)),
            None => None,
        };
        let (client, seq) = named.unwrap_or((maker, operation.seq));
        Ok(Self { tenant: tenant.to_owned(), client, seq, doc: operation.doc.clone() })
    }

    /// What an operator's decision means for an operation in its place. One that says the same has the outcome; of another
    /// nothing was applied.
    pub(super) fn settled(
        &self,
        connection: &dyn Connection,
        operation: &Operation,
    ) -> Result<Option<Judgement>, StorageError> {
        if operation.replaces.is_none() {
            return Ok(None);
        }
        let sql = format!("SELECT judgement, intents {WHERE} AND judgement IS NOT NULL");
        let found = connection
            .optional(&sql, self.key(), |row| Ok((row.get::<String>(0)?, row.get::<Option<Vec<u8>>>(1)?)))?;
        let Some((judgement, intents)) = found else { return Ok(None) };
        let judgement: Judgement = decode(&judgement).map_err(corrupt("a dead letter"))?;
        // An earlier release did not note what it was.
        let same = intents.is_none_or(|intents| intents == hash(operation));
        let outcome = if same { judgement.outcome } else { Outcome::Superseded {} };
        Ok(Some(Judgement { seq: operation.seq, outcome, ..judgement }))
    }

    /// Whether something else has decided about an operation: a later one in the place of the same was judged, or an operator
    /// has applied it.
    pub(super) fn is_decided(&self, connection: &dyn Connection, seq: Seq) -> Result<bool, StorageError> {
        let sql = format!("SELECT judgement IS NOT NULL OR latest > ?6 {WHERE}");
        let (tenant, client, first, collection, document) = self.key();
        let decided =
            connection
                .optional(&sql, (tenant, client, first, collection, document, seq.0), |row| row.get(0))?;
        Ok(decided.unwrap_or(false))
    }

    /// Its client has tried it again as this operation, which was judged: no operator decides about those before it any more.
    pub(super) fn tried_again(&self, connection: &dyn Connection, seq: Seq) -> Result<(), StorageError> {
        let sql = "INSERT INTO origins (tenant, client, seq, collection, document, latest)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT (tenant, client, seq, collection, document) DO UPDATE SET latest =
                CASE WHEN excluded.latest > origins.latest THEN excluded.latest ELSE origins.latest END";
        let (tenant, client, first, collection, document) = self.key();
        connection.execute(sql, (tenant, client, first, collection, document, seq.0))?;
        refusals::end(connection, self)
    }

    /// An operator has applied the operation that stands in its place.
    pub(super) fn applied(
        &self,
        connection: &dyn Connection,
        operation: &Operation,
        judgement: &Judgement,
    ) -> Result<(), StorageError> {
        let sql =
            "INSERT INTO origins (tenant, client, seq, collection, document, latest, judgement, intents)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            ON CONFLICT (tenant, client, seq, collection, document)
            DO UPDATE SET judgement = excluded.judgement, intents = excluded.intents";
        let (tenant, client, first, collection, document) = self.key();
        let (seq, judged, intents) = (operation.seq.0, encode(judgement), hash(operation));
        connection.execute(sql, (tenant, client, first, collection, document, seq, judged, intents))?;
        Ok(())
    }

    fn key(&self) -> (&str, &str, u64, &str, &str) {
        let Self { tenant, client, seq, doc } = self;
        (tenant, client, seq.0, doc.collection.as_str(), doc.id.as_str())
    }
}

const WHERE: &str =
    "FROM origins WHERE tenant = ?1 AND client = ?2 AND seq = ?3 AND collection = ?4 AND document = ?5";

/// What an operation does, whenever it was made.
fn hash(operation: &Operation) -> Vec<u8> {
    digest(&SHA256, encode(&operation.intents).as_bytes()).as_ref().to_vec()
}
