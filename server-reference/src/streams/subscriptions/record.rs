//! A subscription and what happens to it: a state machine without a clock, a socket or a store.

use std::{collections::BTreeMap, sync::Arc};

use sdk_core::clock::Millis;
use serde::{Deserialize, Serialize};

use crate::{
    access::{Access, Grant, Right},
    auth::Bearer,
    storage::events::{Position, TopicName},
    tenant::TenantScope,
};

/// Topics of one subscription.
pub(super) const MAX_LINKS: usize = 1_024;
/// Milliseconds of a lease, where nothing else was said.
pub(super) const LEASE: u64 = 30_000;

/// What a subscription was made with. Two that are equal are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setup {
    #[serde(rename = "type")]
    pub(super) delivery: Delivery,
    #[serde(default)]
    pub(super) pattern: Option<String>,
    #[serde(default)]
    pub(super) streams: Vec<String>,
    #[serde(default)]
    pub(super) webhook: Option<Webhook>,
    #[serde(default)]
    pub(super) wake_stream: Option<String>,
    #[serde(default = "lease")]
    pub(super) lease_ttl_ms: u64,
    #[serde(default)]
    pub(super) description: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Delivery {
    Webhook,
    PullWake,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Webhook {
    pub(super) url: String,
}

fn lease() -> u64 {
    LEASE
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subscription {
    pub(super) setup: Setup,
    /// Who made it; it never sees more than its maker.
    subject: String,
    access: Option<Vec<Grant>>,
    /// By which token, as far as a revocation may name it.
    #[serde(default)]
    maker: Maker,
    pub(super) created: u64,
    pub(super) links: BTreeMap<String, Link>,
    pub(super) generation: u64,
    pub(super) wake: Option<Wake>,
    /// Deliveries that failed one after the other, and when the next is due.
    pub(super) failures: u32,
    pub(super) next_attempt: Option<u64>,
}

/// The token that a subscription was made by: its `sid`, `jti` and `iat`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Maker {
    session: Option<String>,
    token: Option<String>,
    issued: Option<u64>,
}

/// A topic of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) explicit: bool,
    pub(super) matched: bool,
    /// Up to where it was worked on.
    acked: String,
}

/// Work that was announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wake {
    pub(super) id: String,
    pub(super) holder: Option<String>,
    /// The end of the lease; none of one that nobody has taken.
    pub(super) until: Option<u64>,
    /// The ends of the topics when it was announced.
    pub(super) tails: BTreeMap<String, String>,
}

/// The ends of topics; none of one that is not there.
pub(super) type Tails = BTreeMap<String, Position>;

impl Subscription {
    pub(super) fn new(setup: Setup, scope: &TenantScope, now: Millis) -> Self {
        let access = match scope.access() {
            Access::Everything => None,
            Access::Granted(grants) => Some(grants.to_vec()),
        };
        let Bearer { session, token, issued, .. } = scope.bearer();
        let maker = Maker {
            session: session.as_deref().map(str::to_owned),
            token: token.as_deref().map(str::to_owned),
            issued: issued.map(|issued| issued.0),
        };
        Self {
            setup,
            subject: scope.subject().to_string(),
            access,
            maker,
            created: now.0,
            links: BTreeMap::new(),
            generation: 0,
            wake: None,
            failures: 0,
            next_attempt: None,
        }
    }

    /// The scope in which it reads and writes.
    pub(super) fn scope(&self, tenant: &Arc<str>) -> TenantScope {
        let access = match &self.access {
            None => Access::Everything,
            // It was checked when the token was.
            Some(grants) => Access::Granted(grants.clone().into()),
        };
        let Maker { session, token, issued } = &self.maker;
        let bearer = Bearer::kept(session.as_deref(), token.as_deref(), issued.map(Millis));
        TenantScope::kept(tenant.clone(), self.subject.as_str().into(), access, bearer)
    }

    /// Whether a subject may look at it and work for it.
    pub(super) fn open_to(&self, scope: &TenantScope) -> bool {
        *scope.access() == Access::Everything || **scope.subject() == *self.subject
    }

    /// Whether its pattern has a place for a topic that its maker may read.
    pub(super) fn matches(&self, tenant: &Arc<str>, topic: &str) -> bool {
        self.setup.pattern.as_deref().is_some_and(|pattern| fits(pattern, topic))
            && self.scope(tenant).topic(topic, Right::Read)
    }

    /// Takes a topic in that its pattern matches, from a position on.
    pub(super) fn discover(&mut self, topic: &TopicName, from: Position) {
        if let Some(link) = self.links.get_mut(topic.as_str()) {
            link.matched = true;
        } else if self.links.len() < MAX_LINKS {
            let link = Link { explicit: false, matched: true, acked: from.to_string() };
            self.links.insert(topic.as_str().into(), link);
        }
    }

    /// Takes a topic in because somebody said so. False if there is no room.
    pub(super) fn link(&mut self, topic: &str, from: Position) -> bool {
        if let Some(link) = self.links.get_mut(topic) {
            link.explicit = true;
        } else if self.links.len() < MAX_LINKS {
            let link = Link { explicit: true, matched: false, acked: from.to_string() };
            self.links.insert(topic.into(), link);
        } else {
            return false;
        }
        true
    }

    /// Takes back what [`Self::link`] said.
    pub(super) fn unlink(&mut self, topic: &str) {
        if let Some(link) = self.links.get_mut(topic) {
            link.explicit = false;
            if !link.matched {
                self.links.remove(topic);
            }
        }
    }

    /// Whether a topic has events that were not worked on.
    pub(super) fn pending(&self, topic: &str, tails: &Tails) -> bool {
        let acked = self.links.get(topic).map(Link::acked);
        matches!((acked, tails.get(topic)), (Some(acked), Some(tail)) if tail.offset > 0 && *tail > acked)
    }

    pub(super) fn has_work(&self, tails: &Tails) -> bool {
        self.links.keys().any(|topic| self.pending(topic, tails))
    }

    /// Lets go of a lease that is over.
    pub(super) fn lapse(&mut self, now: Millis) {
        if self.wake.as_ref().and_then(|wake| wake.until).is_some_and(|until| until <= now.0) {
            self.wake = None;
        }
    }

    /// Announces work, if there is any and none is announced. Whether it was.
    pub(super) fn announce(&mut self, id: impl FnOnce() -> String, tails: &Tails, now: Millis) -> bool {
        let early = self.next_attempt.is_some_and(|at| at > now.0);
        if self.wake.is_some() || early || !self.has_work(tails) {
            return false;
        }
        self.generation += 1;
        self.next_attempt = None;
        // Who is called holds the lease from then on; who has to come does not.
        let until = (self.setup.delivery == Delivery::Webhook).then(|| now.0 + self.setup.lease_ttl_ms);
        let tails =
            self.links.keys().filter_map(|topic| Some((topic.clone(), tails.get(topic)?.to_string())));
        self.wake = Some(Wake { id: id(), holder: None, until, tails: tails.collect() });
        true
    }

    /// Whether a request is about the work that is announced.
    pub(super) fn holds(&self, id: &str, generation: u64) -> bool {
        generation == self.generation && self.wake.as_ref().is_some_and(|wake| wake.id == id)
    }

    /// Notes that a topic was worked on up to a position. It never goes back, nor beyond the topic's end.
    pub(super) fn ack(&mut self, topic: &str, position: Position, tails: &Tails) -> bool {
        let Some(link) = self.links.get_mut(topic) else { return false };
        if tails.get(topic).is_none_or(|tail| position > *tail) {
            return false;
        }
        link.acked = link.acked().max(position).to_string();
        true
    }

    /// Keeps the lease for another while.
    pub(super) fn extend(&mut self, now: Millis) {
        let until = now.0 + self.setup.lease_ttl_ms;
        if let Some(wake) = &mut self.wake {
            wake.until = Some(until);
        }
    }

    /// Lets go of the lease.
    pub(super) fn finish(&mut self) {
        (self.wake, self.failures, self.next_attempt) = (None, 0, None);
    }

    /// Lets go of the lease because nobody could be reached, until a time.
    pub(super) fn failed(&mut self, until: Millis) {
        self.wake = None;
        self.failures = self.failures.saturating_add(1);
        self.next_attempt = Some(until.0);
    }

    /// When it has to be looked at, if nothing happens before.
    pub(super) fn due(&self) -> Option<Millis> {
        let until = self.wake.as_ref().and_then(|wake| wake.until);
        until.or(self.next_attempt).map(Millis)
    }
}

impl Link {
    pub(super) fn acked(&self) -> Position {
        self.acked.parse().unwrap_or(Position::ZERO)
    }
}

/// Whether a topic fits a pattern, in which `*` is one segment and `**` any number of them.
fn fits(pattern: &str, topic: &str) -> bool {
    fn rest(pattern: &[&str], topic: &[&str]) -> bool {
        match pattern.split_first() {
            None => topic.is_empty(),
            Some((&"**", after)) => (0..=topic.len()).any(|skipped| rest(after, &topic[skipped..])),
            Some((&segment, after)) => topic
                .split_first()
                .is_some_and(|(first, others)| (segment == "*" || segment == *first) && rest(after, others)),
        }
    }
    let pattern: Vec<&str> = pattern.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    rest(&pattern, &topic)
}

/// Whether a text is a pattern: segments that are `*`, `**` or as a topic has them, with at most two `**`.
pub(super) fn is_pattern(text: &str) -> bool {
    let plain: Vec<&str> =
        text.split('/').map(|segment| if matches!(segment, "*" | "**") { "x" } else { segment }).collect();
    text.split('/').filter(|segment| *segment == "**").count() <= 2
        && TopicName::new(&plain.join("/")).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        fixtures::{START, granted, scope},
        storage::events::LogEpoch,
    };

    fn subscription(setup: serde_json::Value) -> Subscription {
        Subscription::new(serde_json::from_value(setup).unwrap(), &scope("acme", "ada"), START)
    }

    fn at(offset: u64) -> Position {
        Position { epoch: LogEpoch(9), offset }
    }

    fn tails(offset: u64) -> Tails {
        [("a".to_owned(), at(offset))].into()
    }

    fn pull() -> Subscription {
        let mut subscription =
            subscription(json!({ "type": "pull-wake", "streams": ["a"], "wake_stream": "w" }));
        assert!(subscription.link("a", at(2)));
        subscription
    }

    #[test]
    fn a_pattern_counts_segments() {
        for (pattern, topic, matches) in [
            ("events/*", "events/a", true),
            ("events/*", "events", false),
            ("events/*", "events/a/b", false),
            ("events/**", "events/a/b", true),
            ("**/b", "b", true),
            ("**/b/**", "a/b/c/d", true),
            ("a/b", "a/b", true),
        ] {
            assert_eq!(fits(pattern, topic), matches, "{pattern} {topic}");
        }
        assert!(
            is_pattern("a/*/**") && !is_pattern("a*") && !is_pattern("**/**/**/a") && !is_pattern("__ds/*")
        );
    }

    #[test]
    fn a_subscription_never_sees_more_than_its_maker() {
        let narrow = granted("eve", json!([{ "topic": "events/mine" }]));
        let setup = serde_json::from_value(json!({ "type": "pull-wake", "pattern": "events/*" })).unwrap();
        let subscription = Subscription::new(setup, &narrow, START);
        let tenant = "acme".into();
        assert!(
            subscription.matches(&tenant, "events/mine") && !subscription.matches(&tenant, "events/other")
        );
        assert!(subscription.open_to(&narrow) && subscription.open_to(&scope("acme", "ada")));
        assert!(!subscription.open_to(&granted("bob", json!([{ "topic": "*" }]))));
    }

    #[test]
    fn work_is_announced_once_until_it_is_done_or_its_lease_is_over() {
        let mut subscription = pull();
        let announce = |subscription: &mut Subscription, tail, now| {
            subscription.announce(|| format!("w{now}"), &tails(tail), START.plus(now))
        };
        assert!(!announce(&mut subscription, 2, 0), "there is nothing to do");
        assert!(announce(&mut subscription, 3, 1) && !announce(&mut subscription, 4, 2));
        subscription.extend(START);
        subscription.lapse(START.plus(LEASE - 1));
        assert!(subscription.holds("w1", 1));
        subscription.lapse(START.plus(LEASE));
        assert!(announce(&mut subscription, 4, LEASE) && subscription.generation == 2);
        assert!(!subscription.holds("w1", 1) && !subscription.holds("w1", 2), "who is late is fenced off");
    }

    #[test]
    fn an_ack_goes_neither_back_nor_beyond_the_end() {
        let mut subscription = pull();
        assert!(!subscription.ack("a", at(9), &tails(5)) && !subscription.ack("b", at(1), &tails(5)));
        assert!(subscription.ack("a", at(4), &tails(5)) && subscription.ack("a", at(3), &tails(5)));
        assert_eq!(subscription.links["a"].acked(), at(4));
        assert!(subscription.has_work(&tails(5)) && !subscription.has_work(&tails(4)));
    }
}
