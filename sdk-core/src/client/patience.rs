//! How long a request is repeated whose caller waits for the answer.

use std::pin::pin;

use futures::future::{Either, select};

use crate::{
    clock::Millis,
    connection::Backoff,
    driver::{Driver, Platform, Runtime},
};

/// Milliseconds for which to try, if nothing else is said.
pub(super) const WITHIN: u64 = 30_000;
/// Milliseconds of the first wait for another try, at most, and of the longest.
const WAITS: (u64, u64) = (250, 4_000);

/// The attempts of one call.
pub(super) struct Patience<'a, P: Platform> {
    driver: &'a Driver<P>,
    ends: Millis,
    backoff: Backoff,
    random: fastrand::Rng,
}

impl<'a, P: Platform> Patience<'a, P> {
    /// For so many milliseconds from now on.
    pub(super) fn new(driver: &'a Driver<P>, within: u64) -> Self {
        let ends = driver.parts().runtime.now().monotonic.plus(within);
        let random = fastrand::Rng::with_seed(driver.name().1.0);
        Self { driver, ends, backoff: Backoff::new(WAITS.0, WAITS.1), random }
    }

    /// What comes of an attempt; none if the time is over before.
    pub(super) async fn wait_for<T>(&self, attempt: impl Future<Output = T>) -> Option<T> {
        let runtime = &self.driver.parts().runtime;
        let left = Millis(self.ends.since(runtime.now().monotonic));
        match select(pin!(attempt), pin!(runtime.sleep(left))).await {
            Either::Left((came, _)) => Some(came),
            Either::Right(_) => None,
        }
    }

    /// Waits until it is time for another attempt, for so many milliseconds at least; false if there is no time for one.
    pub(super) async fn again(&mut self, least: u64) -> bool {
        let runtime = &self.driver.parts().runtime;
        let now = runtime.now().monotonic;
        let at = self.backoff.fail(now, least, &mut self.random);
        if at >= self.ends {
            return false;
        }
        runtime.sleep(Millis(at.since(now))).await;
        true
    }
}
