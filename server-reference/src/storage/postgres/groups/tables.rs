//! Tables of groups.

/// Those of the [embedded store](crate::storage::sqlite::events), with the tenant in each. `topics` are those that have groups:
/// one that was made anew under its name has another `id`. `groups.epoch` is the topic's as the group has last seen it.
pub(in crate::storage::postgres) const TABLES: &str = r#"
    CREATE TABLE topics (
        key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        UNIQUE (tenant, name, id)
    );

    CREATE TABLE groups (
        key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C",
        topic BIGINT NOT NULL,
        epoch BIGINT NOT NULL DEFAULT 0,
        start TEXT NOT NULL,
        rules TEXT NOT NULL,
        bounded BOOLEAN NOT NULL,
        created BIGINT NOT NULL,
        scanned BIGINT NOT NULL,
        generation BIGINT NOT NULL,
        lost BIGINT NOT NULL,
        told BIGINT NOT NULL,
        through BIGINT NOT NULL,
        skipped BIGINT NOT NULL,
        unresolved BIGINT NOT NULL,
        letters BIGINT NOT NULL,
        letter_bytes BIGINT NOT NULL DEFAULT 0,
        UNIQUE (tenant, name)
    );
    CREATE INDEX groups_by_topic ON groups (topic);
    CREATE INDEX groups_bounded ON groups (key) WHERE bounded;
    CREATE INDEX groups_removed ON groups (key) WHERE name IS NULL;

    CREATE TABLE deliveries (
        tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('webwaka.tenant'),
        grp BIGINT NOT NULL,
        number BIGINT NOT NULL,
        state BIGINT NOT NULL,
        lane BIGINT,
        due BIGINT NOT NULL,
        attempts BIGINT NOT NULL,
        lease BIGINT NOT NULL,
        letter BIGINT,
        again BOOLEAN NOT NULL,
        history TEXT,
        PRIMARY KEY (grp, number)
    );
    CREATE INDEX deliveries_by_state ON deliveries (grp, state, due, number);
    CREATE INDEX deliveries_by_lane ON deliveries (grp, lane, number) WHERE lane IS NOT NULL;

    CREATE TABLE leases (
        tenant TEXT COLLATE "C" NOT NULL DEFAULT current_setting('webwaka.tenant'),
        grp BIGINT NOT NULL,
        id BIGINT NOT NULL,
        secret TEXT COLLATE "C" NOT NULL,
        worker TEXT NOT NULL,
        until BIGINT NOT NULL,
        open BIGINT NOT NULL,
        told BIGINT NOT NULL,
        members TEXT NOT NULL,
        PRIMARY KEY (grp, id)
    );
    CREATE INDEX leases_by_end ON leases (until, grp);
    CREATE INDEX leases_by_group ON leases (grp, until);

    CREATE TABLE letters (
        key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        tenant TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        grp BIGINT NOT NULL,
        topic TEXT COLLATE "C" NOT NULL,
        number BIGINT NOT NULL,
        lane BIGINT,
        position TEXT NOT NULL,
        at BIGINT NOT NULL,
        content_type TEXT NOT NULL,
        body BYTEA NOT NULL,
        edited BOOLEAN NOT NULL,
        since BIGINT NOT NULL,
        round BIGINT NOT NULL,
        live BOOLEAN NOT NULL,
        history TEXT NOT NULL
    );
    CREATE INDEX letters_by_group ON letters (tenant, name, key);
    CREATE INDEX letters_by_number ON letters (grp, number);

    CREATE TABLE viewings (
        tenant TEXT COLLATE "C" NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        target TEXT NOT NULL,
        until BIGINT NOT NULL,
        PRIMARY KEY (tenant, subject, target)
    );
    CREATE INDEX viewings_by_end ON viewings (until);
"#;
