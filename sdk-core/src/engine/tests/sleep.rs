//! A machine that sleeps while its monotonic clock stands still.

use super::*;

#[test]
fn a_link_from_before_a_sleep_is_not_believed_in_though_no_heartbeat_is_overdue() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.effects.clear();
    let awake = Now { monotonic: Millis(bench.now + 1_000), wall: Millis(bench.now + 3_600_000) };
    bench.engine.handle(awake, Input::Timeout);
    let effects: Vec<Effect> = std::iter::from_fn(|| bench.engine.poll_effect()).collect();
    assert!(effects.contains(&Effect::Disconnect(link)), "{effects:?}");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Connect(_))), "the next at once");
}

#[test]
fn a_clock_that_is_set_a_little_or_back_ends_no_link() {
    let mut bench = Bench::fresh();
    bench.connect();
    bench.effects.clear();
    for wall in [bench.now + 9_999, 0, 5_000] {
        bench.engine.handle(Now { monotonic: Millis(bench.now), wall: Millis(wall) }, Input::Timeout);
    }
    assert!(
        !std::iter::from_fn(|| bench.engine.poll_effect())
            .any(|effect| matches!(effect, Effect::Disconnect(_)))
    );
}
