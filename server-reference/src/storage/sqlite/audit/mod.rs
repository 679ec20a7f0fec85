//! Who administered what: a record that is durable before anything is shown, and with whatever is changed.
//!
//! The records of a tenant in a database are a chain: each has a number, and its hash covers the record before. The hashes are
//! the leaves of a Merkle tree, and the head of the chain (how many records, the tree's root) is signed with a key of the server
//! as a [`Checkpoint`]. Whoever keeps one elsewhere can tell later whether a record up to it was changed, moved or taken out.
//!
//! What a record says of people is not under its hash itself, but a commitment to it: a hash with random salt. So it can be
//! erased, and the chain stays whole.

mod before;
mod checkpoint;
mod database;
mod keep;
mod tree;
mod verify;

#[cfg(test)]
pub(super) mod tests;

use std::{io, ops::ControlFlow, path::Path, sync::Arc};

use rusqlite::functions::FunctionFlags;
use sdk_core::clock::Millis;

use crate::{
    random,
    storage::{
        StorageError,
        attempts::Attempt,
        sql::{Connection, Row},
    },
    tenant::TenantScope,
};
pub(super) use before::{SET_ASIDE, adopt};
pub use checkpoint::{Checkpoint, Key, PublicKey};
pub(in crate::storage) use database::Database;
#[cfg(feature = "postgres")]
pub(in crate::storage) use database::Work;
#[cfg(feature = "postgres")]
pub(in crate::storage) use keep::prune_chains;
pub use keep::{Kept, Office, Pruned, prune_all};
use tree::{Sha256, Tree, sha256};
pub use verify::{Audit, Finding, Record};

/// Where the records are, in each database whose administration is recorded. `audit_parts` has what records say of people: of an
/// erased part there is no row. `audit_starts` is where the chain begins of which the first records were pruned.
pub(super) const TABLE: &str = "
    CREATE TABLE audit (
        tenant TEXT NOT NULL,
        number INTEGER NOT NULL,
        at INTEGER NOT NULL,
        action TEXT NOT NULL,
        outcome TEXT NOT NULL,
        commitments BLOB NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (tenant, number)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE audit_parts (
        tenant TEXT NOT NULL,
        number INTEGER NOT NULL,
        part INTEGER NOT NULL,
        salt BLOB NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (tenant, number, part)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE audit_heads (
        tenant TEXT PRIMARY KEY,
        count INTEGER NOT NULL,
        hash BLOB NOT NULL,
        tree BLOB NOT NULL,
        signature BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE audit_starts (
        tenant TEXT PRIMARY KEY,
        count INTEGER NOT NULL,
        hash BLOB NOT NULL,
        tree BLOB NOT NULL,
        signature BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
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

/// What the chains of the database of documents are called.
pub const DOCUMENTS: &str = "documents";
/// What those of topics are called.
pub const TOPICS: &str = "topics";
/// What those of critical transactions are called.
pub const TRANSACTIONS: &str = "transactions";

/// What is recorded where the head of a chain was not as it had been signed.
const ALTERED: &str = "audit found altered";

/// What a record may say of people, in the order of their commitments.
const PARTS: [&str; 4] = ["subject", "target", "justification", "approver"];

/// What is to be recorded. Texts that are empty are absent.
pub(in crate::storage) struct Entry<'a> {
    pub(in crate::storage) action: &'a str,
    pub(in crate::storage) outcome: &'a str,
    /// As [`PARTS`].
    pub(in crate::storage) parts: [&'a str; 4],
}

/// What came of something that was tried: its own rights let a subject do it, those of an access grant did, or none.
pub(in crate::storage) const ALLOWED: &str = "allowed";
const GRANTED: &str = "granted";
const REFUSED: &str = "refused";

impl<'a> Entry<'a> {
    /// What a scope does to something, and whether it may. Under an access grant that says for what reason, and by whose leave.
    fn of(scope: &'a TenantScope, outcome: &'a str, action: &'a str, target: &'a str) -> Self {
        let why = scope.leave().map_or(["", ""], |leave| [&*leave.justification, &*leave.approver]);
        let outcome = if outcome == ALLOWED && scope.leave().is_some() { GRANTED } else { outcome };
        Self { action, outcome, parts: [scope.subject(), target, why[0], why[1]] }
    }
}

/// Lets a connection record. One that was not prepared so cannot: what would have to be on record does not happen.
pub(super) fn enable(
    connection: &rusqlite::Connection,
    key: Key,
    chain: &'static str,
) -> Result<(), StorageError> {
    let key = Arc::new(key);
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    let (signer, public) = (key.clone(), key.public());
    connection.create_scalar_function("audit_sign", 3, flags, move |call| {
        let (tenant, size, root): (String, u64, Sha256) = (call.get(0)?, call.get(1)?, call.get(2)?);
        Ok(signer.sign(&public.origin(chain, &tenant), size, &root))
    })?;
    connection.create_scalar_function("audit_signed", 4, flags, move |call| {
        let (tenant, size, root): (String, u64, Sha256) = (call.get(0)?, call.get(1)?, call.get(2)?);
        let signature: Vec<u8> = call.get(3)?;
        Ok(public.has_signed(&public.origin(chain, &tenant), size, &root, &signature))
    })?;
    Ok(())
}

/// The key for a database, which in memory ends with it.
pub(super) fn key(path: Option<&Path>) -> Result<Key, StorageError> {
    let failed = |error: io::Error| StorageError::Unavailable(Box::new(error));
    path.map_or_else(Key::fleeting, Key::beside).map_err(failed)
}

/// Adds a record of what a scope is allowed.
pub(in crate::storage) fn record(
    connection: &dyn Connection,
    scope: &TenantScope,
    action: &str,
    target: &str,
    now: Millis,
) -> Result<(), StorageError> {
    append(connection, scope.tenant(), &Entry::of(scope, ALLOWED, action, target), now)
}

/// Adds a record of what was tried and refused, by whom as far as they are told apart.
pub(in crate::storage) fn refused(
    connection: &dyn Connection,
    attempt: &Attempt,
    now: Millis,
) -> Result<(), StorageError> {
    let Attempt { tenant, by, action, target } = attempt;
    append(connection, tenant, &Entry { action, outcome: REFUSED, parts: [by, target, "", ""] }, now)
}

/// Records that somebody looks at a list from now on for [`VIEWING`], unless a record says so already. The record is made
/// before anything is shown, and names the end of the viewing: whoever looks for longer makes another.
pub(in crate::storage) fn viewing(
    connection: &dyn Connection,
    scope: &TenantScope,
    target: &str,
    now: Millis,
) -> Result<(), StorageError> {
    let (tenant, subject) = (&**scope.tenant(), &**scope.subject());
    let until = now.plus(VIEWING);
    // A clock that was set back must not make one record cover more than that.
    let sql = "SELECT 1 FROM viewings WHERE tenant = ?1 AND subject = ?2 AND target = ?3 AND until > ?4 AND until <= ?5";
    // Under an access grant each look is on record with what it is for.
    if scope.leave().is_none() && connection.exists(sql, (tenant, subject, target, now.0, until.0))? {
        return Ok(());
    }
    record(connection, scope, "dead letters listed", &format!("{target} until {}", until.0), now)?;
    connection.execute("DELETE FROM viewings WHERE until <= ?1", (now.0,))?;
    let sql = "INSERT INTO viewings (tenant, subject, target, until) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (tenant, subject, target) DO UPDATE SET until = excluded.until";
    connection.execute(sql, (tenant, subject, target, until.0))?;
    Ok(())
}

/// Adds a record to the chain of a tenant. Where the head is not what was signed, that is recorded first: what is signed from
/// then on says so for good.
pub(in crate::storage) fn append(
    connection: &dyn Connection,
    tenant: &str,
    entry: &Entry<'_>,
    now: Millis,
) -> Result<(), StorageError> {
    // Some callers have no transaction of their own, and a record is nothing without its head.
    connection.control("SAVEPOINT audit")?;
    let done = append_in(connection, tenant, entry, now);
    let end = if done.is_ok() { "RELEASE audit" } else { "ROLLBACK TO audit; RELEASE audit" };
    // If SQLite has given up the whole transaction, there is no savepoint any more; the first failure is told.
    let ended = connection.control(end);
    done.and(ended)
}

fn append_in(
    connection: &dyn Connection,
    tenant: &str,
    entry: &Entry<'_>,
    now: Millis,
) -> Result<(), StorageError> {
    let mut head = match Head::signed(connection, tenant)? {
        Some(head) => head,
        None => {
            let mut head = Head::replay(connection, tenant, None)?;
            head.pass(parts_through(connection, tenant)?);
            let what = format!("{} records", head.tree.size());
            head.write(
                connection,
                tenant,
                &Entry { action: ALTERED, outcome: "", parts: ["", &what, "", ""] },
                now,
            )?;
            head
        }
    };
    head.write(connection, tenant, entry, now)?;
    head.save(connection, tenant, "audit_heads")
}

/// How far a chain has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Head {
    tree: Tree,
    hash: Vec<u8>,
}

impl Head {
    /// A stored head as it is, with its signature; none if there is none, or if it has not the form of one.
    fn load(
        connection: &dyn Connection,
        tenant: &str,
        table: &'static str,
    ) -> Result<Option<(Self, Vec<u8>)>, StorageError> {
        let sql = format!("SELECT count, hash, tree, signature FROM {table} WHERE tenant = ?1");
        let read = |row: &dyn Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        let found: Option<(u64, _, Vec<u8>, _)> = connection.optional(&sql, (tenant,), read)?;
        Ok(found.and_then(|(count, hash, tree, signature)| {
            Some((Self { tree: Tree::stored(count, &tree)?, hash }, signature))
        }))
    }

    /// Where the chain stands, if that is as it was signed: an empty one needs no signature.
    fn signed(connection: &dyn Connection, tenant: &str) -> Result<Option<Self>, StorageError> {
        let sql = "SELECT number, hash FROM audit WHERE tenant = ?1 ORDER BY number DESC LIMIT 1";
        let last = |row: &dyn Row| Ok((row.get(0)?, row.get(1)?));
        let last: Option<(u64, Vec<u8>)> = connection.optional(sql, (tenant,), last)?;
        let start = Self::load(connection, tenant, "audit_starts")?;
        let last = last.or_else(|| start.map(|(start, _)| (start.tree.size(), start.hash)));
        let Some((head, signature)) = Self::load(connection, tenant, "audit_heads")? else {
            return Ok(last.is_none().then(Self::default));
        };
        let signed = connection.has_signed(tenant, head.tree.size(), &head.tree.root(), &signature)?;
        // Of what was cut off, parts may be left: none of their numbers is given to another record.
        let behind = parts_through(connection, tenant)? > head.tree.size();
        let whole =
            signed && !behind && last.is_some_and(|last| last == (head.tree.size(), head.hash.clone()));
        Ok(whole.then_some(head))
    }

    /// Where the chain stands by its records, up to one of them. A record that is missing counts as one without a hash, so that
    /// those behind it keep their places.
    fn replay(connection: &dyn Connection, tenant: &str, through: Option<u64>) -> Result<Self, StorageError> {
        let mut head =
            Self::load(connection, tenant, "audit_starts")?.map_or_else(Self::default, |(head, _)| head);
        let sql = "SELECT number, hash FROM audit WHERE tenant = ?1 AND number > ?2 AND number <= ?3 ORDER BY number";
        let through = through.unwrap_or(i64::MAX.unsigned_abs());
        connection.through(sql, (tenant, head.tree.size(), through), |row| {
            let number: u64 = row.get(0)?;
            if !head.pass(number.saturating_sub(1)) {
                return Ok(ControlFlow::Break(()));
            }
            head.hash = row.get(1)?;
            head.tree.push(&head.hash);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(head)
    }

    /// Goes past numbers without a record, up to one of them. Who writes absurd numbers into the database gets a chain without
    /// them, not a server that counts for ever.
    fn pass(&mut self, through: u64) -> bool {
        let near = through <= self.tree.size() + MAX_GAP;
        while near && self.tree.size() < through {
            self.tree.push(&[]);
        }
        near
    }

    fn write(
        &mut self,
        connection: &dyn Connection,
        tenant: &str,
        entry: &Entry<'_>,
        now: Millis,
    ) -> Result<(), StorageError> {
        let number = self.tree.size() + 1;
        let mut commitments = [[0; 32]; PARTS.len()];
        for (part, text) in entry.parts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let salt: [u8; 32] = random::bytes()
                .ok_or_else(|| StorageError::Unavailable("the system gives nothing random".into()))?;
            commitments[part] = commitment(&salt, part, text);
            let sql =
                "INSERT INTO audit_parts (tenant, number, part, salt, text) VALUES (?1, ?2, ?3, ?4, ?5)";
            connection.execute(sql, (tenant, number, part, salt, text))?;
        }
        let commitments = commitments.concat();
        self.hash =
            hash(&self.hash, number, now.0, [tenant, entry.action, entry.outcome], &commitments).to_vec();
        self.tree.push(&self.hash);
        let sql = "INSERT INTO audit (tenant, number, at, action, outcome, commitments, hash)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let row = (tenant, number, now.0, entry.action, entry.outcome, &commitments, &self.hash);
        connection.execute(sql, row)?;
        Ok(())
    }

    fn save(
        &self,
        connection: &dyn Connection,
        tenant: &str,
        table: &'static str,
    ) -> Result<(), StorageError> {
        let sql = format!(
            "INSERT INTO {table} (tenant, count, hash, tree, signature) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (tenant) DO UPDATE SET count = excluded.count, hash = excluded.hash,
                 tree = excluded.tree, signature = excluded.signature"
        );
        let signature = connection.sign(tenant, self.tree.size(), &self.tree.root())?;
        let row = (tenant, self.tree.size(), &self.hash, self.tree.bytes(), signature);
        connection.execute(&sql, row)?;
        Ok(())
    }
}

/// The highest number of a tenant of which there is a part.
fn parts_through(connection: &dyn Connection, tenant: &str) -> Result<u64, StorageError> {
    let sql = "SELECT coalesce(max(number), 0) FROM audit_parts WHERE tenant = ?1";
    connection.one(sql, (tenant,), |row| row.get(0))
}

/// Numbers that may be missing between two records.
const MAX_GAP: u64 = 1 << 20;

/// The hash of a record and, by way of the one before, of all before it; `texts` are the tenant, the action and the outcome.
fn hash(before: &[u8], number: u64, at: u64, texts: [&str; 3], commitments: &[u8]) -> Sha256 {
    // With its length before each, so that no two records read alike.
    let mut bytes = Vec::new();
    for part in [before, &number.to_be_bytes(), &at.to_be_bytes(), commitments]
        .into_iter()
        .chain(texts.iter().map(|text| text.as_bytes()))
    {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(part);
    }
    sha256(&[&bytes])
}

fn commitment(salt: &[u8], part: usize, text: &str) -> Sha256 {
    sha256(&[&(salt.len() as u64).to_be_bytes(), salt, PARTS[part].as_bytes(), b"\n", text.as_bytes()])
}
