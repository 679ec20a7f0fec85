//! What groups need done while nobody asks. Every instance does it; a group that somebody works in is left to them.

use std::sync::{Arc, atomic::Ordering};

use sdk_core::clock::Millis;

use super::{Found, Lock, PostgresGroups, Session, Whose, enter, rows::Which};
use crate::storage::{
    StorageError,
    events::LogError,
    sql::{
        Connection,
        groups::{SLICE, Work, purge},
    },
};

impl PostgresGroups {
    /// Takes back lapsed leases, gives up what was left unread for too long, ends groups whose topics are gone, and removes what
    /// removed groups have left. Group by group; others have their turn between two.
    ///
    /// # Errors
    /// [`LogError::Storage`]; some may have been done.
    pub async fn tidy(&self, now: Millis) -> Result<(), LogError> {
        self.sweep(Which::Lapsed(now), now, |work| work.take_back()).await?;
        self.sweep(Which::Bounded, now, |work| work.give_up().map(|()| false)).await?;
        self.look_after(now).await?;
        self.purge().await
    }

    /// Does something to each of some groups, again while there is more to do.
    async fn sweep(
        &self,
        which: Which,
        now: Millis,
        act: impl Fn(Work<'_>) -> Result<bool, LogError> + Copy + Send + 'static,
    ) -> Result<(), LogError> {
        let mut last = 0;
        loop {
            let slice = self.slice(which, last).await?;
            let Some(newest) = slice.last() else { return Ok(()) };
            last = newest.key;
            for found in slice {
                while self.apart(&found, now, act).await? {}
            }
        }
    }

    async fn slice(&self, which: Which, after: i64) -> Result<Vec<Found>, LogError> {
        let slice = move |connection: &dyn Connection| Found::after(connection, which, after, SLICE);
        Ok(self.readers.read(None, slice).await?)
    }

    /// Does something to one group, unless somebody else does. If what is stored of it cannot be read, it stays as it is, and
    /// that is told; the others have their turn.
    async fn apart(
        &self,
        found: &Found,
        now: Millis,
        act: impl Fn(Work<'_>) -> Result<bool, LogError> + Send + 'static,
    ) -> Result<bool, LogError> {
        let Some(mut far) = self.topic(found, false, now).await? else { return Ok(false) };
        let (tenant, key) = (found.tenant.clone(), found.key);
        // Pauses need to differ, and nobody has an interest in foreseeing them.
        let chance = now.0.rotate_left(32) ^ key.unsigned_abs();
        let work = move |session: &mut Session| {
            let done = session.write_rows(Whose::Tenant(&tenant), |connection| {
                match enter(connection, &mut far, key, Lock::Skip, chance, now)? {
                    Some(work) => act(work),
                    None => Ok(false),
                }
            });
            match done {
                Err(_) if far.has_moved() => Ok(false),
                Err(LogError::Storage(error @ StorageError::Corrupt { .. })) => {
                    tracing::error!(group = key, %error, "a group is damaged, and was left as it is");
                    Ok(false)
                }
                done => done,
            }
        };
        self.writer(&found.tenant, &found.name).ask(work).await
    }

    /// Sees whether the topics of some groups are there, and goes on with others the next time.
    async fn look_after(&self, now: Millis) -> Result<(), LogError> {
        let slice = self.slice(Which::All, self.looked_after.load(Ordering::Relaxed)).await?;
        let next = if slice.len() < SLICE { 0 } else { slice.last().map_or(0, |found| found.key) };
        for found in &slice {
            self.topic(found, false, now).await?;
        }
        self.looked_after.store(next, Ordering::Relaxed);
        Ok(())
    }

    /// Removes what removed groups have left, but for their dead letters.
    async fn purge(&self) -> Result<(), LogError> {
        let removed = |connection: &dyn Connection| {
            let sql = "SELECT key, tenant, topic FROM groups WHERE name IS NULL ORDER BY key LIMIT ?1";
            connection.all(sql, (SLICE,), |row| Ok((row.get(0)?, row.get::<String>(1)?, row.get(2)?)))
        };
        let removed: Vec<(i64, String, i64)> = self.readers.read(None, removed).await?;
        for (key, tenant, topic) in removed {
            let tenant: Arc<str> = tenant.into();
            let mut more = true;
            while more {
                let tenant = tenant.clone();
                let slice = move |session: &mut Session| {
                    // Nobody is to make a group of a topic that is about to be forgotten.
                    session.write(Whose::Tenant(&tenant), |connection| {
                        let sql = "SELECT 1 FROM groups WHERE key = ?1 FOR UPDATE SKIP LOCKED";
                        let more = connection.exists(sql, (key,))? && purge(connection, key)?;
                        let sql = "DELETE FROM topics WHERE key = ?1
                            AND NOT EXISTS (SELECT 1 FROM groups WHERE groups.topic = topics.key)";
                        connection.execute(sql, (topic,))?;
                        Ok::<_, StorageError>(more)
                    })
                };
                more = self.writers[0].ask(slice).await?;
            }
        }
        Ok(())
    }
}
