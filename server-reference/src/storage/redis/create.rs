//! Making topics and forks, and taking them away.

use std::sync::Arc;

use bytes::Bytes;
use sdk_core::clock::Millis;
use serde::Serialize;

use super::{
    lineage::Lineage,
    register::{Change, Changed, Entry, GRACE, Held, Stage},
    scripts,
    store::{RedisEvents, busy},
    topic::{Definition, MAX_EVENTS, Source, Topic, digits},
};
use crate::{
    access::Right,
    random,
    storage::events::{
        After, ContentType, Created, Fork, Form, Lifetime, LogEpoch, LogError, MAX_FORK_DEPTH, NewTopic,
        Position, Read, TopicName, allow,
    },
    tenant::TenantScope,
};

/// How often it is begun anew, because others make or delete the same.
const ATTEMPTS: usize = 16;

#[derive(Serialize)]
struct Make {
    fields: Vec<String>,
    close: bool,
}

#[derive(Serialize)]
struct Refer<'a> {
    id: &'a str,
    epoch: String,
    fork: &'a str,
}

/// What a fork takes of its source.
struct Taken {
    source: Source,
    content_type: ContentType,
    lifetime: Lifetime,
    /// Where reading of the fork can begin.
    earliest: Position,
    /// The beginning of the event after the shared ones.
    part: Option<Bytes>,
}

impl RedisEvents {
    pub(super) async fn make(
        &self,
        scope: &TenantScope,
        name: &TopicName,
        new: &NewTopic,
        now: Millis,
    ) -> Result<Created, LogError> {
        if !scope.topic(name.as_str(), Right::Write) {
            return Err(LogError::Forbidden);
        }
        let tenant = scope.tenant();
        for _ in 0..ATTEMPTS {
            if let Some(topic) = self.find(tenant, name, now).await? {
                if topic.hidden || !new.is_there(&topic.state(Position::ZERO), topic.parting()) {
                    return Err(LogError::TopicExists);
                }
                let earliest = Lineage::of(self, tenant, name, topic.clone(), now).await?.earliest();
                return Ok(Created { fresh: false, state: topic.state(earliest) });
            }
            let taken = match &new.fork {
                Some(fork) => match self.take(scope, fork, new, now).await? {
                    Some(taken) => Some(taken),
                    None => continue,
                },
                None => None,
            };
            let fork_at = taken.as_ref().map_or(0, |taken| taken.source.fork_at);
            if fork_at + new.events.len() as u64 + 1 > MAX_EVENTS {
                return Err(LogError::TopicFull);
            }
            let source = taken.as_ref().map(|taken| &taken.source);
            let Some((entry, text)) = self.reserve(tenant, name, source, now).await? else { continue };
            if let Some(source) = source {
                let held = TopicName::new(&source.name).map_err(|_| LogError::NoSuchTopic)?;
                let params = Refer { id: &source.id, epoch: digits(source.epoch), fork: &entry.id };
                let reply = self.change(&scripts::REFER, tenant, &held, now, &params, &[]).await?;
                match reply.word() {
                    "held" => {}
                    "deleted" => return Err(LogError::SourceDeleted),
                    // What there is to say of it has changed.
                    _ => continue,
                }
            }
            if let Some(topic) = self.put(tenant, name, &entry, taken.as_ref(), new, now).await? {
                let due = self.definition(taken.as_ref(), new).due(now);
                let seen = Some(text.as_str());
                self.enter(
                    tenant,
                    Change { name: name.as_str(), seen, now_is: seen, due, ..Change::default() },
                )
                .await?;
                let earliest = taken.map_or_else(|| topic.at(topic.first), |taken| taken.earliest);
                return Ok(Created { fresh: true, state: topic.state(earliest) });
            }
        }
        Err(busy())
    }

    /// The topic of a name, if there is one whose time is not over.
    async fn find(
        &self,
        tenant: &Arc<str>,
        name: &TopicName,
        now: Millis,
    ) -> Result<Option<Topic>, LogError> {
        let topic = self.look(tenant, name, now).await?;
        match topic {
            Some(topic) if !topic.hidden && topic.expired(now) => {
                self.remove(tenant, name, &topic.id, Stage::Over, now).await?;
                self.look(tenant, name, now).await
            }
            topic => Ok(topic),
        }
    }

    /// Has a tenant's register count a topic. None if somebody else does something with that name.
    async fn reserve(
        &self,
        tenant: &Arc<str>,
        name: &TopicName,
        source: Option<&Source>,
        now: Millis,
    ) -> Result<Option<(Entry, String)>, LogError> {
        let mut known = redis::cmd("SADD");
        known.arg(self.keys.tenants()).arg(&**tenant);
        self.link.ask(&known).await?;
        let held = source.map(|source| Held { name: source.name.clone(), id: source.id.clone() });
        let entry = Entry { id: random::name(), stage: Stage::Made, sources: held.iter().cloned().collect() };
        let text = entry.text()?;
        let due = Some(now.0.saturating_add(GRACE));
        let change = Change { name: name.as_str(), now_is: Some(&text), due, ..Change::default() };
        let there = match self.enter(tenant, Change { cap: Some(self.caps.topics), ..change }).await? {
            Changed::Done => return Ok(Some((entry, text))),
            Changed::Full => return Err(LogError::TooManyTopics(self.caps.topics)),
            Changed::Other(there) => there,
        };
        let Some(there) = there else { return Ok(None) };
        let mut entry = Entry::parse(&there)?;
        if entry.stage != Stage::Made {
            self.finish(tenant, name, &entry, Some(&there), now).await?;
            return Ok(None);
        }
        // Whoever else is about to make it, or came no further: there is one, and whoever comes first has made it.
        entry.sources.extend(held.filter(|held| !entry.sources.contains(held)));
        let text = entry.text()?;
        let seen = Some(there.as_str());
        let change = Change { name: name.as_str(), seen, now_is: Some(&text), due, ..Change::default() };
        Ok(match self.enter(tenant, change).await? {
            Changed::Done => Some((entry, text)),
            _ => None,
        })
    }

    /// Writes a topic. None if there is one.
    async fn put(
        &self,
        tenant: &Arc<str>,
        name: &TopicName,
        entry: &Entry,
        taken: Option<&Taken>,
        new: &NewTopic,
        now: Millis,
    ) -> Result<Option<Topic>, LogError> {
        let begins = taken.map_or(0, |taken| taken.source.epoch);
        let epoch = LogEpoch(self.draw(now).0.max(begins + 1));
        let definition = self.definition(taken, new);
        let params = Make { fields: definition.fields(&entry.id, epoch, now)?, close: new.closed };
        let part = taken.and_then(|taken| taken.part.as_ref());
        let events: Vec<&[u8]> = part.into_iter().chain(&new.events).map(Bytes::as_ref).collect();
        let reply = self.change(&scripts::CREATE, tenant, name, now, &params, &events).await?;
        match reply.word() {
            "there" => Ok(None),
            "made" => {
                let topic = Topic::parse(reply.rest(1))?;
                self.committed(
                    tenant,
                    name,
                    reply.number,
                    (topic.fork_at(), topic.tail(), topic.closed),
                    events.into_iter(),
                );
                Ok(Some(topic))
            }
            _ => Err(reply.strange()),
        }
    }

    fn definition(&self, taken: Option<&Taken>, new: &NewTopic) -> Definition {
        match taken {
            Some(Taken { source, content_type, lifetime, .. }) => {
                Definition::of(content_type, lifetime, new, Some(source.clone()))
            }
            None => {
                let content_type = new.content_type.clone().unwrap_or_else(ContentType::octets);
                Definition::of(&content_type, &new.lifetime, new, None)
            }
        }
    }

    pub(super) async fn delete_topic(
        &self,
        scope: &TenantScope,
        name: &TopicName,
        now: Millis,
    ) -> Result<(), LogError> {
        allow(scope, name, Right::Write)?;
        let topic = self.find(scope.tenant(), name, now).await?.ok_or(LogError::NoSuchTopic)?;
        if topic.hidden {
            return Err(LogError::Deleted);
        }
        self.remove(scope.tenant(), name, &topic.id, Stage::Deleted, now).await
    }

    /// What a fork would take. None if its source has changed in between.
    async fn take(
        &self,
        scope: &TenantScope,
        fork: &Fork,
        new: &NewTopic,
        now: Millis,
    ) -> Result<Option<Taken>, LogError> {
        allow(scope, &fork.source, Right::Read)?;
        let tenant = scope.tenant();
        let topic = self.find(tenant, &fork.source, now).await?.ok_or(LogError::NoSuchTopic)?;
        if topic.hidden {
            return Err(LogError::SourceDeleted);
        }
        if new.content_type.as_ref().is_some_and(|kind| *kind != topic.content_type) {
            return Err(LogError::ContentTypeMismatch);
        }
        let lineage = Lineage::of(self, tenant, &fork.source, topic.clone(), now).await?;
        if lineage.depth() > MAX_FORK_DEPTH {
            return Err(LogError::ForkTooDeep);
        }
        let after = fork.at.map_or(After::Now, After::Position);
        let anchor = lineage.offset(after).ok().flatten().ok_or(LogError::BadFork)?;
        if anchor > topic.tail {
            return Err(LogError::BadFork);
        }
        let (mut fork_at, mut part) = (anchor, None);
        if fork.more > 0 && topic.content_type.form() == Form::Json {
            fork_at =
                anchor.checked_add(fork.more).filter(|end| *end <= topic.tail).ok_or(LogError::BadFork)?;
        } else if fork.more > 0 {
            lineage.after(anchor).next().ok_or(LogError::BadFork)?;
            let after = After::Position(lineage.position(anchor));
            let read = Read { after, bytes: 0, within_epoch: false };
            let Some(slice) = self.read_lineage(tenant, &lineage, read, now).await? else { return Ok(None) };
            let body = Bytes::from(slice.events.into_bytes());
            let most = usize::try_from(fork.more).map_err(|_| LogError::BadFork)?;
            match body.len().cmp(&most) {
                std::cmp::Ordering::Less => return Err(LogError::BadFork),
                std::cmp::Ordering::Equal => fork_at = anchor + 1,
                std::cmp::Ordering::Greater => part = Some(body.slice(..most)),
            }
        }
        let source = Source {
            name: fork.source.as_str().into(),
            id: topic.id,
            epoch: topic.epoch.0,
            anchor,
            more: fork.more,
            fork_at,
        };
        let inherited = matches!(new.lifetime, Lifetime::Unlimited);
        let lifetime = if inherited { topic.lifetime } else { new.lifetime.clone() };
        let earliest = lineage.earliest();
        Ok(Some(Taken { source, content_type: topic.content_type, lifetime, earliest, part }))
    }
}
