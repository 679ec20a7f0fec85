//! Who writes, and what to: the client's name in clocks, and the collections that a batch names.

use sdk_core::{
    clock::Dot,
    protocol::{ActorId, CollectionName, Epoch, Operation, Seq, Strategy, StreamPosition},
};

use super::{Connection, NewEpoch, corrupt, read};
use crate::{
    access::Portion,
    storage::{Batch, MAX_TENANT_COLLECTIONS, StorageError, history::History},
};

/// The client's actor. A client that is new becomes the subject's, for ever.
pub(super) fn actor(connection: &dyn Connection, batch: &Batch) -> Result<ActorId, StorageError> {
    let (tenant, subject) = (batch.scope.tenant(), batch.scope.subject());
    let client = batch.client.to_string();
    let known = connection.optional(
        "SELECT subject, actor FROM clients WHERE tenant = ?1 AND client = ?2",
        (tenant, &client),
        |row| Ok((row.get::<String>(0)?, row.get(1)?)),
    )?;
    match known {
        Some((owner, actor)) if *owner == **subject => Ok(ActorId(actor)),
        Some(_) => Err(StorageError::ClientIdTaken),
        None => {
            let next = next_actor(connection, tenant)?;
            connection.execute(
                "INSERT INTO clients (tenant, client, subject, actor) VALUES (?1, ?2, ?3, ?4)",
                (tenant, &client, subject, next),
            )?;
            Ok(ActorId(next))
        }
    }
}

/// An actor of a tenant that nobody was ever given.
fn next_actor(connection: &dyn Connection, tenant: &str) -> Result<u32, StorageError> {
    connection.one(
        "SELECT coalesce(max(actor), 0) + 1 FROM (
                 SELECT max(actor) AS actor FROM clients WHERE tenant = ?1
                 UNION ALL SELECT actor FROM refused_tenants WHERE tenant = ?1
                 UNION ALL SELECT max(actor) FROM retired) AS given",
        (tenant,),
        |row| row.get(0),
    )
}

/// The name of the next operation that a tenant's operators apply. All of them have one actor, which no client has. There
/// are letters of the tenant, and with them its row.
pub(super) fn operators(connection: &dyn Connection, tenant: &str) -> Result<Dot, StorageError> {
    let next = next_actor(connection, tenant)?;
    let sql = "UPDATE refused_tenants SET actor = coalesce(actor, ?2), seq = seq + 1 WHERE tenant = ?1
        RETURNING actor, seq";
    let dot = connection
        .one(sql, (tenant, next), |row| Ok(Dot { actor: ActorId(row.get(0)?), seq: Seq(row.get(1)?) }))?;
    Ok(dot)
}

/// The collection, set up with the strategy if it is new.
pub(super) fn settle(
    connection: &dyn Connection,
    tenant: &str,
    name: &CollectionName,
    strategy: Strategy,
    new_epoch: &mut NewEpoch,
) -> Result<read::Collection, StorageError> {
    if let Some(collection) = read::collection(connection, tenant, name.as_str())? {
        if collection.strategy == strategy {
            return Ok(collection);
        }
        return Err(StorageError::StrategyMismatch { collection: name.clone() });
    }
    let count: u64 =
        connection.one("SELECT count(*) FROM collections WHERE tenant = ?1", (tenant,), |row| row.get(0))?;
    if count >= MAX_TENANT_COLLECTIONS {
        return Err(StorageError::TooManyCollections);
    }
    connection.execute(
        "INSERT INTO collections (tenant, name, strategy, epoch, head) VALUES (?1, ?2, ?3, ?4, 0)",
        (tenant, name.as_str(), strategy.as_str(), new_epoch().as_str()),
    )?;
    read::collection(connection, tenant, name.as_str())?.ok_or(StorageError::NoSuchCollection)
}

/// A collection that the batch writes to.
pub(super) struct Open {
    pub(super) collection: read::Collection,
    pub(super) before: StreamPosition,
    /// What of it the batch may write.
    pub(super) portion: Portion,
    /// The name under which the client knows its history.
    pub(super) name: Epoch,
}

impl Open {
    pub(super) fn new(
        collection: read::Collection,
        portion: Portion,
        after: Option<&StreamPosition>,
    ) -> Result<Self, StorageError> {
        let history = History { epoch: &collection.epoch, portion: &portion };
        // By the name that the client goes on under, or is about to hear: a position in what it leaves would tell it nothing.
        let name = match after.filter(|after| collection.goes_on(&portion, after)) {
            Some(after) => after.epoch.clone(),
            None => history.name(collection.pruned).map_err(corrupt("a collection"))?,
        };
        Ok(Self { before: collection.position(), collection, portion, name })
    }

    /// What the maker of an operation calls the history that its base speaks of; no other name means this history.
    pub(super) fn name_in(&self, operation: &Operation) -> Epoch {
        let history = History { epoch: &self.collection.epoch, portion: &self.portion };
        let seen = operation.base.seen.as_ref().map(|seen| &seen.epoch);
        seen.filter(|name| history.began(name).is_some()).unwrap_or(&self.name).clone()
    }
}
