//! Token buckets (as RFC 2697 has them), with time passed in and with debt.
//!
//! What has come is counted also where it is too much, because a frame or a body that is here has cost what it costs. The
//! debt tells how long its sender has to wait, and whether it goes on all the same.

use sdk_core::clock::Millis;

use super::quotas::Rates;

/// One bucket, in thousandths, so that each millisecond adds a whole number.
#[derive(Debug)]
struct Bucket {
    rate: u64,
    most: i64,
    level: i64,
}

impl Bucket {
    fn full(rate: u64, burst: u64) -> Self {
        let most = i64::try_from(rate.saturating_mul(burst).saturating_mul(1_000)).unwrap_or(i64::MAX);
        Self { rate, most, level: most }
    }

    fn fill(&mut self, millis: u64) {
        let more = i64::try_from(self.rate.saturating_mul(millis)).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(more).min(self.most);
    }

    fn take(&mut self, amount: u64) {
        let amount = i64::try_from(amount.saturating_mul(1_000)).unwrap_or(i64::MAX);
        self.level = self.level.saturating_sub(amount);
    }

    /// Milliseconds until there is room for a second's worth: who came back at the end of a debt would be in debt at once.
    fn wait(&self) -> u64 {
        self.level.min(0).unsigned_abs().div_ceil(self.rate.max(1)).saturating_add(1_000)
    }

    /// Whether the debt is as much as may come at once.
    fn is_broken(&self) -> bool {
        self.level < -self.most
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Frames and requests.
    Messages,
    /// Bytes of them.
    Bytes,
    /// Sockets, and readers that wait.
    Connections,
    /// Requests under way.
    Requests,
    /// WebSockets that have not said who they are.
    Greetings,
    /// Connections that have shown no token.
    Strangers,
    /// Connections at all.
    Lines,
    /// Memory for what has not gone or come as a whole.
    Memory,
}

impl Unit {
    pub(crate) const ALL: [Self; 8] = [
        Self::Messages,
        Self::Bytes,
        Self::Connections,
        Self::Requests,
        Self::Greetings,
        Self::Strangers,
        Self::Lines,
        Self::Memory,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Greetings => "greetings",
            Self::Strangers => "strangers",
            Self::Lines => "lines",
            Self::Memory => "memory",
        }
    }
}

/// What becomes of what has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// It is too much: no more should come for so many milliseconds.
    Over(Unit, u64),
    /// The same, and the debt is as much as may come at once.
    Broken(Unit, u64),
}

/// How much somebody has sent: messages and their bytes, each with a bucket.
#[derive(Debug)]
pub(crate) struct Spent {
    messages: Bucket,
    bytes: Bucket,
    at: Millis,
}

impl Spent {
    pub(crate) fn nothing(rates: Rates, now: Millis) -> Self {
        let Rates { messages, bytes, burst } = rates;
        Self { messages: Bucket::full(messages, burst), bytes: Bucket::full(bytes, burst), at: now }
    }

    pub(crate) fn take(&mut self, now: Millis, messages: u64, bytes: u64) -> Verdict {
        self.spend(now, messages, bytes);
        self.verdict()
    }

    /// The same, of a debt that many share: it is never greater than what may come at once, so that who was not there when
    /// it was made has a bounded time to wait.
    pub(super) fn take_shared(&mut self, now: Millis, messages: u64, bytes: u64) -> Verdict {
        self.spend(now, messages, bytes);
        for bucket in [&mut self.messages, &mut self.bytes] {
            bucket.level = bucket.level.max(-bucket.most - 1);
        }
        self.verdict()
    }

    /// How it stands, with nothing taken.
    pub(super) fn look(&mut self, now: Millis) -> Verdict {
        self.pass(now);
        self.verdict()
    }

    /// Whether nothing is remembered of it.
    pub(super) fn is_nothing(&mut self, now: Millis) -> bool {
        self.pass(now);
        [&self.messages, &self.bytes].iter().all(|bucket| bucket.level == bucket.most)
    }

    fn spend(&mut self, now: Millis, messages: u64, bytes: u64) {
        self.pass(now);
        self.messages.take(messages);
        self.bytes.take(bytes);
    }

    fn pass(&mut self, now: Millis) {
        let millis = now.since(self.at);
        // Threads do not agree to the millisecond on what comes first.
        self.at = self.at.max(now);
        self.messages.fill(millis);
        self.bytes.fill(millis);
    }

    fn verdict(&self) -> Verdict {
        let of = |unit, bucket: &Bucket| (bucket.level < 0).then(|| (bucket.wait(), unit));
        let over = [of(Unit::Messages, &self.messages), of(Unit::Bytes, &self.bytes)];
        match over.into_iter().flatten().max_by_key(|(wait, _)| *wait) {
            None => Verdict::Fine,
            Some((wait, unit)) if self.messages.is_broken() || self.bytes.is_broken() => {
                Verdict::Broken(unit, wait)
            }
            Some((wait, unit)) => Verdict::Over(unit, wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Unit::*, Verdict::*, *};

    fn spent() -> Spent {
        Spent::nothing(Rates { messages: 10, bytes: 1_000, burst: 2 }, Millis(0))
    }

    #[test]
    fn a_burst_is_fine_then_one_is_to_wait_and_then_it_is_broken() {
        let mut spent = spent();
        for _ in 0..20 {
            assert_eq!(spent.take(Millis(0), 1, 1), Fine);
        }
        assert_eq!(spent.take(Millis(0), 1, 1), Over(Messages, 1_100));
        for _ in 0..19 {
            assert!(matches!(spent.take(Millis(0), 1, 1), Over(Messages, _)));
        }
        assert_eq!(spent.take(Millis(0), 1, 1), Broken(Messages, 3_100));
    }

    #[test]
    fn who_waits_as_asked_is_fine_again_and_bytes_count_by_themselves() {
        let mut spent = spent();
        assert_eq!(spent.take(Millis(0), 1, 2_500), Over(Bytes, 1_500));
        assert!(matches!(spent.take(Millis(100), 1, 0), Over(Bytes, 1_400)));
        assert_eq!(spent.take(Millis(600), 1, 0), Fine);
        // No more is saved up than a burst.
        assert_eq!(spent.take(Millis(1_000_000), 1, 2_001), Over(Bytes, 1_001));
    }

    #[test]
    fn a_debt_that_is_shared_has_an_end() {
        let mut spent = spent();
        assert_eq!(spent.take_shared(Millis(0), 1_000_000, 0), Broken(Messages, 3_001));
        assert_eq!(spent.look(Millis(0)), Broken(Messages, 3_001));
        assert!(matches!(spent.look(Millis(1)), Over(Messages, 3_000)));
        assert_eq!(spent.look(Millis(2_001)), Fine);
        assert!(!spent.is_nothing(Millis(4_000)) && spent.is_nothing(Millis(4_001)));
    }

    #[test]
    fn time_that_goes_back_a_little_changes_nothing() {
        let mut spent = spent();
        assert_eq!(spent.take(Millis(1_000), 20, 0), Fine);
        assert!(matches!(spent.take(Millis(990), 1, 0), Over(..)));
        assert!(
            matches!(spent.take(Millis(1_000), 0, 0), Over(..)),
            "the ten milliseconds do not count twice"
        );
    }
}
