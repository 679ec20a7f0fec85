//! Consumer groups of several servers, and their dead letters. Their events are in a log in another place.
//!
//! Whoever works in a group has its row locked until the transaction is over, across all instances; those of other groups do not
//! wait. What the log says is read before the lock is had as far as it can be known by then. A group ends with its topic, which
//! is noticed by who asks for the group next, or by upkeep.

mod far;
mod rows;
mod tables;
mod upkeep;

use std::sync::{Arc, atomic::AtomicI64};

use futures::future::FutureExt;
use sdk_core::clock::Millis;

use super::{
    connection::Signer,
    readers::{Readers, Sessions},
    schema,
    session::{Session, Whose},
    settings::{Options, Settings, apart},
};
use crate::{
    access::{Access, Right},
    storage::{
        StorageError,
        events::{
            Answer, Change, Claim, Claimed, DeadLetters, Fate, GroupName, GroupState, GroupStore, Letter,
            LetterId, Lines, LogError, NewGroup, Settle, Settled, Which, allow,
        },
        sql::{
            Connection,
            groups::{self, GroupRow, Line, Work},
        },
        sqlite::audit,
    },
    tenant::TenantScope,
};
use far::Far;
use rows::{Found, Lock, enter};
pub(super) use tables::TABLES;

/// How often something is tried while its topic becomes another all the time.
const TRIES: usize = 5;

/// One instance's part of the store. Its threads stop, having finished their queues, when the last owner is gone.
pub struct PostgresGroups {
    log: Arc<dyn Lines>,
    /// Each group is one writer's of an instance, so that one which many workers share does not hold all connections.
    writers: Vec<Sessions>,
    readers: Readers,
    /// Up to where upkeep has looked after the topics of groups.
    looked_after: AtomicI64,
}

impl PostgresGroups {
    /// Connects and starts the threads. The tables must [be there](super::migrate_groups). Waits for the database.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`], also where the role is one that sees the rows of every tenant.
    pub fn open(options: &Options, audit_key: audit::Key, log: Arc<dyn Lines>) -> Result<Self, StorageError> {
        let settings = Arc::new(Settings::new(options)?);
        apart(|| schema::check(&mut settings.connect()?, &schema::GROUPS))?;
        let signer = Arc::new(Signer { key: audit_key, chain: audit::TOPICS });
        let start = |_| Sessions::start("groups-writer", 1, &settings, &signer);
        let writers = (0..options.writers.max(1)).map(start).collect::<Result<_, _>>()?;
        let readers = Readers::start(options.readers, &settings, &signer)?;
        Ok(Self { log, writers, readers, looked_after: AtomicI64::new(0) })
    }

    fn writer(&self, tenant: &str, group: &GroupName) -> &Sessions {
        &self.writers[super::place(&format!("{tenant} {}", group.as_str()), self.writers.len())]
    }

    async fn find(&self, scope: &TenantScope, group: &GroupName) -> Result<Option<Found>, LogError> {
        let (tenant, group) = (scope.tenant().clone(), group.clone());
        let find = move |connection: &dyn Connection| Ok(Found::by_name(connection, &tenant, &group)?);
        self.readers.read(Some(scope.tenant().clone()), find).await
    }

    /// The topic of a group. If that is not there any more, the group ends.
    async fn topic(&self, found: &Found, used: bool, now: Millis) -> Result<Option<Far>, LogError> {
        match Far::look(&self.log, found.tenant.clone(), found.topic.clone(), used, now).await {
            Ok(far) if far.standing().id == found.id => return Ok(Some(far)),
            Ok(_) | Err(LogError::NoSuchTopic | LogError::Deleted) => {}
            Err(error) => return Err(error),
        }
        let (tenant, key) = (found.tenant.clone(), found.key);
        let end = move |session: &mut Session| {
            session.write_rows(Whose::Tenant(&tenant), |connection| {
                connection.execute("UPDATE groups SET name = NULL WHERE key = ?1", (key,))
            })
        };
        self.writer(&found.tenant, &found.name).ask(end).await?;
        Ok(None)
    }

    /// A group whose topic is there and may be read.
    async fn open_group(
        &self,
        scope: &TenantScope,
        group: &GroupName,
        used: bool,
        now: Millis,
    ) -> Result<(Found, Far), LogError> {
        let found = self.find(scope, group).await?.ok_or(LogError::NoSuchGroup)?;
        if !scope.topic(found.topic.as_str(), Right::Read) {
            return Err(LogError::NoSuchGroup);
        }
        let far = self.topic(&found, used, now).await?.ok_or(LogError::NoSuchGroup)?;
        Ok((found, far))
    }

    /// Works in a group, which nobody else does at the time.
    async fn work<T: Send + 'static>(
        &self,
        scope: &TenantScope,
        group: &GroupName,
        claim: Option<&Claim>,
        chance: u64,
        now: Millis,
        act: impl Fn(Work<'_>) -> Result<T, LogError> + Clone + Send + 'static,
    ) -> Result<T, LogError> {
        let tenant = scope.tenant();
        for _ in 0..TRIES {
            let (found, mut far) = self.open_group(scope, group, true, now).await?;
            if let Some(claim) = claim {
                let (most, of) = (claim.events, found.clone());
                let waiting = move |connection: &dyn Connection| of.waiting(connection, most, now);
                let waiting = self.readers.read(Some(tenant.clone()), waiting).await?;
                match far
                    .read_ahead(found.scanned, most - waiting.len().min(most), claim.bytes, waiting)
                    .await
                {
                    Err(LogError::NoSuchTopic | LogError::Deleted | LogError::PositionLost { .. }) => {
                        continue;
                    }
                    read => read?,
                }
            }
            let (tenant, act) = (tenant.clone(), act.clone());
            let work = move |session: &mut Session| {
                let done = session.write_rows(Whose::Tenant(&tenant), |connection| {
                    match enter(connection, &mut far, found.key, Lock::Wait, chance, now)? {
                        Some(work) => act(work).map(Some),
                        None => Ok(None),
                    }
                });
                Ok::<_, LogError>((done, far.has_moved()))
            };
            match self.writer(scope.tenant(), group).ask(work).await? {
                (Ok(Some(done)), _) => return Ok(done),
                (Err(error), false) => return Err(error),
                (Ok(None), _) | (Err(_), true) => {}
            }
        }
        Err(StorageError::Unavailable("the group or its topic becomes another all the time".into()).into())
    }

    async fn make(
        &self,
        scope: TenantScope,
        group: GroupName,
        new: NewGroup,
        now: Millis,
    ) -> Result<(bool, GroupState), LogError> {
        allow(&scope, &new.topic, Right::Read)?;
        if let Some(found) = self.find(&scope, &group).await? {
            // It may be over, and its name free.
            self.topic(&found, false, now).await?;
        }
        let far = Far::look(&self.log, scope.tenant().clone(), new.topic.clone(), true, now).await?;
        let writer = self.writer(scope.tenant(), &group);
        let make = move |session: &mut Session| {
            // How many groups there are is not to change meanwhile.
            session.write(Whose::Tenant(scope.tenant()), |connection| {
                let topic = rows::topic(connection, scope.tenant(), far.standing())?;
                let made = groups::make(connection, &scope, &group, &new, topic, &far, now)?;
                if made.0 {
                    let sql = "UPDATE groups SET epoch = ?3 WHERE tenant = ?1 AND name = ?2";
                    connection.execute(sql, (scope.tenant(), group.as_str(), far.state().epoch.0))?;
                }
                Ok(made)
            })
        };
        writer.ask(make).await
    }

    async fn state(&self, found: &Found, far: Far) -> Result<GroupState, LogError> {
        let key = found.key;
        let state = move |connection: &dyn Connection| {
            let row = GroupRow::by_key(connection, key)?.ok_or(LogError::NoSuchGroup)?;
            groups::state(connection, row, far.state())
        };
        self.readers.read(Some(found.tenant.clone()), state).await
    }

    async fn list(
        &self,
        scope: TenantScope,
        behind: Option<GroupName>,
        most: usize,
        now: Millis,
    ) -> Result<Vec<(GroupName, Option<GroupState>)>, LogError> {
        let tenant = scope.tenant().clone();
        let all = move |connection: &dyn Connection| {
            // Nothing is before the empty text, and no group is called so.
            let behind = behind.as_ref().map_or("", GroupName::as_str);
            Ok::<_, LogError>(Found::behind(connection, &tenant, behind)?)
        };
        let mut listed = Vec::new();
        for found in self.readers.read(Some(scope.tenant().clone()), all).await? {
            if listed.len() == most {
                break;
            }
            if !scope.topic(found.topic.as_str(), Right::Read) {
                continue;
            }
            let Some(far) = self.topic(&found, false, now).await? else { continue };
            match self.state(&found, far).await {
                Ok(state) => listed.push((found.name, Some(state))),
                Err(LogError::NoSuchGroup) => {}
                Err(LogError::Storage(StorageError::Corrupt { .. })) => {
                    if *scope.access() == Access::Everything {
                        listed.push((found.name, None));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(listed)
    }

    async fn change(
        &self,
        scope: TenantScope,
        group: GroupName,
        change: Change,
        now: Millis,
    ) -> Result<Vec<(LetterId, Fate)>, LogError> {
        for _ in 0..TRIES {
            // Another event in place of one that failed is no matter of the log's.
            let found = match change {
                Change::Edit(..) => None,
                Change::Retry(_) | Change::Discard(_) => self.find(&scope, &group).await?,
            };
            let mut of = None;
            if let Some(found) = &found {
                of = self.topic(found, false, now).await?.map(|far| (found.key, far));
            }
            let writer = self.writer(scope.tenant(), &group);
            let (scope, name, change) = (scope.clone(), group.clone(), change.clone());
            let work = move |session: &mut Session| {
                let done = session.write(Whose::Tenant(scope.tenant()), |connection| {
                    let work = match &mut of {
                        Some((key, far)) => enter(connection, far, *key, Lock::Wait, 0, now)?,
                        None => None,
                    };
                    groups::change(connection, &scope, &name, &change, now, || Ok(work))
                });
                Ok::<_, LogError>((done, of.is_some_and(|(_, far)| far.has_moved())))
            };
            match writer.ask(work).await? {
                (Err(_), true) => {}
                (done, _) => return done,
            }
        }
        Err(StorageError::Unavailable("the topic becomes another all the time".into()).into())
    }
}

impl GroupStore for PostgresGroups {
    fn make_group(
        &self,
        scope: TenantScope,
        group: GroupName,
        new: NewGroup,
        now: Millis,
    ) -> Answer<'_, (bool, GroupState)> {
        self.make(scope, group, new, now).boxed()
    }

    fn group(&self, scope: TenantScope, group: GroupName, now: Millis) -> Answer<'_, GroupState> {
        async move {
            let (found, far) = self.open_group(&scope, &group, false, now).await?;
            self.state(&found, far).await
        }
        .boxed()
    }

    fn groups(
        &self,
        scope: TenantScope,
        behind: Option<GroupName>,
        most: usize,
        now: Millis,
    ) -> Answer<'_, Vec<(GroupName, Option<GroupState>)>> {
        self.list(scope, behind, most, now).boxed()
    }

    fn remove_group(&self, scope: TenantScope, group: GroupName, now: Millis) -> Answer<'_, ()> {
        async move {
            let (found, _) = self.open_group(&scope, &group, false, now).await?;
            let remove = move |session: &mut Session| {
                session.write_rows(Whose::Tenant(&found.tenant), |connection| {
                    let sql = "UPDATE groups SET name = NULL WHERE key = ?1 AND name IS NOT NULL";
                    connection.execute(sql, (found.key,))
                })
            };
            let removed: usize = self.writer(scope.tenant(), &group).ask(remove).await?;
            if removed == 0 { Err(LogError::NoSuchGroup) } else { Ok(()) }
        }
        .boxed()
    }

    fn claim(&self, scope: TenantScope, group: GroupName, claim: Claim, now: Millis) -> Answer<'_, Claimed> {
        async move {
            let wanted = claim.clone();
            let act = move |work: Work<'_>| groups::claim(work, &wanted);
            self.work(&scope, &group, Some(&claim), claim.chance, now, act).await
        }
        .boxed()
    }

    fn settle(
        &self,
        scope: TenantScope,
        group: GroupName,
        settle: Settle,
        now: Millis,
    ) -> Answer<'_, Settled> {
        async move {
            let chance = settle.chance;
            let act = move |work: Work<'_>| groups::settle(work, &settle);
            self.work(&scope, &group, None, chance, now, act).await
        }
        .boxed()
    }
}

impl DeadLetters for PostgresGroups {
    fn letters(
        &self,
        scope: TenantScope,
        group: GroupName,
        which: Which,
        now: Millis,
    ) -> Answer<'_, Vec<Letter>> {
        let writer = self.writer(scope.tenant(), &group);
        let letters = move |session: &mut Session| {
            // By a writer, since it is recorded before it is shown.
            session.write(Whose::Tenant(scope.tenant()), |connection| {
                groups::letters(connection, &scope, &group, which, now)
            })
        };
        writer.ask(letters).boxed()
    }

    fn change_letters(
        &self,
        scope: TenantScope,
        group: GroupName,
        change: Change,
        now: Millis,
    ) -> Answer<'_, Vec<(LetterId, Fate)>> {
        self.change(scope, group, change, now).boxed()
    }
}
