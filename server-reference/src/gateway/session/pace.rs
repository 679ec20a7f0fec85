//! How fast a session may speak: a token bucket (as RFC 2697 has it) each for its frames and for their bytes.
//!
//! Who goes beyond is first asked to wait, by a frame that says how long; what is lost without harm is then refused; and
//! who goes on for as much again is ended. Nothing that was sent is thrown away before that.

use sdk_core::{
    clock::Millis,
    protocol::{EndReason, ErrorCode, ProtocolError, ServerFrame, SlowDown},
};

use super::{Now, Session, State};

/// Milliseconds between two requests to wait.
const PAUSE: u64 = 1_000;

/// What a session may send, in a second and at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Frames a second.
    pub frames: u64,
    /// Bytes a second.
    pub bytes: u64,
    /// Seconds of both that may come at once.
    pub burst: u64,
}

impl Default for Rates {
    /// Room for a client that comes back with a full outbox, and for states that change as fast as a mouse moves.
    fn default() -> Self {
        Self { frames: 1_000, bytes: 4 * 1024 * 1024, burst: 10 }
    }
}

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

/// How fast one session has spoken.
#[derive(Debug)]
pub(in crate::gateway) struct Pace {
    frames: Bucket,
    bytes: Bucket,
    at: Millis,
    /// When it was asked to wait last.
    asked: Option<Millis>,
}

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// It is taken, and its sender is to wait for so many milliseconds.
    Wait(u64),
    /// There were too many for too long.
    End(u64),
}

impl Pace {
    pub(super) fn new(rates: Rates, now: Millis) -> Self {
        let Rates { frames, bytes, burst } = rates;
        Self { frames: Bucket::full(frames, burst), bytes: Bucket::full(bytes, burst), at: now, asked: None }
    }

    fn spend(&mut self, now: Millis, bytes: usize) -> Verdict {
        let millis = now.since(self.at);
        self.at = now;
        for (bucket, amount) in [(&mut self.frames, 1), (&mut self.bytes, bytes as u64)] {
            bucket.fill(millis);
            bucket.take(amount);
        }
        let wait = self.frames.wait().max(self.bytes.wait());
        if !self.is_over() {
            Verdict::Fine
        } else if self.frames.is_broken() || self.bytes.is_broken() {
            Verdict::End(wait)
        } else {
            Verdict::Wait(wait)
        }
    }

    /// Whether it is beyond what it may send.
    fn is_over(&self) -> bool {
        self.frames.level < 0 || self.bytes.level < 0
    }
}

impl Session {
    /// Counts a frame. Returns whether it is to be looked at.
    pub(super) fn paced(&mut self, now: Now, bytes: usize) -> bool {
        let State::Open(open) = &mut self.state else { return false };
        match open.pace.spend(now.monotonic, bytes) {
            Verdict::Fine => true,
            Verdict::Wait(wait) => {
                if open.pace.asked.is_none_or(|asked| now.monotonic.since(asked) >= PAUSE) {
                    open.pace.asked = Some(now.monotonic);
                    self.send(&ServerFrame::SlowDown(SlowDown { wait }));
                }
                true
            }
            Verdict::End(wait) => {
                let message = "too much for too long; what was not answered is to be sent again, more slowly";
                let error = ProtocolError::new(ErrorCode::RateLimited, message);
                self.refuse(ProtocolError { retry_after: Some(wait), ..error });
                false
            }
        }
    }

    /// Why something is refused that is lost without harm, if its sender goes beyond what it may.
    pub(super) fn hurried(&self) -> Option<EndReason> {
        let State::Open(open) = &self.state else { return None };
        open.pace.is_over().then(|| {
            let message = "too fast; wait as the server has asked".to_owned();
            EndReason { code: ErrorCode::RateLimited.as_str().to_owned(), message }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(Rates { frames: 10, bytes: 1_000, burst: 2 }, Millis(0))
    }

    #[test]
    fn a_burst_is_fine_then_one_is_asked_to_wait_and_then_it_is_over() {
        let mut pace = pace();
        for _ in 0..20 {
            assert_eq!(pace.spend(Millis(0), 1), Verdict::Fine);
        }
        assert_eq!(pace.spend(Millis(0), 1), Verdict::Wait(1_100));
        assert!(pace.is_over());
        for _ in 0..19 {
            assert!(matches!(pace.spend(Millis(0), 1), Verdict::Wait(_)));
        }
        assert_eq!(pace.spend(Millis(0), 1), Verdict::End(3_100));
    }

    #[test]
    fn who_waits_as_asked_is_fine_again_and_bytes_count_by_themselves() {
        let mut pace = pace();
        assert_eq!(pace.spend(Millis(0), 2_500), Verdict::Wait(1_500));
        assert!(matches!(pace.spend(Millis(100), 0), Verdict::Wait(1_400)));
        assert_eq!(pace.spend(Millis(600), 0), Verdict::Fine);
        // No more is saved up than a burst.
        assert_eq!(pace.spend(Millis(1_000_000), 2_001), Verdict::Wait(1_001));
    }
}
