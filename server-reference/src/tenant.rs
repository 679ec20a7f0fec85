//! Whose data a call may touch.

use std::sync::Arc;

use sdk_core::{
    clock::Millis,
    protocol::{Identity, TopicName},
};

use crate::{
    access::{Access, Right, SubjectRight},
    auth::{Bearer, VerifiedClaims},
};

/// The right to act within one tenant as one subject, on what its [`Access`] covers. It comes from a verified token alone, and every storage
/// method asks for it: code that has no scope can reach no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantScope {
    tenant: Arc<str>,
    subject: Arc<str>,
    expires: Millis,
    access: Access,
    bearer: Arc<Bearer>,
}

impl TenantScope {
    /// The scope that a verified token gives.
    pub fn of(claims: VerifiedClaims) -> Self {
        let (tenant, subject) = claims.names();
        let (access, bearer) = (claims.access().clone(), claims.bearer().clone());
        Self { tenant, subject, expires: claims.expires(), access, bearer }
    }

    /// The scope of something that was made under a verified token and outlives it.
    pub(crate) fn kept(tenant: Arc<str>, subject: Arc<str>, access: Access, bearer: Bearer) -> Self {
        Self { tenant, subject, expires: Millis(u64::MAX), access, bearer: Arc::new(bearer) }
    }

    /// The tenant.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// The person or program.
    pub fn subject(&self) -> &Arc<str> {
        &self.subject
    }

    /// What of the tenant's data it covers.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// By which token one acts.
    pub(crate) fn bearer(&self) -> &Bearer {
        &self.bearer
    }

    /// Whether its subject may do something to a topic. What was put into somebody's inbox is theirs to read, whatever their
    /// access says; others read it only where their access names it. Whoever may send to a person may write there.
    pub fn topic(&self, name: &str, right: Right) -> bool {
        let named = self.access.topic(name, right);
        let Some(owner) = TopicName::inbox_owner(name) else { return named };
        match right {
            Right::Read => *owner == *self.subject || (named && self.access != Access::Everything),
            Right::Write => named || self.access.subject(&owner, SubjectRight::Send),
            Right::Admin => named,
        }
    }

    /// Unix time at which the scope ends.
    pub fn expires(&self) -> Millis {
        self.expires
    }

    /// Both names, as a welcome tells them.
    pub fn identity(&self) -> Identity {
        Identity { tenant: self.tenant.to_string(), subject: self.subject.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{granted, scope};

    fn inbox(subject: &str) -> String {
        TopicName::inbox(subject).unwrap().to_string()
    }

    #[test]
    fn an_inbox_is_read_by_its_owner_and_written_by_who_may_send_to_them() {
        let plain = scope("acme", "ada");
        let (ours, theirs) = (inbox("ada"), inbox("bob"));
        assert!(plain.topic(&ours, Right::Read) && plain.topic(&theirs, Right::Write));
        assert!(!plain.topic(&theirs, Right::Read), "also where a token says nothing of access");

        let narrow = granted("ada", json!([{ "subject": "bob" }]));
        assert!(narrow.topic(&ours, Right::Read) && !narrow.topic(&ours, Right::Write));
        assert!(narrow.topic(&theirs, Right::Write) && !narrow.topic(&theirs, Right::Read));
        assert!(!narrow.topic(&inbox("eve"), Right::Write) && !narrow.topic("orders", Right::Read));

        let support = granted("ada", json!([{ "topic": "inbox/*", "may": "read" }]));
        assert!(support.topic(&theirs, Right::Read) && !support.topic(&theirs, Right::Write));
    }
}
