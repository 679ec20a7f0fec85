//! What the server's database holds, read from its tables without the server's code.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use sdk_core::protocol::{CollectionName, DocKey, Document, Judgement, Strategy, decode};

use server_reference::storage::ResolutionRecord;

use crate::ledger::OpKey;

/// A collection of a tenant.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    /// How its documents are written.
    pub(crate) strategy: Strategy,
    /// Its history.
    pub(crate) epoch: String,
    /// Its newest offset.
    pub(crate) head: u64,
    /// Its documents, deleted ones included: revision and text by id.
    pub(crate) documents: BTreeMap<String, (u64, String)>,
}

/// Everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    /// By tenant and name.
    pub(crate) collections: BTreeMap<(String, String), Collection>,
    /// By id; one row each, or it would not be a key.
    pub(crate) judgements: BTreeMap<OpKey, Judgement>,
    /// How conflicts were decided, with the tenant, those of a document in order; only [`Self::whole`] reads them.
    pub(crate) resolutions: Vec<(String, ResolutionRecord)>,
    /// The number of each writer, by tenant and client.
    pub(crate) actors: BTreeMap<(String, String), u32>,
}

impl Records {
    /// Reads all of a database.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn whole(path: &Path) -> rusqlite::Result<Self> {
        Ok(Self { resolutions: resolutions(path)?, ..Self::read(path)? })
    }

    /// Reads a database that may be in use, but for what nobody asks for before the end.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut records = Self::default();
        let mut names = BTreeMap::new();
        let mut rows =
            connection.prepare("SELECT key, tenant, name, strategy, epoch, head FROM collections")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let name: (String, String) = (row.get(1)?, row.get(2)?);
            let strategy: String = row.get(3)?;
            let strategy = Strategy::named(&strategy).unwrap_or(Strategy::FieldLevel);
            names.insert(row.get::<_, i64>(0)?, name.clone());
            let (epoch, head) = (row.get(4)?, row.get(5)?);
            let collection = Collection { strategy, epoch, head, documents: BTreeMap::new() };
            records.collections.insert(name, collection);
        }
        let mut rows = connection.prepare("SELECT collection, id, rev, state FROM documents")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let collection =
                names.get(&row.get::<_, i64>(0)?).and_then(|name| records.collections.get_mut(name));
            if let Some(collection) = collection {
                collection.documents.insert(row.get(1)?, (row.get(2)?, row.get(3)?));
            }
        }
        let mut rows = connection.prepare("SELECT tenant, client, seq, judgement FROM judgements")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(3)?;
            let judgement = decode(&text).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(error))
            })?;
            records.judgements.insert((row.get(0)?, row.get(1)?, row.get(2)?), judgement);
        }
        let mut rows = connection.prepare("SELECT tenant, client, actor FROM clients")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            records.actors.insert((row.get(0)?, row.get(1)?), row.get(2)?);
        }
        Ok(records)
    }
}

fn resolutions(path: &Path) -> rusqlite::Result<Vec<(String, ResolutionRecord)>> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = connection.prepare(
        "SELECT tenant, record FROM resolutions JOIN collections ON collections.key = resolutions.collection
         ORDER BY resolutions.key",
    )?;
    let rows = statement.query_map([], |row| {
        let text: String = row.get(1)?;
        let record = decode(&text).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
        })?;
        Ok((row.get(0)?, record))
    })?;
    rows.collect()
}

/// Looks at a database in use, over a connection of its own: what it sees is committed.
pub(crate) struct Witness(Connection);

impl Witness {
    /// Looks at a database.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        Ok(Self(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?))
    }

    /// The judgement of an operation.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn judgement(&self, key: &OpKey) -> rusqlite::Result<Option<Judgement>> {
        let mut statement = self.0.prepare_cached(
            "SELECT judgement FROM judgements WHERE tenant = ?1 AND client = ?2 AND seq = ?3",
        )?;
        let text: Option<String> =
            statement.query_row((&key.0, &key.1, key.2), |row| row.get(0)).optional()?;
        Ok(text.and_then(|text| decode(&text).ok()))
    }

    /// The epochs of all collections.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn epochs(&self) -> rusqlite::Result<Vec<String>> {
        self.0.prepare("SELECT epoch FROM collections")?.query_map([], |row| row.get(0))?.collect()
    }

    /// The actor of a client.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn actor(&self, tenant: &str, client: &str) -> rusqlite::Result<Option<u32>> {
        let mut statement =
            self.0.prepare_cached("SELECT actor FROM clients WHERE tenant = ?1 AND client = ?2")?;
        statement.query_row((tenant, client), |row| row.get(0)).optional()
    }

    /// The epoch of a collection.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn epoch(
        &self,
        tenant: &str,
        collection: &CollectionName,
    ) -> rusqlite::Result<Option<String>> {
        let mut statement =
            self.0.prepare_cached("SELECT epoch FROM collections WHERE tenant = ?1 AND name = ?2")?;
        statement.query_row((tenant, collection.as_str()), |row| row.get(0)).optional()
    }

    /// The text of each document of a collection that is not deleted, by id.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn living(
        &self,
        tenant: &str,
        collection: &CollectionName,
    ) -> rusqlite::Result<BTreeMap<String, String>> {
        let mut statement = self.0.prepare_cached(
            "SELECT id, state FROM documents JOIN collections ON documents.collection = collections.key
             WHERE collections.tenant = ?1 AND collections.name = ?2",
        )?;
        let rows =
            statement.query_map((tenant, collection.as_str()), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut documents: BTreeMap<String, String> = rows.collect::<Result<_, _>>()?;
        documents.retain(|_, text| decode::<Document>(text).is_ok_and(|document| document.is_alive()));
        Ok(documents)
    }

    /// A document as it is stored, deleted ones included.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn document(&self, tenant: &str, doc: &DocKey) -> rusqlite::Result<Option<Document>> {
        let mut statement = self.0.prepare_cached(
            "SELECT state FROM documents JOIN collections ON documents.collection = collections.key
             WHERE collections.tenant = ?1 AND collections.name = ?2 AND documents.id = ?3",
        )?;
        let found = statement.query_row((tenant, doc.collection.as_str(), doc.id.as_str()), |row| row.get(0));
        let text: Option<String> = found.optional()?;
        Ok(text.and_then(|text| decode(&text).ok()))
    }

    /// The documents of each collection, deleted ones included, with their revisions.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn documents(&self) -> rusqlite::Result<BTreeMap<(String, String), BTreeMap<String, u64>>> {
        let mut statement = self.0.prepare_cached(
            "SELECT tenant, name, id, rev FROM documents JOIN collections ON documents.collection = collections.key",
        )?;
        let mut rows = statement.query([])?;
        let mut found: BTreeMap<(String, String), BTreeMap<String, u64>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            found.entry((row.get(0)?, row.get(1)?)).or_default().insert(row.get(2)?, row.get(3)?);
        }
        Ok(found)
    }
}
