//! What of a tenant's data a token lets its subject read and write.

use std::{fmt::Write as _, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use sdk_core::protocol::{CollectionName, DocumentId};
use serde::{Deserialize, Serialize};

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

/// One entry of the claim. A member that is not known makes the token invalid: it may have been meant to narrow
/// the grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The name of a collection, or the beginning of names and a `*`.
    collection: String,
    /// What the id of a document begins with.
    #[serde(default)]
    prefix: String,
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
        for Grant { collection, prefix } in &grants {
            let name = collection.strip_suffix('*').unwrap_or(collection);
            if CollectionName::new(name).is_err() && collection != "*" {
                return Err(BadAccess::Collection);
            }
            if prefix.len() > MAX_PREFIX || prefix.chars().any(char::is_control) {
                return Err(BadAccess::Prefix);
            }
        }
        Ok(Self::Granted(grants.into()))
    }

    /// What of a collection it covers.
    pub fn portion(&self, collection: &CollectionName) -> Portion {
        let Self::Granted(grants) = self else { return Portion::Whole };
        let covers = |grant: &&Grant| match grant.collection.strip_suffix('*') {
            Some(beginning) => collection.as_str().starts_with(beginning),
            None => grant.collection == collection.as_str(),
        };
        let mut prefixes: Vec<String> =
            grants.iter().filter(covers).map(|grant| grant.prefix.clone()).collect();
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
}
