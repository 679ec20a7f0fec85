//! Cursors, which keep caches from handing out the same answer for ever.

use sdk_core::clock::Millis;

/// The beginning of the first interval: 9 October 2024.
const EPOCH: u64 = 1_728_432_000_000;
/// Milliseconds of an interval.
const INTERVAL: u64 = 20_000;
/// Intervals by which a cursor may jump ahead: an hour.
const JUMP: u64 = 180;
/// Intervals by which a cursor can be ahead of the clock; what is further did not come from here.
const SANE: u64 = 1_000_000;

/// The cursor of an answer: the interval of a time, or one beyond what the client sent, by a random number of
/// intervals.
pub(super) fn next(now: Millis, sent: Option<u64>, random: u64) -> u64 {
    let current = now.0.saturating_sub(EPOCH) / INTERVAL;
    match sent {
        Some(sent) if sent >= current && sent - current <= SANE => sent + 1 + random % JUMP,
        _ => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_never_stays_nor_goes_back() {
        let now = Millis(EPOCH + 10 * INTERVAL + 1);
        assert_eq!(next(now, None, 7), 10);
        assert_eq!(next(now, Some(3), 7), 10);
        for random in [0, 1, JUMP, u64::MAX] {
            assert!((11..=10 + JUMP).contains(&next(now, Some(10), random)));
            assert!(next(now, Some(500), random) > 500);
        }
        assert_eq!(next(now, Some(u64::MAX), 1), 10);
        assert_eq!(next(Millis(0), None, 1), 0);
    }
}
