//! One connection, opened anew when it is lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use postgres::{Client, IsolationLevel, Transaction};

use super::{
    connection::{Open, Signer, Statements},
    settings::Settings,
};
use crate::storage::{StorageError, sql::Connection};

/// Whose rows a transaction may see and write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose<'a> {
    /// One tenant's.
    Tenant(&'a str),
    /// Every tenant's, for upkeep.
    Every,
}

/// How long nobody tries to connect after it has failed: until then, callers hear at once that it has.
const PAUSE: Duration = Duration::from_millis(250);
/// A connection that was not used for so long is asked whether it is there before anything relies on it.
const IDLE: Duration = Duration::from_secs(1);

/// A connection that comes back.
pub(super) struct Session {
    settings: Arc<Settings>,
    signer: Arc<Signer>,
    live: Option<Live>,
    failed: Option<Instant>,
}

struct Live {
    client: Client,
    statements: Statements,
    used: Instant,
}

impl Session {
    pub(super) fn new(settings: Arc<Settings>, signer: Arc<Signer>) -> Self {
        Self { settings, signer, live: None, failed: None }
    }

    /// Reads at one point in time.
    pub(super) fn read<T, E: From<StorageError>>(
        &mut self,
        whose: Whose<'_>,
        work: impl FnOnce(&dyn Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.within(snapshot, |open| {
            enter(open, whose)?;
            work(open)
        })
    }

    /// Writes in one transaction, which is committed unless it fails. Until then nobody else writes what it may write: all that
    /// is said of one writer holds of many, each tenant's rows being written by one at a time.
    pub(super) fn write<T, E: From<StorageError>>(
        &mut self,
        whose: Whose<'_>,
        work: impl FnOnce(&dyn Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let of: &[&str] = match &whose {
            Whose::Tenant(tenant) => std::slice::from_ref(tenant),
            Whose::Every => &[],
        };
        self.lock(matches!(whose, Whose::Every), of, |open| {
            enter(open, whose)?;
            work(open)
        })
    }

    /// Writes in one transaction what is of several tenants, of which it [enters](enter) one after another.
    pub(super) fn write_group<T>(
        &mut self,
        tenants: &[&str],
        work: impl FnOnce(&dyn Connection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.lock(false, tenants, work)
    }

    /// Writes in one transaction rows that nobody else writes because it locks them itself.
    pub(super) fn write_rows<T, E: From<StorageError>>(
        &mut self,
        whose: Whose<'_>,
        work: impl FnOnce(&dyn Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.within(begin, |open| {
            enter(open, whose)?;
            work(open)
        })
    }

    fn lock<T, E: From<StorageError>>(
        &mut self,
        alone: bool,
        tenants: &[&str],
        work: impl FnOnce(&dyn Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut keys: Vec<i64> = tenants.iter().map(|tenant| self.settings.lock(tenant)).collect();
        // Whoever wants several takes them in the same order, or two could wait for one another.
        keys.sort_unstable();
        keys.dedup();
        let all = self.settings.lock_of_all();
        self.within(begin, |open| {
            let sql = if alone {
                "SELECT pg_advisory_xact_lock(?1)"
            } else {
                "SELECT pg_advisory_xact_lock_shared(?1)"
            };
            open.execute(sql, (all,))?;
            for key in keys {
                open.execute("SELECT pg_advisory_xact_lock(?1)", (key,))?;
            }
            work(open)
        })
    }

    fn within<T, E: From<StorageError>>(
        &mut self,
        begin: impl for<'c> FnOnce(&'c mut Client) -> Result<Transaction<'c>, StorageError>,
        work: impl FnOnce(&dyn Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let signer = self.signer.clone();
        let live = self.live()?;
        let result = begin(&mut live.client).map_err(E::from).and_then(|transaction| {
            let open = Open::new(transaction, &live.statements, &signer);
            // What fails is rolled back.
            let done = work(&open)?;
            open.commit()?;
            Ok(done)
        });
        live.used = Instant::now();
        if live.client.is_closed() {
            self.live = None;
        }
        result
    }

    fn live(&mut self) -> Result<&mut Live, StorageError> {
        let is_gone = |live: &mut Live| {
            let unsure = live.used.elapsed() > IDLE;
            live.client.is_closed()
                || (unsure && live.client.is_valid(self.settings.timeouts.connect).is_err())
        };
        if self.live.as_mut().is_some_and(is_gone) {
            self.live = None;
        }
        if self.live.is_none() {
            if self.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
                return Err(StorageError::Unavailable("the database could not be reached just now".into()));
            }
            match self.settings.connect() {
                Ok(client) => {
                    self.failed = None;
                    self.live =
                        Some(Live { client, statements: Statements::default(), used: Instant::now() });
                }
                Err(error) => {
                    self.failed = Some(Instant::now());
                    return Err(error);
                }
            }
        }
        self.live.as_mut().ok_or_else(|| StorageError::Unavailable("there is no connection".into()))
    }
}

/// A transaction that sees one point in time.
fn snapshot(client: &mut Client) -> Result<Transaction<'_>, StorageError> {
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    Ok(snapshot.read_only(true).start()?)
}

/// A transaction in which each statement sees all that is committed, and with it whatever was before the locks were had.
fn begin(client: &mut Client) -> Result<Transaction<'_>, StorageError> {
    Ok(client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start()?)
}

/// From here on statements see and write those rows alone, until the transaction or the savepoint is over.
pub(super) fn enter(connection: &dyn Connection, whose: Whose<'_>) -> Result<(), StorageError> {
    let (tenant, every) = match whose {
        Whose::Tenant(tenant) => (tenant, "off"),
        Whose::Every => ("", "on"),
    };
    let sql = "SELECT set_config('webwaka.tenant', ?1, true), set_config('webwaka.every', ?2, true)";
    connection.execute(sql, (tenant, every)).map(drop)
}

impl From<postgres::Error> for StorageError {
    fn from(error: postgres::Error) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
