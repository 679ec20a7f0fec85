//! No tenant's rows are shown to another, whatever a statement asks for.

use super::*;
use crate::{
    fixtures::{batch, client, scope, set},
    storage::postgres::settings::Settings,
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
