//! Who is charged for what one connection or one request brings.

use std::sync::{Arc, OnceLock};

use sdk_core::{
    clock::Millis,
    protocol::{ErrorCode, ProtocolError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Answer, Limit, Limiter,
    account::Account,
    bucket::{Unit, Verdict},
    quotas::Rates,
};
use crate::{auth::AuthError, line::Wire, tenant::TenantScope};

/// The accounts of one connection or request: that of its address from the start, those of its user and tenant once a
/// token was verified.
#[derive(Debug)]
pub struct Meter {
    pub(super) limiter: Arc<Limiter>,
    address: Arc<Account>,
    known: OnceLock<[Arc<Account>; 2]>,
    /// Whose connection is a stranger's until somebody is known.
    line: Option<Wire>,
}

/// A limit was reached, and nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(super) limit: Limit,
    pub(super) unit: Unit,
    /// Milliseconds until another try is worth it.
    pub(crate) wait: u64,
}

/// Two places among connections, or requests. They are free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat(
    #[expect(dead_code, reason = "they are held, and no more")] pub(super) [OwnedSemaphorePermit; 2],
);

impl Meter {
    pub(super) fn new(limiter: Arc<Limiter>, address: Arc<Account>) -> Self {
        Self { limiter, address, known: OnceLock::new(), line: None }
    }

    /// The same of what comes over a connection of this server.
    pub(super) fn over(self, line: Option<Wire>) -> Self {
        Self { line, ..self }
    }

    /// What a session may send.
    pub(crate) fn session_rates(&self) -> Rates {
        self.limiter.quotas.session
    }

    /// Counts a request before anything is known of it.
    pub(crate) fn admit(&self, now: Millis) -> Result<(), Exceeded> {
        self.admit_to(&self.address, now)
    }

    /// From here on its user and tenant are charged as well, for this message to begin with.
    pub(crate) fn identify(&self, scope: &TenantScope, now: Millis) -> Result<(), Exceeded> {
        self.identify_as(scope.tenant(), scope.subject(), now)
    }

    /// The same for what acts by no token of a person.
    pub(crate) fn identify_as(
        &self,
        tenant: &Arc<str>,
        subject: &Arc<str>,
        now: Millis,
    ) -> Result<(), Exceeded> {
        let known = self.known.get_or_init(|| {
            let Limiter { users, tenants, .. } = &*self.limiter;
            [users.of((tenant.clone(), subject.clone()), now), tenants.of(tenant.clone(), now)]
        });
        if let Some(line) = &self.line {
            line.known();
        }
        // The user first: what one may not do is not charged to all.
        known.iter().try_for_each(|account| self.admit_to(account, now))
    }

    /// Counts what has come. Returns the worst that any of the accounts says of it.
    pub(crate) fn take(&self, now: Millis, messages: u64, bytes: u64) -> Option<(Exceeded, bool)> {
        let over = |account: &Arc<Account>| {
            let (unit, wait, broken) = match account.take(now, messages, bytes) {
                Verdict::Fine => return None,
                Verdict::Over(unit, wait) => (unit, wait, false),
                Verdict::Broken(unit, wait) => (unit, wait, true),
            };
            Some((Exceeded { limit: account.limit, unit, wait }, broken))
        };
        self.accounts().filter_map(over).max_by_key(|(exceeded, broken)| (*broken, exceeded.wait))
    }

    /// A token was none: that costs its address much more than one that is, so that nobody can try many. One that has only
    /// run out, or was taken back, was one all the same.
    pub(crate) fn token_refused(&self, error: &AuthError, now: Millis) {
        use AuthError::{Expired, KeyRemoved, NoKeys, NotYetValid, Revoked};
        if !matches!(error, Expired | NotYetValid | Revoked | KeyRemoved | NoKeys) {
            self.address.take(now, self.limiter.quotas.refused_token, 0);
        }
    }

    /// A place in the server for a connection, or a request under way, and one among those of its address.
    pub(crate) fn seat(&self, unit: Unit, server: &Arc<Semaphore>) -> Result<Seat, Exceeded> {
        let place = server.clone().try_acquire_owned();
        let place = place.map_err(|_| self.limiter.no_place(Limit::Server, unit))?;
        Ok(Seat([place, self.place(&self.address, unit)?]))
    }

    /// The same among those of its user and tenant. Nobody is known before [`Self::identify`].
    pub(crate) fn known_seat(&self, unit: Unit) -> Result<Option<Seat>, Exceeded> {
        let Some([user, tenant]) = self.known.get() else { return Ok(None) };
        Ok(Some(Seat([self.place(user, unit)?, self.place(tenant, unit)?])))
    }

    /// Waits for a turn to greet: few may do so at once, of one address and of all.
    pub(crate) async fn greet(&self, server: &Arc<Semaphore>) -> Result<Seat, Exceeded> {
        let own = self.address.doorstep().map_or(server, |doorstep| &doorstep.greetings);
        let own = self.limiter.turn(own, 1, self.address.limit, Unit::Greetings).await?;
        Ok(Seat([own, self.limiter.turn(server, 1, Limit::Server, Unit::Greetings).await?]))
    }

    /// Remembers that a limit was reached, and what was answered.
    pub(crate) fn count(&self, Exceeded { limit, unit, .. }: Exceeded, answer: Answer) {
        self.limiter.figures.add(limit, unit, answer);
    }

    fn place(&self, account: &Account, unit: Unit) -> Result<OwnedSemaphorePermit, Exceeded> {
        account.place(unit).ok_or_else(|| self.limiter.no_place(account.limit, unit))
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        std::iter::once(&self.address).chain(self.known.get().into_iter().flatten())
    }

    fn admit_to(&self, account: &Account, now: Millis) -> Result<(), Exceeded> {
        match account.admit(now) {
            Verdict::Fine => Ok(()),
            Verdict::Over(unit, wait) | Verdict::Broken(unit, wait) => {
                let exceeded = Exceeded { limit: account.limit, unit, wait };
                self.count(exceeded, Answer::Refused);
                Err(exceeded)
            }
        }
    }
}

impl Exceeded {
    /// What a session has sent is over its own limit.
    pub(crate) fn of_session(unit: Unit, wait: u64) -> Self {
        Self { limit: Limit::Session, unit, wait }
    }
}

impl From<Exceeded> for ProtocolError {
    fn from(Exceeded { limit, unit, wait }: Exceeded) -> Self {
        let (limit_name, unit) = (limit.as_str(), unit.as_str());
        if limit == Limit::Server {
            let message = format!("this server has reached its limit of {unit}; nothing was done");
            return Self::new(ErrorCode::Overloaded, message);
        }
        let message = format!("this {limit_name} has reached its limit of {unit}; nothing was done");
        Self { retry_after: Some(wait), ..Self::new(ErrorCode::RateLimited, message) }
    }
}
