//! What of a collection its followers are sent.

use super::*;

#[test]
fn a_reader_is_answered_in_the_order_in_which_it_named_the_collections() {
    let mut server = Server::new();
    let names = ["urgent", "bulk", "archive"];
    let hello = Hello { resume: names.map(|name| resume(name, None)).into(), ..greeting(client(1), None) };
    let mut ada = server.connect();
    server.send(&mut ada, &ClientFrame::Hello(hello));
    let answered = ada.received.iter().filter_map(|frame| match frame {
        ServerFrame::Changes(changes) => Some(changes.collection.as_str()),
        _ => None,
    });
    assert_eq!(answered.collect::<Vec<_>>(), names);
}

#[test]
fn a_follower_is_sent_a_commit_that_follows_on_what_it_has() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open(1), server.open(2));
    let advances = server.send(&mut ada, &push(vec![set(1, "a", &[("x", "1")])]));
    server.give(&mut bob, Input::Advanced(advances[0].clone()));
    let changes = bob.take_changes();
    assert_eq!((changes.from.unwrap().offset, changes.to.offset), (Offset(0), Offset(1)));
    // The same hint again is old news.
    server.give(&mut bob, Input::Advanced(advances[0].clone()));
    assert!(bob.received.is_empty());
}

#[test]
fn a_follower_that_missed_a_hint_reads_what_it_lacks() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open(1), server.open(2));
    server.send(&mut ada, &push(vec![set(1, "a", &[("x", "1")])]));
    let second = server.send(&mut ada, &push(vec![set(2, "b", &[("x", "2")])]));
    server.give(&mut bob, Input::Advanced(second[0].clone()));
    let changes = bob.take_changes();
    assert_eq!((changes.from.unwrap().offset, changes.documents.len()), (Offset(0), 2));

    server.send(&mut ada, &push(vec![set(3, "c", &[("x", "3")])]));
    server.give(&mut bob, Input::Lagged);
    assert_eq!(bob.take_changes().documents.len(), 1);
    server.give(&mut bob, Input::Lagged);
    assert!(bob.received.is_empty(), "no news, no frame");
}

#[test]
fn a_reader_is_sent_no_more_than_it_asked_for() {
    let mut server = Server::new();
    let mut ada = server.open(1);
    let big = format!("\"{}\"", "x".repeat(100_000));
    for seq in 1..=6 {
        server.send(&mut ada, &push(vec![set(seq, &format!("doc-{seq}"), &[("x", big.as_str())])]));
    }
    let mut bob = server.connect();
    server.send(&mut bob, &hello(client(2), None));
    bob.received.remove(0);
    let mut page = bob.take_changes();
    let mut seen = page.documents.len();
    assert!(page.more && seen == 2, "{seen}");

    // Something new while the reader has not asked: it will find it when it does.
    let advances = server.send(&mut ada, &push(vec![set(7, "last", &[("x", "7")])]));
    server.give(&mut bob, Input::Advanced(advances[0].clone()));
    server.give(&mut bob, Input::Lagged);
    assert!(bob.received.is_empty());
    while page.more {
        server.send(&mut bob, &ClientFrame::Pull(resume("cards", Some(page.to))));
        page = bob.take_changes();
        seen += page.documents.len();
    }
    assert_eq!(seen, 7);
}

#[test]
fn a_pull_is_answered_even_if_there_is_nothing_new() {
    let mut server = Server::new();
    let mut ada = server.open(1);
    server.send(&mut ada, &ClientFrame::Pull(resume("cards", None)));
    assert!(ada.take_changes().documents.is_empty());
    server.send(&mut ada, &ClientFrame::Pull(resume("others", None)));
    assert_eq!(ada.error(), ErrorCode::Forbidden);
    assert!(ada.closed.is_none());
}

#[test]
fn an_advance_of_another_tenant_is_never_forwarded() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open(1), server.open(2));
    let advances = server.send(&mut ada, &push(vec![set(1, "a", &[("x", "1")])]));
    let foreign = Advance { tenant: "evil".into(), ..(*advances[0]).clone() };
    server.give(&mut bob, Input::Advanced(Arc::new(foreign)));
    assert!(bob.received.is_empty());
}
