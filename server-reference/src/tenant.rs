//! Whose data a call may touch.

use std::sync::Arc;

use sdk_core::{
    clock::Millis,
    protocol::{Identity, TopicName},
};

use crate::{
    access::{Access, Right, SubjectRight},
    auth::{Bearer, VerifiedClaims},
    office::{Office, Officer},
    storage::grants::{AccessGrant, GrantId},
};

/// The right to act within one tenant as one subject, on what its [`Access`] covers. It comes from a verified token alone, and every storage
/// method asks for it: code that has no scope can reach no data. That of a super admin in another tenant comes from a token and an
/// [access grant](AccessGrant), and is made by the store that has put on record what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantScope {
    tenant: Arc<str>,
    subject: Arc<str>,
    expires: Millis,
    access: Access,
    bearer: Arc<Bearer>,
    office: Office,
    under: Option<Arc<Under>>,
}

/// By whose leave a super admin acts in another tenant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Under {
    /// The access grant.
    pub(crate) grant: GrantId,
    /// Whose it is.
    pub(crate) holder: Officer,
    /// Why it was asked for.
    pub(crate) justification: String,
    /// Who has approved of it; empty where nobody had to.
    pub(crate) approver: String,
}

impl TenantScope {
    /// The scope that a verified token gives.
    pub fn of(claims: VerifiedClaims) -> Self {
        let (tenant, subject) = claims.names();
        let (access, bearer) = (claims.access().clone(), claims.bearer().clone());
        let (expires, office) = (claims.expires(), claims.office().clone());
        Self { tenant, subject, expires, access, bearer, office, under: None }
    }

    /// The scope of something that was made under a verified token and outlives it.
    pub(crate) fn kept(tenant: Arc<str>, subject: Arc<str>, access: Access, bearer: Bearer) -> Self {
        let (expires, bearer) = (Millis(u64::MAX), Arc::new(bearer));
        Self { tenant, subject, expires, access, bearer, office: Office::default(), under: None }
    }

    /// The scope of a super admin in the tenant that a grant of theirs is for. For stores alone, with the record of what it is for. No
    /// subject of the tenant has its name, and it gives no office there.
    pub(crate) fn under(grant: AccessGrant, own: &Self) -> Self {
        let AccessGrant { id, tenant, by, justification, scope, decided_by, ends, .. } = grant;
        let approver = decided_by.map_or_else(String::new, |officer| officer.to_string());
        Self {
            tenant,
            subject: by.to_string().into(),
            expires: own.expires.min(ends),
            access: scope.access(),
            bearer: own.bearer.clone(),
            office: Office::default(),
            under: Some(Arc::new(Under { grant: id, holder: by, justification, approver })),
        }
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

    /// In which tenants its subject may ask for access, or approve of it.
    pub fn office(&self) -> &Office {
        &self.office
    }

    /// The grant by which it reaches a tenant that is not its holder's, if it does.
    pub(crate) fn leave(&self) -> Option<&Under> {
        self.under.as_deref()
    }

    /// Whose token one acts by.
    pub(crate) fn holder(&self) -> Officer {
        match &self.under {
            Some(under) => under.holder.clone(),
            None => Officer { tenant: self.tenant.clone(), subject: self.subject.clone() },
        }
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
            Right::Read => {
                let own = *owner == *self.subject && self.under.is_none();
                own || (named && self.access != Access::Everything)
            }
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
