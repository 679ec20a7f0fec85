//! The names of keys, in which no name of a tenant or topic can reach another's.

use form_urlencoded::byte_serialize;

use crate::storage::events::TopicName;

/// How a name stands in a key: nothing in it ends a part, or a hash tag.
pub(super) fn escaped(name: &str) -> String {
    byte_serialize(name.as_bytes()).collect()
}

/// The name that was escaped.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let pair = format!("n={text}");
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, name)| name.into_owned())
}

/// Makes the names of keys.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Those of a topic, in the order in which scripts have them: itself, its events, its producers, when each was seen, the names
    /// of events, those in their order, its forks.
    pub(super) fn topic(&self, tenant: &str, topic: &TopicName) -> [String; 7] {
        let (tenant, topic) = (escaped(tenant), escaped(topic.as_str()));
        let of = |part| format!("{}:{{{tenant}:{topic}}}:{part}", self.prefix);
        ["topic", "events", "producers", "seen", "names", "order", "forks"].map(of)
    }

    /// Those of a tenant's register of topics: what it has, and when each is to be looked at.
    pub(super) fn register(&self, tenant: &str) -> [String; 2] {
        let tenant = escaped(tenant);
        ["topics", "due"].map(|part| format!("{}:{{{tenant}}}:{part}", self.prefix))
    }

    /// The tenants that have a register.
    pub(super) fn tenants(&self) -> String {
        format!("{}:tenants", self.prefix)
    }

    /// Those of subscriptions: a tenant's own, when any is due, and which tenants have some.
    pub(super) fn subscriptions(&self, tenant: &str) -> [String; 3] {
        let of = |part: &str| format!("{}:{{:subscriptions}}:{part}", self.prefix);
        [of(&format!("of:{}", escaped(tenant))), of("due"), of("tenants")]
    }

    /// Where instances hear of one another's commits.
    pub(super) fn channel(&self) -> String {
        format!("{}:news", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_names_share_a_key_and_the_keys_of_a_topic_share_a_tag() {
        let keys = Keys::new("webwaka");
        let names = ["a", "a:b", "b", "{", "}", "{a}", "a}b", "%7B", "ä", "A", "*", "a b", "a+b", ":"];
        let mut seen = HashSet::new();
        for tenant in names {
            assert_eq!(unescaped(&escaped(tenant)).as_deref(), Some(tenant));
            for topic in names {
                let Ok(topic) = TopicName::new(topic) else { continue };
                let keys = keys.topic(tenant, &topic);
                let tag = |key: &str| {
                    let (_, rest) = key.split_once('{').unwrap();
                    rest.split_once('}').unwrap().0.to_owned()
                };
                assert!(keys.iter().all(|key| tag(key) == tag(&keys[0])));
                assert!(keys.into_iter().all(|key| seen.insert(key)));
            }
            assert!(keys.register(tenant).into_iter().all(|key| seen.insert(key)));
            let [own, due, tenants] = keys.subscriptions(tenant);
            assert!(seen.insert(own) && due != tenants);
        }
    }
}
