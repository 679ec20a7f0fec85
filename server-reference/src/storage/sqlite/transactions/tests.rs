//! What the embedded store promises beyond the contract.

use std::sync::Arc;

use sdk_core::protocol::{Json, TransactionName};
use tempfile::TempDir;

use super::*;
use crate::{
    fixtures::{START, scope},
    storage::{
        contract::transactions::{Both, transactions_contract},
        sqlite::audit,
    },
    transactions::handler::{Call, Fault, Handler, Records},
};

const CAPS: Caps = Caps { keys: 8, records: 4, waiting: 3, event_bytes: 1024 };

async fn both() -> (Both, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder));
    (Both { transactions: store.clone(), outgoing: store }, folder)
}

transactions_contract!(both);

fn open(folder: &TempDir) -> TransactionStore {
    TransactionStore::open(&folder.path().join("transactions.db"), CAPS, Box::new(|| ())).unwrap()
}

struct Count;

impl Handler for Count {
    fn run(&self, _: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
        let count = records.read::<u64>("n")?.unwrap_or_default() + 1;
        records.write("n", &count)?;
        Ok(Json::parse(count.to_string()).unwrap())
    }
}

fn count(key: &str) -> Run {
    let name = TransactionName::new("count").unwrap();
    Run { name, key: key.parse().unwrap(), body: Json::parse("{}").unwrap(), handler: Arc::new(Count) }
}

async fn counted(store: &TransactionStore, key: &str, now: Millis) -> (String, bool) {
    let Ran { verdict, replayed } = store.run(scope("acme", "ada"), count(key), now).await.unwrap();
    let Verdict::Done(answer) = verdict else { panic!() };
    (answer.into(), replayed)
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    assert_eq!(counted(&store, "a", START).await, ("1".into(), false));
    drop(store);
    let store = open(&folder);
    assert_eq!(counted(&store, "a", START).await, ("1".into(), true));
    assert_eq!(counted(&store, "b", START).await, ("2".into(), false));
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_time_and_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    for n in 0..8 {
        counted(&store, &n.to_string(), START.plus(n)).await;
    }
    store.forget(START.plus(3)).await.unwrap();
    assert_eq!(counted(&store, "4", START.plus(9)).await, ("5".into(), true));
    // Those that were forgotten are as if they had never been used.
    for n in 0..4 {
        assert_eq!(counted(&store, &n.to_string(), START.plus(9)).await, ((9 + n).to_string(), false));
    }
    let full = store.run(scope("acme", "ada"), count("more"), START).await;
    assert!(matches!(full, Err(NotRun::TooManyKeys)));
}

#[tokio::test]
async fn a_store_that_fails_says_so_stores_nothing_and_works_again_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    counted(&store, "a", START).await;
    // As a full disk does, in the middle of the transaction: after the record was put.
    let other = Connection::open(folder.path().join("transactions.db")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    other.execute_batch(full).unwrap();
    for _ in 0..2 {
        let failed = store.run(scope("acme", "ada"), count("b"), START).await;
        assert!(matches!(failed, Err(NotRun::Storage(StorageError::Unavailable(_)))), "{failed:?}");
    }
    other.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(counted(&store, "b", START).await, ("2".into(), false));
}

#[tokio::test]
async fn a_handler_that_hides_a_failure_of_the_store_is_not_believed() {
    struct Hides;
    impl Handler for Hides {
        fn run(&self, _: Call<'_>, records: &mut dyn Records) -> Result<Json, Fault> {
            drop(records.write("n", &7));
            Ok(Json::parse("true").unwrap())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let other = Connection::open(folder.path().join("transactions.db")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    other.execute_batch(full).unwrap();
    let run = Run { handler: Arc::new(Hides), ..count("a") };
    let failed = store.run(scope("acme", "ada"), run, START).await;
    assert!(matches!(failed, Err(NotRun::Storage(StorageError::Unavailable(_)))), "{failed:?}");
}

#[tokio::test]
async fn misuse_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    store.misused(scope("acme", "ada"), "ada".into(), "in a frame".into(), START).await.unwrap();
    let mut records = Vec::new();
    let chain = audit::Audit::open(&folder.path().join("transactions.db"), audit::TRANSACTIONS).unwrap();
    let verified = chain.verify("acme", &[], |record| records.push(record.clone())).unwrap();
    assert_eq!((verified.records, verified.findings), (1, vec![]));
    let record = &records[0];
    assert_eq!((&*record.action, &*record.outcome), ("critical transaction misplaced", "refused"));
    assert_eq!((record.subject.as_deref(), record.target.as_deref()), (Some("ada"), Some("in a frame")));
}
