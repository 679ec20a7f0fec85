//! Which collection is asked for first.

use super::*;

#[test]
fn collections_are_fetched_in_the_order_of_the_application_one_after_the_other() {
    let names = ["urgent", "bulk", "archive"].map(|name| CollectionName::new(name).unwrap());
    let followed = names.iter().map(|name| (name.clone(), Strategy::FieldLevel)).collect();
    let config = Config::new(followed, ClientId::from_random([7; 16]));
    let stored = Stored { cursors: Some(vec![]), ..Stored::default() };
    let engine = Engine::restore(stored, config, 1);
    let mut bench = Bench { engine, now: 1_000, effects: vec![] };
    bench.input(Input::Wake);
    bench.input(Input::Token(Ok("token".into())));
    let link = bench.link();
    bench.input(Input::LinkUp(link));
    let hellos = bench.frames();
    let [ClientFrame::Hello(hello)] = &hellos[..] else { panic!("no hello but {hellos:?}") };
    assert_eq!(hello.resume.iter().map(|resume| resume.collection.clone()).collect::<Vec<_>>(), names);
    bench.receive(link, ServerFrame::Welcome(welcome("ada")));

    // Of each collection something is missing, of the last one first.
    let gap = |name: &CollectionName| {
        let ServerFrame::Changes(page) = changes(Some(3), 4, "a") else { unreachable!() };
        ServerFrame::Changes(Changes { collection: name.clone(), ..page })
    };
    let whole = |name: &CollectionName| {
        let ServerFrame::Changes(page) = changes(None, 4, "a") else { unreachable!() };
        ServerFrame::Changes(Changes { collection: name.clone(), ..page })
    };
    names.iter().rev().for_each(|name| bench.receive(link, gap(name)));
    let pulled = |bench: &mut Bench| -> Vec<CollectionName> {
        bench.commit();
        let pulls = bench.frames().into_iter();
        pulls
            .filter_map(
                |frame| if let ClientFrame::Pull(resume) = frame { Some(resume.collection) } else { None },
            )
            .collect()
    };
    assert_eq!(pulled(&mut bench), ["archive"].map(|name| CollectionName::new(name).unwrap()));
    bench.receive(link, whole(&names[2]));
    assert_eq!(pulled(&mut bench), names[..1]);
    bench.receive(link, whole(&names[0]));
    assert_eq!(pulled(&mut bench), names[1..2]);
}
