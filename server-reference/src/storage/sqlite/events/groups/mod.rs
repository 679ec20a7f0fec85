//! Consumer groups, beside the topics that they share.

mod claim;
mod lane;
mod letters;
mod row;
mod settle;
mod upkeep;
mod work;

use futures::future::FutureExt;
use rusqlite::Connection;
use sdk_core::clock::Millis;

use super::{EventStore, group::Group as Transaction, lineage::Lineage, row::Topic};
use crate::{
    access::{Access, Right},
    storage::{
        StorageError,
        events::{
            After, Answer, Change, Claim, Claimed, DeadLetters, Fate, GroupName, GroupState, GroupStore,
            Letter, LetterId, LogError, MAX_TENANT_GROUPS, MAX_TOPIC_GROUPS, NewGroup, Settle, Settled,
            Start, TopicName, Which, allow,
        },
    },
    tenant::TenantScope,
};
use row::GroupRow;

impl GroupStore for EventStore {
    fn make_group(
        &self,
        scope: TenantScope,
        group: GroupName,
        new: NewGroup,
        now: Millis,
    ) -> Answer<'_, (bool, GroupState)> {
        self.ask(move |transaction| make(transaction, &scope, &group, &new, now)).boxed()
    }

    fn group(&self, scope: TenantScope, group: GroupName, now: Millis) -> Answer<'_, GroupState> {
        self.readers
            .read(move |connection| {
                let (row, topic) =
                    work::find(connection, &scope, &group, now, |key| Topic::by_key(connection, key))?;
                state(connection, row, topic)
            })
            .boxed()
    }

    fn groups(
        &self,
        scope: TenantScope,
        behind: Option<GroupName>,
        most: usize,
        now: Millis,
    ) -> Answer<'_, Vec<(GroupName, Option<GroupState>)>> {
        self.readers.read(move |connection| list(connection, &scope, behind.as_ref(), most, now)).boxed()
    }

    fn remove_group(&self, scope: TenantScope, group: GroupName, now: Millis) -> Answer<'_, ()> {
        self.ask(move |transaction| {
            let connection = transaction.connection;
            let (row, _) =
                work::find(connection, &scope, &group, now, |key| Ok(transaction.topic(key)?.clone()))?;
            connection.execute("UPDATE groups SET name = NULL WHERE key = ?1", [row.key])?;
            Ok(())
        })
        .boxed()
    }

    fn claim(&self, scope: TenantScope, group: GroupName, claim: Claim, now: Millis) -> Answer<'_, Claimed> {
        self.ask(move |transaction| claim::claim(transaction, &scope, &group, &claim, now)).boxed()
    }

    fn settle(
        &self,
        scope: TenantScope,
        group: GroupName,
        settle: Settle,
        now: Millis,
    ) -> Answer<'_, Settled> {
        self.ask(move |transaction| settle::settle(transaction, &scope, &group, &settle, now)).boxed()
    }
}

impl DeadLetters for EventStore {
    fn letters(
        &self,
        scope: TenantScope,
        group: GroupName,
        which: Which,
        now: Millis,
    ) -> Answer<'_, Vec<Letter>> {
        // By the writer, since it is recorded before it is shown.
        self.ask(move |transaction| letters::letters(transaction, &scope, &group, which, now)).boxed()
    }

    fn change_letters(
        &self,
        scope: TenantScope,
        group: GroupName,
        change: Change,
        now: Millis,
    ) -> Answer<'_, Vec<(LetterId, Fate)>> {
        self.ask(move |transaction| letters::change(transaction, &scope, &group, &change, now)).boxed()
    }
}

fn make(
    transaction: &mut Transaction<'_>,
    scope: &TenantScope,
    name: &GroupName,
    new: &NewGroup,
    now: Millis,
) -> Result<(bool, GroupState), LogError> {
    allow(scope, &new.topic, Right::Read)?;
    let connection = transaction.connection;
    let key = transaction.find(scope.tenant(), &new.topic, now)?.ok_or(LogError::NoSuchTopic)?;
    let topic = transaction.topic(key)?.clone();
    if topic.hidden {
        return Err(LogError::Deleted);
    }
    let rules = new.redelivery.or(topic.redelivery).over(new.rules.clone());
    rules.check().map_err(LogError::BadRules)?;
    let start = new.start.to_string();
    if let Some(there) = GroupRow::by_name(connection, scope.tenant(), name)? {
        return if (there.topic, &there.start, &there.rules) == (key, &start, &rules) {
            Ok((false, state(connection, there, topic)?))
        } else {
            Err(LogError::GroupExists)
        };
    }
    room(connection, scope, key)?;
    let lineage = Lineage::of(connection, topic.clone())?;
    let after = match new.start {
        Start::Earliest => After::Start,
        Start::Latest => After::Now,
        Start::After(position) => After::Position(position),
        Start::Since(time) => After::Time(time),
    };
    let mut row = GroupRow {
        key: 0,
        topic: key,
        start,
        rules,
        scanned: lineage.offset(connection, after)?,
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
    Ok((true, state(connection, row, topic)?))
}

fn list(
    connection: &Connection,
    scope: &TenantScope,
    behind: Option<&GroupName>,
    most: usize,
    now: Millis,
) -> Result<Vec<(GroupName, Option<GroupState>)>, LogError> {
    let mut groups = Vec::new();
    // Nothing is before the empty text, and no group is called so.
    let behind = behind.map_or("", GroupName::as_str);
    for name in GroupRow::names(connection, scope.tenant(), behind)? {
        if groups.len() == most {
            break;
        }
        match work::find(connection, scope, &name, now, |key| Topic::by_key(connection, key)) {
            Ok((row, topic)) => groups.push((name, Some(state(connection, row, topic)?))),
            Err(LogError::NoSuchGroup) => {}
            Err(LogError::Storage(StorageError::Corrupt { .. })) => {
                // Whose topic it shares is not known.
                if *scope.access() == Access::Everything {
                    groups.push((name, None));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(groups)
}

/// Whether there may be one more group.
fn room(connection: &Connection, scope: &TenantScope, topic: i64) -> Result<(), LogError> {
    let count = |sql, of: &dyn rusqlite::ToSql| -> Result<u64, LogError> {
        Ok(connection.prepare_cached(sql)?.query_row([of], |row| row.get(0))?)
    };
    let of_topic = count("SELECT count(*) FROM groups WHERE topic = ?1 AND name IS NOT NULL", &topic)?;
    let of_tenant =
        count("SELECT count(*) FROM groups WHERE tenant = ?1 AND name IS NOT NULL", &&**scope.tenant())?;
    if of_topic >= MAX_TOPIC_GROUPS || of_tenant >= MAX_TENANT_GROUPS {
        return Err(LogError::TooManyGroups);
    }
    Ok(())
}

fn state(connection: &Connection, row: GroupRow, topic: Topic) -> Result<GroupState, LogError> {
    let count = |state: row::State| -> Result<u64, LogError> {
        let sql = "SELECT count(*) FROM deliveries WHERE grp = ?1 AND state = ?2";
        Ok(connection.prepare_cached(sql)?.query_row((row.key, state as i64), |row| row.get(0))?)
    };
    let name = topic.name.as_deref().and_then(|name| TopicName::new(name).ok());
    Ok(GroupState {
        topic: name.ok_or(LogError::NoSuchGroup)?,
        cursor: topic.at(row.cursor(connection)?),
        tail: topic.tail(),
        outstanding: row.unresolved,
        leased: count(row::State::Out)?,
        halted: count(row::State::Halted)?,
        lost: row.lost,
        skipped: row.skipped,
        letters: row.letters,
        rules: row.rules,
    })
}
