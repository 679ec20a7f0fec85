//! Whether the device has all that the server has.

use super::*;

fn caught_up(bench: &Bench) -> bool {
    bench.engine.status().caught_up
}

#[test]
fn a_client_has_caught_up_once_the_server_has_answered_and_all_of_it_is_stored() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    assert!(!caught_up(&bench), "the server has only said hello");
    bench.receive(link, changes(None, 5, "a"));
    assert!(!caught_up(&bench), "nobody can see it yet");
    bench.commit();
    assert!(caught_up(&bench));
    bench.receive(link, changes(Some(5), 6, "b"));
    assert!(caught_up(&bench), "news is no reason to doubt");
    bench.commit();

    bench.input(Input::LinkDown(link));
    assert!(!caught_up(&bench));
    let link = bench.connect();
    assert!(!caught_up(&bench));
    bench.receive(link, changes(Some(6), 6, "b"));
    assert!(caught_up(&bench), "there was nothing new");
}

#[test]
fn a_client_that_misses_something_has_not_caught_up_until_that_has_come() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, changes(None, 5, "a"));
    bench.commit();
    bench.receive(link, changes(Some(7), 8, "b"));
    assert!(!caught_up(&bench));
    bench.receive(link, changes(Some(5), 8, "b"));
    bench.commit();
    assert!(caught_up(&bench));
    bench.input(Input::Network(false));
    assert!(!caught_up(&bench));
}
