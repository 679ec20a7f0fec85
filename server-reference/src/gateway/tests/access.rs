//! Sessions whose token narrows what they see.

use serde_json::json;

use super::*;
use crate::fixtures::granted_token;

/// A session in tenant `acme` that sees of `cards` what begins with `a/`, and has read it.
fn narrow(server: &mut Server, number: u8) -> Peer {
    let token = granted_token("bob", json!([{ "collection": "cards", "prefix": "a/" }]));
    let hello = Hello { token, ..greeting(client(number), None) };
    let mut peer = server.connect();
    server.send(&mut peer, &ClientFrame::Hello(hello));
    assert!(matches!(peer.received[..], [ServerFrame::Welcome(_), ServerFrame::Changes(_)]));
    peer.received.clear();
    peer
}

fn ids(changes: &Changes) -> Vec<&str> {
    changes.documents.iter().map(|changed| changed.id.as_str()).collect()
}

#[test]
fn a_follower_hears_of_what_it_may_see_and_of_nothing_else() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open(1), narrow(&mut server, 2));
    let mut tell = |server: &mut Server, bob: &mut Peer, seq: u64, ids: &[&str]| {
        let operations = ids.iter().zip(seq..).map(|(id, seq)| set(seq, id, &[("x", "1")])).collect();
        for advance in server.send(&mut ada, &push(operations)) {
            server.give(bob, Input::Advanced(advance));
        }
    };
    tell(&mut server, &mut bob, 1, &["b/1"]);
    tell(&mut server, &mut bob, 2, &["b/2"]);
    assert!(bob.received.is_empty(), "not even that something happened");
    tell(&mut server, &mut bob, 3, &["b/3", "a/1", "b/4"]);
    let first = bob.take_changes();
    assert_eq!(
        (ids(&first), first.from.as_ref().unwrap().offset, first.to.offset),
        (vec!["a/1"], Offset(0), Offset(5))
    );

    // The same where hints were lost and the session reads for itself.
    tell(&mut server, &mut bob, 6, &["b/5"]);
    server.give(&mut bob, Input::Lagged);
    assert!(bob.received.is_empty());
    tell(&mut server, &mut bob, 7, &["a/2"]);
    let second = bob.take_changes();
    assert_eq!(
        (ids(&second), second.from.clone(), second.to.offset),
        (vec!["a/2"], Some(first.to), Offset(7))
    );
}

#[test]
fn news_among_much_that_is_not_to_be_seen_are_found_without_asking_the_reader() {
    let mut server = Server::new();
    let (ada, mut bob) = (crate::fixtures::scope("acme", "ada"), narrow(&mut server, 2));
    let operations = (1..=9_000).map(|n| set(n, &format!("b/{n}"), &[("x", "1")])).collect();
    let commit = |server: &mut Server, operations| {
        server.commit(crate::fixtures::batch(&ada, client(1), operations)).unwrap();
    };
    commit(&mut server, operations);
    commit(&mut server, vec![set(9_001, "a/1", &[("x", "1")])]);
    server.give(&mut bob, Input::Lagged);
    let changes = bob.take_changes();
    assert_eq!((ids(&changes), changes.from.as_ref().unwrap().offset), (vec!["a/1"], Offset(0)));
}

#[test]
fn a_collection_that_may_not_be_seen_is_empty_and_stays_so_while_others_go_on() {
    let mut server = Server::new();
    let mut ada = server.open(1);
    server.send(&mut ada, &push(vec![set(1, "a/1", &[("x", "1")])]));
    let known = Some(ada.received.iter().find_map(|frame| match frame {
        ServerFrame::Outcomes(outcomes) => outcomes.judgements[0].position.clone(),
        _ => None,
    }));
    let token = granted_token("bob", json!([{ "collection": "notes" }]));
    let resume = vec![resume("cards", known.flatten()), resume("notes", None)];
    let mut bob = server.connect();
    server.send(&mut bob, &ClientFrame::Hello(Hello { token, resume, ..greeting(client(2), None) }));
    let [ServerFrame::Welcome(_), ServerFrame::Changes(cards), ServerFrame::Changes(notes)] =
        &bob.received[..]
    else {
        panic!("{:?}", bob.received)
    };
    assert!(!cards.recovered && cards.from.is_none() && cards.documents.is_empty() && !cards.more);
    assert!(notes.recovered);
    bob.received.clear();

    for advance in server.send(&mut ada, &push(vec![set(2, "a/1", &[("x", "2")])])) {
        server.give(&mut bob, Input::Advanced(advance));
    }
    server.give(&mut bob, Input::Lagged);
    assert!(bob.received.is_empty());
    server.send(&mut bob, &push(vec![set(1, "a/1", &[("x", "666")])]));
    let ServerFrame::Outcomes(outcomes) = bob.take() else { panic!() };
    let Outcome::Rejected(rejection) = &outcomes.judgements[0].outcome else { panic!("{outcomes:?}") };
    assert_eq!(rejection.code, ErrorCode::Forbidden);
}
