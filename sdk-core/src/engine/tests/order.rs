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

#[test]
fn the_end_of_an_operation_is_told_after_its_submission_and_once() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.events();
    let after = vec![Seq(1)];
    bench.input(Input::Submit { ticket: Ticket(2), doc: key("b"), schema: 0, intents: set(2), after });
    // What it waits for fails while its own commit is under way.
    bench.receive(link, amend::rejected(1));
    let told = |bench: &mut Bench| -> Vec<Event> {
        let events = bench.events().into_iter();
        events.filter(|event| matches!(event, Event::Submitted(..) | Event::Settled(..))).collect()
    };
    assert!(matches!(told(&mut bench)[..], [Event::Settled(Seq(1), ..)]));
    bench.commit();
    let both = told(&mut bench);
    let [Event::Submitted(Ticket(2), Seq(2)), Event::Settled(Seq(2), _, Outcome::Rejected(why))] = &both[..]
    else {
        panic!("{both:?}")
    };
    assert_eq!(why.code, ErrorCode::DependencyFailed);
}

#[test]
fn an_operation_that_was_never_saved_has_no_end() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.submit(1, "a", 1);
    bench.commit();
    bench.events();
    let after = vec![Seq(1)];
    bench.input(Input::Submit { ticket: Ticket(2), doc: key("b"), schema: 0, intents: set(2), after });
    let id = bench.take(|effect| if let Effect::Commit(id, _) = effect { Some(*id) } else { None })[0];
    bench.receive(link, amend::rejected(1));
    bench.input(Input::StoreFailed(id, StoreError::Full("quota".into())));
    bench.later(1_000);
    bench.commit();
    let events = bench.events();
    assert!(events.iter().any(|event| matches!(event, Event::Refused(Ticket(2), _))), "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Settled(Seq(2), ..))), "{events:?}");
}
