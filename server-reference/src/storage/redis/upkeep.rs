//! Taking topics away, and what nothing came of. Each step can be done by anybody, and again.

use std::sync::Arc;

use sdk_core::clock::Millis;
use serde::Serialize;

use super::{
    register::{Change, Changed, Entry, GRACE, Held, Stage},
    reply::texts,
    scripts,
    store::{RedisEvents, busy},
    topic::Definition,
};
use crate::storage::events::{LogError, TopicName};

/// How often it is begun anew, because others do the same.
const ATTEMPTS: usize = 16;
/// Topics that are looked at one after the other.
const SLICE: usize = 512;

#[derive(Serialize)]
struct Remove<'a> {
    id: &'a str,
    /// Only if its time is over.
    expiry: bool,
}

#[derive(Serialize)]
struct Release<'a> {
    id: &'a str,
    fork: &'a str,
}

impl RedisEvents {
    /// Removes what is over, and what was begun long ago and not brought to an end. Several instances may do so at a time.
    ///
    /// # Errors
    /// [`LogError::Storage`]; some may have been removed.
    pub async fn tidy(&self, now: Millis) -> Result<(), LogError> {
        let mut all = redis::cmd("SMEMBERS");
        all.arg(self.keys.tenants());
        for tenant in texts(self.link.ask(&all).await?) {
            let Ok(tenant) = String::from_utf8(tenant) else { continue };
            let tenant: Arc<str> = tenant.into();
            let [_, due] = self.keys.register(&tenant);
            let mut some = redis::cmd("ZRANGEBYSCORE");
            some.arg(due).arg("-inf").arg(now.0).arg("LIMIT").arg(0).arg(SLICE);
            loop {
                let names = texts(self.link.ask(&some).await?);
                let mut progress = false;
                for name in &names {
                    let Some(name) =
                        std::str::from_utf8(name).ok().and_then(|name| TopicName::new(name).ok())
                    else {
                        continue;
                    };
                    progress |= self.visit(&tenant, &name, now).await?;
                }
                // What others look at is theirs.
                if names.is_empty() || !progress {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Looks at a topic that is due. Tells whether that changed what is due.
    async fn visit(&self, tenant: &Arc<str>, name: &TopicName, now: Millis) -> Result<bool, LogError> {
        let text = self.entry(tenant, name).await?;
        let due_by = Some(now.0);
        let seen = text.as_deref();
        let change = Change { name: name.as_str(), seen, now_is: seen, due_by, ..Change::default() };
        let Some(text) = &text else {
            return Ok(matches!(self.enter(tenant, change).await?, Changed::Done));
        };
        let entry = Entry::parse(text)?;
        if entry.stage != Stage::Made {
            self.finish(tenant, name, &entry, Some(text), now).await?;
            return Ok(true);
        }
        let reply = self.change(&scripts::TIDY, tenant, name, now, &(), &[]).await?;
        let due = match reply.word() {
            "absent" => {
                // Nothing came of it, or Redis has lost it.
                let entry = entry.at(Stage::Deleted);
                let marked = entry.text()?;
                let change = Change { now_is: Some(&marked), due: due_by, ..change };
                let done = matches!(self.enter(tenant, change).await?, Changed::Done);
                if done {
                    self.finish(tenant, name, &entry, Some(&marked), now).await?;
                }
                return Ok(done);
            }
            "over" => {
                self.remove(tenant, name, &entry.id, Stage::Over, now).await?;
                return Ok(true);
            }
            "hidden" => Some(now.0.saturating_add(GRACE)),
            "next" => reply.number(1).ok(),
            _ => return Err(reply.strange()),
        };
        Ok(matches!(self.enter(tenant, Change { due, ..change }).await?, Changed::Done))
    }

    /// Takes a topic away. One that has forks is only hidden, until the last of them is gone. It is noted first, so that somebody
    /// else brings it to an end if this instance does not.
    pub(super) async fn remove(
        &self,
        tenant: &Arc<str>,
        name: &TopicName,
        id: &str,
        stage: Stage,
        now: Millis,
    ) -> Result<(), LogError> {
        for _ in 0..ATTEMPTS {
            let text = self.entry(tenant, name).await?;
            let entry = text.as_deref().map(Entry::parse).transpose()?;
            let Some(entry) = entry.filter(|entry| entry.id == id) else {
                // The register has lost it.
                let entry = Entry { id: id.to_owned(), stage, sources: Vec::new() };
                return self.finish(tenant, name, &entry, None, now).await;
            };
            // What was deleted is not only over.
            let stage = if entry.stage == Stage::Deleted { entry.stage } else { stage };
            let entry = entry.at(stage);
            let marked = entry.text()?;
            let change = Change {
                name: name.as_str(),
                seen: text.as_deref(),
                now_is: Some(&marked),
                due: Some(now.0),
                ..Change::default()
            };
            if let Changed::Done = self.enter(tenant, change).await? {
                return self.finish(tenant, name, &entry, Some(&marked), now).await;
            }
        }
        Err(busy())
    }

    /// Brings to an end what was noted.
    pub(super) async fn finish(
        &self,
        tenant: &Arc<str>,
        name: &TopicName,
        entry: &Entry,
        seen: Option<&str>,
        now: Millis,
    ) -> Result<(), LogError> {
        let params = Remove { id: &entry.id, expiry: entry.stage == Stage::Over };
        let reply = self.change(&scripts::REMOVE, tenant, name, now, &params, &[]).await?;
        let mut sources: Vec<(Held, String)> =
            entry.sources.iter().map(|source| (source.clone(), entry.id.clone())).collect();
        match reply.word() {
            "lives" | "hidden" => {
                if reply.word() == "hidden" {
                    self.seen.forget(tenant, name);
                }
                if let Some(seen) = seen {
                    let made = entry.at(Stage::Made).text()?;
                    let due = Some(now.0.saturating_add(GRACE));
                    let (name, seen, now_is) = (name.as_str(), Some(seen), Some(made.as_str()));
                    self.enter(tenant, Change { name, seen, now_is, due, ..Change::default() }).await?;
                }
                return Ok(());
            }
            "gone" => {
                self.seen.forget(tenant, name);
                if self.echoes.first(reply.number) {
                    self.ended(tenant, name);
                }
                sources.extend(held(reply.text(1)?, &entry.id)?);
            }
            "absent" | "other" => {}
            _ => return Err(reply.strange()),
        }
        while let Some((source, fork)) = sources.pop() {
            let Ok(name) = TopicName::new(&source.name) else { continue };
            let params = Release { id: &source.id, fork: &fork };
            let reply = self.change(&scripts::RELEASE, tenant, &name, now, &params, &[]).await?;
            if reply.word() == "gone" {
                self.seen.forget(tenant, &name);
                sources.extend(held(reply.text(1)?, &source.id)?);
                let seen = self.entry(tenant, &name).await?;
                let entry = seen.as_deref().map(Entry::parse).transpose()?;
                if entry.is_some_and(|entry| entry.id == source.id) {
                    let seen = seen.as_deref();
                    self.enter(tenant, Change { name: name.as_str(), seen, ..Change::default() }).await?;
                }
            }
        }
        if seen.is_some() {
            self.enter(tenant, Change { name: name.as_str(), seen, ..Change::default() }).await?;
        }
        Ok(())
    }

    /// Takes away a topic whose time is over, and tells what there is instead.
    pub(super) async fn is_over(&self, tenant: &Arc<str>, name: &TopicName, now: Millis) -> LogError {
        let after = async {
            if let Some(topic) = self.look(tenant, name, now).await?.filter(|topic| topic.expired(now)) {
                self.remove(tenant, name, &topic.id, Stage::Over, now).await?;
            }
            self.look(tenant, name, now).await
        };
        match after.await {
            Ok(Some(topic)) if topic.hidden => LogError::Deleted,
            Ok(_) => LogError::NoSuchTopic,
            Err(error) => error,
        }
    }

    /// That a topic is not there, which its followers may not know.
    pub(super) fn missing(&self, tenant: &Arc<str>, name: &TopicName) -> LogError {
        if self.seen.known(tenant, name).is_some() {
            self.ended(tenant, name);
        }
        LogError::NoSuchTopic
    }
}

/// What a topic of a definition holds, as the fork that it is.
fn held(definition: &str, fork: &str) -> Result<Option<(Held, String)>, LogError> {
    let source = Definition::parse(definition)?.source;
    Ok(source.map(|source| (Held { name: source.name, id: source.id }, fork.to_owned())))
}
