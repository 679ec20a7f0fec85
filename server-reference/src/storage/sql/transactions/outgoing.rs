//! Events that wait to be appended to their topics, and what is forgotten after a time.

use std::{collections::BTreeMap, ops::ControlFlow};

use sdk_core::{
    clock::Millis,
    protocol::{Json, TopicName},
};

use super::run::{Counts, count};
use crate::storage::{
    StorageError,
    events::CloudEvent,
    sql::{Connection, Row, corrupt},
    transactions::{Backlog, Fate, PARCEL, PARCELS, Parcel, ParcelId},
};

/// Keys that one transaction of upkeep forgets.
const FORGET_SLICE: usize = 512;
/// Bytes of events from which on a parcel has no more.
const PARCEL_BYTES: usize = 512 * 1024;

pub(in crate::storage) fn waiting(
    connection: &dyn Connection,
    now: Millis,
) -> Result<Vec<Parcel>, StorageError> {
    let sql = "SELECT lane, tenant, topic FROM lanes WHERE until <= ?1 ORDER BY turn LIMIT ?2";
    let lanes: Vec<(i64, String, String)> =
        connection.all(sql, (now.0, PARCELS), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut parcels = Vec::new();
    for (lane, tenant, topic) in lanes {
        let topic = TopicName::new(&topic).map_err(corrupt("a topic that events wait for"))?;
        let sql = "SELECT id, event FROM outgoing WHERE lane = ?1 ORDER BY id LIMIT ?2";
        let (mut newest, mut bytes, mut events) = (0, 0, Vec::new());
        connection.each(sql, (lane, PARCEL), |row| {
            newest = row.get(0)?;
            let event: String = row.get(1)?;
            let event = Json::parse(event).map_err(corrupt("an event that waits"))?;
            bytes += event.as_str().len();
            events.push(CloudEvent::of(event).map_err(corrupt("an event that waits"))?);
            Ok(if bytes >= PARCEL_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if !events.is_empty() {
            parcels.push(Parcel { id: ParcelId { lane, newest }, tenant: tenant.into(), topic, events });
        }
    }
    Ok(parcels)
}

pub(in crate::storage) fn settle(
    connection: &dyn Connection,
    fates: &[(ParcelId, Fate)],
) -> Result<(), StorageError> {
    for (ParcelId { lane, newest }, fate) in fates {
        match fate {
            Fate::Appended => {
                let sql = "DELETE FROM outgoing WHERE lane = ?1 AND id <= ?2";
                let events = connection.execute(sql, (lane, newest))?;
                let sql = "SELECT tenant FROM lanes WHERE lane = ?1";
                let tenant: Option<String> = connection.optional(sql, (lane,), |row| row.get(0))?;
                if let Some(tenant) = tenant {
                    let waiting = -i64::try_from(events).unwrap_or(0);
                    count(connection, &tenant, Counts { waiting, ..Counts::default() })?;
                }
                let sql = "DELETE FROM lanes
                           WHERE lane = ?1 AND NOT EXISTS (SELECT 1 FROM outgoing WHERE lane = ?1)";
                connection.execute(sql, (lane,))?;
            }
            Fate::Until(until) => {
                let sql = "UPDATE lanes SET until = ?2 WHERE lane = ?1";
                connection.execute(sql, (lane, until.0))?;
            }
        }
        // However much more there is of it, the others come first.
        let turn = connection.turn()?;
        connection.execute("UPDATE lanes SET turn = ?2 WHERE lane = ?1", (lane, turn))?;
    }
    Ok(())
}

pub(in crate::storage) fn backlog(connection: &dyn Connection) -> Result<Backlog, StorageError> {
    let sql = "SELECT (SELECT CAST(coalesce(sum(waiting), 0) AS BIGINT) FROM tenants), (SELECT at FROM outgoing ORDER BY id LIMIT 1)";
    let backlog = |row: &dyn Row| {
        let oldest: Option<u64> = row.get(1)?;
        Ok(Backlog { events: row.get(0)?, oldest: oldest.map(Millis) })
    };
    connection.one(sql, (), backlog)
}

/// Forgets some keys that were used at or before a time. Returns whether there may be more.
pub(in crate::storage) fn forget(connection: &dyn Connection, before: Millis) -> Result<bool, StorageError> {
    let sql = "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE at <= ?1 ORDER BY at LIMIT ?2)
               RETURNING tenant";
    let tenants: Vec<String> = connection.all(sql, (before.0, FORGET_SLICE), |row| row.get(0))?;
    let mut each: BTreeMap<&str, i64> = BTreeMap::new();
    for tenant in &tenants {
        *each.entry(tenant).or_default() -= 1;
    }
    for (tenant, keys) in each {
        count(connection, tenant, Counts { keys, ..Counts::default() })?;
    }
    Ok(tenants.len() == FORGET_SLICE)
}
