//! Subscriptions, all of them in one place: there are few, and they are found by when they are due.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, future::FutureExt, stream};
use sdk_core::clock::Millis;
use serde::{Deserialize, Serialize};

use super::{
    keys::escaped,
    reply::{corrupt, texts},
    scripts,
    store::RedisEvents,
    topic::Topic,
};
use crate::storage::events::{
    Answer, Kept, LogError, MAX_TENANT_SUBSCRIPTIONS, Position, SubscriptionStore, TopicName,
};

/// Topics or subscriptions that are asked for at a time.
const TOGETHER: usize = 32;

/// A subscription behind its version.
#[derive(Serialize, Deserialize)]
struct Stored {
    tenant: String,
    id: String,
    text: String,
    due: Option<u64>,
}

#[derive(Serialize)]
struct Keep<'a> {
    id: &'a str,
    tenant: &'a str,
    /// Stands for it among those of all tenants.
    member: String,
    version: String,
    kept: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<u64>,
    most: u64,
}

#[derive(Serialize)]
struct Forget<'a> {
    id: &'a str,
    tenant: &'a str,
    member: String,
}

impl SubscriptionStore for RedisEvents {
    fn keep(&self, new: Kept) -> Answer<'_, bool> {
        async move {
            let Kept { tenant, id, version, text, due } = new;
            let due = due.map(|due| due.0);
            let stored = Stored { tenant: tenant.to_string(), id: id.clone(), text, due };
            let stored = serde_json::to_string(&stored)
                .map_err(|error| corrupt("a subscription", error.to_string()))?;
            let params = Keep {
                id: &id,
                tenant: &tenant,
                member: member(&tenant, &id),
                version: version.to_string(),
                kept: format!("{} {stored}", version + 1),
                due,
                most: MAX_TENANT_SUBSCRIPTIONS,
            };
            let keys = self.keys.subscriptions(&tenant);
            let reply = self.link.run(&scripts::KEEP, &keys, &params, &[]).await?;
            match reply.word() {
                "kept" => Ok(true),
                "other" => Ok(false),
                "full" => Err(LogError::TooManySubscriptions),
                _ => Err(reply.strange()),
            }
        }
        .boxed()
    }

    fn forget(&self, tenant: Arc<str>, id: String) -> Answer<'_, ()> {
        async move {
            let params = Forget { id: &id, tenant: &tenant, member: member(&tenant, &id) };
            let keys = self.keys.subscriptions(&tenant);
            self.link.run(&scripts::FORGET, &keys, &params, &[]).await.map(drop)
        }
        .boxed()
    }

    fn kept(&self, tenant: Arc<str>, id: Option<String>) -> Answer<'_, Vec<Kept>> {
        async move { self.subscriptions(tenant.to_string(), id).await }.boxed()
    }

    fn due(&self, at: Option<Millis>) -> Answer<'_, Vec<Kept>> {
        async move {
            let [_, due, tenants] = self.keys.subscriptions("");
            let mut command = redis::cmd(if at.is_some() { "ZRANGEBYSCORE" } else { "SMEMBERS" });
            match at {
                Some(at) => command.arg(due).arg("-inf").arg(at.0),
                None => command.arg(tenants),
            };
            let found = texts(self.link.ask(&command).await?);
            let asked = found.into_iter().map(|found| {
                let found = String::from_utf8_lossy(&found).into_owned();
                match at {
                    Some(_) => parts(&found).map(|(tenant, id)| (tenant, Some(id))),
                    None => Some((found, None)),
                }
            });
            let asked = stream::iter(asked.flatten()).map(|(tenant, id)| self.subscriptions(tenant, id));
            let all: Vec<Vec<Kept>> = asked.buffered(TOGETHER).try_collect().await?;
            // It may have been put off in between.
            let is_due = |kept: &Kept| at.is_none_or(|at| kept.due.is_some_and(|due| due <= at));
            Ok(all.into_iter().flatten().filter(is_due).collect())
        }
        .boxed()
    }

    fn topics(&self, tenant: Arc<str>) -> Answer<'_, Vec<(TopicName, Position)>> {
        async move {
            let [register, _] = self.keys.register(&tenant);
            let mut command = redis::cmd("HKEYS");
            command.arg(register);
            let names = texts(self.link.ask(&command).await?);
            let names =
                names.into_iter().filter_map(|name| TopicName::new(&String::from_utf8_lossy(&name)).ok());
            let asked = stream::iter(names).map(|name| self.end_of(&tenant, name));
            let topics: Vec<Option<(TopicName, Position)>> = asked.buffered(TOGETHER).try_collect().await?;
            Ok(topics.into_iter().flatten().collect())
        }
        .boxed()
    }
}

impl RedisEvents {
    /// The end of a topic that can be read.
    async fn end_of(&self, tenant: &str, name: TopicName) -> Result<Option<(TopicName, Position)>, LogError> {
        let [key, ..] = self.keys.topic(tenant, &name);
        let mut command = redis::cmd("HGETALL");
        command.arg(key);
        let flat = texts(self.link.ask(&command).await?);
        if flat.is_empty() {
            return Ok(None);
        }
        let topic = Topic::parse(&flat)?;
        Ok((!topic.hidden).then(|| (name, topic.tail())))
    }

    async fn subscriptions(&self, tenant: String, id: Option<String>) -> Result<Vec<Kept>, LogError> {
        let [own, ..] = self.keys.subscriptions(&tenant);
        let mut command = redis::cmd(if id.is_some() { "HGET" } else { "HVALS" });
        command.arg(own).arg(id);
        texts(self.link.ask(&command).await?).iter().map(|text| parse(text)).collect()
    }
}

fn member(tenant: &str, id: &str) -> String {
    format!("{}:{}", escaped(tenant), escaped(id))
}

fn parts(member: &str) -> Option<(String, String)> {
    let (tenant, id) = member.split_once(':')?;
    Some((super::keys::unescaped(tenant)?, super::keys::unescaped(id)?))
}

fn parse(text: &[u8]) -> Result<Kept, LogError> {
    let damaged = |why: String| corrupt("a subscription", why);
    let text = std::str::from_utf8(text).map_err(|error| damaged(error.to_string()))?;
    let (version, stored) = text.split_once(' ').ok_or_else(|| damaged("it has no version".into()))?;
    let stored: Stored = serde_json::from_str(stored).map_err(|error| damaged(error.to_string()))?;
    Ok(Kept {
        tenant: stored.tenant.into(),
        id: stored.id,
        version: version.parse().map_err(|_| damaged("its version is no number".into()))?,
        text: stored.text,
        due: stored.due.map(Millis),
    })
}
