//! No tenant's rows are shown to another, whatever a statement asks for.

use super::*;
use sdk_core::protocol::{Json, TopicName, TransactionName};

use crate::{
    fixtures::{START, batch, client, scope, set},
    storage::{
        contract::grants::{asked, sue},
        grants::{Asked, Counted, Decision, Extent, GrantId, WAITS},
        postgres::settings::Settings,
        transactions::{Run, Transactions},
    },
    transactions::handler::{Call, Emitted, Fault, Handler, Records},
};

#[tokio::test]
async fn a_statement_without_a_condition_sees_the_rows_of_its_tenant_alone() {
    let options = fresh();
    let store = instance(&options);
    for tenant in ["acme", "other"] {
        let batch = batch(&scope(tenant, "ada"), client(1), vec![set(1, "a", &[("x", "1")])]);
        store.commit(batch).await.unwrap();
    }
    let tables = owner(&options, |client| {
        let sql = "SELECT table_name::text FROM information_schema.columns
                   WHERE table_schema = current_schema() AND column_name = 'tenant'";
        client.query(sql, &[]).unwrap().iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    });
    assert!(tables.len() > 10, "{tables:?}");
    let settings = Settings::new(&options).unwrap();
    let seen = |tenant: &'static str| {
        let (settings, tables) = (&settings, &tables);
        std::thread::scope(|threads| {
            let look = || {
                let mut raw = settings.connect().unwrap();
                raw.execute("SELECT set_config('webwaka.tenant', $1, false)", &[&tenant]).unwrap();
                let count = |table: &String| {
                    let sql = format!("SELECT count(*), count(*) FILTER (WHERE tenant <> $1) FROM {table}");
                    let row = raw.query_one(&sql, &[&tenant]).unwrap();
                    (row.get::<_, i64>(0), row.get::<_, i64>(1))
                };
                let counts: Vec<_> = tables.iter().map(count).collect();
                let changed =
                    raw.execute("UPDATE documents SET state = 'stolen' WHERE tenant <> $1", &[&tenant]);
                assert_eq!(changed.unwrap(), 0);
                let planted = "INSERT INTO retired SELECT 1 WHERE false;
                               INSERT INTO clients VALUES ('victim', 'c', 's', 99)";
                assert!(raw.batch_execute(planted).is_err(), "a row of another tenant was written");
                counts
            };
            threads.spawn(look).join().unwrap()
        })
    };
    for tenant in ["acme", "other"] {
        let counts = seen(tenant);
        assert_eq!(counts.iter().map(|(_, others)| others).sum::<i64>(), 0);
        // Its client, its collection, its document and its judgement.
        assert_eq!(counts.iter().map(|(all, _)| all).sum::<i64>(), 4, "{tables:?} {counts:?}");
    }
    assert_eq!(seen("nobody").iter().map(|(all, _)| all).sum::<i64>(), 0);
    assert_eq!(seen("").iter().map(|(all, _)| all).sum::<i64>(), 0);
}

struct Writes;

impl Handler for Writes {
    fn run(&self, _: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
        records.write("balance", &7)?;
        let data = Json::parse("{}").unwrap();
        let event = Emitted { kind: "moved".to_owned(), subject: None, data };
        records.emit(TopicName::new("moves").unwrap(), event)?;
        Ok(Json::parse("true").unwrap())
    }
}

#[tokio::test]
async fn transactions_of_one_tenant_are_not_there_for_another() {
    let options = unmigrated();
    migrate_transactions(&Options { url: url("owner"), ..options.clone() }, "server").unwrap();
    let caps = Caps { keys: 8, records: 4, waiting: 3, event_bytes: 1024 };
    let key = Key::fleeting().unwrap();
    let store = PostgresTransactions::open(&options, caps, key, Arc::new(|| ())).unwrap();
    for tenant in ["acme", "other"] {
        let name = TransactionName::new("write").unwrap();
        let body = Json::parse("{}").unwrap();
        let run = Run { name, key: "k".parse().unwrap(), body, handler: Arc::new(Writes) };
        store.run(scope(tenant, "ada"), run, START).await.unwrap();
        store.misused(scope(tenant, "ada"), "ada".into(), "in a frame".into(), START).await.unwrap();
    }
    // As a role that servers enter as, with statements that name nobody.
    let settings = Settings::new(&options).unwrap();
    let look = |as_who: &str| {
        let mut raw = settings.connect().unwrap();
        raw.execute("SELECT set_config('webwaka.tenant', $1, false)", &[&as_who]).unwrap();
        let mut seen = Vec::new();
        for table in
            ["tenants", "records", "calls", "lanes", "outgoing", "audit", "audit_parts", "audit_heads"]
        {
            let mine: i64 = raw.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0);
            let changed = raw.execute(&format!("UPDATE {table} SET tenant = tenant"), &[]).unwrap();
            assert_eq!(i64::try_from(changed).unwrap(), mine, "{table}");
            let others = format!("UPDATE {table} SET tenant = 'victim'");
            assert!(raw.execute(&others, &[]).is_err() || mine == 0, "{table} gave a row away");
            seen.push(mine);
        }
        for planted in [
            "INSERT INTO records VALUES ('victim', 'k', '1')",
            "INSERT INTO tenants VALUES ('victim', 0, 0, 0)",
            "INSERT INTO calls (tenant, subject, key, name, body_hash, at) VALUES ('victim', 's', 'k', 'n', '', 0)",
            "INSERT INTO lanes (tenant, topic, turn) VALUES ('victim', 't', 0)",
            "INSERT INTO audit_heads VALUES ('victim', 0, '', '', '')",
        ] {
            assert!(raw.batch_execute(planted).is_err(), "{planted}");
        }
        let deleted = raw.execute("DELETE FROM records", &[]).unwrap();
        (seen, deleted)
    };
    let apart = |as_who| std::thread::scope(|threads| threads.spawn(|| look(as_who)).join().unwrap());
    assert_eq!(apart("nobody"), (vec![0; 8], 0));
    assert_eq!(apart(""), (vec![0; 8], 0));
    assert_eq!(apart("acme"), (vec![1, 1, 1, 1, 1, 1, 2, 1], 1));
    assert_eq!(apart("other").1, 1, "whoever deletes all deletes what is theirs");
}

#[tokio::test]
async fn grants_of_every_tenant_are_counted_and_those_that_have_ended_once() {
    let store = instance(&fresh());
    let count = |since: u64, now: u64| store.grant_count(START.plus(since), START.plus(now));
    for (number, tenant, waits) in [(1, "acme", true), (2, "acorn", false), (3, "acme", false)] {
        let asked = Asked { tenant: tenant.into(), ..asked(number, Extent::Read, waits) };
        store.request(sue(), asked, START).await.unwrap();
    }
    store.decide(sue(), GrantId::from_random(3), Decision::Withdraw, START).await.unwrap();
    let seen = |counted: Counted| (counted.pending, counted.active, counted.over);
    assert_eq!(seen(count(0, 599_999).await.unwrap()), (1, 1, 0));
    assert_eq!(seen(count(599_999, 600_000).await.unwrap()), (1, 0, 1), "its time is over");
    assert_eq!(seen(count(0, WAITS).await.unwrap()), (0, 0, 2), "nobody has approved in time");
    let back = count(600_000, 5).await.unwrap();
    assert_eq!((back.over, back.until), (0, START.plus(600_000)), "a clock that went back");
}

#[tokio::test]
async fn a_role_that_could_see_every_tenant_is_not_served() {
    let options = fresh();
    let refused = PostgresStore::open(&Options { url: url("owner"), ..options.clone() }, shared());
    assert!(refused.is_err());
    let owned = unmigrated();
    owner(&owned, |client| {
        let role = format!("owner_{}", owned.schema);
        let sql = format!("CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE postgres TO {role}");
        client.batch_execute(&sql).unwrap();
    });
    let owned = Options { url: url(&format!("owner_{}", owned.schema)), ..owned };
    migrate(&owned, "server").unwrap();
    assert!(PostgresStore::open(&owned, shared()).is_err());
    assert!(PostgresStore::open(&Options { url: url("server"), ..owned }, shared()).is_ok());
}

#[tokio::test]
async fn tables_are_made_once_however_many_make_them_at_one_time() {
    let options = unmigrated();
    assert!(PostgresStore::open(&options, shared()).is_err(), "there are no tables yet");
    let by = Options { url: url("owner"), ..options.clone() };
    std::thread::scope(|threads| {
        let all: Vec<_> = (0..4).map(|_| threads.spawn(|| migrate(&by, "server"))).collect();
        all.into_iter().for_each(|one| one.join().unwrap().unwrap());
    });
    let versions: i64 =
        owner(&options, |client| client.query_one("SELECT count(*) FROM migrations", &[]).unwrap().get(0));
    assert_eq!(versions, 2);
    instance(&options).check().await.unwrap();
}
