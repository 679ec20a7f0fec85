//! Where snapshots are kept: a database of its own, which is made anew when it is lost or broken.

use std::{collections::HashSet, fs, path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension};
use sdk_core::protocol::{CollectionName, ContentHash, Manifest, decode, encode};

use super::Packed;
use crate::storage::StorageError;

/// `PRAGMA user_version` of the tables below.
const VERSION: i64 = 2;
/// Manifests kept of a collection: who is fetching the one before the newest can finish.
const KEPT: usize = 2;

const TABLES: &str = "
    CREATE TABLE salts (
        tenant TEXT NOT NULL, collection TEXT NOT NULL, salt TEXT NOT NULL,
        PRIMARY KEY (tenant, collection)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE manifests (
        made INTEGER PRIMARY KEY, tenant TEXT NOT NULL, collection TEXT NOT NULL,
        root TEXT NOT NULL, text TEXT NOT NULL,
        UNIQUE (tenant, collection, root)
    ) STRICT;
    CREATE TABLE chunks (
        tenant TEXT NOT NULL, collection TEXT NOT NULL, hash TEXT NOT NULL, gzip BLOB NOT NULL,
        PRIMARY KEY (tenant, collection, hash)
    ) STRICT;
";

/// It may be lost with the power, and must not be broken by it.
const SETTINGS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA busy_timeout = 5000;
";

/// A collection of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    pub(super) tenant: Arc<str>,
    pub(super) collection: CollectionName,
}

/// Makes a salt: random, of letters and digits, and long enough not to be guessed.
pub type NewSalt = Box<dyn FnMut() -> String + Send>;

/// Manifests and chunks of every tenant.
pub struct SnapshotStore {
    connection: Connection,
    new_salt: NewSalt,
}

impl SnapshotStore {
    /// Opens or creates the database at `path`. One that cannot be used is removed.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    pub fn open(path: &Path, new_salt: NewSalt) -> Result<Self, StorageError> {
        match Connection::open(path).map_err(StorageError::from).and_then(prepare) {
            Ok(connection) => Ok(Self { connection, new_salt }),
            Err(error) => {
                tracing::warn!(%error, "the snapshots cannot be used and are made anew");
                for suffix in ["", "-wal", "-shm"] {
                    let mut file = path.as_os_str().to_owned();
                    file.push(suffix);
                    // What cannot be removed shows when it is opened.
                    let _ = fs::remove_file(file);
                }
                let connection = prepare(Connection::open(path)?)?;
                Ok(Self { connection, new_salt })
            }
        }
    }

    /// A database that ends with this value.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]
    pub fn in_memory(new_salt: NewSalt) -> Result<Self, StorageError> {
        Ok(Self { connection: prepare(Connection::open_in_memory()?)?, new_salt })
    }

    /// The salt of a collection, which stays the same.
    pub(super) fn salt(&mut self, spot: &Spot) -> Result<String, StorageError> {
        let sql = "INSERT OR IGNORE INTO salts (tenant, collection, salt) VALUES (?1, ?2, ?3)";
        self.connection.execute(sql, (&*spot.tenant, spot.collection.as_str(), (self.new_salt)()))?;
        let sql = "SELECT salt FROM salts WHERE tenant = ?1 AND collection = ?2";
        Ok(self.connection.query_row(sql, spot.key(), |row| row.get(0))?)
    }

    pub(super) fn add_chunk(
        &self,
        spot: &Spot,
        hash: &ContentHash,
        chunk: &Packed,
    ) -> Result<(), StorageError> {
        let sql = "INSERT OR IGNORE INTO chunks (tenant, collection, hash, gzip) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = self.connection.prepare_cached(sql)?;
        insert.execute((&*spot.tenant, spot.collection.as_str(), hash.to_string(), &chunk.0))?;
        Ok(())
    }

    /// Keeps a manifest whose chunks are there, and lets go of the oldest with the chunks that are in no other.
    pub(super) fn add_manifest(&mut self, spot: &Spot, manifest: &Manifest) -> Result<(), StorageError> {
        let transaction = self.connection.transaction()?;
        let sql = "REPLACE INTO manifests (tenant, collection, root, text) VALUES (?1, ?2, ?3, ?4)";
        let (tenant, collection) = spot.key();
        transaction.execute(sql, (tenant, collection, manifest.root.to_string(), encode(manifest)))?;
        let sql = "DELETE FROM manifests WHERE tenant = ?1 AND collection = ?2 AND made NOT IN (
            SELECT made FROM manifests WHERE tenant = ?1 AND collection = ?2 ORDER BY made DESC LIMIT ?3)";
        transaction.execute(sql, (tenant, collection, KEPT))?;
        let mut wanted = HashSet::new();
        {
            let sql = "SELECT text FROM manifests WHERE tenant = ?1 AND collection = ?2";
            let mut texts = transaction.prepare(sql)?;
            for text in texts.query_map(spot.key(), |row| row.get::<_, String>(0))? {
                wanted.extend(read(&text?)?.chunks.into_iter().map(|chunk| chunk.hash.to_string()));
            }
            let sql = "SELECT hash FROM chunks WHERE tenant = ?1 AND collection = ?2";
            let mut hashes = transaction.prepare(sql)?;
            let hashes: Vec<String> =
                hashes.query_map(spot.key(), |row| row.get(0))?.collect::<Result<_, _>>()?;
            let sql = "DELETE FROM chunks WHERE tenant = ?1 AND collection = ?2 AND hash = ?3";
            let mut delete = transaction.prepare(sql)?;
            for hash in hashes.into_iter().filter(|hash| !wanted.contains(hash)) {
                delete.execute((tenant, collection, hash))?;
            }
        }
        Ok(transaction.commit()?)
    }

    pub(super) fn newest(&self, spot: &Spot) -> Result<Option<Manifest>, StorageError> {
        let sql =
            "SELECT text FROM manifests WHERE tenant = ?1 AND collection = ?2 ORDER BY made DESC LIMIT 1";
        let text: Option<String> = self.connection.query_row(sql, spot.key(), |row| row.get(0)).optional()?;
        text.map(|text| read(&text)).transpose()
    }

    pub(super) fn manifest(&self, spot: &Spot, root: &ContentHash) -> Result<Option<Manifest>, StorageError> {
        let sql = "SELECT text FROM manifests WHERE tenant = ?1 AND collection = ?2 AND root = ?3";
        let (tenant, collection) = spot.key();
        let text = self.connection.query_row(sql, (tenant, collection, root.to_string()), |row| row.get(0));
        let text: Option<String> = text.optional()?;
        text.map(|text| read(&text)).transpose()
    }

    pub(super) fn chunk(&self, spot: &Spot, hash: &ContentHash) -> Result<Option<Packed>, StorageError> {
        let sql = "SELECT gzip FROM chunks WHERE tenant = ?1 AND collection = ?2 AND hash = ?3";
        let (tenant, collection) = spot.key();
        let gzip = self.connection.query_row(sql, (tenant, collection, hash.to_string()), |row| row.get(0));
        Ok(gzip.optional()?.map(Packed))
    }
}

impl Spot {
    fn key(&self) -> (&str, &str) {
        (&self.tenant, self.collection.as_str())
    }
}

fn prepare(mut connection: Connection) -> Result<Connection, StorageError> {
    connection.execute_batch(SETTINGS)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        VERSION => Ok(connection),
        0 => {
            let transaction = connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()?;
            Ok(connection)
        }
        other => {
            Err(StorageError::Unavailable(format!("snapshots of version {other}, not {VERSION}").into()))
        }
    }
}

fn read(text: &str) -> Result<Manifest, StorageError> {
    decode(text).map_err(|source| StorageError::Corrupt { what: "a manifest", source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_of_an_earlier_release_are_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshots.db");
        let earlier = Connection::open(&path).unwrap();
        let tables = "CREATE TABLE chunks (hash TEXT, text TEXT) STRICT; PRAGMA user_version = 1";
        earlier.execute_batch(tables).unwrap();
        drop(earlier);
        let store = SnapshotStore::open(&path, Box::new(|| "salt".into())).unwrap();
        let spot = Spot { tenant: "acme".into(), collection: CollectionName::new("cards").unwrap() };
        let hash = ContentHash::of("text");
        let chunk = Packed::of("text", &hash).unwrap();
        store.add_chunk(&spot, &hash, &chunk).unwrap();
        assert_eq!(store.chunk(&spot, &hash).unwrap(), Some(chunk));
    }
}
