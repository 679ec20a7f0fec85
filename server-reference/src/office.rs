//! The office of a super admin: in which tenants a token lets its subject ask for access, or approve of what others ask for.
//!
//! It gives no access. What somebody may see or do in a tenant that is not theirs, an [access
//! grant](crate::storage::grants::AccessGrant) says: for one tenant, for a while, for a reason, on record.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::auth::is_name;

/// Entries of one token.
pub const MAX_CHARGES: usize = 64;

/// What the claim `superadmin` of a token gives its subject; nothing without one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Office(Option<Arc<[Charge]>>);

/// One entry of the claim. A member that is not known makes the token invalid: it may have been meant to narrow the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// A tenant, or the beginning of names and a `*`.
    tenant: String,
    /// What its holder may do there.
    may: Duty,
}

/// What a super admin does. Neither follows from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duty {
    /// Ask for access to a tenant's data.
    Request,
    /// Decide about what others ask for.
    Approve,
}

/// Why a claim `superadmin` is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadOffice {
    /// More than [`MAX_CHARGES`].
    #[error("superadmin has more than {MAX_CHARGES} entries")]
    TooMany,
    /// Neither a tenant's name nor the beginning of one and a `*`.
    #[error("superadmin names what cannot be a tenant")]
    Tenant,
}

impl Office {
    /// The office that a claim gives.
    ///
    /// # Errors
    /// A part of it means nothing, so what was meant is not known.
    pub fn of(charges: Vec<Charge>) -> Result<Self, BadOffice> {
        if charges.len() > MAX_CHARGES {
            return Err(BadOffice::TooMany);
        }
        if charges.iter().any(|charge| !is_pattern(&charge.tenant)) {
            return Err(BadOffice::Tenant);
        }
        Ok(Self(Some(charges.into())))
    }

    /// Whether there is any.
    pub fn is_held(&self) -> bool {
        self.0.as_ref().is_some_and(|charges| !charges.is_empty())
    }

    /// Whether it lets its holder do something about a tenant.
    pub fn may(&self, duty: Duty, tenant: &str) -> bool {
        let mut charges = self.0.iter().flat_map(|charges| charges.iter());
        charges.any(|charge| charge.may == duty && covers(&charge.tenant, tenant))
    }
}

/// Whether a text is a tenant's name, or the beginning of one and a `*`, which is nowhere else.
pub fn is_pattern(text: &str) -> bool {
    is_name(text) && !text.strip_suffix('*').unwrap_or(text).contains('*')
}

/// Whether a pattern is for a tenant.
pub fn covers(pattern: &str, tenant: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => tenant.starts_with(beginning),
        None => pattern == tenant,
    }
}

/// Somebody by both names, also outside their own tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Officer {
    /// Their own tenant.
    pub tenant: Arc<str>,
    /// Who they are there.
    pub subject: Arc<str>,
}

/// As records have it: the tenant percent-encoded, so that no two people read alike.
impl fmt::Display for Officer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant: String = form_urlencoded::byte_serialize(self.tenant.as_bytes()).collect();
        write!(f, "{}/{}", tenant.replace('+', "%20"), self.subject)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn office(claim: Value) -> Option<Office> {
        Office::of(serde_json::from_value(claim).ok()?).ok()
    }

    #[test]
    fn an_office_is_for_the_tenants_and_the_duties_that_it_names() {
        let held =
            office(json!([{ "tenant": "bank-*", "may": "request" }, { "tenant": "acme", "may": "approve" }]));
        let held = held.unwrap();
        assert!(held.may(Duty::Request, "bank-7") && held.may(Duty::Approve, "acme") && held.is_held());
        assert!(!held.may(Duty::Approve, "bank-7") && !held.may(Duty::Request, "acme"));
        assert!(!held.may(Duty::Approve, "acme2") && !held.may(Duty::Request, "bank"));
        assert!(office(json!([{ "tenant": "*", "may": "request" }])).unwrap().may(Duty::Request, "anybody"));
        let none = office(json!([])).unwrap();
        assert!(!none.is_held() && !none.may(Duty::Request, "acme") && !Office::default().is_held());
    }

    #[test]
    fn a_claim_that_can_mean_nothing_is_none() {
        for bad in [
            json!([{ "tenant": "", "may": "request" }]),
            json!([{ "tenant": "a*b", "may": "request" }]),
            json!([{ "tenant": "**", "may": "request" }]),
            json!([{ "tenant": "a\n", "may": "request" }]),
            json!([{ "tenant": "x".repeat(129), "may": "request" }]),
            json!([{ "tenant": "acme" }]),
            json!([{ "tenant": "acme", "may": "everything" }]),
            json!([{ "tenant": "acme", "may": "request", "until": 1 }]),
            json!([["acme", "request", 1]]),
            json!({ "tenant": "acme", "may": "request" }),
            json!(vec![json!({ "tenant": "acme", "may": "request" }); MAX_CHARGES + 1]),
        ] {
            assert_eq!(office(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn no_two_people_have_one_name_on_record() {
        let name = |tenant: &str, subject: &str| {
            Officer { tenant: tenant.into(), subject: subject.into() }.to_string()
        };
        assert_eq!(name("a b", "c"), "a%20b/c");
        assert_ne!(name("a/b", "c"), name("a", "b/c"));
    }
}
