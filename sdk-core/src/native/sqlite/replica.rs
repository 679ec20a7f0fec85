//! The replica's file, which may be thrown away.

use std::{fs, io, path::PathBuf};

use rusqlite::{Connection, Transaction, params};

use super::{
    connection::{self, Settings},
    store_error,
};
use crate::{
    engine::storage::{
        Clear, Generation, Query, ReplicaBatch, Rows, Scan, Segment, StoreError, StoredDocument,
    },
    protocol::{CollectionName, DocKey, DocumentId, StreamPosition, decode},
};

// SQLite compares text by the bytes of its UTF-8, which is the order the store owes.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE document (
        collection TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (collection, id)
    ) STRICT;
    CREATE TABLE cursor (collection TEXT PRIMARY KEY, position TEXT NOT NULL) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE segment (
        collection TEXT NOT NULL, generation INTEGER NOT NULL, last TEXT NOT NULL, text TEXT NOT NULL,
        PRIMARY KEY (collection, generation, last)
    ) STRICT;
    CREATE TABLE note (collection TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
",
];

/// Cursors and notes.
type Loaded = (Vec<(CollectionName, StreamPosition)>, Vec<(CollectionName, String)>);

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

    pub(super) fn load(&self) -> Result<Loaded, StoreError> {
        let cursors = self.named("SELECT collection, position FROM cursor")?;
        let cursor = |(name, text): (CollectionName, String)| Ok((name, decode(&text).map_err(corrupt)?));
        let cursors = cursors.into_iter().map(cursor).collect::<Result<_, StoreError>>()?;
        Ok((cursors, self.named("SELECT collection, text FROM note")?))
    }

    /// One text for each collection.
    fn named(&self, sql: &str) -> Result<Vec<(CollectionName, String)>, StoreError> {
        let mut select = self.connection()?.prepare(sql).map_err(store_error)?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(store_error)?;
        rows.map(|row| {
            let (name, text): (String, String) = row.map_err(store_error)?;
            Ok((CollectionName::new(&name).map_err(corrupt)?, text))
        })
        .collect()
    }

    /// Nobody else writes to the file, so that several statements read one point in time.
    pub(super) fn read(&self, query: &Query, scan: Scan) -> Result<Rows, StoreError> {
        let segments =
            if scan.generation == Generation::NONE { Vec::new() } else { self.segments(query, scan)? };
        Ok(Rows { documents: self.documents(query)?, segments })
    }

    fn documents(&self, query: &Query) -> Result<Vec<StoredDocument>, StoreError> {
        let sql = match query {
            Query::One(_) => "SELECT id, text FROM document WHERE collection = ?1 AND id = ?2 LIMIT ?4",
            Query::Range { .. } => {
                "SELECT id, text FROM document WHERE collection = ?1 AND id >= ?2 AND (?3 IS NULL OR id < ?3)
                 ORDER BY id LIMIT ?4"
            }
        };
        let (from, to, limit) = bounds(query);
        let values = params![query.collection().as_str(), from, to, limit];
        let mut select = self.connection()?.prepare_cached(sql).map_err(store_error)?;
        let rows = select.query_map(values, |row| Ok((row.get(0)?, row.get(1)?))).map_err(store_error)?;
        rows.map(|row| {
            let (id, text): (String, String) = row.map_err(store_error)?;
            let id = DocumentId::new(&id).map_err(corrupt)?;
            Ok(StoredDocument { key: DocKey { collection: query.collection().clone(), id }, text })
        })
        .collect()
    }

    /// All whose largest id is in the range, and the one that goes beyond it.
    fn segments(&self, query: &Query, scan: Scan) -> Result<Vec<String>, StoreError> {
        let (from, to, _) = bounds(query);
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let sql = "
            SELECT text FROM (
                SELECT last, text FROM segment
                WHERE collection = ?1 AND generation = ?2 AND last >= ?3 AND (?4 IS NULL OR last < ?4)
                ORDER BY last LIMIT ?5)
            UNION ALL
            SELECT text FROM (
                SELECT last, text FROM segment
                WHERE collection = ?1 AND generation = ?2 AND last >= ?4
                ORDER BY last LIMIT 1)
            LIMIT ?5";
        let values = params![query.collection().as_str(), scan.generation.0, from, to, scan.segments];
        let mut select = self.connection()?.prepare_cached(sql).map_err(store_error)?;
        let rows = select.query_map(values, |row| row.get(0)).map_err(store_error)?;
        rows.collect::<Result<_, _>>().map_err(store_error)
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
                transaction.execute("DELETE FROM segment WHERE collection = ?1", [name.as_str()])?;
                transaction.execute("DELETE FROM cursor WHERE collection = ?1", [name.as_str()])?;
                transaction.execute("DELETE FROM note WHERE collection = ?1", [name.as_str()])?;
            }
        }
        Clear::All => transaction.execute_batch(
            "DELETE FROM document; DELETE FROM segment; DELETE FROM cursor; DELETE FROM note;",
        )?,
    }
    for name in &batch.flip {
        transaction.execute("DELETE FROM document WHERE collection = ?1", [name.as_str()])?;
    }
    for (name, generation) in &batch.drop {
        let sql = "DELETE FROM segment WHERE collection = ?1 AND generation = ?2";
        transaction.execute(sql, (name.as_str(), generation.0))?;
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
    let mut stage = transaction.prepare_cached(
        "REPLACE INTO segment (collection, generation, last, text) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for Segment { collection, generation, last, text } in &batch.stage {
        stage.execute((collection.as_str(), generation.0, last.as_str(), text))?;
    }
    let mut note = transaction.prepare_cached("REPLACE INTO note (collection, text) VALUES (?1, ?2)")?;
    for (collection, text) in &batch.notes {
        note.execute((collection.as_str(), text))?;
    }
    let mut advance =
        transaction.prepare_cached("REPLACE INTO cursor (collection, position) VALUES (?1, ?2)")?;
    for (collection, position) in &batch.cursors {
        advance.execute((collection.as_str(), crate::protocol::encode(position)))?;
    }
    Ok(())
}

/// A query's bounds as SQL takes them: no id is empty, so the empty text is below all of them.
fn bounds(query: &Query) -> (&str, Option<&str>, usize) {
    let (from, to, limit) = query.bounds();
    (from.map_or("", DocumentId::as_str), to.map(DocumentId::as_str), limit)
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}
