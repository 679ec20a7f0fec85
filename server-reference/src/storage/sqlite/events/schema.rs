//! Tables of the database of events.

use rusqlite::Connection;

use super::super::{
    audit::{self, SET_ASIDE, TABLE as AUDIT, VIEWINGS},
    schema::{migrate, settle},
};
use crate::storage::StorageError;

/// `PRAGMA user_version` of the tables below.
const VERSION: i64 = 9;

/// The writer's cache of pages, in negative kilobytes as SQLite wants it: whether an event's name is known is looked up
/// anywhere among all names.
const CACHE: i64 = -16_000;

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

/// From version 2, which had no consumer groups. `groups.name` is missing once a group was removed and what it held
/// apart is yet to go; its dead letters stay. Of the events of a topic up to `scanned`, those are unresolved that are in
/// `deliveries`. A letter that is `live` is being tried once more.
const GROUPS: &str = "
    CREATE TABLE groups (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        name TEXT,
        topic INTEGER NOT NULL,
        start TEXT NOT NULL,
        rules TEXT NOT NULL,
        bounded INTEGER NOT NULL,
        created INTEGER NOT NULL,
        scanned INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        lost INTEGER NOT NULL,
        told INTEGER NOT NULL,
        through INTEGER NOT NULL,
        skipped INTEGER NOT NULL,
        unresolved INTEGER NOT NULL,
        letters INTEGER NOT NULL,
        UNIQUE (tenant, name)
    ) STRICT;
    CREATE INDEX groups_by_topic ON groups (topic);
    CREATE INDEX groups_bounded ON groups (key) WHERE bounded = 1;
    CREATE INDEX groups_removed ON groups (key) WHERE name IS NULL;

    CREATE TABLE deliveries (
        grp INTEGER NOT NULL,
        number INTEGER NOT NULL,
        state INTEGER NOT NULL,
        lane INTEGER,
        due INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        letter INTEGER,
        again INTEGER NOT NULL,
        history TEXT,
        PRIMARY KEY (grp, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX deliveries_by_state ON deliveries (grp, state, due, number);
    CREATE INDEX deliveries_by_lane ON deliveries (grp, lane, number) WHERE lane IS NOT NULL;

    CREATE TABLE leases (
        grp INTEGER NOT NULL,
        id INTEGER NOT NULL,
        secret TEXT NOT NULL,
        worker TEXT NOT NULL,
        until INTEGER NOT NULL,
        open INTEGER NOT NULL,
        told INTEGER NOT NULL,
        members TEXT NOT NULL,
        PRIMARY KEY (grp, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX leases_by_end ON leases (until, grp);
    CREATE INDEX leases_by_group ON leases (grp, until);

    CREATE TABLE letters (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        grp INTEGER NOT NULL,
        topic TEXT NOT NULL,
        number INTEGER NOT NULL,
        lane INTEGER,
        position TEXT NOT NULL,
        at INTEGER NOT NULL,
        content_type TEXT NOT NULL,
        body BLOB NOT NULL,
        edited INTEGER NOT NULL,
        since INTEGER NOT NULL,
        round INTEGER NOT NULL,
        live INTEGER NOT NULL,
        history TEXT NOT NULL
    ) STRICT;
    CREATE INDEX letters_by_group ON letters (tenant, name, key);
";

/// From version 3, which had no events with a name. `name` stands for the source and the id of an event, `content` for
/// all of it; `number` is its place in the topic.
const NAMES: &str = "
    CREATE TABLE names (
        topic INTEGER NOT NULL,
        name BLOB NOT NULL,
        number INTEGER NOT NULL,
        content BLOB NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (topic, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX names_by_number ON names (topic, number);
";

/// From version 4, which counted the dead letters of a group and not their bytes, and in which only groups said what
/// becomes of events that fail.
const FROM_4: &str = "
    ALTER TABLE topics ADD COLUMN redelivery TEXT;
    ALTER TABLE groups ADD COLUMN letter_bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE groups SET letter_bytes = (SELECT coalesce(sum(length(body)), 0) FROM letters WHERE grp = groups.key);
";

/// From version 5, in which each name was put in its place at once.
const NEW_NAMES: &str = "
    CREATE TABLE new_names (
        topic INTEGER NOT NULL,
        number INTEGER NOT NULL,
        name BLOB NOT NULL,
        content BLOB NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (topic, number)
    ) STRICT, WITHOUT ROWID;
";

/// From version 8, in which a topic did not say what it was before it began another epoch: the first that it had, and how many of
/// its events are the same in all of them. Until then it says neither.
const FROM_8: &str = "
    ALTER TABLE topics ADD COLUMN made INTEGER;
    ALTER TABLE topics ADD COLUMN sure INTEGER;
";

/// Makes a new connection ready to write.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), StorageError> {
    settle(connection)?;
    connection.pragma_update(None, "cache_size", CACHE)?;
    migrate(connection, VERSION, |version| match version {
        0 => Some(format!(
            "{TABLES}{SUBSCRIPTIONS}{GROUPS}{AUDIT}{NAMES}{FROM_4}{NEW_NAMES}{VIEWINGS}{FROM_8}"
        )),
        1 => Some(format!("{SUBSCRIPTIONS}{GROUPS}{AUDIT}{NAMES}{FROM_4}{NEW_NAMES}{VIEWINGS}{FROM_8}")),
        2 => Some(format!("{GROUPS}{AUDIT}{NAMES}{FROM_4}{NEW_NAMES}{VIEWINGS}{FROM_8}")),
        3 => Some(format!("{NAMES}{FROM_4}{NEW_NAMES}{VIEWINGS}{SET_ASIDE}{AUDIT}{FROM_8}")),
        4 => Some(format!("{FROM_4}{NEW_NAMES}{VIEWINGS}{SET_ASIDE}{AUDIT}{FROM_8}")),
        5 => Some(format!("{NEW_NAMES}{VIEWINGS}{SET_ASIDE}{AUDIT}{FROM_8}")),
        6 => Some(format!("{VIEWINGS}{SET_ASIDE}{AUDIT}{FROM_8}")),
        7 => Some(format!("{SET_ASIDE}{AUDIT}{FROM_8}")),
        8 => Some(FROM_8.to_owned()),
        _ => None,
    })?;
    audit::adopt(connection)
}
