//! Critical transactions: payments, bookings, entries in a ledger. `POST /v1/transactions/{name}` with an
//! `Idempotency-Key`, and nothing else: none is ever queued, and none goes over a socket.
//!
//! An application registers its [handlers](handler) under names; the [store](crate::storage::transactions) runs one with its
//! answer in one commit, and the courier takes the events it has caused to their topics. [`ledger`] is one to
//! copy from.

pub(crate) mod courier;
mod figures;
pub mod handler;
mod key;
pub mod ledger;
mod misuse;
mod problem;
mod routes;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use sdk_core::protocol::{InvalidId, TransactionName};

pub use figures::{Figures, Observed};
use handler::{Handler, Query};
pub(crate) use misuse::misused;
pub use problem::Code;
pub(crate) use routes::{SENT, TOLD, routes};

pub use crate::storage::sqlite::transactions::Caps;

/// What an application has for names.
#[derive(Clone, Default)]
pub struct Handlers(BTreeMap<TransactionName, Kind>);

#[derive(Clone)]
enum Kind {
    Transaction(Arc<dyn Handler>),
    Query(Arc<dyn Query>),
}

impl Handlers {
    /// With a transaction of every tenant.
    ///
    /// # Errors
    /// The name is none that a transaction can have.
    pub fn transaction(mut self, name: &str, handler: impl Handler) -> Result<Self, InvalidId> {
        self.0.insert(TransactionName::new(name)?, Kind::Transaction(Arc::new(handler)));
        Ok(self)
    }

    /// With a question of every tenant.
    ///
    /// # Errors
    /// As [`transaction`](Self::transaction).
    pub fn query(mut self, name: &str, query: impl Query) -> Result<Self, InvalidId> {
        self.0.insert(TransactionName::new(name)?, Kind::Query(Arc::new(query)));
        Ok(self)
    }

    fn of(&self, name: &TransactionName) -> Option<&Kind> {
        self.0.get(name)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// How transactions are served.
#[derive(Debug, Clone)]
pub struct TransactionsConfig {
    /// What there is.
    pub handlers: Handlers,
    /// What a tenant may have.
    pub caps: Caps,
    /// How long a key is kept after its first use. Whoever asks again later has it done once more.
    pub keys_kept: Duration,
    /// Bytes of a body.
    pub body_bytes: usize,
}

impl Default for TransactionsConfig {
    fn default() -> Self {
        Self {
            handlers: Handlers::default(),
            caps: Caps::default(),
            keys_kept: Duration::from_secs(7 * 24 * 60 * 60),
            body_bytes: 64 * 1024,
        }
    }
}
