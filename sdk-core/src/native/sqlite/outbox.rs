//! The outbox's file.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::{
    connection::{self, Settings},
    store_error,
};
use crate::{
    engine::storage::{OutboxBatch, OutboxRecord, StoreError},
    protocol::MAX_SAFE_INTEGER,
};

const MIGRATIONS: &[&str] = &["
    CREATE TABLE record (key INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
    CREATE TABLE meta (only INTEGER PRIMARY KEY CHECK (only = 1), text TEXT NOT NULL) STRICT;
"];

pub(super) struct Outbox {
    connection: Connection,
}

impl Outbox {
    pub(super) fn open(file: &Path, bytes: u64) -> Result<Self, StoreError> {
        let settings = Settings { synchronous: "FULL", bytes, migrations: MIGRATIONS };
        connection::open(file, &settings).map(|connection| Self { connection })
    }

    pub(super) fn load(&self) -> Result<(Vec<OutboxRecord>, Option<String>), StoreError> {
        self.try_load().map_err(store_error)
    }

    fn try_load(&self) -> rusqlite::Result<(Vec<OutboxRecord>, Option<String>)> {
        let mut select = self.connection.prepare("SELECT key, text FROM record ORDER BY key")?;
        let records = select.query_map([], |row| Ok(OutboxRecord { key: row.get(0)?, text: row.get(1)? }))?;
        let records = records.collect::<rusqlite::Result<_>>()?;
        let meta = self.connection.query_row("SELECT text FROM meta", [], |row| row.get(0)).optional()?;
        Ok((records, meta))
    }

    pub(super) fn apply(&mut self, batch: &OutboxBatch) -> Result<(), StoreError> {
        if let Some(record) = batch.put.iter().find(|record| record.key > MAX_SAFE_INTEGER) {
            return Err(StoreError::Failed(format!("key {} is beyond 2^53 - 1", record.key)));
        }
        self.try_apply(batch).map_err(store_error)
    }

    fn try_apply(&mut self, batch: &OutboxBatch) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut delete = transaction.prepare_cached("DELETE FROM record WHERE key = ?1")?;
            for key in batch.remove.iter().filter(|key| **key <= MAX_SAFE_INTEGER) {
                delete.execute([key])?;
            }
            let mut insert = transaction.prepare_cached("REPLACE INTO record (key, text) VALUES (?1, ?2)")?;
            for record in &batch.put {
                insert.execute((record.key, &record.text))?;
            }
            if let Some(meta) = &batch.meta {
                transaction.execute("REPLACE INTO meta (only, text) VALUES (1, ?1)", [meta])?;
            }
        }
        transaction.commit()
    }
}
