//! Access grants: leave for a super admin to reach the data of a tenant that is not theirs.
//!
//! Each is for one tenant, for a reason, for a part of the data, and for a while. Where that is configured, somebody else has to
//! approve of it first. What becomes of a grant, and each request that is made under it, is in the audit of that tenant before it
//! takes effect: nobody in possession of a grant can do something and leave no trace.

use std::sync::Arc;

use futures::future::BoxFuture;
use sdk_core::clock::Millis;
use serde::{Deserialize, Serialize};

use super::StorageError;
use crate::{
    access::{Access, BadAccess, Grant},
    office::Officer,
    tenant::TenantScope,
};

/// Grants of one super admin that wait or are in force.
pub const MAX_OWN_GRANTS: u64 = 16;
/// Grants of all that wait or are in force.
pub const MAX_GRANTS: u64 = 10_000;
/// Grants of one page.
pub const MAX_PAGE: usize = 200;
/// Bytes of a justification.
pub const MAX_JUSTIFICATION: usize = 1_000;
/// Seconds that a grant lasts at least.
pub const MIN_SECONDS: u64 = 60;
/// Milliseconds that a request waits for an approval before it has lapsed: a day.
pub const WAITS: u64 = 24 * 60 * 60 * 1000;
/// Milliseconds that a grant is listed after its end; what was done with it stays in the audit: 90 days.
pub const LISTED: u64 = 90 * 24 * 60 * 60 * 1000;

/// The grants of every tenant. Each call takes the scope of the super admin who makes it; what their office does not cover is
/// answered for in the same words as what there is not.
pub trait Grants: Send + Sync + 'static {
    /// Asks for access. It is in force when this resolves, unless it needs an approval.
    ///
    /// # Errors
    /// See [`GrantError`]; nothing was asked for.
    fn request(&self, scope: TenantScope, asked: Asked, now: Millis) -> Answer<'_, AccessGrant>;

    /// Decides about a grant. A decision that was made already is answered as it is, and recorded no second time.
    ///
    /// # Errors
    /// See [`GrantError`]; nothing was decided.
    fn decide(&self, scope: TenantScope, id: GrantId, decision: Decision, now: Millis)
    -> Answer<'_, Decided>;

    /// At most `most` of the grants that a super admin asked for or may decide about, from the newest on, behind one.
    ///
    /// # Errors
    /// See [`GrantError`].
    fn grants(
        &self,
        scope: TenantScope,
        after: Option<GrantId>,
        most: usize,
        now: Millis,
    ) -> Answer<'_, Vec<AccessGrant>>;

    /// One of them.
    ///
    /// # Errors
    /// See [`GrantError`].
    fn grant(&self, scope: TenantScope, id: GrantId, now: Millis) -> Answer<'_, AccessGrant>;

    /// Puts a request on the record of the tenant that a grant is for, and gives the scope to make it with. The record is durable
    /// when this resolves.
    ///
    /// # Errors
    /// See [`GrantError`]; then there is no scope, and nothing may be shown.
    fn act(&self, scope: TenantScope, id: GrantId, act: Act, now: Millis) -> Answer<'_, TenantScope>;
}

/// What a store answers about grants.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, GrantError>>;

/// The name of a grant: 128 random bits in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct GrantId(Box<str>);

impl GrantId {
    /// A name from random bits.
    pub fn from_random(bits: u128) -> Self {
        Self(format!("{bits:032x}").into())
    }

    /// A name, if a text has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 32
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        fits.then(|| Self(text.into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its name.
    pub id: GrantId,
    /// In whose data.
    pub tenant: Arc<str>,
    /// Why.
    pub justification: String,
    /// What of it.
    pub scope: Reach,
    /// What is done with it.
    pub may: Extent,
    /// How long, from the approval on.
    pub seconds: u64,
    /// Whether somebody else has to approve of it.
    pub needs_approval: bool,
}

/// What a grant is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The request, as it is put on record.
    pub target: String,
    /// What it does with the data.
    pub extent: Extent,
}

/// Whether data is only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// Nothing is changed.
    Read,
    /// Dead letters are decided about, or tokens taken back.
    Administer,
}

/// What is decided about a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is in force from now on. By somebody else than who asked.
    Approve,
    /// It never will be.
    Refuse,
    /// It is over, or is not asked for any more. By who asked, or who may approve.
    Withdraw,
}

/// What a decision came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The grant, as it is since.
    pub grant: AccessGrant,
    /// Whether it is so by this call; if not, it was already.
    pub anew: bool,
}

/// How many grants there are of all tenants, and how many have come to their end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Those that wait for somebody to approve of them.
    pub pending: i64,
    /// Those that are in force.
    pub active: i64,
    /// Those whose time was over after `since`, and no later than `until`.
    pub over: u64,
    /// Where counting began.
    pub since: Millis,
    /// How far it came; never before where it began.
    pub until: Millis,
}

/// What part of a tenant's data: entries as those of a token's claim `access`, of the kinds that a super admin can have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reach(Vec<Grant>);

impl Reach {
    /// A part, if each entry means something and is for looking at data or administering it.
    ///
    /// # Errors
    /// One is not, or there is none.
    pub fn new(entries: Vec<Grant>) -> Result<Self, BadReach> {
        if entries.is_empty() {
            return Err(BadReach::Empty);
        }
        if !entries.iter().all(Grant::is_for_others) {
            return Err(BadReach::NotForOthers);
        }
        Access::granted(entries.clone())?;
        Ok(Self(entries))
    }

    /// The same as what a scope covers.
    pub(crate) fn access(&self) -> Access {
        // It was looked at when it was asked for; nothing is covered by what a later version does not take.
        Access::granted(self.0.clone()).unwrap_or(Access::Granted(Arc::default()))
    }
}

/// Why a part of a tenant's data is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReach {
    /// It covers nothing.
    #[error("the scope is empty")]
    Empty,
    /// It names what no grant is for.
    #[error(
        "a scope has collections, topics with \"may\": \"read\" or \"admin\", and subjects with \"may\": \"admin\""
    )]
    NotForOthers,
    /// An entry means nothing.
    #[error(transparent)]
    Access(#[from] BadAccess),
}

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessGrant {
    /// Its name.
    pub id: GrantId,
    /// In whose data.
    pub tenant: Arc<str>,
    /// Who asked for it.
    pub by: Officer,
    /// Why.
    pub justification: String,
    /// What of the data.
    pub scope: Reach,
    /// What is done with it.
    pub may: Extent,
    /// How long, from the approval on.
    pub seconds: u64,
    /// When it was asked for.
    pub requested: Millis,
    /// What has become of it.
    pub state: GrantState,
    /// Who has decided about it, where somebody has.
    pub decided_by: Option<Officer>,
    /// When it ends or has ended; while it waits, when it will have lapsed.
    pub ends: Millis,
}

/// What has become of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantState {
    /// It waits for somebody to approve of it.
    Pending,
    /// It is in force.
    Active,
    /// It was not approved of.
    Refused,
    /// It was taken back.
    Withdrawn,
    /// Its time is over.
    Over,
}

impl GrantState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Active, Self::Refused, Self::Withdrawn, Self::Over];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Over => "over",
        }
    }
}

/// Why something about a grant was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// The office does not cover the tenant.
    #[error("the token does not let its subject do this")]
    Forbidden,
    /// There is no such grant, or none for this super admin.
    #[error("no such access grant")]
    NoSuchGrant,
    /// Nobody approves of what they asked for themselves.
    #[error("somebody else has to decide about it than who has asked for it")]
    Own,
    /// It does not wait, or not any more.
    #[error("the access grant is {} already", .0.as_str())]
    Decided(GrantState),
    /// It is theirs, and does not cover this: it is not in force, or only for looking.
    #[error("the access grant does not cover this")]
    Unusable(Arc<str>),
    /// There are as many as there may be.
    #[error(
        "a super admin has {MAX_OWN_GRANTS} grants that wait or are in force at most, and all together {MAX_GRANTS}"
    )]
    TooMany,
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
