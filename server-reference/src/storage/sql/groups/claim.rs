//! Handing events out.

use sdk_core::clock::Millis;

use super::{
    lane::lane,
    row::{Entry, GROUP, State},
    work::Work,
};
use crate::storage::{
    events::{Claim, Claimed, Delivery, Lease, LogError, Lost},
    sql::corrupt,
};

/// Events that one claim looks at, most of which may have to wait for others of their lane.
const LOOKED_AT: usize = 4_096;
/// Events that are read from the log at once.
const READ: usize = 256;
/// Leases that are remembered after all of their events were settled, so that a repetition is known as one.
const SETTLED: u64 = 1_000;

pub(in crate::storage) fn claim(mut work: Work<'_>, claim: &Claim) -> Result<Claimed, LogError> {
    work.lapse()?;
    work.shed(work.floor()?)?;
    let mut picked = Picked { claim, bytes: 0, events: Vec::new() };
    work.offer_waiting(&mut picked)?;
    let more = work.look_further(&mut picked)?;
    let untold = work.group.lost - work.group.told;
    let lost =
        (untold > 0).then(|| Lost { events: untold, through: work.line.state().at(work.group.through) });
    picked.events.sort_unstable_by_key(|(number, _)| *number);
    let lease = if picked.events.is_empty() && lost.is_none() {
        None
    } else {
        Some(work.lease(claim, &picked.events)?)
    };
    let next = if more { Some(work.now) } else { work.next()? };
    let content_type = work.line.state().content_type.clone();
    work.close()?;
    let events = picked.events.into_iter().map(|(_, delivery)| delivery).collect();
    Ok(Claimed { lease, events, content_type, lost, next })
}

/// What goes to the worker.
struct Picked<'a> {
    claim: &'a Claim,
    bytes: usize,
    events: Vec<(u64, Delivery)>,
}

impl Picked<'_> {
    fn full(&self) -> bool {
        self.events.len() >= self.claim.events
    }

    fn fits(&self, bytes: usize) -> bool {
        self.events.is_empty() || self.bytes + bytes <= self.claim.bytes
    }

    fn take(&mut self, number: u64, delivery: Delivery) {
        self.bytes += delivery.body.len();
        self.events.push((number, delivery));
    }
}

impl Work<'_> {
    /// Hands out what was looked at before and may go now.
    fn offer_waiting(&mut self, picked: &mut Picked<'_>) -> Result<(), LogError> {
        let lease = self.group.generation + 1;
        for mut entry in Entry::ready(self.connection, self.group.key, self.now, picked.claim.events)? {
            let Some((at, body)) = self.event(&entry)? else {
                self.shed(entry.number)?;
                continue;
            };
            if !picked.fits(body.len()) {
                break;
            }
            (entry.state, entry.lease) = (State::Out, lease);
            entry.save(self.connection, self.group.key)?;
            let position = self.line.state().at(entry.number);
            picked.take(entry.number, Delivery { position, at, attempt: entry.attempts + 1, body });
        }
        Ok(())
    }

    /// Looks at the events that come next in the topic. Tells whether it left some that another claim can look at.
    fn look_further(&mut self, picked: &mut Picked<'_>) -> Result<bool, LogError> {
        let lease = self.group.generation + 1;
        let mut looked_at = 0;
        loop {
            let room = self.group.rules.outstanding.saturating_sub(self.group.unresolved);
            if picked.full() || room == 0 {
                return Ok(false);
            }
            // Where few events have to wait for others, no more are read than are handed out.
            let wanted = if looked_at == 0 { picked.claim.events - picked.events.len() } else { READ };
            let most = wanted.min(READ).min(usize::try_from(room).unwrap_or(READ));
            let events = self.line.take(self.group.scanned, most, picked.claim.bytes)?;
            if events.is_empty() {
                return Ok(false);
            }
            if looked_at >= LOOKED_AT {
                return Ok(true);
            }
            for (number, at, body) in events {
                let line = self.line.state();
                let lane = lane(&self.group.rules, &line.content_type, &body);
                let mut entry = Entry::new(number, lane);
                if self.busy(lane)? {
                    entry.state = State::Blocked;
                } else if picked.full() || !picked.fits(body.len()) {
                    return Ok(false);
                } else {
                    (entry.state, entry.lease) = (State::Out, lease);
                    let position = line.at(number);
                    picked.take(number, Delivery { position, at, attempt: 1, body });
                }
                entry.save(self.connection, self.group.key)?;
                self.group.scanned = number;
                self.group.unresolved += 1;
                looked_at += 1;
            }
        }
    }

    /// Gives a lease for what was picked. One of no events is to hear that the worker knows what was lost.
    fn lease(&mut self, claim: &Claim, events: &[(u64, Delivery)]) -> Result<Lease, LogError> {
        self.group.generation += 1;
        let id = self.group.generation;
        let until = self.now.plus(self.group.rules.lease_ms);
        let numbers: Vec<u64> = events.iter().map(|(number, _)| *number).collect();
        let members = serde_json::to_string(&numbers).map_err(corrupt(GROUP))?;
        let sql = "INSERT INTO leases (grp, id, secret, worker, until, open, told, members)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let (key, lost) = (self.group.key, self.group.lost);
        let row = (key, id, &claim.secret, &claim.worker, until.0, numbers.len(), lost, members);
        self.connection.execute(sql, row)?;
        let sql = "DELETE FROM leases WHERE grp = ?1 AND id <= ?2 AND open = 0";
        self.connection.execute(sql, (self.group.key, id.saturating_sub(SETTLED)))?;
        Ok(Lease { id: format!("{id}.{}", claim.secret), until })
    }

    /// When something becomes due by itself.
    fn next(&self) -> Result<Option<Millis>, LogError> {
        let first = |sql| self.connection.optional(sql, (self.group.key,), |row| row.get::<u64>(0));
        let due = first("SELECT due FROM deliveries WHERE grp = ?1 AND state = 0 ORDER BY due LIMIT 1")?;
        let until = first("SELECT until FROM leases WHERE grp = ?1 AND open > 0 ORDER BY until LIMIT 1")?;
        Ok(due.into_iter().chain(until).min().map(Millis))
    }
}
