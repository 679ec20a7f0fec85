//! What becomes of a group when the log that it reads has lost its end.

use std::collections::BTreeSet;

use super::work::Work;
use crate::storage::events::LogError;

impl Work<'_> {
    /// Forgets what was behind a number, which may be that of another event from now on, and tells that something was lost. How
    /// much nobody knows: as much as the group had looked at, and something in any case, for there may have been more.
    pub(in crate::storage) fn rewind(&mut self, keep: u64) -> Result<(), LogError> {
        let key = self.group.key;
        let sql = "DELETE FROM deliveries WHERE grp = ?1 AND number > ?2 RETURNING lane";
        let gone: Vec<Option<i64>> = self.connection.all(sql, (key, keep), |row| row.get(0))?;
        self.group.unresolved = self.group.unresolved.saturating_sub(gone.len() as u64);
        let lanes: BTreeSet<i64> = gone.into_iter().flatten().collect();
        for lane in lanes {
            self.promote(lane)?;
        }
        // They stay to be read, as those of a group that is gone.
        let sql =
            "UPDATE letters SET grp = 0, live = FALSE WHERE grp = ?1 AND number > ?2 RETURNING length(body)";
        let bodies: Vec<u64> = self.connection.all(sql, (key, keep), |row| row.get(0))?;
        self.group.letters = self.group.letters.saturating_sub(bodies.len() as u64);
        self.group.letter_bytes = self.group.letter_bytes.saturating_sub(bodies.iter().sum());
        self.group.lost += self.group.scanned.saturating_sub(keep).max(1);
        self.group.scanned = self.group.scanned.min(keep);
        self.group.through = keep;
        Ok(())
    }
}
