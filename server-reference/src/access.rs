//! What of a tenant's data a token lets its subject read and write.

use std::{fmt::Write as _, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use sdk_core::protocol::{CollectionName, DocKey, DocumentId};
use serde::{Deserialize, Serialize};

use crate::storage::events::TopicName;

/// Grants of one token.
pub const MAX_GRANTS: usize = 64;
/// Bytes of a grant's prefix; no document id is longer.
const MAX_PREFIX: usize = 128;

/// What a subject may read and write: the claim `access` of its token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Everything of the tenant: the token has no such claim.
    #[default]
    Everything,
    /// What one of the grants covers, and nothing else.
    Granted(Arc<[Grant]>),
}

/// One entry of the claim: for a collection or for a topic. A member that is not known makes the token invalid: it may
/// have been meant to narrow the grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Grant {
    /// For documents.
    Documents(DocumentGrant),
    /// For events.
    Events(TopicGrant),
}

/// Leave to read and write documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentGrant {
    /// The name of a collection, or the beginning of names and a `*`.
    collection: String,
    /// What the id of a document begins with.
    #[serde(default)]
    prefix: String,
    /// Not to read and write them, but to administer what clients were refused of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    may: Option<Administer>,
}

/// The one right to documents that has to be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Administer {
    /// See and decide what becomes of dead letters.
    Admin,
}

/// Leave to read a topic, to write it, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicGrant {
    /// The name of a topic, or the beginning of names and a `*`.
    topic: String,
    /// One of them; to read and to write, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    may: Option<Right>,
}

/// What one does to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Read its events.
    Read,
    /// Append events, make it, delete it.
    Write,
    /// See and decide what becomes of its dead letters. Only where it is named.
    Admin,
}

/// What of one collection a subject may read and write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Portion {
    /// No document; for this subject the collection does not exist.
    Nothing,
    /// Every document.
    Whole,
    /// The documents whose ids begin with one of these, which are sorted, and none of which begins with another.
    Under(Vec<String>),
}

/// Why a claim `access` is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAccess {
    /// More than [`MAX_GRANTS`].
    #[error("access has more than {MAX_GRANTS} grants")]
    TooMany,
    /// Neither a collection's name nor the beginning of one and a `*`.
    #[error("access names what cannot be a collection")]
    Collection,
    /// What no document id can begin with.
    #[error("access has a prefix that no document id has")]
    Prefix,
    /// Neither a topic's name nor the beginning of one and a `*`.
    #[error("access names what cannot be a topic")]
    Topic,
}

impl Access {
    /// The access that a claim gives.
    ///
    /// # Errors
    /// A part of it means nothing, so what was meant is not known.
    pub fn granted(grants: Vec<Grant>) -> Result<Self, BadAccess> {
        if grants.len() > MAX_GRANTS {
            return Err(BadAccess::TooMany);
        }
        grants.iter().try_for_each(Grant::check)?;
        Ok(Self::Granted(grants.into()))
    }

    /// Whether it covers a topic.
    pub fn topic(&self, name: &str, right: Right) -> bool {
        let Self::Granted(grants) = self else { return true };
        grants.iter().any(|grant| match grant {
            Grant::Events(TopicGrant { topic, may }) => {
                covers(topic, name) && may.map_or(right != Right::Admin, |may| may == right)
            }
            Grant::Documents(_) => false,
        })
    }

    /// Whether it lets its subject see and decide what becomes of operations on a document that were refused.
    pub fn administers(&self, doc: &DocKey) -> bool {
        let Self::Granted(grants) = self else { return true };
        grants.iter().any(|grant| match grant {
            Grant::Documents(DocumentGrant { collection, prefix, may: Some(Administer::Admin) }) => {
                covers(collection, doc.collection.as_str()) && doc.id.as_str().starts_with(prefix.as_str())
            }
            Grant::Documents(_) | Grant::Events(_) => false,
        })
    }

    /// Whether there is anything that it lets its subject administer.
    pub fn administers_any(&self) -> bool {
        let Self::Granted(grants) = self else { return true };
        grants.iter().any(|grant| match grant {
            Grant::Documents(grant) => grant.may.is_some(),
            Grant::Events(grant) => grant.may == Some(Right::Admin),
        })
    }

    /// What of a collection it covers.
    pub fn portion(&self, collection: &CollectionName) -> Portion {
        let Self::Granted(grants) = self else { return Portion::Whole };
        let prefix = |grant: &Grant| match grant {
            Grant::Documents(grant) => {
                let covers = grant.may.is_none() && covers(&grant.collection, collection.as_str());
                covers.then(|| grant.prefix.clone())
            }
            Grant::Events(_) => None,
        };
        let mut prefixes: Vec<String> = grants.iter().filter_map(prefix).collect();
        prefixes.sort_unstable();
        // Sorted, a prefix comes before all that begin with it.
        prefixes.dedup_by(|later, kept| later.starts_with(kept.as_str()));
        match prefixes.first() {
            None => Portion::Nothing,
            Some(first) if first.is_empty() => Portion::Whole,
            Some(_) => Portion::Under(prefixes),
        }
    }
}

impl Grant {
    fn check(&self) -> Result<(), BadAccess> {
        match self {
            Self::Documents(DocumentGrant { collection, prefix, .. }) => {
                let name = collection.strip_suffix('*').unwrap_or(collection);
                if CollectionName::new(name).is_err() && collection != "*" {
                    return Err(BadAccess::Collection);
                }
                if prefix.len() > MAX_PREFIX || prefix.chars().any(char::is_control) {
                    return Err(BadAccess::Prefix);
                }
            }
            Self::Events(TopicGrant { topic, .. }) => {
                // The beginning of names may end where a segment does.
                let name = topic.strip_suffix('*').map_or(topic.as_str(), |name| name.trim_end_matches('/'));
                if TopicName::new(name).is_err() && topic != "*" {
                    return Err(BadAccess::Topic);
                }
            }
        }
        Ok(())
    }
}

fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

impl Portion {
    /// Whether a document is in it.
    pub fn holds(&self, id: &DocumentId) -> bool {
        match self {
            Self::Nothing => false,
            Self::Whole => true,
            Self::Under(prefixes) => prefixes.iter().any(|prefix| id.as_str().starts_with(prefix.as_str())),
        }
    }

    /// Tells equal portions from others: 16 hexadecimal digits; none for the whole collection.
    pub(crate) fn mark(&self) -> Option<String> {
        let Self::Under(prefixes) = self else { return None };
        let mut text = String::new();
        for prefix in prefixes {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}:{prefix}", prefix.len());
        }
        let hash = digest(&SHA256, text.as_bytes());
        let mark = hash.as_ref().iter().take(8).fold(String::new(), |mut mark, byte| {
            let _ = write!(mark, "{byte:02x}");
            mark
        });
        Some(mark)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn access(claim: Value) -> Result<Access, BadAccess> {
        Access::granted(serde_json::from_value(claim).unwrap())
    }

    fn portion(claim: Value, collection: &str) -> Portion {
        access(claim).unwrap().portion(&CollectionName::new(collection).unwrap())
    }

    #[test]
    fn a_collection_that_no_grant_names_is_nothing() {
        let claim = json!([{ "collection": "cards" }, { "collection": "team-*", "prefix": "a/" }]);
        assert_eq!(portion(claim.clone(), "cards"), Portion::Whole);
        assert_eq!(portion(claim.clone(), "team-7"), Portion::Under(vec!["a/".into()]));
        for other in ["card", "cards2", "team"] {
            assert_eq!(portion(claim.clone(), other), Portion::Nothing, "{other}");
        }
        assert_eq!(portion(json!([]), "cards"), Portion::Nothing);
        assert_eq!(portion(json!([{ "collection": "*" }]), "cards"), Portion::Whole);
    }

    #[test]
    fn grants_of_one_collection_add_up_and_their_order_does_not_matter() {
        let grants = |prefixes: &[&str]| -> Value {
            prefixes.iter().map(|prefix| json!({ "collection": "c", "prefix": prefix })).collect()
        };
        let one = portion(grants(&["b/", "a/", "a/x", "b/"]), "c");
        assert_eq!(one, Portion::Under(vec!["a/".into(), "b/".into()]));
        assert_eq!(one.mark(), portion(grants(&["a/", "b/"]), "c").mark());
        assert_ne!(one.mark(), portion(grants(&["a/"]), "c").mark());
        // Joined without their lengths, these two would look the same.
        assert_ne!(portion(grants(&["a", "bc"]), "c").mark(), portion(grants(&["ab", "c"]), "c").mark());
        assert_eq!(portion(grants(&["b/", ""]), "c"), Portion::Whole);
        let holds = |id: &str| one.holds(&DocumentId::new(id).unwrap());
        assert!(holds("a/1") && holds("b/") && !holds("c/1") && !holds("a"));
    }

    #[test]
    fn a_claim_that_cannot_be_meant_is_refused() {
        let many: Value = (0..=MAX_GRANTS).map(|n| json!({ "collection": format!("c{n}") })).collect();
        assert_eq!(access(many), Err(BadAccess::TooMany));
        for collection in ["", "Cards", "a*b", "**"] {
            assert_eq!(
                access(json!([{ "collection": collection }])),
                Err(BadAccess::Collection),
                "{collection}"
            );
        }
        let bad = json!([{ "collection": "c", "prefix": "\u{1}" }]);
        assert_eq!(access(bad), Err(BadAccess::Prefix));
        assert!(
            serde_json::from_value::<Vec<Grant>>(json!([{ "collection": "c", "mode": "read" }])).is_err()
        );
    }

    #[test]
    fn a_topic_is_granted_by_name_or_beginning_and_for_reading_or_writing() {
        let access = access(json!([
            { "topic": "orders/*", "may": "read" },
            { "topic": "orders/eu", "may": "write" },
            { "topic": "chat" },
            { "topic": "chat", "may": "admin" },
            { "collection": "notes" },
        ]))
        .unwrap();
        let may = |name| (access.topic(name, Right::Read), access.topic(name, Right::Write));
        assert_eq!(may("orders/eu"), (true, true));
        assert_eq!(may("orders/us"), (true, false));
        assert_eq!(may("chat"), (true, true));
        assert!(access.topic("chat", Right::Admin), "to administer is granted by its name alone");
        assert!(!access.topic("orders/us", Right::Admin) && !access.topic("orders/eu", Right::Admin));
        for other in ["orders", "chat/1", "notes"] {
            assert_eq!(may(other), (false, false), "{other}");
        }
        assert_eq!(access.portion(&CollectionName::new("chat").unwrap()), Portion::Nothing);
    }

    #[test]
    fn a_grant_of_topics_that_cannot_be_meant_is_refused() {
        for topic in ["", "a//b", "../a", "a*b", "__ds/*", "**"] {
            assert_eq!(access(json!([{ "topic": topic }])), Err(BadAccess::Topic), "{topic}");
        }
        for grant in [
            json!({ "topic": "a", "may": "delete" }),
            json!({ "topic": "a", "collection": "b" }),
            json!({ "topic": "a", "prefix": "b" }),
            json!({}),
        ] {
            assert!(serde_json::from_value::<Grant>(grant.clone()).is_err(), "{grant}");
        }
    }
}
