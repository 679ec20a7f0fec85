//! What is done to stored documents from time to time, in slices: forgetting old deletions, and taking back times
//! that a wrong clock made.

use std::collections::{BTreeMap, BTreeSet};

use sdk_core::{
    clock::{Hlc, Millis},
    protocol::{Document, MAX_SKEW, Offset, Stamp, decode, encode},
};

use super::{Connection, NewEpoch, corrupt};
use crate::storage::StorageError;

/// Actors that are taken to have been given out between a backup and its restoration.
const RETIRED_ACTORS: u32 = 1 << 20;

/// Begins a new epoch in every collection and returns how many there are.
pub(in crate::storage) fn renew_epochs(
    connection: &dyn Connection,
    new_epoch: &mut NewEpoch,
) -> Result<usize, StorageError> {
    let keys: Vec<i64> = connection.all("SELECT key FROM collections ORDER BY key", (), |row| row.get(0))?;
    let sql = "INSERT INTO retired (actor) SELECT ?1 + coalesce(max(actor), 0) FROM (
                   SELECT max(actor) AS actor FROM clients
                   UNION ALL SELECT max(actor) FROM refused_tenants
                   UNION ALL SELECT max(actor) FROM retired) AS given";
    connection.execute(sql, (RETIRED_ACTORS,))?;
    // What operators have applied since the backup has names that would be given out again.
    connection.execute("UPDATE refused_tenants SET actor = NULL, seq = 0", ())?;
    for key in &keys {
        let sql = "UPDATE collections SET epoch = ?1 WHERE key = ?2";
        connection.execute(sql, (new_epoch().as_str(), key))?;
    }
    Ok(keys.len())
}

/// Removes what is left of at most `most` documents that were deleted at or before a time of the server's, and
/// returns of how many. Their collections remember up to which revision deletions may be missing.
pub(in crate::storage) fn prune(
    connection: &dyn Connection,
    before: Millis,
    most: usize,
) -> Result<usize, StorageError> {
    let removed: Vec<(i64, u64)> = connection.all(
        "DELETE FROM documents WHERE (collection, id) IN
             (SELECT collection, id FROM documents WHERE buried <= ?1 ORDER BY buried LIMIT ?2)
         RETURNING collection, rev",
        (before.0, most),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut horizons: BTreeMap<i64, u64> = BTreeMap::new();
    for (collection, rev) in &removed {
        let horizon = horizons.entry(*collection).or_default();
        *horizon = (*horizon).max(*rev);
    }
    for (collection, horizon) in horizons {
        connection.execute(
            "UPDATE collections SET pruned = ?1 WHERE key = ?2 AND pruned < ?1",
            (horizon, collection),
        )?;
    }
    Ok(removed.len())
}

/// How far a pass over all documents has come.
#[derive(Debug, Default)]
pub(in crate::storage) struct Progress {
    /// The last document that was looked at: its collection and its id.
    last: (i64, String),
    /// Documents that were changed so far.
    pub(in crate::storage) healed: usize,
    /// Nothing is left to look at.
    pub(in crate::storage) done: bool,
}

/// Looks at the next `most` documents and brings the times of those back to `now` that have one from beyond the
/// allowed skew. Each gets a new revision, so that every reader hears of it.
pub(in crate::storage) fn heal(
    connection: &dyn Connection,
    now: Millis,
    most: usize,
    mut progress: Progress,
) -> Result<Progress, StorageError> {
    let rows: Vec<(i64, String, String)> = connection.all(
        "SELECT collection, id, state FROM documents WHERE (collection, id) > (?1, ?2)
         ORDER BY collection, id LIMIT ?3",
        (progress.last.0, &progress.last.1, most),
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    progress.done = rows.len() < most;
    for (collection, id, state) in rows {
        let mut document: Document = decode(&state).map_err(corrupt("a document"))?;
        if bring_back(&mut document, now) {
            let sql = "UPDATE collections SET head = head + 1 WHERE key = ?1 RETURNING head";
            document.rev = Offset(connection.one(sql, (collection,), |row| row.get(0))?);
            let sql = "UPDATE documents SET rev = ?3, state = ?4 WHERE collection = ?1 AND id = ?2";
            connection.execute(sql, (collection, &id, document.rev.0, encode(&document)))?;
            progress.healed += 1;
        }
        progress.last = (collection, id);
    }
    // The server's own notes of deletions were made by the same clock.
    let sql = "UPDATE documents SET buried = ?1 WHERE buried > ?1 AND (collection, id) <= (?2, ?3)";
    connection.execute(sql, (now.0, progress.last.0, &progress.last.1))?;
    Ok(progress)
}

/// Where a stamp is from beyond the skew, all that are from the future become of this moment, in the order they have.
fn bring_back(document: &mut Document, now: Millis) -> bool {
    let mut future = BTreeSet::new();
    each_stamp(document, |stamp| {
        if stamp.at.wall > now {
            future.insert(stamp.at);
        }
    });
    if future.last().is_none_or(|newest| newest.wall <= now.plus(MAX_SKEW)) {
        return false;
    }
    let healed: BTreeMap<Hlc, Hlc> =
        future.into_iter().zip(0..).map(|(at, counter)| (at, Hlc { wall: now, counter })).collect();
    each_stamp(document, |stamp| {
        if let Some(at) = healed.get(&stamp.at) {
            stamp.at = *at;
        }
    });
    true
}

fn each_stamp(document: &mut Document, mut visit: impl FnMut(&mut Stamp)) {
    let Document { fields, written, burial, .. } = document;
    fields.iter_mut().filter_map(|(_, register)| register.stamp.as_mut()).for_each(&mut visit);
    written.iter_mut().for_each(&mut visit);
    burial.iter_mut().for_each(|burial| visit(&mut burial.stamp));
}
