//! Live presence and messages, from one session to another.

use futures::FutureExt as _;
use sdk_core::protocol::{
    Enter, Json, Leave, MAX_MESSAGE, MAX_STATE, Member, Message, Recipient, RoomName, RoomNews, Send, Sent,
};
use serde_json::json;

use super::*;
use crate::{
    fixtures::granted_token,
    gateway::session::{ROOM_HEARTBEAT, ROOM_SILENCE},
    rooms::{About, Mail, Post},
};

fn enter(room: &str, state: Option<&str>) -> ClientFrame {
    let state = state.map(|state| Json::parse(state).unwrap());
    ClientFrame::Enter(Enter { room: room.into(), state })
}

fn send(to: Recipient, data: &str) -> ClientFrame {
    ClientFrame::Send(Send { id: 7, to, data: Json::parse(data).unwrap() })
}

fn room(name: &str) -> Recipient {
    Recipient::Room(name.into())
}

fn user(name: &str) -> Recipient {
    Recipient::User(name.into())
}

impl Server {
    /// A session of somebody, with or without a claim `access`.
    pub(super) fn open_as(&mut self, number: u8, subject: &str, access: Option<serde_json::Value>) -> Peer {
        let token = access.map_or_else(|| token("acme", subject), |access| granted_token(subject, access));
        self.open_with(number, token)
    }

    fn open_with(&mut self, number: u8, token: String) -> Peer {
        let mut peer = self.connect();
        let hello = Hello { token, resume: Vec::new(), ..greeting(client(number), None) };
        self.send(&mut peer, &ClientFrame::Hello(hello));
        assert!(matches!(peer.received.remove(0), ServerFrame::Welcome(_)));
        peer
    }

    /// Rooms tell what is new, and everybody takes it.
    pub(super) fn turn(&mut self, peers: &mut [&mut Peer]) {
        self.elapsed += 1_000;
        self.rooms.tell(Millis(self.elapsed));
        for peer in peers {
            self.collect(peer);
        }
    }

    fn collect(&mut self, peer: &mut Peer) {
        while let Some(mail) = peer.presence.as_ref().and_then(|p| p.mailbox().next().now_or_never()) {
            self.give(peer, Input::Mail(mail));
            if peer.closed.is_some() {
                return;
            }
        }
    }
}

impl Peer {
    fn news(&mut self) -> Vec<RoomNews> {
        let news = |frame| match frame {
            ServerFrame::Room(news) => Some(news),
            _ => None,
        };
        self.received.drain(..).filter_map(news).collect()
    }

    /// The numbers, users and states of all that a room's news list.
    fn members(&mut self) -> Vec<(u64, String, String)> {
        let row = |Member { id, user, state }| (id, user, state.as_str().to_owned());
        self.news().into_iter().flat_map(|news| news.members).map(row).collect()
    }

    fn codes(&mut self) -> Vec<String> {
        let code = |frame| match frame {
            ServerFrame::Room(RoomNews { over: Some(over), .. }) => Some(over.code),
            ServerFrame::Sent(Sent { reason: Some(reason), .. }) => Some(reason.code),
            _ => None,
        };
        self.received.drain(..).filter_map(code).collect()
    }
}

#[test]
fn who_enters_is_told_of_everybody_and_the_others_of_who_has_entered() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open_as(1, "ada", None), server.open_as(2, "bob", None));
    server.send(&mut ada, &enter("board", Some(r#"{"x":1}"#)));
    server.turn(&mut [&mut ada]);
    let [me, all] = ada.news().try_into().unwrap();
    assert!(me.me == Some(1) && all.full && all.members.len() == 1);

    server.send(&mut bob, &enter("board", Some("{}")));
    server.turn(&mut [&mut ada, &mut bob]);
    let [me, all] = bob.news().try_into().unwrap();
    assert_eq!((me.me, all.full, all.members.len()), (Some(2), true, 2));
    assert_eq!(ada.members(), [(2, "bob".into(), "{}".into())]);

    server.send(&mut bob, &ClientFrame::Leave(Leave { room: "board".into() }));
    server.turn(&mut [&mut ada, &mut bob]);
    assert_eq!(ada.news()[0].left, [2]);
    assert!(bob.news().is_empty());
}

#[test]
fn of_what_changes_between_two_turns_the_newest_is_told() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open_as(1, "ada", None), server.open_as(2, "bob", None));
    server.send(&mut ada, &enter("board", None));
    server.turn(&mut [&mut ada]);
    ada.received.clear();
    for x in 0..50 {
        server.send(&mut bob, &enter("board", Some(&x.to_string())));
    }
    server.turn(&mut [&mut ada, &mut bob]);
    assert_eq!(ada.members(), [(2, "bob".into(), "49".into())]);
    assert_eq!(bob.members().len(), 1, "who only watches is not listed");
}

#[test]
fn whoever_is_silent_is_gone_soon_and_comes_back_when_heard() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open_as(1, "ada", None), server.open_as(2, "bob", None));
    server.send(&mut ada, &enter("board", None));
    server.send(&mut bob, &enter("board", Some("1")));
    server.rooms.tell(Millis(1_000));
    server.collect(&mut ada);
    ada.received.clear();
    server.wait(&mut bob, ROOM_HEARTBEAT);
    assert!(bob.received.contains(&ServerFrame::Ping {}));
    server.wait(&mut bob, ROOM_SILENCE - ROOM_HEARTBEAT);
    server.rooms.tell(Millis(2_000));
    server.collect(&mut ada);
    assert_eq!(ada.news()[0].left, [2]);
    assert!(bob.closed.is_none());

    server.send(&mut bob, &ClientFrame::Pong {});
    server.rooms.tell(Millis(3_000));
    server.collect(&mut ada);
    assert_eq!(ada.members(), [(2, "bob".into(), "1".into())]);
}

#[test]
fn a_session_that_ends_is_nowhere_any_more() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open_as(1, "ada", None), server.open_as(2, "bob", None));
    server.send(&mut ada, &enter("board", None));
    server.send(&mut bob, &enter("board", Some("1")));
    server.turn(&mut [&mut ada, &mut bob]);
    ada.received.clear();
    drop(bob);
    server.turn(&mut [&mut ada]);
    assert_eq!(ada.news()[0].left, [2]);
    server.send(&mut ada, &send(user("bob"), "1"));
    server.collect(&mut ada);
    assert_eq!(ada.take(), ServerFrame::Sent(Sent { id: 7, count: 0, reason: None }));
}

#[test]
fn a_client_that_comes_back_before_it_was_missed_leaves_no_ghost() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open_as(1, "ada", None), server.open_as(2, "bob", None));
    server.send(&mut ada, &enter("board", None));
    server.send(&mut bob, &enter("board", Some("1")));
    server.turn(&mut [&mut ada, &mut bob]);
    ada.received.clear();
    let mut back = server.open_as(2, "bob", None);
    server.send(&mut back, &enter("board", Some("2")));
    server.turn(&mut [&mut ada, &mut bob, &mut back]);
    assert_eq!(ada.members(), [(2, "bob".into(), "2".into())]);
    assert_eq!(back.news()[0].me, Some(2));
    assert_eq!(bob.codes(), ["replaced"]);
    drop(bob);
    server.turn(&mut [&mut ada]);
    assert!(ada.news().is_empty(), "the former session takes nobody with it");
}

#[test]
fn a_message_reaches_the_room_or_all_sessions_of_a_person_and_nobody_else() {
    let mut server = Server::new();
    let mut peers: Vec<Peer> =
        [(1, "ada"), (2, "bob"), (3, "bob"), (4, "eve")].map(|(n, who)| server.open_as(n, who, None)).into();
    let mut other = server.open_with(5, token("other", "bob"));
    for peer in &mut peers[..3] {
        server.send(peer, &enter("board", None));
    }
    server.send(&mut other, &enter("board", None));
    server.turn(&mut peers.iter_mut().chain([&mut other]).collect::<Vec<_>>());
    for (to, reached) in [(room("board"), [1, 2]), (user("bob"), [1, 2])] {
        peers.iter_mut().chain([&mut other]).for_each(|peer| peer.received.clear());
        server.send(&mut peers[0], &send(to.clone(), r#""hi""#));
        for peer in peers.iter_mut().chain([&mut other]) {
            server.collect(peer);
        }
        let sent = ServerFrame::Sent(Sent { id: 7, count: 2, reason: None });
        assert_eq!(peers[0].received, [sent]);
        let room = matches!(to, Recipient::Room(_)).then(|| "board".to_owned());
        let data = Json::parse(r#""hi""#).unwrap();
        for at in reached {
            let message = Message { room: room.clone(), from: "ada".into(), data: data.clone() };
            assert_eq!(peers[at].received, [ServerFrame::Message(message)]);
        }
        assert!(peers[3].received.is_empty() && other.received.is_empty());
    }
}

#[test]
fn a_token_says_which_rooms_and_people() {
    let mut server = Server::new();
    let access = json!([
        { "room": "team/*", "may": "join" }, { "room": "team/a" }, { "subject": "bob" },
    ]);
    let mut ada = server.open_as(1, "ada", Some(access));
    for name in ["team/a", "team/b", "other", "..", "team/\u{0}"] {
        server.send(&mut ada, &enter(name, None));
    }
    server.collect(&mut ada);
    assert_eq!(ada.codes(), ["forbidden", "bad_room", "bad_room"]);
    for to in [room("team/a"), room("team/b"), room("other"), user("bob"), user("eve"), room("team/\u{0}")] {
        server.send(&mut ada, &send(to, "1"));
    }
    server.collect(&mut ada);
    assert_eq!(ada.codes(), ["forbidden", "forbidden", "forbidden", "bad_room"]);
}

#[test]
fn what_is_too_large_or_too_many_is_refused_by_itself() {
    let mut server = Server::new();
    let mut ada = server.open_as(1, "ada", None);
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    server.send(&mut ada, &enter("board", Some(&long(MAX_STATE))));
    server.send(&mut ada, &enter("hall", None));
    server.send(&mut ada, &send(room("hall"), &long(MAX_MESSAGE)));
    server.send(&mut ada, &send(room("board"), "1"));
    server.collect(&mut ada);
    assert_eq!(ada.codes(), ["state_too_large", "message_too_large", "not_in_room"]);
    for n in 0..Limits::default().rooms {
        server.send(&mut ada, &enter(&format!("room-{n}"), None));
    }
    assert_eq!(ada.codes(), ["too_many"]);
    assert!(ada.closed.is_none());
}

#[test]
fn who_does_not_take_messages_is_ended_with_a_reason_and_the_room_goes_on() {
    let mut server = Server::new();
    let (mut ada, mut bob) = (server.open_as(1, "ada", None), server.open_as(2, "bob", None));
    let mut eve = server.open_as(3, "eve", None);
    for peer in [&mut ada, &mut bob, &mut eve] {
        server.send(peer, &enter("board", None));
    }
    server.turn(&mut [&mut ada, &mut bob, &mut eve]);
    let data = format!("\"{}\"", "x".repeat(10_000));
    for _ in 0..50 {
        server.send(&mut ada, &send(room("board"), &data));
        server.collect(&mut ada);
        server.collect(&mut eve);
    }
    server.collect(&mut bob);
    assert_eq!(bob.error(), ErrorCode::SlowConsumer);
    assert!(ada.closed.is_none() && eve.closed.is_none());
}

#[test]
fn mail_of_another_tenant_or_of_a_room_that_was_left_is_not_passed_on() {
    let mut server = Server::new();
    let mut ada = server.open_as(1, "ada", None);
    let post = |tenant: &str, about| {
        Input::Mail(Mail::Post(Post { tenant: tenant.into(), about, frame: "{}".into() }))
    };
    server.give(&mut ada, post("other", About::Message));
    server.give(&mut ada, post("acme", About::Members(RoomName::new("left").unwrap())));
    assert!(ada.received.is_empty());
}
