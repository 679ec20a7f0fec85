//! What an operator does with the audit itself: erases what it says of a person, and prunes what is older than it is kept.

use std::path::Path;

use sdk_core::clock::Millis;

use super::{ALLOWED, Audit, Checkpoint, Database, Entry, Finding, Head, append, database::File, key};
use crate::{
    data::DataFolder,
    storage::{StorageError, sql::Connection},
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
    database: Box<dyn Database>,
}

impl Kept {
    /// Opens those of a database.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], also if the database was never opened by this version of the server.
    pub fn open(path: &Path, chain: &'static str) -> Result<Self, StorageError> {
        Ok(Self::of(File::kept(path, key(Some(path))?, chain)?))
    }

    pub(in crate::storage) fn of(database: impl Database + 'static) -> Self {
        Self { database: Box::new(database) }
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
        let count = self.database.write(tenant, |connection| {
            let sql = "DELETE FROM audit_parts WHERE tenant = ?1 AND text IN (?2, 'subject ' || ?2)";
            let count = connection.execute(sql, (tenant, subject))?;
            office.record(connection, tenant, "personal data erased", &format!("{count} parts"), now)?;
            Ok(count)
        })?;
        self.database.scrub()?;
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
        self.database.write(tenant, |connection| {
            let signed = Head::signed(connection, tenant)?;
            if signed != Some(Head::replay(connection, tenant, None)?) {
                return Err(StorageError::Unavailable("its chain is not as it was signed: verify it".into()));
            }
            let sql = "SELECT max(number) FROM audit WHERE tenant = ?1 AND number <
                       coalesce((SELECT min(number) FROM audit WHERE tenant = ?1 AND at >= ?2), 9223372036854775807)";
            let through: Option<u64> = connection.one(sql, (tenant, before.0), |row| row.get(0))?;
            let Some(through) = through else { return Ok(0) };
            let start = Head::replay(connection, tenant, Some(through))?;
            // Behind the cut nobody could see any more what it covers.
            start.save(connection, tenant, "audit_starts")?;
            let sql = "DELETE FROM audit_parts WHERE tenant = ?1 AND number <= ?2";
            connection.execute(sql, (tenant, through))?;
            let sql = "DELETE FROM audit WHERE tenant = ?1 AND number <= ?2";
            let count = connection.execute(sql, (tenant, through))?;
            office.record(connection, tenant, "audit pruned", &format!("through record {through}"), now)?;
            Ok(count as u64)
        })
    }
}

/// What became of a chain that had records to be removed.
#[derive(Debug)]
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
        let kept = || Kept::open(&path, chain);
        told.extend(prune_chains(|| Audit::open(&path, chain), kept, before, office, now)?);
    }
    Ok(told)
}

/// The same of the chains of one database, which is looked at anew before and after each is changed.
pub(in crate::storage) fn prune_chains(
    seen: impl Fn() -> Result<Audit, StorageError>,
    kept: impl Fn() -> Result<Kept, StorageError>,
    before: Millis,
    office: &Office<'_>,
    now: Millis,
) -> Result<Vec<Pruned>, StorageError> {
    let (chain, old): (_, Vec<(String, Option<Finding>)>) = {
        let audit = seen()?;
        let tenants = audit.tenants_before(before)?.into_iter();
        let checked = tenants.map(|tenant| {
            let found = audit.verify(&tenant, &[], |_| {})?.findings.into_iter().next();
            Ok((tenant, found))
        });
        (audit.chain, checked.collect::<Result<_, StorageError>>()?)
    };
    let prune = |(tenant, finding): (String, Option<Finding>)| {
        let outcome = match finding {
            Some(finding) => Err(finding),
            None => Ok((kept()?.prune(&tenant, before, office, now)?, seen()?.start(&tenant)?)),
        };
        Ok(Pruned { chain, tenant, outcome })
    };
    old.into_iter().map(prune).collect()
}

impl Office<'_> {
    pub(in crate::storage) fn record(
        &self,
        connection: &dyn Connection,
        tenant: &str,
        action: &str,
        target: &str,
        now: Millis,
    ) -> Result<(), StorageError> {
        let parts = [self.subject, target, self.justification, self.approver];
        append(connection, tenant, &Entry { action, outcome: ALLOWED, parts }, now)
    }
}
