//! Subscriptions, beside the topics they are about.

use std::sync::Arc;

use futures::future::FutureExt;
use rusqlite::{Connection, OptionalExtension, Row};
use sdk_core::clock::Millis;

use super::{EventStore, group::Group};
use crate::storage::events::{
    Answer, Kept, LogEpoch, LogError, MAX_TENANT_SUBSCRIPTIONS, Position, SubscriptionStore, TopicName,
};

const COLUMNS: &str = "SELECT tenant, id, version, text, due FROM subscriptions";

impl SubscriptionStore for EventStore {
    fn keep(&self, new: Kept) -> Answer<'_, bool> {
        self.ask(move |group| keep(group, &new)).boxed()
    }

    fn forget(&self, tenant: Arc<str>, id: String) -> Answer<'_, ()> {
        self.ask(move |group| {
            let sql = "DELETE FROM subscriptions WHERE tenant = ?1 AND id = ?2";
            group.connection.execute(sql, (&*tenant, id))?;
            Ok(())
        })
        .boxed()
    }

    fn kept(&self, tenant: Arc<str>, id: Option<String>) -> Answer<'_, Vec<Kept>> {
        self.readers
            .read(move |connection| {
                let sql = format!("{COLUMNS} WHERE tenant = ?1 AND (?2 IS NULL OR id = ?2)");
                rows(connection, &sql, (&*tenant, id))
            })
            .boxed()
    }

    fn due(&self, at: Option<Millis>) -> Answer<'_, Vec<Kept>> {
        self.readers
            .read(move |connection| match at {
                Some(at) => rows(connection, &format!("{COLUMNS} WHERE due <= ?1"), [at.0]),
                None => rows(connection, COLUMNS, []),
            })
            .boxed()
    }

    fn topics(&self, tenant: Arc<str>) -> Answer<'_, Vec<(TopicName, Position)>> {
        self.readers
            .read(move |connection| {
                let sql = "SELECT name, epoch, tail FROM topics WHERE tenant = ?1 AND name IS NOT NULL AND hidden = 0";
                let mut statement = connection.prepare_cached(sql)?;
                let mut found = statement.query([&*tenant])?;
                let mut topics = Vec::new();
                while let Some(row) = found.next()? {
                    let position = Position { epoch: LogEpoch(row.get(1)?), offset: row.get(2)? };
                    if let Ok(name) = TopicName::new(&row.get::<_, String>(0)?) {
                        topics.push((name, position));
                    }
                }
                Ok(topics)
            })
            .boxed()
    }
}

fn keep(group: &Group<'_>, new: &Kept) -> Result<bool, LogError> {
    let key = (&*new.tenant, new.id.as_str());
    let sql = "SELECT version FROM subscriptions WHERE tenant = ?1 AND id = ?2";
    let version: Option<u64> = group.connection.query_row(sql, key, |row| row.get(0)).optional()?;
    if version.unwrap_or(0) != new.version {
        return Ok(false);
    }
    if version.is_none() {
        let sql = "SELECT count(*) FROM subscriptions WHERE tenant = ?1";
        let count: u64 = group.connection.query_row(sql, [&*new.tenant], |row| row.get(0))?;
        if count >= MAX_TENANT_SUBSCRIPTIONS {
            return Err(LogError::TooManySubscriptions);
        }
    }
    group.connection.execute(
        "REPLACE INTO subscriptions (tenant, id, version, text, due) VALUES (?1, ?2, ?3, ?4, ?5)",
        (key.0, key.1, new.version + 1, &new.text, new.due.map(|due| due.0)),
    )?;
    Ok(true)
}

fn rows(connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Kept>, LogError> {
    let mut statement = connection.prepare_cached(sql)?;
    let read = |row: &Row<'_>| {
        Ok(Kept {
            tenant: row.get::<_, String>(0)?.into(),
            id: row.get(1)?,
            version: row.get(2)?,
            text: row.get(3)?,
            due: row.get::<_, Option<u64>>(4)?.map(Millis),
        })
    };
    Ok(statement.query_map(params, read)?.collect::<Result<_, _>>()?)
}
