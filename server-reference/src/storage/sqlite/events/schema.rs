//! Tables of the database of events.

use rusqlite::Connection;

use super::super::schema::{migrate, settle};
use crate::storage::StorageError;

/// `PRAGMA user_version` of the tables below.
const VERSION: i64 = 2;

/// `topics.name` is missing once a topic was removed and its events are yet to go. `first` and `tail` count events: the
/// topic's own are those after `first` up to `tail`. A fork reads what comes before `fork_at` from its source.
/// `events.id` is the key of a topic and the number of an event in it, so that those of a topic lie together, in
/// order, in the one tree of the table. Names are columns of their own, so none can reach into another tenant.
const TABLES: &str = "
    CREATE TABLE tenants (
        tenant TEXT PRIMARY KEY,
        topics INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE topics (
        key INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        name TEXT,
        epoch INTEGER NOT NULL,
        content_type TEXT NOT NULL,
        idle INTEGER,
        until INTEGER,
        until_text TEXT,
        keep_age INTEGER,
        keep_bytes INTEGER,
        keep_events INTEGER,
        source INTEGER,
        source_name TEXT,
        anchor INTEGER NOT NULL,
        more INTEGER NOT NULL,
        fork_at INTEGER NOT NULL,
        forks INTEGER NOT NULL,
        hidden INTEGER NOT NULL,
        first INTEGER NOT NULL,
        tail INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        written INTEGER NOT NULL,
        touched INTEGER NOT NULL,
        closed INTEGER NOT NULL,
        sequence TEXT,
        producers INTEGER NOT NULL,
        UNIQUE (tenant, name)
    ) STRICT;
    CREATE INDEX topics_removed ON topics (key) WHERE name IS NULL;
    CREATE INDEX topics_that_end ON topics (key) WHERE idle IS NOT NULL OR until IS NOT NULL;
    CREATE INDEX topics_trimmed_by_age ON topics (key) WHERE keep_age IS NOT NULL;

    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;

    CREATE TABLE producers (
        topic INTEGER NOT NULL,
        id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        PRIMARY KEY (topic, id)
    ) STRICT, WITHOUT ROWID;
";

/// From version 1, which had no subscriptions.
const SUBSCRIPTIONS: &str = "
    CREATE TABLE subscriptions (
        tenant TEXT NOT NULL,
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        text TEXT NOT NULL,
        due INTEGER,
        PRIMARY KEY (tenant, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX subscriptions_by_due ON subscriptions (due) WHERE due IS NOT NULL;
";

/// Makes a new connection ready to write.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StorageError> {
    settle(connection)?;
    migrate(connection, VERSION, |version| match version {
        0 => Some(format!("{TABLES}{SUBSCRIPTIONS}")),
        1 => Some(SUBSCRIPTIONS.into()),
        _ => None,
    })
}
