//! Who administered what: a record that is durable before anything is shown, and with whatever is changed.

use std::{fmt, path::Path};

use aws_lc_rs::digest::{Context, Digest, SHA256};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use sdk_core::clock::Millis;
use serde::Serialize;

use super::schema;
use crate::{storage::StorageError, tenant::TenantScope};

/// Where the records are, in each database whose administration is recorded. Each has the hash of itself and the one before.
pub(super) const TABLE: &str = "
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        subject TEXT NOT NULL,
        action TEXT NOT NULL,
        target TEXT NOT NULL,
        hash BLOB NOT NULL
    ) STRICT;
";

/// Who looks at what at the moment, so that one record stands for a viewing however often a page looks anew. For databases
/// with a [`TABLE`].
pub(super) const VIEWINGS: &str = "
    CREATE TABLE viewings (
        tenant TEXT NOT NULL,
        subject TEXT NOT NULL,
        target TEXT NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (tenant, subject, target)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX viewings_by_end ON viewings (until);
";

/// Milliseconds that one record of a viewing covers. It says so: what is seen until then is seen under it.
pub const VIEWING: u64 = 10 * 60_000;

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Its place in the chain; there may be gaps.
    pub id: i64,
    /// When.
    pub at: u64,
    /// In whose data.
    pub tenant: String,
    /// Who.
    pub subject: String,
    /// What they did.
    pub action: String,
    /// To what.
    pub target: String,
}

/// A chain that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// How many records it has.
    pub records: u64,
    /// The first record whose hash is not that of itself and the one before: it, or what was before it, was changed or
    /// taken out.
    pub broken: Option<i64>,
    /// The hash of the newest record. Whoever keeps it elsewhere can tell later whether the end was cut off.
    pub head: Hash,
}

/// The hash of a record and, by way of the one before, of all before it. Of no record it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hash(Vec<u8>);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads the chain of a database, also while a server writes to it, and hands out each record.
///
/// # Errors
/// [`StorageError::Unavailable`], also if the database was never opened by this version of the server.
pub fn read(path: &Path, mut each: impl FnMut(&Record, &Hash)) -> Result<Chain, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    schema::prepare_reader(&connection)?;
    let sql = "SELECT id, at, tenant, subject, action, target, hash FROM audit ORDER BY id";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut chain = Chain { records: 0, broken: None, head: Hash::default() };
    while let Some(row) = rows.next()? {
        let record = Record {
            id: row.get(0)?,
            at: row.get(1)?,
            tenant: row.get(2)?,
            subject: row.get(3)?,
            action: row.get(4)?,
            target: row.get(5)?,
        };
        let stored = Hash(row.get(6)?);
        let Record { at, tenant, subject, action, target, .. } = &record;
        if hash(&chain.head.0, *at, [tenant, subject, action, target]).as_ref() != stored.0 {
            chain.broken.get_or_insert(record.id);
        }
        each(&record, &stored);
        (chain.records, chain.head) = (chain.records + 1, stored);
    }
    Ok(chain)
}

/// Adds a record. Its hash covers the one before, so that a record that is changed or taken out from between shows.
pub(in crate::storage) fn record(
    connection: &Connection,
    scope: &TenantScope,
    action: &str,
    target: &str,
    now: Millis,
) -> Result<(), StorageError> {
    let sql = "SELECT hash FROM audit ORDER BY id DESC LIMIT 1";
    let before: Option<Vec<u8>> =
        connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    let (tenant, subject) = (&**scope.tenant(), &**scope.subject());
    let hash = hash(&before.unwrap_or_default(), now.0, [tenant, subject, action, target]);
    let sql = "INSERT INTO audit (at, tenant, subject, action, target, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute((now.0, tenant, subject, action, target, hash.as_ref()))?;
    Ok(())
}

/// Records that somebody looks at a list from now on for [`VIEWING`], unless a record says so already. The record is made
/// before anything is shown, and names the end of the viewing: whoever looks for longer makes another.
pub(in crate::storage) fn viewing(
    connection: &Connection,
    scope: &TenantScope,
    target: &str,
    now: Millis,
) -> Result<(), StorageError> {
    let (tenant, subject) = (&**scope.tenant(), &**scope.subject());
    let until = now.plus(VIEWING);
    // A clock that was set back must not make one record cover more than that.
    let sql = "SELECT 1 FROM viewings WHERE tenant = ?1 AND subject = ?2 AND target = ?3 AND until > ?4 AND until <= ?5";
    if connection.prepare_cached(sql)?.exists((tenant, subject, target, now.0, until.0))? {
        return Ok(());
    }
    record(connection, scope, "dead letters listed", &format!("{target} until {}", until.0), now)?;
    connection.prepare_cached("DELETE FROM viewings WHERE until <= ?1")?.execute([now.0])?;
    let sql = "INSERT OR REPLACE INTO viewings (tenant, subject, target, until) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute((tenant, subject, target, until.0))?;
    Ok(())
}

fn hash(before: &[u8], at: u64, parts: [&str; 4]) -> Digest {
    let mut hash = Context::new(&SHA256);
    hash.update(before);
    hash.update(&at.to_be_bytes());
    for part in parts {
        // With its length, so that no two records read alike.
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finish()
}
