//! The replica's file, which may be thrown away.

use std::{fs, io, path::PathBuf};

use rusqlite::{Connection, Transaction, params};

use super::{
    connection::{self, Settings},
    store_error,
};
use crate::{
    engine::storage::{Clear, Query, ReplicaBatch, StoreError, StoredDocument},
    protocol::{CollectionName, DocKey, DocumentId, StreamPosition, decode},
};

// SQLite compares text by the bytes of its UTF-8, which is the order the store owes.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE document (
        collection TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (collection, id)
    ) STRICT;
    CREATE TABLE cursor (collection TEXT PRIMARY KEY, position TEXT NOT NULL) STRICT, WITHOUT ROWID;
"];

/// Either an open file, or the reason why there is none; clearing all of it mends that.
pub(super) struct Replica {
    file: PathBuf,
    bytes: u64,
    connection: Result<Connection, StoreError>,
}

impl Replica {
    /// Does not fail: what is wrong with the file is told by every use of it.
    pub(super) fn open(file: PathBuf, bytes: u64) -> Self {
        let connection = Self::connect(&file, bytes);
        Self { file, bytes, connection }
    }

    fn connect(file: &std::path::Path, bytes: u64) -> Result<Connection, StoreError> {
        connection::open(file, &Settings { synchronous: "NORMAL", bytes, migrations: MIGRATIONS })
    }

    fn connection(&self) -> Result<&Connection, StoreError> {
        self.connection.as_ref().map_err(Clone::clone)
    }

    pub(super) fn cursors(&self) -> Result<Vec<(CollectionName, StreamPosition)>, StoreError> {
        let mut select =
            self.connection()?.prepare("SELECT collection, position FROM cursor").map_err(store_error)?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(store_error)?;
        rows.map(|row| {
            let (collection, position): (String, String) = row.map_err(store_error)?;
            let position = decode(&position).map_err(corrupt)?;
            Ok((CollectionName::new(&collection).map_err(corrupt)?, position))
        })
        .collect()
    }

    pub(super) fn read(&self, query: &Query) -> Result<Vec<StoredDocument>, StoreError> {
        let (sql, collection, from, to, limit) = match query {
            Query::One(DocKey { collection, id }) => (
                "SELECT id, text FROM document WHERE collection = ?1 AND id = ?2 LIMIT ?4",
                collection,
                Some(id),
                None,
                1,
            ),
            Query::Range { collection, from, to, limit } => (
                "SELECT id, text FROM document WHERE collection = ?1 AND id >= ?2 AND (?3 IS NULL OR id < ?3)
                 ORDER BY id LIMIT ?4",
                collection,
                from.as_ref(),
                to.as_ref(),
                *limit,
            ),
        };
        // No id is empty, so the empty text is a bound below all of them.
        let from = from.map_or("", DocumentId::as_str);
        let values = params![collection.as_str(), from, to.map(DocumentId::as_str), limit];
        let mut select = self.connection()?.prepare_cached(sql).map_err(store_error)?;
        let rows = select.query_map(values, |row| Ok((row.get(0)?, row.get(1)?))).map_err(store_error)?;
        rows.map(|row| {
            let (id, text): (String, String) = row.map_err(store_error)?;
            let id = DocumentId::new(&id).map_err(corrupt)?;
            Ok(StoredDocument { key: DocKey { collection: collection.clone(), id }, text })
        })
        .collect()
    }

    pub(super) fn apply(&mut self, batch: &ReplicaBatch) -> Result<(), StoreError> {
        let outcome = self.write(batch);
        if batch.clear == Clear::All && self.is_beyond_repair(&outcome) {
            self.recreate()?;
            return self.write(batch);
        }
        outcome
    }

    fn is_beyond_repair(&self, outcome: &Result<(), StoreError>) -> bool {
        self.connection.is_err() || matches!(outcome, Err(StoreError::Corrupt(_)))
    }

    fn write(&mut self, batch: &ReplicaBatch) -> Result<(), StoreError> {
        let connection = self.connection.as_mut().map_err(|error| error.clone())?;
        let transaction = connection.transaction().map_err(store_error)?;
        write(&transaction, batch).map_err(store_error)?;
        transaction.commit().map_err(store_error)
    }

    fn recreate(&mut self) -> Result<(), StoreError> {
        // Closed before it is removed: an open file keeps its log and its lock.
        self.connection = Err(StoreError::Failed("the replica is being made anew".into()));
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut file = self.file.clone().into_os_string();
            file.push(suffix);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::Denied(format!("{}: {error}", file.display())));
                }
                _ => {}
            }
        }
        self.connection = Self::connect(&self.file, self.bytes);
        self.connection().map(|_| ())
    }
}

fn write(transaction: &Transaction<'_>, batch: &ReplicaBatch) -> rusqlite::Result<()> {
    match &batch.clear {
        Clear::Nothing => {}
        Clear::Collections(names) => {
            for name in names {
                transaction.execute("DELETE FROM document WHERE collection = ?1", [name.as_str()])?;
                transaction.execute("DELETE FROM cursor WHERE collection = ?1", [name.as_str()])?;
            }
        }
        Clear::All => transaction.execute_batch("DELETE FROM document; DELETE FROM cursor;")?,
    }
    let mut delete = transaction.prepare_cached("DELETE FROM document WHERE collection = ?1 AND id = ?2")?;
    for key in &batch.remove {
        delete.execute((key.collection.as_str(), key.id.as_str()))?;
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO document (collection, id, text) VALUES (?1, ?2, ?3)
         ON CONFLICT (collection, id) DO UPDATE SET text = excluded.text",
    )?;
    for document in &batch.put {
        insert.execute((document.key.collection.as_str(), document.key.id.as_str(), &document.text))?;
    }
    let mut advance =
        transaction.prepare_cached("REPLACE INTO cursor (collection, position) VALUES (?1, ?2)")?;
    for (collection, position) in &batch.cursors {
        advance.execute((collection.as_str(), crate::protocol::encode(position)))?;
    }
    Ok(())
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
