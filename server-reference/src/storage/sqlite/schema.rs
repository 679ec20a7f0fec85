//! Tables and settings of the database.

use rusqlite::Connection;

use super::{
    audit::{self, SET_ASIDE, TABLE as AUDIT, VIEWINGS},
    grants::TABLE as GRANTS,
    revocations::TABLE as REVOCATIONS,
};
use crate::storage::StorageError;

/// The first release without the bug that can lose commits in WAL mode (3.7.0 to 3.51.2).
const MIN_SQLITE: i32 = 3_051_003;
/// `PRAGMA user_version` of the tables below.
const VERSION: i64 = 9;

/// `buried` is the server's time when a document that is deleted last changed; it is missing while one lives.
/// `judgements` is what makes a retry harmless, however late it comes: nothing is ever removed from it; `made` tells
/// which operation was judged, in whatever form it came: when it was made, in which schema, and for which document;
/// `maker` under which id it was made, where that is not the client's that sent it. Names are columns of their own, so
/// none can reach into another tenant. `retired` holds the actors up to which none may be given out any more, in any
/// tenant.
const TABLES: &str = "
    CREATE TABLE clients (
        tenant TEXT NOT NULL,
        client TEXT NOT NULL,
        subject TEXT NOT NULL,
        actor INTEGER NOT NULL,
        PRIMARY KEY (tenant, client),
        UNIQUE (tenant, actor)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE retired (
        actor INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE collections (
        key INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        strategy TEXT NOT NULL,
        epoch TEXT NOT NULL,
        head INTEGER NOT NULL,
        pruned INTEGER NOT NULL DEFAULT 0,
        UNIQUE (tenant, name)
    ) STRICT;

    CREATE TABLE documents (
        collection INTEGER NOT NULL REFERENCES collections (key),
        id TEXT NOT NULL,
        rev INTEGER NOT NULL,
        state TEXT NOT NULL,
        buried INTEGER,
        PRIMARY KEY (collection, id)
    ) STRICT;
    CREATE INDEX documents_by_rev ON documents (collection, rev);
    CREATE INDEX documents_by_burial ON documents (buried) WHERE buried IS NOT NULL;

    CREATE TABLE resolutions (
        key INTEGER PRIMARY KEY,
        collection INTEGER NOT NULL REFERENCES collections (key),
        document TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX resolutions_by_document ON resolutions (collection, document, key);

    CREATE TABLE judgements (
        tenant TEXT NOT NULL,
        client TEXT NOT NULL,
        seq INTEGER NOT NULL,
        payload_hash BLOB NOT NULL,
        made TEXT,
        judgement TEXT NOT NULL,
        maker TEXT,
        PRIMARY KEY (tenant, client, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX judgements_by_maker ON judgements (tenant, maker, seq) WHERE maker IS NOT NULL;
";

/// From version 1, which did not note when a document was deleted: the deletion's own time stands in. It knew no
/// conflicts, so that none of its judgements is of an operation that can come again in another form.
const FROM_1: &str = "
    CREATE TABLE retired (
        actor INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE resolutions (
        key INTEGER PRIMARY KEY,
        collection INTEGER NOT NULL REFERENCES collections (key),
        document TEXT NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX resolutions_by_document ON resolutions (collection, document, key);
    ALTER TABLE judgements ADD COLUMN made TEXT;
    ALTER TABLE collections ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE documents ADD COLUMN buried INTEGER;
    UPDATE documents SET buried = coalesce(json_extract(state, '$.burial.stamp.at[0]'), 0)
        WHERE json_extract(state, '$.written') IS NULL;
    CREATE INDEX documents_by_burial ON documents (buried) WHERE buried IS NOT NULL;
";

/// From version 2, in which the id of an operation was that of the client that sent it.
const FROM_2: &str = "
    ALTER TABLE judgements ADD COLUMN maker TEXT;
    CREATE INDEX judgements_by_maker ON judgements (tenant, maker, seq) WHERE maker IS NOT NULL;
";

/// From version 3, which kept nothing of what it refused. `refused` holds what rests as a dead letter with its client: where
/// it was to go and what was tried. One that has an `outcome` was applied by an operator, and is there until its client has
/// heard so. `refused_tenants` counts them; `dropped` were let go because there were too many; `actor` and `seq` name what
/// the tenant's operators have applied.
const REFUSED: &str = "
    CREATE TABLE refused (
        key INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        client TEXT NOT NULL,
        seq INTEGER NOT NULL,
        subject TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        document TEXT,
        strategy TEXT,
        body TEXT NOT NULL,
        edited INTEGER NOT NULL,
        since INTEGER NOT NULL,
        round INTEGER NOT NULL,
        history TEXT NOT NULL,
        outcome TEXT,
        UNIQUE (tenant, client, seq)
    ) STRICT;
    CREATE INDEX refused_by_tenant ON refused (tenant, key);

    CREATE TABLE refused_tenants (
        tenant TEXT PRIMARY KEY,
        letters INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        dropped INTEGER NOT NULL,
        actor INTEGER,
        seq INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// From version 5, in which a client that tried again what an operator had applied made it twice. `origin_client` and
/// `origin_seq` name the first of those operations in whose place one stands. `origins` has a row for one that was tried again
/// or applied: the newest operation in its place that was judged, and what an operator's decision came to, if there was one,
/// with a hash of what was applied. As with `judgements`, nothing is ever removed from it.
const ORIGINS: &str = "
    ALTER TABLE refused ADD COLUMN origin_client TEXT NOT NULL DEFAULT '';
    ALTER TABLE refused ADD COLUMN origin_seq INTEGER NOT NULL DEFAULT 0;
    UPDATE refused SET origin_client = client, origin_seq = seq;
    CREATE INDEX refused_by_origin ON refused (tenant, origin_client, origin_seq);

    CREATE TABLE origins (
        tenant TEXT NOT NULL,
        client TEXT NOT NULL,
        seq INTEGER NOT NULL,
        collection TEXT NOT NULL,
        document TEXT NOT NULL,
        latest INTEGER NOT NULL,
        judgement TEXT,
        intents BLOB,
        PRIMARY KEY (tenant, client, seq, collection, document)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO origins (tenant, client, seq, collection, document, latest, judgement)
        SELECT tenant, client, seq, name, document, seq, outcome FROM refused
        WHERE outcome IS NOT NULL AND document IS NOT NULL;
";

/// From version 8, in which what an operator had published of one copy of a client was told to another that had another event of
/// that number. `event` names the one that the client holds.
const NAMED: &str = "
    ALTER TABLE refused ADD COLUMN event TEXT;
";

/// Settles durability before anything is written: a commit returns after its log is on the disk.
const WRITER: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA busy_timeout = 5000;
";

const READER: &str = "
    PRAGMA query_only = ON;
    PRAGMA busy_timeout = 5000;
";

/// Makes a new connection ready to write: creates the tables in an empty database, and brings those of an earlier
/// version up to this one.
pub(super) fn prepare_writer(connection: &mut Connection) -> Result<(), StorageError> {
    settle(connection)?;
    migrate(connection, VERSION, |version| match version {
        0 => Some(format!("{TABLES}{REFUSED}{AUDIT}{REVOCATIONS}{ORIGINS}{VIEWINGS}{GRANTS}{NAMED}")),
        1 => Some(format!("{FROM_1}{FROM_2}{REFUSED}{AUDIT}{REVOCATIONS}{ORIGINS}{VIEWINGS}{GRANTS}{NAMED}")),
        2 => Some(format!("{FROM_2}{REFUSED}{AUDIT}{REVOCATIONS}{ORIGINS}{VIEWINGS}{GRANTS}{NAMED}")),
        3 => Some(format!("{REFUSED}{AUDIT}{REVOCATIONS}{ORIGINS}{VIEWINGS}{GRANTS}{NAMED}")),
        4 => Some(format!("{REVOCATIONS}{ORIGINS}{VIEWINGS}{SET_ASIDE}{AUDIT}{GRANTS}{NAMED}")),
        5 => Some(format!("{ORIGINS}{VIEWINGS}{SET_ASIDE}{AUDIT}{GRANTS}{NAMED}")),
        6 => Some(format!("{SET_ASIDE}{AUDIT}{GRANTS}{NAMED}")),
        7 => Some(format!("{GRANTS}{NAMED}")),
        8 => Some(NAMED.to_owned()),
        _ => None,
    })?;
    audit::adopt(connection)
}

/// Settles durability, if this SQLite can be trusted with it.
pub(super) fn settle(connection: &Connection) -> Result<(), StorageError> {
    if rusqlite::version_number() < MIN_SQLITE {
        return Err(StorageError::Unavailable(
            format!("SQLite {} can lose commits; 3.51.3 is the oldest that will do", rusqlite::version())
                .into(),
        ));
    }
    Ok(connection.execute_batch(WRITER)?)
}

/// Brings the tables of a database to a version by what is to be done from an earlier one; 0 is an empty database.
pub(super) fn migrate(
    connection: &mut Connection,
    version: i64,
    from: impl FnOnce(i64) -> Option<String>,
) -> Result<(), StorageError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found == version {
        return Ok(());
    }
    let unknown = || format!("the database has version {found}, this program knows {version}");
    let changes = from(found).ok_or_else(|| StorageError::Unavailable(unknown().into()))?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(&changes)?;
    transaction.pragma_update(None, "user_version", version)?;
    Ok(transaction.commit()?)
}

/// Makes a new connection ready to read, and unable to write.
pub(super) fn prepare_reader(connection: &Connection) -> Result<(), StorageError> {
    Ok(connection.execute_batch(READER)?)
}
