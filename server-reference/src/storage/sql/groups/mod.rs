//! Consumer groups and their dead letters, whichever database they are in and wherever the events are.
//!
//! What is asked of a group is done in one transaction that nobody else changes the group beside. Its topic is seen through a
//! [`Line`]; that the topic is there, and that whoever asks may read it, is for the store to find out before.

mod claim;
mod lane;
mod letters;
mod line;
#[cfg(feature = "postgres")]
mod rewind;
mod row;
mod settle;
mod upkeep;
mod work;

use sdk_core::clock::Millis;

use crate::{
    storage::{
        events::{
            After, GroupName, GroupState, LineState, LogError, MAX_TENANT_GROUPS, MAX_TOPIC_GROUPS, NewGroup,
            Start,
        },
        sql::{Connection, Row},
    },
    tenant::TenantScope,
};
pub(in crate::storage) use claim::claim;
pub(in crate::storage) use letters::{change, letters};
pub(in crate::storage) use line::Line;
pub(in crate::storage) use row::GroupRow;
pub(in crate::storage) use settle::settle;
pub(in crate::storage) use upkeep::{SLICE, apart, purge};
pub(in crate::storage) use work::Work;

/// Makes a group of a topic, or finds that it is there as described.
pub(in crate::storage) fn make(
    connection: &dyn Connection,
    scope: &TenantScope,
    name: &GroupName,
    new: &NewGroup,
    topic: i64,
    line: &dyn Line,
    now: Millis,
) -> Result<(bool, GroupState), LogError> {
    let rules = new.redelivery.or(line.state().redelivery).over(new.rules.clone());
    rules.check().map_err(LogError::BadRules)?;
    let start = new.start.to_string();
    if let Some(there) = GroupRow::by_name(connection, scope.tenant(), name)? {
        return if (there.topic, &there.start, &there.rules) == (topic, &start, &rules) {
            Ok((false, state(connection, there, line.state())?))
        } else {
            Err(LogError::GroupExists)
        };
    }
    room(connection, scope, topic)?;
    let after = match new.start {
        Start::Earliest => After::Start,
        Start::Latest => After::Now,
        Start::After(position) => After::Position(position),
        Start::Since(time) => After::Time(time),
    };
    let mut row = GroupRow {
        key: 0,
        topic,
        start,
        rules,
        scanned: line.offset(after)?,
        generation: 0,
        lost: 0,
        told: 0,
        through: 0,
        skipped: 0,
        unresolved: 0,
        letters: 0,
        letter_bytes: 0,
    };
    row.insert(connection, scope.tenant(), name, now)?;
    Ok((true, state(connection, row, line.state())?))
}

/// Whether there may be one more group.
fn room(connection: &dyn Connection, scope: &TenantScope, topic: i64) -> Result<(), LogError> {
    let count = |row: &dyn Row| row.get::<u64>(0);
    let sql = "SELECT count(*) FROM groups WHERE topic = ?1 AND name IS NOT NULL";
    let of_topic = connection.one(sql, (topic,), count)?;
    let sql = "SELECT count(*) FROM groups WHERE tenant = ?1 AND name IS NOT NULL";
    let of_tenant = connection.one(sql, (scope.tenant(),), count)?;
    if of_topic >= MAX_TOPIC_GROUPS || of_tenant >= MAX_TENANT_GROUPS {
        return Err(LogError::TooManyGroups);
    }
    Ok(())
}

/// What there is to say of a group.
pub(in crate::storage) fn state(
    connection: &dyn Connection,
    row: GroupRow,
    line: &LineState,
) -> Result<GroupState, LogError> {
    let count = |state: row::State| {
        let sql = "SELECT count(*) FROM deliveries WHERE grp = ?1 AND state = ?2";
        connection.one(sql, (row.key, state as i64), |row| row.get(0))
    };
    Ok(GroupState {
        topic: line.name.clone(),
        cursor: line.at(row.cursor(connection)?),
        tail: line.at(line.tail),
        outstanding: row.unresolved,
        leased: count(row::State::Out)?,
        halted: count(row::State::Halted)?,
        lost: row.lost,
        skipped: row.skipped,
        letters: row.letters,
        rules: row.rules,
    })
}
