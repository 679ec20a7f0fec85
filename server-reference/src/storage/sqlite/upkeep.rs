//! What is done to stored documents from time to time, in slices: forgetting old deletions, and taking back times
//! that a wrong clock made.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use sdk_core::{
    clock::{Hlc, Millis},
    protocol::{Document, MAX_SKEW, Offset, Stamp, decode, encode},
};

use super::corrupt;
use crate::storage::StorageError;

/// Removes what is left of at most `most` documents that were deleted at or before a time of the server's, and
/// returns of how many. Their collections remember up to which revision deletions may be missing.
pub(super) fn prune(connection: &Connection, before: Millis, most: usize) -> Result<usize, StorageError> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM documents WHERE rowid IN
             (SELECT rowid FROM documents WHERE buried <= ?1 ORDER BY buried LIMIT ?2)
         RETURNING collection, rev",
    )?;
    let removed: Vec<(i64, u64)> = statement
        .query_map((before.0, most), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut horizons: BTreeMap<i64, u64> = BTreeMap::new();
    for (collection, rev) in &removed {
        let horizon = horizons.entry(*collection).or_default();
        *horizon = (*horizon).max(*rev);
    }
    for (collection, horizon) in horizons {
        connection
            .prepare_cached("UPDATE collections SET pruned = max(pruned, ?1) WHERE key = ?2")?
            .execute((horizon, collection))?;
    }
    Ok(removed.len())
}

/// How far a pass over all documents has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// The last row that was looked at.
    row: i64,
    /// Documents that were changed so far.
    pub(super) healed: usize,
    /// Nothing is left to look at.
    pub(super) done: bool,
}

/// Looks at the next `most` documents and brings the times of those back to `now` that have one from beyond the
/// allowed skew. Each gets a new revision, so that every reader hears of it.
pub(super) fn heal(
    connection: &Connection,
    now: Millis,
    most: usize,
    mut progress: Progress,
) -> Result<Progress, StorageError> {
    let rows: Vec<(i64, i64, String)> = connection
        .prepare_cached(
            "SELECT rowid, collection, state FROM documents WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
        )?
        .query_map((progress.row, most), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    progress.done = rows.len() < most;
    for (row, collection, state) in rows {
        progress.row = row;
        let mut document: Document = decode(&state).map_err(corrupt("a document"))?;
        if !bring_back(&mut document, now) {
            continue;
        }
        document.rev = Offset(
            connection
                .prepare_cached("UPDATE collections SET head = head + 1 WHERE key = ?1 RETURNING head")?
                .query_row([collection], |row| row.get(0))?,
        );
        connection
            .prepare_cached("UPDATE documents SET rev = ?1, state = ?2 WHERE rowid = ?3")?
            .execute((document.rev.0, encode(&document), row))?;
        progress.healed += 1;
    }
    // The server's own notes of deletions were made by the same clock.
    connection
        .prepare_cached("UPDATE documents SET buried = ?1 WHERE buried > ?1 AND rowid <= ?2")?
        .execute((now.0, progress.row))?;
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
