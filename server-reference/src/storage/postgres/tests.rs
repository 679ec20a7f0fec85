//! What the store of several servers promises beyond the contract.

mod instances;
mod server;
mod tenants;

use std::sync::Arc;

use sdk_core::protocol::{Epoch, Limits};

use super::{Options, PostgresStore, Shared, migrate};
use crate::{
    random,
    resolvers::Resolvers,
    storage::{
        Documents,
        contract::{
            documents_contract,
            refusals::{Letters, refusals_contract},
        },
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
