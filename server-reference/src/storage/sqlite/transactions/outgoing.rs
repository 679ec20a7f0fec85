//! Events that wait to be appended to their topics, and what is forgotten after a time.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};
use sdk_core::{
    clock::Millis,
    protocol::{Json, TopicName},
};

use super::run::{Counts, count};
use crate::storage::{
    StorageError,
    events::CloudEvent,
    sqlite::corrupt,
    transactions::{Backlog, Fate, PARCEL, PARCELS, Parcel, ParcelId},
};

/// Keys that one transaction of upkeep forgets.
const FORGET_SLICE: usize = 512;
/// Bytes of events from which on a parcel has no more.
const PARCEL_BYTES: usize = 512 * 1024;

pub(super) fn waiting(connection: &Connection, now: Millis) -> Result<Vec<Parcel>, StorageError> {
    let sql = "SELECT lane, tenant, topic FROM lanes WHERE until <= ?1 ORDER BY turn LIMIT ?2";
    let mut lanes = connection.prepare_cached(sql)?;
    let mut rows = lanes.query((now.0, PARCELS))?;
    let mut parcels = Vec::new();
    while let Some(row) = rows.next()? {
        let (lane, tenant, topic): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let topic = TopicName::new(&topic).map_err(corrupt("a topic that events wait for"))?;
        let sql = "SELECT id, event FROM outgoing WHERE lane = ?1 ORDER BY id LIMIT ?2";
        let mut oldest = connection.prepare_cached(sql)?;
        let mut rows = oldest.query((lane, PARCEL))?;
        let (mut newest, mut bytes, mut events) = (0, 0, Vec::new());
        while let Some(row) = rows.next()? {
            newest = row.get(0)?;
            let event: String = row.get(1)?;
            let event = Json::parse(event).map_err(corrupt("an event that waits"))?;
            bytes += event.as_str().len();
            events.push(CloudEvent::of(event).map_err(corrupt("an event that waits"))?);
            if bytes >= PARCEL_BYTES {
                break;
            }
        }
        if !events.is_empty() {
            parcels.push(Parcel { id: ParcelId { lane, newest }, tenant: tenant.into(), topic, events });
        }
    }
    Ok(parcels)
}

pub(super) fn settle(connection: &Connection, fates: &[(ParcelId, Fate)]) -> Result<(), StorageError> {
    for (ParcelId { lane, newest }, fate) in fates {
        match fate {
            Fate::Appended => {
                let sql = "DELETE FROM outgoing WHERE lane = ?1 AND id <= ?2";
                let events = connection.prepare_cached(sql)?.execute((lane, newest))?;
                let sql = "SELECT tenant FROM lanes WHERE lane = ?1";
                let tenant: Option<String> =
                    connection.prepare_cached(sql)?.query_row([lane], |row| row.get(0)).optional()?;
                if let Some(tenant) = tenant {
                    let waiting = -i64::try_from(events).unwrap_or(0);
                    count(connection, &tenant, Counts { waiting, ..Counts::default() })?;
                }
                let sql = "DELETE FROM lanes
                           WHERE lane = ?1 AND NOT EXISTS (SELECT 1 FROM outgoing WHERE lane = ?1)";
                connection.prepare_cached(sql)?.execute([lane])?;
            }
            Fate::Until(until) => {
                let sql = "UPDATE lanes SET until = ?2 WHERE lane = ?1";
                connection.prepare_cached(sql)?.execute((lane, until.0))?;
            }
        }
        // However much more there is of it, the others come first.
        let sql = "UPDATE lanes SET turn = (SELECT max(turn) FROM lanes) + 1 WHERE lane = ?1";
        connection.prepare_cached(sql)?.execute([lane])?;
    }
    Ok(())
}

pub(super) fn backlog(connection: &Connection) -> Result<Backlog, StorageError> {
    let sql = "SELECT (SELECT coalesce(sum(waiting), 0) FROM tenants), (SELECT at FROM outgoing ORDER BY id LIMIT 1)";
    let backlog = |row: &rusqlite::Row<'_>| {
        let oldest: Option<u64> = row.get(1)?;
        Ok(Backlog { events: row.get(0)?, oldest: oldest.map(Millis) })
    };
    Ok(connection.prepare_cached(sql)?.query_row([], backlog)?)
}

/// Forgets some keys that were used at or before a time. Returns whether there may be more.
pub(super) fn forget(connection: &Connection, before: Millis) -> Result<bool, StorageError> {
    let sql = "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE at <= ?1 ORDER BY at LIMIT ?2)
               RETURNING tenant";
    let mut forget = connection.prepare_cached(sql)?;
    let tenants: Vec<String> =
        forget.query_map((before.0, FORGET_SLICE), |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut each: BTreeMap<&str, i64> = BTreeMap::new();
    for tenant in &tenants {
        *each.entry(tenant).or_default() -= 1;
    }
    for (tenant, keys) in each {
        count(connection, tenant, Counts { keys, ..Counts::default() })?;
    }
    Ok(tenants.len() == FORGET_SLICE)
}
