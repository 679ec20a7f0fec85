//! What a token lets its subject do within its tenant.

use std::{fmt::Write as _, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use sdk_core::protocol::{CollectionName, DocKey, DocumentId, RoomName, TransactionName};
use serde::{Deserialize, Serialize};

use crate::storage::events::TopicName;

/// Grants of one token.
pub const MAX_GRANTS: usize = 64;
/// Bytes of a grant's prefix; no document id is longer, and no subject's name.
const MAX_PREFIX: usize = 128;

/// What a subject may do: the claim `access` of its token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Everything of the tenant: the token has no such claim.
    #[default]
    Everything,
    /// What one of the grants covers, and nothing else.
    Granted(Arc<[Grant]>),
}

/// One entry of the claim, for what its first member names. A member that is not known makes the token invalid: it may
/// have been meant to narrow the grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Grant {
    /// For documents.
    Documents(DocumentGrant),
    /// For events.
    Events(TopicGrant),
    /// For people who are present together.
    Rooms(RoomGrant),
    /// For critical transactions.
    Transactions(TransactionGrant),
    /// For other people.
    Subjects(SubjectGrant),
}

/// Leave to read and write documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentGrant {
    /// The name of a collection, or the beginning of names and a `*`.
    collection: String,
    /// What the id of a document begins with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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

/// Leave to be in a room, to send to it, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomGrant {
    /// The name of a room, or the beginning of names and a `*`.
    room: String,
    /// One of them; both, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    may: Option<RoomRight>,
}

/// What one does with a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoomRight {
    /// Be present, see who is, and hear what is sent.
    Join,
    /// Send to everybody in it.
    Send,
}

/// Leave to have critical transactions carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionGrant {
    /// The name of a transaction, or the beginning of names and a `*`.
    transaction: String,
}

/// Leave to reach other subjects of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectGrant {
    /// A subject, or the beginning of names and a `*`.
    subject: String,
    /// To send, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    may: Option<SubjectRight>,
}

/// What one does to another subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectRight {
    /// Send to all devices of that person.
    Send,
    /// Take back the tokens of that person. Only where it is named: a token that covers everything else does not.
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
    /// Neither a room's name nor the beginning of one and a `*`.
    #[error("access names what cannot be a room")]
    Room,
    /// Neither a transaction's name nor the beginning of one and a `*`.
    #[error("access names what cannot be a transaction")]
    Transaction,
    /// Neither a subject nor the beginning of one and a `*`.
    #[error("access names what cannot be a subject")]
    Subject,
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
            _ => false,
        })
    }

    /// Whether it covers a room. One that it does not cover is answered for like one where nobody is.
    pub fn room(&self, name: &RoomName, right: RoomRight) -> bool {
        let Self::Granted(grants) = self else { return true };
        grants.iter().any(|grant| match grant {
            Grant::Rooms(RoomGrant { room, may }) => {
                covers(room, name.as_str()) && may.is_none_or(|may| may == right)
            }
            _ => false,
        })
    }

    /// Whether it covers a critical transaction. One that it does not cover is answered for like one that does not exist.
    pub fn transaction(&self, name: &TransactionName) -> bool {
        let Self::Granted(grants) = self else { return true };
        grants.iter().any(|grant| match grant {
            Grant::Transactions(TransactionGrant { transaction }) => covers(transaction, name.as_str()),
            _ => false,
        })
    }

    /// Whether it lets its subject do something to another. One that it does not cover is answered for like one that
    /// nobody is.
    pub fn subject(&self, name: &str, right: SubjectRight) -> bool {
        let Self::Granted(grants) = self else { return right == SubjectRight::Send };
        grants.iter().any(|grant| match grant {
            Grant::Subjects(SubjectGrant { subject, may }) => {
                covers(subject, name) && may.unwrap_or(SubjectRight::Send) == right
            }
            _ => false,
        })
    }

    /// Whether it lets its subject do something to every other.
    pub fn every_subject(&self, right: SubjectRight) -> bool {
        let Self::Granted(grants) = self else { return right == SubjectRight::Send };
        grants.iter().any(|grant| match grant {
            Grant::Subjects(SubjectGrant { subject, may }) => {
                subject == "*" && may.unwrap_or(SubjectRight::Send) == right
            }
            _ => false,
        })
    }

    /// Whether there is any subject whose tokens it lets its own take back.
    pub fn administers_subjects(&self) -> bool {
        let Self::Granted(grants) = self else { return false };
        grants
            .iter()
            .any(|grant| matches!(grant, Grant::Subjects(grant) if grant.may == Some(SubjectRight::Admin)))
    }

    /// Whether it lets its subject see and decide what becomes of operations on a document that were refused.
    pub fn administers(&self, doc: &DocKey) -> bool {
        let Self::Granted(grants) = self else { return true };
        grants.iter().any(|grant| match grant {
            Grant::Documents(DocumentGrant { collection, prefix, may: Some(Administer::Admin) }) => {
                covers(collection, doc.collection.as_str()) && doc.id.as_str().starts_with(prefix.as_str())
            }
            _ => false,
        })
    }

    /// Whether there is anything that it lets its subject administer.
    pub fn administers_any(&self) -> bool {
        let Self::Granted(grants) = self else { return true };
        grants.iter().any(|grant| match grant {
            Grant::Documents(grant) => grant.may.is_some(),
            Grant::Events(grant) => grant.may == Some(Right::Admin),
            Grant::Rooms(_) | Grant::Transactions(_) | Grant::Subjects(_) => false,
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
            _ => None,
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
    /// Whether it is for looking at data or administering it, and for nothing that one does as a person of the tenant.
    pub(crate) fn is_for_others(&self) -> bool {
        match self {
            // Without `may` it is for reading: no request that writes is open to a super admin.
            Self::Documents(_) => true,
            Self::Events(grant) => matches!(grant.may, Some(Right::Read | Right::Admin)),
            Self::Subjects(grant) => grant.may == Some(SubjectRight::Admin),
            Self::Rooms(_) | Self::Transactions(_) => false,
        }
    }

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
                if TopicName::new(segments(topic)).is_err() && topic != "*" {
                    return Err(BadAccess::Topic);
                }
            }
            Self::Rooms(RoomGrant { room, .. }) => {
                if RoomName::new(segments(room)).is_err() && room != "*" {
                    return Err(BadAccess::Room);
                }
            }
            Self::Transactions(TransactionGrant { transaction }) => {
                let name = transaction.strip_suffix('*').unwrap_or(transaction);
                if TransactionName::new(name).is_err() && transaction != "*" {
                    return Err(BadAccess::Transaction);
                }
            }
            Self::Subjects(SubjectGrant { subject, .. }) => {
                if subject.is_empty() || subject.len() > MAX_PREFIX || subject.chars().any(char::is_control) {
                    return Err(BadAccess::Subject);
                }
            }
        }
        Ok(())
    }
}

/// What of a pattern has to be a name: the beginning of names may end where a segment does.
fn segments(pattern: &str) -> &str {
    pattern.strip_suffix('*').map_or(pattern, |name| name.trim_end_matches('/'))
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
mod tests;
