//! Where subscriptions are kept.

use std::sync::Arc;

use sdk_core::clock::Millis;

use super::{Answer, Position, TopicName};

/// Subscriptions of one tenant.
pub const MAX_TENANT_SUBSCRIPTIONS: u64 = 256;

/// A subscription as it is kept. What its text means is its owner's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whose it is.
    pub tenant: Arc<str>,
    /// Which one, within the tenant.
    pub id: String,
    /// Changes with each change of it; 0 is one that is not there yet.
    pub version: u64,
    /// What there is to know.
    pub text: String,
    /// When it has to be looked at, if nothing happens before.
    pub due: Option<Millis>,
}

/// The subscriptions of every tenant, and what they need to know of topics.
pub trait SubscriptionStore: Send + Sync + 'static {
    /// Keeps a new version of a subscription, if the one there is has the version given; durable when it resolves.
    /// False where somebody else came first.
    fn keep(&self, new: Kept) -> Answer<'_, bool>;

    /// Forgets a subscription.
    fn forget(&self, tenant: Arc<str>, id: String) -> Answer<'_, ()>;

    /// One subscription, or all of a tenant.
    fn kept(&self, tenant: Arc<str>, id: Option<String>) -> Answer<'_, Vec<Kept>>;

    /// Subscriptions that are due at a time; without one, all there are.
    fn due(&self, at: Option<Millis>) -> Answer<'_, Vec<Kept>>;

    /// The topics of a tenant, with their ends.
    fn topics(&self, tenant: Arc<str>) -> Answer<'_, Vec<(TopicName, Position)>>;
}
