//! What an operator does with the audit itself: erases what it says of a person, and prunes what is older than it is kept.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use sdk_core::clock::Millis;

use super::{ALLOWED, Audit, Checkpoint, Entry, Finding, Head, append, enable, key};
use crate::{
    data::DataFolder,
    storage::{StorageError, sql, sqlite::schema},
};

/// Who does it, and why. It is on record as they say.
pub struct Office<'a> {
    /// Who.
    pub subject: &'a str,
    /// Why.
    pub justification: &'a str,
    /// Who else has approved of it; empty if nobody had to.
    pub approver: &'a str,
}

/// The chains of one database, to be changed in the two ways in which they may be. Also while a server writes to it.
pub struct Kept {
    connection: Connection,
}

impl Kept {
    /// Opens those of a database.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], also if the database was never opened by this version of the server.
    pub fn open(path: &Path, chain: &'static str) -> Result<Self, StorageError> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        schema::settle(&connection)?;
        // What is erased is not to be read in the file's free space either.
        connection.execute_batch("PRAGMA secure_delete = ON")?;
        enable(&connection, key(Some(path))?, chain)?;
        Ok(Self { connection })
    }

    /// Erases from a tenant's records who somebody was, wherever they are named alone or as the subject of a revocation, and
    /// returns how many parts of records that were. That it was done is on record; of whom, is not.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; nothing was erased, unless it is only that the log of the database could not be emptied.
    pub fn erase(
        &mut self,
        tenant: &str,
        subject: &str,
        office: &Office<'_>,
        now: Millis,
    ) -> Result<usize, StorageError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "DELETE FROM audit_parts WHERE tenant = ?1 AND text IN (?2, 'subject ' || ?2)";
        let count = transaction.execute(sql, (tenant, subject))?;
        office.record(&*transaction, tenant, "personal data erased", &format!("{count} parts"), now)?;
        transaction.commit()?;
        // The log has the pages as they were.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(count)
    }

    /// Removes the first records of a tenant, up to the first that is not from before a Unix time, and leaves a signed head in
    /// their place. Returns how many they were; none are removed, and none are counted, if there are none so old.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`]; nothing was removed.
    pub fn prune(
        &mut self,
        tenant: &str,
        before: Millis,
        office: &Office<'_>,
        now: Millis,
    ) -> Result<u64, StorageError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let signed = Head::signed(&*transaction, tenant)?;
        if signed != Some(Head::replay(&*transaction, tenant, None)?) {
            return Err(StorageError::Unavailable("its chain is not as it was signed: verify it".into()));
        }
        let sql = "SELECT max(number) FROM audit WHERE tenant = ?1 AND number <
                   coalesce((SELECT min(number) FROM audit WHERE tenant = ?1 AND at >= ?2), 9223372036854775807)";
        let through: Option<Option<u64>> =
            transaction.query_row(sql, (tenant, before.0), |row| row.get(0)).optional()?;
        let Some(through) = through.flatten() else { return Ok(0) };
        let start = Head::replay(&*transaction, tenant, Some(through))?;
        // Behind the cut nobody could see any more what it covers.
        start.save(&*transaction, tenant, "audit_starts")?;
        let sql = "DELETE FROM audit_parts WHERE tenant = ?1 AND number <= ?2";
        transaction.execute(sql, (tenant, through))?;
        let sql = "DELETE FROM audit WHERE tenant = ?1 AND number <= ?2";
        let count = transaction.execute(sql, (tenant, through))?;
        office.record(&*transaction, tenant, "audit pruned", &format!("through record {through}"), now)?;
        transaction.commit()?;
        Ok(count as u64)
    }
}

/// What became of a chain that had records to be removed.
pub struct Pruned {
    /// In which database.
    pub chain: &'static str,
    /// Whose.
    pub tenant: String,
    /// How many were removed, and the signed head that stands in their place; or why none was.
    pub outcome: Result<(u64, Option<Checkpoint>), Finding>,
}

/// Removes the records from before a Unix time of all chains in a data folder. One that is not what was recorded is left.
///
/// # Errors
/// [`StorageError::Unavailable`]; some may have been pruned.
pub fn prune_all(
    data: &Path,
    before: Millis,
    office: &Office<'_>,
    now: Millis,
) -> Result<Vec<Pruned>, StorageError> {
    let mut told = Vec::new();
    for (chain, path) in DataFolder::audited(data) {
        let old: Vec<(String, Option<Finding>)> = {
            let audit = Audit::open(&path, chain)?;
            let tenants = audit.tenants_before(before)?.into_iter();
            let checked = tenants.map(|tenant| {
                let found = audit.verify(&tenant, &[], |_| {})?.findings.into_iter().next();
                Ok((tenant, found))
            });
            checked.collect::<Result<_, StorageError>>()?
        };
        for (tenant, finding) in old {
            let outcome = match finding {
                Some(finding) => Err(finding),
                None => {
                    let count = Kept::open(&path, chain)?.prune(&tenant, before, office, now)?;
                    Ok((count, Audit::open(&path, chain)?.start(&tenant)?))
                }
            };
            told.push(Pruned { chain, tenant, outcome });
        }
    }
    Ok(told)
}

impl Office<'_> {
    pub(in crate::storage) fn record(
        &self,
        connection: &dyn sql::Connection,
        tenant: &str,
        action: &str,
        target: &str,
        now: Millis,
    ) -> Result<(), StorageError> {
        let parts = [self.subject, target, self.justification, self.approver];
        append(connection, tenant, &Entry { action, outcome: ALLOWED, parts }, now)
    }
}
