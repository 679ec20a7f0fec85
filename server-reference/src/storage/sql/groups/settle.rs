//! What becomes of events that are out.

use sdk_core::clock::Millis;

use super::work::{Work, parse};
use crate::storage::{
    events::{LogError, Position, Settle, Settled, Verdict},
    sql::Row,
};

/// A lease that is good.
struct Held {
    id: u64,
    worker: String,
    until: Millis,
    open: u64,
    told: u64,
    members: Vec<u64>,
}

pub(in crate::storage) fn settle(mut work: Work<'_>, settle: &Settle) -> Result<Settled, LogError> {
    let mut held = work.held(&settle.lease)?;
    let numbers = match &settle.positions {
        None => held.members.clone(),
        Some(positions) => {
            positions.iter().map(|position| work.number(*position, &held)).collect::<Result<Vec<_>, _>>()?
        }
    };

    // From here on nothing is refused.
    work.group.told = work.group.told.max(held.told);
    let mut events = 0;
    match &settle.verdict {
        Verdict::Extend => held.until = held.until.max(work.now.plus(work.group.rules.lease_ms)),
        verdict => {
            for number in numbers {
                // One at a time, since a position may be named twice.
                let Some(entry) = work.out(held.id, &[number])?.pop() else { continue };
                match verdict {
                    Verdict::Nack { delay, error } => work.fail(entry, &held.worker, error, *delay)?,
                    _ => work.done(&entry)?,
                }
                events += 1;
            }
            held.open = held.open.saturating_sub(events);
        }
    }
    let sql = "UPDATE leases SET until = ?3, open = ?4 WHERE grp = ?1 AND id = ?2";
    work.connection.execute(sql, (work.group.key, held.id, held.until.0, held.open))?;
    work.close()?;
    Ok(Settled { events, until: held.until })
}

impl Work<'_> {
    /// The lease that a worker names, unless it is over.
    fn held(&self, lease: &str) -> Result<Held, LogError> {
        let (id, secret) = lease.split_once('.').ok_or(LogError::Fenced)?;
        let id: u64 = id.parse().map_err(|_| LogError::Fenced)?;
        let sql = "SELECT worker, until, open, told, members FROM leases
            WHERE grp = ?1 AND id = ?2 AND secret = ?3 AND until > ?4";
        let read = |row: &dyn Row| {
            let members = parse(row.get(4)?)?;
            Ok(Held {
                id,
                worker: row.get(0)?,
                until: Millis(row.get(1)?),
                open: row.get(2)?,
                told: row.get(3)?,
                members,
            })
        };
        let found = self.connection.optional(sql, (self.group.key, id, secret, self.now.0), read)?;
        found.ok_or(LogError::Fenced)
    }

    /// Which event of a lease a position names.
    fn number(&self, position: Position, held: &Held) -> Result<u64, LogError> {
        let line = self.line.state();
        if position.epoch != line.epoch {
            return Err(LogError::PositionLost { earliest: line.earliest });
        }
        if held.members.contains(&position.offset) { Ok(position.offset) } else { Err(LogError::Fenced) }
    }
}
