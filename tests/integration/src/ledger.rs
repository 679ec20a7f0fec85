//! The server's database, read without asking the server.

use std::{collections::BTreeMap, fs, path::Path};

use rusqlite::{Connection, OptionalExtension};
use sdk_core::protocol::{ClientId, Document, Judgement, Offset, OpId, Seq};
use sdk_core::wire::{Decode, decode};
use tempfile::TempDir;

/// A copy of the database as it lay on the disk at one moment.
pub struct Ledger {
    database: Connection,
    _folder: TempDir,
}

impl Ledger {
    /// Copies database and log of a server that is down, or has nothing to write. A copy, because closing the original
    /// would tidy up what the server has to cope with after a crash.
    pub(crate) fn copy(file: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let copy = folder.path().join("copy.sqlite3");
        fs::copy(file, &copy).expect("the database is there");
        let (mut log, mut log_copy) = (file.to_owned().into_os_string(), copy.clone().into_os_string());
        log.push("-wal");
        log_copy.push("-wal");
        if Path::new(&log).exists() {
            fs::copy(log, log_copy).expect("the log can be copied");
        }
        Self { database: Connection::open(copy).expect("the copy is a database"), _folder: folder }
    }

    /// Every judgement of a client's operations, by operation.
    pub fn judgements(&self, client: ClientId) -> BTreeMap<Seq, Judgement> {
        let sql = "SELECT judgement FROM judgements WHERE client = ?1";
        let judgements: Vec<Judgement> = self.rows(sql, &client.to_string());
        judgements.into_iter().map(|judgement| (judgement.seq, judgement)).collect()
    }

    /// The judgement of one operation; none if it was never judged.
    pub fn judgement(&self, operation: OpId) -> Option<Judgement> {
        let sql = "SELECT judgement FROM judgements WHERE client = ?1 AND seq = ?2";
        let mut select = self.database.prepare_cached(sql).expect("the tables are there");
        let values = (operation.client.to_string(), operation.seq.0 as i64);
        let text = select.query_row(values, |row| row.get(0)).optional().expect("a query");
        text.map(parse)
    }

    /// How many operations were ever judged, whoever's.
    pub fn count(&self) -> usize {
        self.database.query_row("SELECT count(*) FROM judgements", [], |row| row.get(0)).expect("a count")
    }

    /// Where the effects of all operations that had one stand in a collection, in order. As long as none is doubled or
    /// missing these are 1, 2, 3 up to the head.
    pub fn offsets(&self, collection: &str) -> Vec<u64> {
        let epoch: String = self
            .database
            .query_row("SELECT epoch FROM collections WHERE name = ?1", [collection], |row| row.get(0))
            .expect("the collection is there");
        let judgements: Vec<Judgement> = self.rows("SELECT judgement FROM judgements WHERE ?1 <> ''", "all");
        let positions = judgements.into_iter().filter_map(|judgement| judgement.position);
        let mut offsets: Vec<u64> = positions
            .filter(|position| position.epoch.as_str() == epoch)
            .map(|position| position.offset.0)
            .collect();
        offsets.sort_unstable();
        offsets
    }

    /// The newest offset of a collection.
    pub fn head(&self, collection: &str) -> Offset {
        let sql = "SELECT head FROM collections WHERE name = ?1";
        Offset(self.database.query_row(sql, [collection], |row| row.get(0)).expect("the collection is there"))
    }

    /// A document; none if it never was.
    pub fn document(&self, collection: &str, id: &str) -> Option<Document> {
        let sql = "SELECT state FROM documents JOIN collections ON key = collection
                   WHERE name = ?1 AND id = ?2";
        let mut select = self.database.prepare_cached(sql).expect("the tables are there");
        let mut rows = select.query_map([collection, id], |row| row.get(0)).expect("a query");
        rows.next().map(|state| parse(state.expect("a row")))
    }

    fn rows<T: Decode>(&self, sql: &str, value: &str) -> Vec<T> {
        let mut select = self.database.prepare(sql).expect("the tables are there");
        let rows = select.query_map([value], |row| row.get(0)).expect("a query");
        rows.map(|text| parse(text.expect("a row"))).collect()
    }
}

fn parse<T: Decode>(text: String) -> T {
    decode(&text).expect("the server stores what it can read")
}
