//! The chains of the audit in a schema: read, verified, pruned and erased from as those of the [embedded
//! store](crate::storage::sqlite::audit).

use std::sync::{Arc, Mutex, PoisonError};

use sdk_core::clock::Millis;

use super::{
    connection::Signer,
    session::{Session, Whose},
    settings::{Options, Settings},
};
use crate::storage::{
    StorageError,
    sqlite::audit::{
        Audit, DOCUMENTS, Database, Kept, Key, Office, Pruned, PublicKey, TOPICS, TRANSACTIONS, Work,
        prune_chains,
    },
};

/// The schemas in which it is recorded who did what, by what they hold.
pub fn audited(options: &Options) -> [(&'static str, Options); 3] {
    [(DOCUMENTS, options.clone()), (TOPICS, options.groups()), (TRANSACTIONS, options.transactions())]
}

/// The chains of one schema, with the key that all servers sign them with. Everything it does waits for the database: it is not for
/// a thread that serves others.
pub struct Chains {
    settings: Arc<Settings>,
    signer: Arc<Signer>,
}

impl Chains {
    /// Those of a schema.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] if the options are wrong. Whether the database is there is seen when they are used.
    pub fn new(options: &Options, chain: &'static str, key: Key) -> Result<Self, StorageError> {
        let settings = Arc::new(Settings::new(options)?);
        Ok(Self::of(settings, Arc::new(Signer { key, chain })))
    }

    pub(super) fn of(settings: Arc<Settings>, signer: Arc<Signer>) -> Self {
        Self { settings, signer }
    }

    /// What reads and verifies them.
    pub fn audit(&self) -> Audit {
        Audit::of(self.database(), self.signer.chain, self.signer.key.public())
    }

    /// What changes them in the two ways in which they may be.
    pub fn kept(&self) -> Kept {
        Kept::of(self.database())
    }

    /// Removes the records from before a Unix time. A chain that is not what was recorded is left.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; some may have been pruned.
    pub fn prune(
        &self,
        before: Millis,
        office: &Office<'_>,
        now: Millis,
    ) -> Result<Vec<Pruned>, StorageError> {
        prune_chains(|| Ok(self.audit()), || Ok(self.kept()), before, office, now)
    }

    fn database(&self) -> Schema {
        Schema(Mutex::new(Session::new(self.settings.clone(), self.signer.clone())))
    }
}

/// What reads the chains of a schema for somebody who has not the key that servers sign with, and knows what verifies it.
///
/// # Errors
/// As [`Chains::new`].
pub fn audit_with_key(options: &Options, chain: &'static str, key: PublicKey) -> Result<Audit, StorageError> {
    // Who reads alone signs nothing.
    let none = Key::fleeting().map_err(|error| StorageError::Unavailable(Box::new(error)))?;
    Ok(Audit::of(Chains::new(options, chain, none)?.database(), chain, key))
}

struct Schema(Mutex<Session>);

impl Schema {
    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        // One that was left in the middle of a transaction has rolled it back.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Database for Schema {
    fn look(&self, work: &mut Work<'_>) -> Result<(), StorageError> {
        self.session().read(Whose::Every, |connection| work(connection))
    }

    fn change(&self, tenant: &str, work: &mut Work<'_>) -> Result<(), StorageError> {
        self.session().write(Whose::Tenant(tenant), |connection| work(connection))
    }

    fn scrub(&self) -> Result<(), StorageError> {
        // It goes with the next vacuum, and is in the log that is archived until that is deleted.
        Ok(())
    }
}
