//! Tables of the database of transactions.

use rusqlite::Connection;

use super::super::{
    audit::{self, SET_ASIDE, TABLE as AUDIT},
    schema,
};
use crate::storage::StorageError;

/// `PRAGMA user_version` of the tables below.
const VERSION: i64 = 3;

/// `calls` is what makes a retry harmless: what each key was used for, and what came of it. `lanes` are the topics that
/// events wait for in `outgoing`; a lane that is not to be looked at yet says until when. Each time that one was looked at, its
/// `turn` comes after those of all others. `tenants` counts what is capped.
/// Names are columns of their own, so none can reach into another tenant.
const TABLES: &str = "
    CREATE TABLE tenants (
        tenant TEXT PRIMARY KEY,
        keys INTEGER NOT NULL DEFAULT 0,
        records INTEGER NOT NULL DEFAULT 0,
        waiting INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE records (
        tenant TEXT NOT NULL,
        key TEXT NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (tenant, key)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        subject TEXT NOT NULL,
        key TEXT NOT NULL,
        name TEXT NOT NULL,
        body_hash BLOB NOT NULL,
        at INTEGER NOT NULL,
        answer TEXT,
        code TEXT,
        message TEXT,
        UNIQUE (tenant, subject, key)
    ) STRICT;
    CREATE INDEX calls_by_age ON calls (at);

    CREATE TABLE lanes (
        lane INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        topic TEXT NOT NULL,
        until INTEGER NOT NULL DEFAULT 0,
        turn INTEGER NOT NULL,
        UNIQUE (tenant, topic)
    ) STRICT;
    CREATE INDEX lanes_by_turn ON lanes (turn);

    CREATE TABLE outgoing (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lane INTEGER NOT NULL REFERENCES lanes (lane),
        at INTEGER NOT NULL,
        event TEXT NOT NULL
    ) STRICT;
    CREATE INDEX outgoing_by_lane ON outgoing (lane, id);
";

/// From version 2, in which lanes had their turn by their age.
const TURNS: &str = "
    DROP INDEX lanes_by_until;
    ALTER TABLE lanes ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
    UPDATE lanes SET turn = lane;
    CREATE INDEX lanes_by_turn ON lanes (turn);
";

/// Makes a new connection ready to write: creates the tables in an empty database, and brings those of an
/// earlier version up to this one.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StorageError> {
    schema::settle(connection)?;
    schema::migrate(connection, VERSION, |version| match version {
        0 => Some(format!("{TABLES}{AUDIT}")),
        1 => Some(format!("{SET_ASIDE}{AUDIT}{TURNS}")),
        2 => Some(TURNS.to_owned()),
        _ => None,
    })?;
    audit::adopt(connection)
}
