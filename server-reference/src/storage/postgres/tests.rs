//! What the store of several servers promises beyond the contract.

mod audit;
mod groups;
mod instances;
mod server;
mod tenants;
mod tls;

use std::sync::Arc;

use sdk_core::protocol::{Epoch, Limits};

use super::{Options, PostgresStore, PostgresTransactions, Shared, migrate, migrate_transactions};
use crate::{
    random,
    resolvers::Resolvers,
    storage::{
        Documents,
        contract::{
            documents_contract,
            grants::grants_contract,
            refusals::{Letters, refusals_contract},
            revocations::revocations_contract,
            transactions::{Both, transactions_contract},
        },
        grants::Grants,
        revocations::Revocations,
        sql::transactions::Caps,
        sqlite::audit::Key,
    },
};
use server::{fresh, owner, unmigrated, url};

fn instance(options: &Options) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(options, shared()).unwrap())
}

fn shared() -> Shared {
    Shared {
        limits: Limits::default(),
        resolvers: Resolvers::default(),
        new_epoch: Arc::new(|| Epoch::new(&random::name()).unwrap()),
        on_advance: Arc::new(|_| {}),
        audit_key: Key::fleeting().unwrap(),
    }
}

async fn store() -> (Arc<dyn Documents>, ()) {
    (instance(&fresh()), ())
}

documents_contract!(store);

async fn letters() -> (Letters, ()) {
    let store = instance(&fresh());
    (Letters { documents: store.clone(), letters: store }, ())
}

refusals_contract!(letters);

async fn revoking() -> (Arc<dyn Revocations>, ()) {
    (instance(&fresh()), ())
}

revocations_contract!(revoking);

async fn granting() -> (Arc<dyn Grants>, ()) {
    (instance(&fresh()), ())
}

grants_contract!(granting);

async fn both() -> (Both, ()) {
    let options = unmigrated();
    migrate_transactions(&Options { url: url("owner"), ..options.clone() }, "server").unwrap();
    let caps = Caps { keys: 8, records: 4, waiting: 3, event_bytes: 1024 };
    let key = Key::fleeting().unwrap();
    let store = Arc::new(PostgresTransactions::open(&options, caps, key, Arc::new(|| ())).unwrap());
    (Both { transactions: store.clone(), outgoing: store }, ())
}

transactions_contract!(both);
