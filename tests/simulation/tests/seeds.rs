//! A few runs as a test; `cargo xtask sim` runs hundreds.

use simulation::Settings;

fn hold(seed: u64) {
    let ended = simulation::run(seed, Settings::default());
    if let Some(violation) = ended.violation {
        panic!("{}: {}\nreplay: cargo xtask sim --seed {seed}", violation.claim, violation.seen);
    }
    assert!(ended.tally.operations > 0, "seed {seed} did nothing");
}

#[test]
fn every_claim_holds_under_the_first_seeds() {
    (0..12).for_each(hold);
}

#[test]
fn seeds_that_once_showed_a_bug_show_none() {
    let seeds = include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#'));
    for line in seeds {
        let seed = line.split_whitespace().next().and_then(|number| number.parse().ok());
        hold(seed.unwrap_or_else(|| panic!("{line:?} begins with no seed")));
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 5, 8] {
        let run = |seed| simulation::run(seed, Settings::default());
        let (one, other) = (run(seed), run(seed));
        assert_eq!((one.hash, one.steps, one.tally), (other.hash, other.steps, other.tally), "seed {seed}");
        assert_ne!(one.hash, run(seed + 1_000).hash);
    }
}
