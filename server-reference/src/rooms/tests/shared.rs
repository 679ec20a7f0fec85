//! Rooms of several servers.

use std::sync::Mutex;

use sdk_core::{
    protocol::{Message, Recipient, Send},
    wire::{Decode as _, Reader},
};

use super::*;
use crate::rooms::shared::{Neighbours, Person, ServerId, Spot, Word};

/// What servers have told, in that order, as text; and who is to be asked how many sessions a person has.
#[derive(Debug, Default)]
struct Outlet {
    told: Mutex<Vec<(Spot, String)>>,
    written: Mutex<Vec<(Person, Arc<str>)>>,
}

impl Neighbours for Outlet {
    fn attend(&self, spot: &Spot) {
        self.tell(spot, Word::Ask {});
    }

    fn depart(&self, _: &Spot) {}

    fn tell(&self, spot: &Spot, word: Word) {
        self.told.lock().unwrap().push((spot.clone(), sdk_core::wire::encode(&word)));
    }

    fn present(&self, _: &Person, _: bool) {}

    fn write(&self, person: &Person, frame: Arc<str>, told: Box<dyn FnOnce(u64) + std::marker::Send>) {
        self.written.lock().unwrap().push((person.clone(), frame));
        told(2);
    }
}

struct Server {
    id: ServerId,
    places: Places,
    outlet: Arc<Outlet>,
}

impl Server {
    fn new(number: u64) -> Self {
        let (id, outlet) = (ServerId::of(number), Arc::new(Outlet::default()));
        Self { id, places: Places::among(id, outlet.clone()), outlet }
    }
}

/// Has all servers tell what they have to, until nobody has anything to.
fn settle(servers: &mut [Server], now: &mut Millis) {
    loop {
        *now = now.plus(TICK);
        servers.iter_mut().for_each(|server| server.places.tell(*now));
        let told: Vec<_> = servers
            .iter()
            .map(|server| (server.id, std::mem::take(&mut *server.outlet.told.lock().unwrap())))
            .collect();
        if told.iter().all(|(_, words)| words.is_empty()) {
            return;
        }
        for (from, (spot, text)) in
            told.into_iter().flat_map(|(from, words)| words.into_iter().map(move |word| (from, word)))
        {
            let word = Word::read(&mut Reader::new(&text)).unwrap();
            for server in servers.iter_mut().filter(|server| server.id != from) {
                server.places.hear(&spot, from, word.clone());
            }
        }
    }
}

/// Who a session sees, as user and state, from all that it was told.
#[derive(Default)]
struct View(std::collections::BTreeMap<u64, (String, String)>);

impl View {
    fn take(&mut self, mailbox: &Mailbox) -> Vec<String> {
        let mut over = Vec::new();
        for news in news(mailbox) {
            if news.full {
                self.0.clear();
            }
            news.left.iter().for_each(|id| drop(self.0.remove(id)));
            for member in news.members {
                self.0.insert(member.id, (member.user, member.state.as_str().to_owned()));
            }
            over.extend(news.over.map(|over| over.code));
        }
        over
    }

    fn seen(&self) -> Vec<(&str, &str)> {
        let mut seen: Vec<_> = self.0.values().map(|(user, state)| (&**user, &**state)).collect();
        seen.sort_unstable();
        seen
    }
}

fn board() -> RoomName {
    RoomName::new("board").unwrap()
}

#[test]
fn who_is_at_another_server_is_seen_moves_and_leaves_as_anybody() {
    let (mut servers, mut now) = ([Server::new(1), Server::new(2)], Millis(1_000));
    let (ada, bob) = (mailbox(1), mailbox(2));
    let (mut of_ada, mut of_bob) = (View::default(), View::default());
    servers[0].places.enter(&ada, "board", state("1"), START);
    settle(&mut servers, &mut now);
    servers[1].places.enter(&bob, "board", state("2"), START);
    settle(&mut servers, &mut now);
    assert!(of_ada.take(&ada).is_empty() && of_bob.take(&bob).is_empty());
    assert_eq!(of_ada.seen(), [("user-1", "1"), ("user-2", "2")]);
    assert_eq!(of_bob.seen(), of_ada.seen());

    servers[1].places.enter(&bob, "board", state("3"), START);
    servers[0].places.set_away(&ada, &board(), true);
    settle(&mut servers, &mut now);
    of_ada.take(&ada);
    of_bob.take(&bob);
    assert_eq!(of_ada.seen(), [("user-2", "3")]);
    assert_eq!(of_bob.seen(), of_ada.seen());

    servers[1].places.leave(&bob, &board());
    settle(&mut servers, &mut now);
    of_ada.take(&ada);
    assert!(of_ada.seen().is_empty());
    servers[0].places.leave(&ada, &board());
    assert!(servers.iter().all(|server| server.places.sizes() == (0, 0)));
}

#[test]
fn a_server_that_is_not_heard_any_more_takes_its_members_with_it() {
    let (mut servers, mut now) = ([Server::new(1), Server::new(2)], Millis(1_000));
    let (ada, bob) = (mailbox(1), mailbox(2));
    let mut of_ada = View::default();
    servers[0].places.enter(&ada, "board", state("1"), START);
    servers[1].places.enter(&bob, "board", state("2"), START);
    settle(&mut servers, &mut now);
    of_ada.take(&ada);
    assert_eq!(of_ada.seen().len(), 2);
    let lost = servers[1].id;
    servers[0].places.lose(lost);
    settle(&mut servers[..1], &mut now);
    of_ada.take(&ada);
    assert_eq!(of_ada.seen(), [("user-1", "1")]);
    // It is asked once it is heard again.
    servers[1].outlet.told.lock().unwrap().clear();
    servers[0].outlet.attend(&("acme".into(), board()));
    settle(&mut servers, &mut now);
    of_ada.take(&ada);
    assert_eq!(of_ada.seen().len(), 2);
}

#[test]
fn a_client_that_comes_back_at_another_server_is_there_once_and_its_former_session_is_told() {
    // Whether the other server knew of it or not, and whatever its clock says.
    for (known, at) in [(true, START), (false, START), (true, Millis(1)), (false, Millis(1))] {
        let (mut servers, mut now) = ([Server::new(1), Server::new(2)], Millis(1_000));
        let (before, after, bob) = (mailbox(1), mailbox(1), mailbox(2));
        let mut of_bob = View::default();
        servers[0].places.enter(&before, "board", state("1"), START);
        servers[0].places.enter(&bob, "board", None, START);
        if known {
            servers[1].places.enter(&mailbox(3), "board", None, START);
        }
        settle(&mut servers, &mut now);
        news(&before);
        servers[1].places.enter(&after, "board", state("2"), at);
        settle(&mut servers, &mut now);
        of_bob.take(&bob);
        assert_eq!(of_bob.seen(), [("user-1", "2")], "{known} {at:?}");
        assert_eq!(View::default().take(&before), ["replaced"], "{known} {at:?}");
        assert!(View::default().take(&after).is_empty(), "{known} {at:?}");
        // What the former session still says changes nothing.
        servers[0].places.leave(&before, &board());
        settle(&mut servers, &mut now);
        of_bob.take(&bob);
        assert_eq!(of_bob.seen(), [("user-1", "2")]);
    }
}

#[test]
fn two_servers_that_a_client_comes_to_at_once_agree_on_one() {
    let (mut servers, mut now) = ([Server::new(1), Server::new(2)], Millis(1_000));
    let (one, two) = (mailbox(1), mailbox(1));
    servers[0].places.enter(&one, "board", state("1"), START);
    servers[1].places.enter(&two, "board", state("2"), START);
    settle(&mut servers, &mut now);
    let over = [View::default().take(&one), View::default().take(&two)].concat();
    assert_eq!(over, ["replaced"]);
    let seats: usize = servers.iter().map(|server| server.places.sizes().1).sum();
    assert_eq!(seats, 1);
}

#[test]
fn a_message_reaches_the_members_and_the_person_at_every_server() {
    let (mut servers, mut now) = ([Server::new(1), Server::new(2)], Millis(1_000));
    let (ada, bob) = (mailbox(1), mailbox(2));
    servers[0].places.enter(&ada, "board", None, START);
    servers[1].places.enter(&bob, "board", None, START);
    settle(&mut servers, &mut now);
    news(&ada);
    news(&bob);
    let say = |to| Send { id: 7, to, data: Json::parse("\"hi\"").unwrap() };
    servers[0].places.send(&ada, say(Recipient::Room("board".into())));
    settle(&mut servers, &mut now);
    let frame = |mailbox: &Mailbox| match mailbox.next().now_or_never() {
        Some(Mail::Post(Post { frame, .. })) => decode::<ServerFrame>(&frame).ok(),
        _ => None,
    };
    assert!(matches!(frame(&ada), Some(ServerFrame::Sent(sent)) if (sent.id, sent.count) == (7, 1)));
    assert!(matches!(frame(&bob), Some(ServerFrame::Message(Message { from, .. })) if from == "user-1"));

    servers[0].places.send(&ada, say(Recipient::User("user-2".into())));
    assert!(matches!(frame(&ada), Some(ServerFrame::Sent(sent)) if sent.count == 2));
    let written = std::mem::take(&mut *servers[0].outlet.written.lock().unwrap());
    let (person, text) = &written[0];
    servers[1].places.attach(&bob);
    assert_eq!(servers[1].places.write(person, text, None), 1);
    assert!(matches!(frame(&bob), Some(ServerFrame::Message(_))));
}
