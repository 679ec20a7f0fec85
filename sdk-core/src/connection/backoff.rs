//! Exponential backoff with full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015).

use crate::clock::Millis;

/// How long to wait after failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: u64,
    cap: u64,
    failures: u32,
}

impl Backoff {
    /// The first wait is at most `base`, each further one twice that, up to `cap` milliseconds.
    pub fn new(base: u64, cap: u64) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// Notes a failure; returns the time of the next try, at least `least` milliseconds away.
    pub fn fail(&mut self, now: Millis, least: u64, random: &mut fastrand::Rng) -> Millis {
        let bound = self.base.saturating_mul(1 << self.failures.min(32)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        now.plus(least).plus(random.u64(0..=bound))
    }

    /// Notes a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many failures there were in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_cap_and_are_spread_from_zero() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut waits = vec![];
        for _ in 0..2_000 {
            let mut backoff = Backoff::new(100, 1_000);
            waits.push([0; 6].map(|_| backoff.fail(Millis(0), 0, &mut random).0));
        }
        for (failure, bound) in [100, 200, 400, 800, 1_000, 1_000].into_iter().enumerate() {
            let most = waits.iter().map(|row| row[failure]).max().unwrap();
            let least = waits.iter().map(|row| row[failure]).min().unwrap();
            assert!(
                most <= bound && most > bound * 9 / 10 && least < bound / 10,
                "{failure}: {least}..{most}"
            );
        }
    }

    #[test]
    fn the_servers_advice_is_a_lower_bound() {
        let mut backoff = Backoff::new(100, 1_000);
        assert!(backoff.fail(Millis(5), 700, &mut fastrand::Rng::with_seed(1)) >= Millis(705));
    }
}
