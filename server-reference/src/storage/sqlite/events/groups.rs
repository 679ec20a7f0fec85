//! Consumer groups, beside the topics that they share.

use std::cell::OnceCell;

use bytes::Bytes;
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
            Letter, LetterId, LineState, LogError, NewGroup, Numbered, Settle, Settled, TopicName, Which,
            allow,
        },
        sql::groups::{self, GroupRow, Line, Work},
    },
    tenant::TenantScope,
};

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
                    find(connection, &scope, &group, now, |key| Topic::by_key(connection, key))?;
                groups::state(connection, row, Shared::of(connection, topic)?.state())
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
            let (row, _) = find(connection, &scope, &group, now, |key| Ok(transaction.topic(key)?.clone()))?;
            connection.execute("UPDATE groups SET name = NULL WHERE key = ?1", [row.key])?;
            Ok(())
        })
        .boxed()
    }

    fn claim(&self, scope: TenantScope, group: GroupName, claim: Claim, now: Millis) -> Answer<'_, Claimed> {
        self.ask(move |transaction| {
            let (row, shared) = open(transaction, &scope, &group, now)?;
            groups::claim(Work::of(transaction.connection, row, &shared, now, claim.chance), &claim)
        })
        .boxed()
    }

    fn settle(
        &self,
        scope: TenantScope,
        group: GroupName,
        settle: Settle,
        now: Millis,
    ) -> Answer<'_, Settled> {
        self.ask(move |transaction| {
            let (row, shared) = open(transaction, &scope, &group, now)?;
            groups::settle(Work::of(transaction.connection, row, &shared, now, settle.chance), &settle)
        })
        .boxed()
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
        self.ask(move |transaction| groups::letters(transaction.connection, &scope, &group, which, now))
            .boxed()
    }

    fn change_letters(
        &self,
        scope: TenantScope,
        group: GroupName,
        change: Change,
        now: Millis,
    ) -> Answer<'_, Vec<(LetterId, Fate)>> {
        self.ask(move |transaction| {
            let connection = transaction.connection;
            let shared = OnceCell::new();
            let work = || {
                let Some(row) = GroupRow::by_name(connection, scope.tenant(), &group)? else {
                    return Ok(None);
                };
                let of = Shared::of(connection, transaction.topic(row.topic)?.clone())?;
                Ok(Some(Work::of(connection, row, shared.get_or_init(|| of), now, 0)))
            };
            groups::change(connection, &scope, &group, &change, now, work)
        })
        .boxed()
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
    groups::make(connection, scope, name, new, key, &Shared::of(connection, topic)?, now)
}

fn list(
    connection: &Connection,
    scope: &TenantScope,
    behind: Option<&GroupName>,
    most: usize,
    now: Millis,
) -> Result<Vec<(GroupName, Option<GroupState>)>, LogError> {
    let mut found = Vec::new();
    // Nothing is before the empty text, and no group is called so.
    let behind = behind.map_or("", GroupName::as_str);
    for name in GroupRow::names(connection, scope.tenant(), behind)? {
        if found.len() == most {
            break;
        }
        match find(connection, scope, &name, now, |key| Topic::by_key(connection, key)) {
            Ok((row, topic)) => {
                let state = groups::state(connection, row, Shared::of(connection, topic)?.state())?;
                found.push((name, Some(state)));
            }
            Err(LogError::NoSuchGroup) => {}
            Err(LogError::Storage(StorageError::Corrupt { .. })) => {
                // Whose topic it shares is not known.
                if *scope.access() == Access::Everything {
                    found.push((name, None));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// A group with its topic, if the scope may read that.
fn find(
    connection: &Connection,
    scope: &TenantScope,
    name: &GroupName,
    now: Millis,
    topic: impl FnOnce(i64) -> Result<Topic, LogError>,
) -> Result<(GroupRow, Topic), LogError> {
    let group = GroupRow::by_name(connection, scope.tenant(), name)?.ok_or(LogError::NoSuchGroup)?;
    let topic = topic(group.topic)?;
    let readable = topic.name.as_deref().is_some_and(|name| scope.topic(name, Right::Read));
    if readable && !topic.hidden && !topic.expired(now) {
        Ok((group, topic))
    } else {
        Err(LogError::NoSuchGroup)
    }
}

/// A group that the scope may work in. Counts as use of the topic.
fn open<'a>(
    transaction: &mut Transaction<'a>,
    scope: &TenantScope,
    name: &GroupName,
    now: Millis,
) -> Result<(GroupRow, Shared<'a>), LogError> {
    let connection = transaction.connection;
    let (group, topic) = find(connection, scope, name, now, |key| Ok(transaction.topic(key)?.clone()))?;
    if topic.wants_touch(now) {
        let topic = transaction.change(group.topic)?;
        topic.touched = topic.touched.max(now);
    }
    Ok((group, Shared::of(connection, topic)?))
}

/// A topic that a group shares.
pub(super) struct Shared<'a> {
    connection: &'a Connection,
    lineage: Lineage,
    state: LineState,
}

impl<'a> Shared<'a> {
    pub(super) fn of(connection: &'a Connection, topic: Topic) -> Result<Self, LogError> {
        let name = topic.name.as_deref().and_then(|name| TopicName::new(name).ok());
        let name = name.ok_or(LogError::NoSuchGroup)?;
        let lineage = Lineage::of(connection, topic)?;
        let topic = lineage.topic();
        let state = LineState {
            name,
            epoch: topic.epoch,
            content_type: topic.content_type.clone(),
            redelivery: topic.redelivery,
            earliest: lineage.earliest(),
            tail: topic.tail,
        };
        Ok(Self { connection, lineage, state })
    }
}

impl Line for Shared<'_> {
    fn state(&self) -> &LineState {
        &self.state
    }

    fn offset(&self, after: After) -> Result<u64, LogError> {
        self.lineage.offset(self.connection, after)
    }

    fn event(&self, number: u64) -> Result<Option<(Millis, Bytes)>, LogError> {
        self.lineage.event(self.connection, number)
    }

    fn take(&self, after: u64, most: usize, bytes: usize) -> Result<Vec<Numbered>, LogError> {
        self.lineage.take(self.connection, after, most, bytes)
    }

    fn newest_within(&self, from: u64, bytes: u64) -> Result<u64, LogError> {
        self.lineage.newest_within(self.connection, from, bytes)
    }
}

/// Groups that have leases which are over.
const LAPSED: &str = "SELECT DISTINCT grp FROM leases WHERE until <= ?1 LIMIT ?2";
/// Groups that may not leave everything unread.
const BOUNDED: &str = "SELECT key FROM groups WHERE bounded = 1 AND name IS NOT NULL AND ?1 >= 0 AND ?2 > 0";
/// Groups that were removed.
const REMOVED: &str = "SELECT key FROM groups WHERE name IS NULL AND ?1 >= 0 LIMIT ?2";

impl Transaction<'_> {
    /// Takes back lapsed leases, gives up what was left unread for too long, and removes a slice of what removed groups
    /// have left. Tells whether there may be more.
    pub(super) fn tidy_groups(&mut self, now: Millis) -> Result<bool, LogError> {
        let connection = self.connection;
        let mut more = false;
        for key in keys(connection, LAPSED, now)? {
            more |= groups::apart(connection, key, || match self.shared(key)? {
                Some((group, shared)) => {
                    Work::of(connection, group, &shared, now, chance(key, now)).take_back()
                }
                None => {
                    groups::purge(connection, key)?;
                    Ok(true)
                }
            })?;
        }
        for key in keys(connection, BOUNDED, now)? {
            groups::apart(connection, key, || {
                if let Some((group, shared)) = self.shared(key)? {
                    Work::of(connection, group, &shared, now, chance(key, now)).give_up()?;
                }
                Ok(false)
            })?;
        }
        for key in keys(connection, REMOVED, now)? {
            more |= groups::purge(connection, key)?;
        }
        Ok(more)
    }

    /// A group that was not removed, and its topic.
    fn shared(&mut self, key: i64) -> Result<Option<(GroupRow, Shared<'_>)>, LogError> {
        let connection = self.connection;
        let Some(group) = GroupRow::by_key(connection, key)? else { return Ok(None) };
        let shared = Shared::of(connection, self.topic(group.topic)?.clone())?;
        Ok(Some((group, shared)))
    }
}

/// For pauses after failures: they need to differ, and nobody has an interest in foreseeing them.
fn chance(key: i64, now: Millis) -> u64 {
    now.0.rotate_left(32) ^ key.unsigned_abs()
}

fn keys(connection: &Connection, sql: &str, now: Millis) -> Result<Vec<i64>, LogError> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map((now.0, groups::SLICE), |row| row.get(0))?.collect::<Result<_, _>>()?)
}
