//! Tables of the database, and how they come there.

use postgres::Client;

use super::{
    groups,
    settings::{Options, Settings, apart, quoted},
};
use crate::storage::StorageError;

/// What brings the tables of a store from one version to the next. Forward only: a step that was released is never changed.
/// Programs of the release before go on while it is done and after.
pub(super) struct Migrations(&'static [&'static [&'static str]]);

pub(super) const DOCUMENTS: Migrations = Migrations(&[&[DOCUMENT_TABLES, AUDIT_TABLES], &[GRANT_TABLE]]);
pub(super) const TRANSACTIONS: Migrations = Migrations(&[&[TRANSACTION_TABLES, AUDIT_TABLES]]);

pub(super) const GROUPS: Migrations = Migrations(&[&[groups::TABLES, AUDIT_TABLES]]);

/// The tables are those of the [embedded store](crate::storage::sqlite), with the tenant in each whose rows are somebody's.
/// Names compare byte by byte, whatever the database's language.
const DOCUMENT_TABLES: &str = r#"
    CREATE TABLE clients (
        tenant TEXT COLLATE "C" NOT NULL,
        client TEXT COLLATE "C" NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        actor BIGINT NOT NULL,
        PRIMARY KEY (tenant, client),
        UNIQUE (tenant, actor)
    );

    CREATE TABLE retired (
        actor BIGINT NOT NULL
    );

    CREATE TABLE collections (
        key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        strategy TEXT NOT NULL,
        epoch TEXT NOT NULL,
        head BIGINT NOT NULL,
        pruned BIGINT NOT NULL DEFAULT 0,
        UNIQUE (tenant, name)
    );

    CREATE TABLE documents (
        tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('webwaka.tenant'),
        collection BIGINT NOT NULL REFERENCES collections (key),
        id TEXT COLLATE "C" NOT NULL,
        rev BIGINT NOT NULL,
        state TEXT NOT NULL,
        buried BIGINT,
        PRIMARY KEY (collection, id)
    );
    CREATE INDEX documents_by_rev ON documents (collection, rev);
    CREATE INDEX documents_by_burial ON documents (buried) WHERE buried IS NOT NULL;

    CREATE TABLE resolutions (
        key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('webwaka.tenant'),
        collection BIGINT NOT NULL REFERENCES collections (key),
        document TEXT COLLATE "C" NOT NULL,
        record TEXT NOT NULL
    );
    CREATE INDEX resolutions_by_document ON resolutions (collection, document, key);

    CREATE TABLE judgements (
        tenant TEXT COLLATE "C" NOT NULL,
        client TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        payload_hash BYTEA NOT NULL,
        made TEXT,
        judgement TEXT NOT NULL,
        maker TEXT COLLATE "C",
        PRIMARY KEY (tenant, client, seq)
    );
    CREATE INDEX judgements_by_maker ON judgements (tenant, maker, seq) WHERE maker IS NOT NULL;

    CREATE TABLE refused (
        key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant TEXT COLLATE "C" NOT NULL,
        client TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        kind TEXT NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        document TEXT COLLATE "C",
        strategy TEXT,
        body TEXT NOT NULL,
        edited BOOLEAN NOT NULL,
        since BIGINT NOT NULL,
        round BIGINT NOT NULL,
        history TEXT NOT NULL,
        outcome TEXT,
        origin_client TEXT COLLATE "C" NOT NULL,
        origin_seq BIGINT NOT NULL,
        event TEXT,
        UNIQUE (tenant, client, seq)
    );
    CREATE INDEX refused_by_tenant ON refused (tenant, key);
    CREATE INDEX refused_by_origin ON refused (tenant, origin_client, origin_seq);

    CREATE TABLE refused_tenants (
        tenant TEXT COLLATE "C" PRIMARY KEY,
        letters BIGINT NOT NULL,
        bytes BIGINT NOT NULL,
        dropped BIGINT NOT NULL,
        actor BIGINT,
        seq BIGINT NOT NULL
    );

    CREATE TABLE origins (
        tenant TEXT COLLATE "C" NOT NULL,
        client TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        collection TEXT COLLATE "C" NOT NULL,
        document TEXT COLLATE "C" NOT NULL,
        latest BIGINT NOT NULL,
        judgement TEXT,
        intents BYTEA,
        PRIMARY KEY (tenant, client, seq, collection, document)
    );

    CREATE TABLE revocations (
        tenant TEXT COLLATE "C" NOT NULL,
        whose TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        issued_before BIGINT NOT NULL,
        until BIGINT NOT NULL,
        at BIGINT NOT NULL,
        maker TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (tenant, whose, name)
    );
    CREATE INDEX revocations_by_end ON revocations (until);

    CREATE TABLE viewings (
        tenant TEXT COLLATE "C" NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        target TEXT NOT NULL,
        until BIGINT NOT NULL,
        PRIMARY KEY (tenant, subject, target)
    );
    CREATE INDEX viewings_by_end ON viewings (until);
"#;

/// `tenant` is whose data a grant is for.
const GRANT_TABLE: &str = r#"
    CREATE TABLE grants (
        key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id TEXT COLLATE "C" NOT NULL UNIQUE,
        tenant TEXT COLLATE "C" NOT NULL,
        holder_tenant TEXT COLLATE "C" NOT NULL,
        holder TEXT COLLATE "C" NOT NULL,
        justification TEXT NOT NULL,
        scope TEXT NOT NULL,
        may TEXT NOT NULL,
        seconds BIGINT NOT NULL,
        requested BIGINT NOT NULL,
        state TEXT NOT NULL,
        decider_tenant TEXT COLLATE "C",
        decider TEXT COLLATE "C",
        ends BIGINT NOT NULL
    );
    CREATE INDEX grants_by_holder ON grants (holder_tenant, holder, ends);
    CREATE INDEX grants_by_end ON grants (ends);
"#;

/// As the embedded stores have them.
const AUDIT_TABLES: &str = r#"
    CREATE TABLE audit (
        tenant TEXT COLLATE "C" NOT NULL,
        number BIGINT NOT NULL,
        at BIGINT NOT NULL,
        action TEXT NOT NULL,
        outcome TEXT NOT NULL,
        commitments BYTEA NOT NULL,
        hash BYTEA NOT NULL,
        PRIMARY KEY (tenant, number)
    );

    CREATE TABLE audit_parts (
        tenant TEXT COLLATE "C" NOT NULL,
        number BIGINT NOT NULL,
        part BIGINT NOT NULL,
        salt BYTEA NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (tenant, number, part)
    );

    CREATE TABLE audit_heads (
        tenant TEXT COLLATE "C" PRIMARY KEY,
        count BIGINT NOT NULL,
        hash BYTEA NOT NULL,
        tree BYTEA NOT NULL,
        signature BYTEA NOT NULL
    );

    CREATE TABLE audit_starts (
        tenant TEXT COLLATE "C" PRIMARY KEY,
        count BIGINT NOT NULL,
        hash BYTEA NOT NULL,
        tree BYTEA NOT NULL,
        signature BYTEA NOT NULL
    );
"#;

const TRANSACTION_TABLES: &str = r#"
    CREATE TABLE tenants (
        tenant TEXT COLLATE "C" PRIMARY KEY,
        keys BIGINT NOT NULL DEFAULT 0,
        records BIGINT NOT NULL DEFAULT 0,
        waiting BIGINT NOT NULL DEFAULT 0
    );

    CREATE TABLE records (
        tenant TEXT COLLATE "C" NOT NULL,
        key TEXT COLLATE "C" NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (tenant, key)
    );

    CREATE TABLE calls (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant TEXT COLLATE "C" NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        key TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        body_hash BYTEA NOT NULL,
        at BIGINT NOT NULL,
        answer TEXT,
        code TEXT,
        message TEXT,
        UNIQUE (tenant, subject, key)
    );
    CREATE INDEX calls_by_age ON calls (at);

    CREATE TABLE lanes (
        lane BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant TEXT COLLATE "C" NOT NULL,
        topic TEXT COLLATE "C" NOT NULL,
        until BIGINT NOT NULL DEFAULT 0,
        turn BIGINT NOT NULL,
        UNIQUE (tenant, topic)
    );
    CREATE INDEX lanes_by_turn ON lanes (turn);
    CREATE SEQUENCE turns;

    CREATE TABLE outgoing (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('webwaka.tenant'),
        lane BIGINT NOT NULL REFERENCES lanes (lane),
        at BIGINT NOT NULL,
        event TEXT NOT NULL
    );
    CREATE INDEX outgoing_by_lane ON outgoing (lane, id);
"#;

/// Each table that has a tenant's rows shows them under the name of that tenant alone, also to its owner. Upkeep, which is every
/// tenant's, says that it is.
const GUARD: &str = "
    DO $$
    DECLARE guarded record;
    BEGIN
        FOR guarded IN SELECT table_name AS name FROM information_schema.columns
            WHERE table_schema = current_schema() AND column_name = 'tenant'
        LOOP
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded.name);
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded.name);
            EXECUTE format('DROP POLICY IF EXISTS by_tenant ON %I', guarded.name);
            EXECUTE format('CREATE POLICY by_tenant ON %I
                USING (tenant = current_setting(''webwaka.tenant'', true)
                       OR current_setting(''webwaka.every'', true) = ''on'')', guarded.name);
        END LOOP;
    END $$;
";

/// Creates the schema of the options with its tables, or brings those of an earlier release up to this one, and lets a role use
/// them. The URL is for this that of their owner; servers enter as the role, which is to be neither that nor a superuser.
/// Several may do it at one time.
///
/// # Errors
/// [`StorageError::Unavailable`]; nothing was changed.
pub fn migrate(options: &Options, role: &str) -> Result<(), StorageError> {
    let settings = Settings::new(options)?;
    apart(|| bring(&settings, role, &DOCUMENTS))
}

/// The same for the tables of critical transactions, which need a schema of their own.
///
/// # Errors
/// [`StorageError::Unavailable`]; nothing was changed.
pub fn migrate_transactions(options: &Options, role: &str) -> Result<(), StorageError> {
    let settings = Settings::new(options)?;
    apart(|| bring(&settings, role, &TRANSACTIONS))
}

/// The same for the tables of consumer groups, which need a schema of their own.
///
/// # Errors
/// [`StorageError::Unavailable`]; nothing was changed.
pub fn migrate_groups(options: &Options, role: &str) -> Result<(), StorageError> {
    let settings = Settings::new(options)?;
    apart(|| bring(&settings, role, &GROUPS))
}

fn bring(settings: &Settings, role: &str, migrations: &Migrations) -> Result<(), StorageError> {
    let mut client = settings.connect()?;
    let mut transaction = client.transaction()?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&settings.lock_of_tables()])?;
    let (schema, role) = (quoted(&settings.schema), quoted(role));
    transaction.batch_execute(&format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};
         CREATE TABLE IF NOT EXISTS migrations (
             version BIGINT PRIMARY KEY,
             made TIMESTAMPTZ NOT NULL DEFAULT now()
         );"
    ))?;
    let version: i64 = transaction.query_one("SELECT coalesce(max(version), 0) FROM migrations", &[])?.get(0);
    for (steps, number) in migrations.0.iter().zip(1_i64..).filter(|(_, number)| *number > version) {
        transaction.batch_execute(&steps.concat())?;
        transaction.execute("INSERT INTO migrations (version) VALUES ($1)", &[&number])?;
    }
    transaction.batch_execute(GUARD)?;
    transaction.batch_execute(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
         REVOKE INSERT, UPDATE, DELETE ON migrations FROM {role};"
    ))?;
    Ok(transaction.commit()?)
}

/// Makes sure that the tables are those that this program works with, and that no row of a tenant is shown to another.
pub(super) fn check(client: &mut Client, migrations: &Migrations) -> Result<(), StorageError> {
    let wrong = |words: String| Err(StorageError::Unavailable(words.into()));
    let version: i64 = client.query_one("SELECT coalesce(max(version), 0) FROM migrations", &[])?.get(0);
    let known = migrations.0.len() as i64;
    // A later release has left in place what this one works with.
    if version < known {
        return wrong(format!(
            "the database has version {version}, and this program needs {known}: migrate it"
        ));
    }
    let encoding: String = client.query_one("SHOW server_encoding", &[])?.get(0);
    if encoding != "UTF8" {
        return wrong(format!("the database is in {encoding}, and names are in UTF-8"));
    }
    let sql = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
    if client.query_one(sql, &[])?.get(0) {
        return wrong("the role that the server enters the database as sees the rows of every tenant".into());
    }
    let sql =
        "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user";
    let owned: i64 = client.query_one(sql, &[])?.get(0);
    if owned > 0 {
        return wrong("the role that the server enters the database as owns its tables".into());
    }
    Ok(())
}
