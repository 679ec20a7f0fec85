//! Rooms by themselves.

mod shared;

use futures::FutureExt;
use sdk_core::protocol::{Json, RoomNews, ServerFrame, decode};

use super::{
    places::Places,
    room::{MAX_MEMBERS, TICK},
    *,
};
use crate::fixtures::{START, client, scope};

fn mailbox(number: u8) -> Arc<Mailbox> {
    Arc::new(Mailbox::new(scope("acme", &format!("user-{number}")), client(number)))
}

fn state(text: &str) -> Option<Json> {
    Some(Json::parse(text).unwrap())
}

fn news(mailbox: &Mailbox) -> Vec<RoomNews> {
    let mut all = Vec::new();
    while let Some(mail) = mailbox.next().now_or_never() {
        if let Mail::Post(Post { frame, .. }) = mail
            && let Ok(ServerFrame::Room(news)) = decode(&frame)
        {
            all.push(news);
        }
    }
    all
}

#[test]
fn a_room_tells_at_once_when_it_has_rested_and_then_in_turns() {
    let (mut places, ada) = (Places::default(), mailbox(1));
    places.enter(&ada, "board", state("1"), START);
    let now = Millis(1_000);
    assert!(places.next().is_some_and(|at| at <= now));
    places.tell(now);
    assert_eq!(places.next(), None);
    places.enter(&ada, "board", state("2"), START);
    assert_eq!(places.next(), Some(now.plus(TICK)));
    places.tell(now.plus(TICK - 1));
    assert_eq!(news(&ada).len(), 2);
    places.tell(now.plus(TICK));
    assert_eq!(news(&ada)[0].members[0].state, Json::parse("2").unwrap());
}

#[test]
fn the_more_a_room_has_to_send_the_less_often_it_does() {
    let mut places = Places::default();
    let all: Vec<_> = (0..100).map(mailbox).collect();
    let long = format!("\"{}\"", "x".repeat(1_000));
    all.iter().for_each(|mailbox| places.enter(mailbox, "board", state(&long), START));
    places.tell(Millis(1_000));
    places.enter(&all[0], "board", state("1"), START);
    let rest = places.next().unwrap().since(Millis(1_000));
    assert!((200..1_000).contains(&rest), "a hundred times a hundred kilobytes at 32 a millisecond: {rest}");
}

#[test]
fn nothing_is_left_of_a_room_that_nobody_is_in() {
    let (mut places, ada) = (Places::default(), mailbox(1));
    places.attach(&ada);
    for name in ["a", "b"] {
        places.enter(&ada, name, state("1"), START);
    }
    places.leave(&ada, &RoomName::new("a").unwrap());
    places.detach(&ada, [RoomName::new("b").unwrap()]);
    assert!(places.is_empty());
}

#[test]
fn what_was_left_out_for_a_slow_session_is_told_whole() {
    let (mut places, ada, bob) = (Places::default(), mailbox(1), mailbox(2));
    places.enter(&ada, "board", state("0"), START);
    places.enter(&bob, "board", None, START);
    let long = format!("\"{}\"", "x".repeat(4_000));
    for turn in 1..200 {
        places.enter(&ada, "board", state(&long), START);
        places.tell(Millis(turn * 1_000));
        news(&ada);
    }
    let mut behind = false;
    while let Some(mail) = bob.next().now_or_never() {
        behind |= mail == Mail::Behind(RoomName::new("board").unwrap());
    }
    assert!(behind);
    places.catch_up(&bob, &RoomName::new("board").unwrap());
    places.tell(Millis(1_000_000));
    let told = news(&bob);
    assert!(told.len() == 1 && told[0].full && told[0].members.len() == 1);
}

#[test]
fn a_room_takes_so_many_and_says_so_to_the_next() {
    let mut places = Places::default();
    let scope = scope("acme", "ada");
    let numbered = |number: usize| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Arc::new(Mailbox::new(scope.clone(), ClientId::from_random(bytes)))
    };
    let all: Vec<_> = (0..MAX_MEMBERS).map(numbered).collect();
    all.iter().for_each(|mailbox| places.enter(mailbox, "board", None, START));
    let late = mailbox(200);
    places.enter(&late, "board", None, START);
    assert_eq!(news(&late)[0].over.as_ref().map(|over| over.code.as_str()), Some("room_full"));
}
