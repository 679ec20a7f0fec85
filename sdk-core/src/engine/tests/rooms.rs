//! Live presence and messages.

use super::*;
use crate::protocol::{
    EndReason, Enter, Leave, MAX_ROOMS, Member, Message, Recipient, RoomName, RoomNews, Send, Sent, SlowDown,
};

fn attend(room: &str) -> Attendance {
    Attendance { room: Some(RoomName::new(room).unwrap()), listen: false, interval: None, state: None }
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn told(me: u64, members: &[(u64, &str, &str)]) -> ServerFrame {
    let member = |(id, user, state): &(u64, &str, &str)| {
        let (user, state) = ((*user).to_owned(), json(state));
        Member { id: *id, user, state }
    };
    let members = members.iter().map(member).collect();
    ServerFrame::Room(RoomNews {
        room: "board".into(),
        me: Some(me),
        full: true,
        members,
        ..RoomNews::default()
    })
}

impl Bench {
    /// The states with which it has entered rooms.
    fn entered(&mut self) -> Vec<Option<String>> {
        let entered = self.frames().into_iter().filter_map(|frame| match frame {
            ClientFrame::Enter(Enter { state, .. }) => Some(state.map(|state| state.as_str().to_owned())),
            _ => None,
        });
        entered.collect()
    }

    fn people(&self, id: u64) -> Option<Vec<String>> {
        let room = self.engine.room(QueryId(id)).unwrap();
        room.loaded.then(|| room.people.into_iter().map(|person| person.user).collect())
    }

    fn say(&mut self, ticket: u64) -> Vec<u64> {
        self.input(Input::Say(Ticket(ticket), Recipient::Room("board".into()), json("1")));
        let sends = self.frames().into_iter().filter_map(|frame| match frame {
            ClientFrame::Send(Send { id, .. }) => Some(id),
            _ => None,
        });
        sends.collect()
    }
}

#[test]
fn who_is_there_is_known_only_while_there_is_a_link_and_oneself_comes_back_in_the_newest_state() {
    let mut bench = Bench::fresh();
    bench.input(Input::Attend(QueryId(1), attend("board")));
    bench.input(Input::Present(QueryId(1), Some(json("1"))));
    bench.input(Input::Present(QueryId(1), Some(json("2"))));
    let link = bench.connect();
    assert_eq!(bench.entered(), [Some("2".into())]);
    bench.receive(link, told(4, &[(4, "ada", "2"), (5, "bob", "{}")]));
    assert_eq!(bench.people(1), Some(vec!["ada".into(), "bob".into()]));

    bench.input(Input::LinkDown(link));
    assert!(bench.events().contains(&Event::ViewChanged(QueryId(1))));
    assert_eq!(bench.people(1), None);
    bench.input(Input::Present(QueryId(1), Some(json("3"))));
    bench.later(60_000);
    bench.connect();
    assert_eq!(bench.entered(), [Some("3".into())]);
}

#[test]
fn of_states_that_change_fast_the_newest_goes_out_in_turns() {
    let mut bench = Bench::fresh();
    bench.input(Input::Attend(QueryId(1), attend("board")));
    let link = bench.connect();
    assert_eq!(bench.entered(), [None]);
    bench.receive(link, told(4, &[]));
    for state in 0..40 {
        bench.input(Input::Present(QueryId(1), Some(json(&state.to_string()))));
    }
    assert!(bench.entered().is_empty());
    let at = bench.engine.poll_timeout().unwrap();
    assert_eq!(at.since(Millis(bench.now)), 50);
    bench.later(50);
    assert_eq!(bench.entered(), [Some("39".into())]);
    bench.later(1_000);
    assert!(bench.entered().is_empty());
}

#[test]
fn two_ways_into_a_room_are_one_member_in_the_state_that_was_set_last() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    for id in [1, 2] {
        bench.input(Input::Attend(QueryId(id), attend("board")));
        bench.input(Input::Present(QueryId(id), Some(json(&id.to_string()))));
    }
    bench.receive(link, told(4, &[]));
    bench.later(50);
    assert_eq!(bench.entered().last(), Some(&Some("2".into())));
    bench.input(Input::Close(QueryId(2)));
    bench.later(50);
    assert_eq!(bench.entered(), [Some("1".into())]);
    bench.input(Input::Close(QueryId(1)));
    assert_eq!(bench.frames(), [ClientFrame::Leave(Leave { room: "board".into() })]);
    assert_eq!(bench.engine.poll_timeout().map(|at| at > Millis(bench.now + 1_000)), Some(true));
}

#[test]
fn what_is_said_has_an_answer_also_where_it_reaches_nobody() {
    let mut bench = Bench::fresh();
    assert!(bench.say(1).is_empty());
    let codes = |events: Vec<Event>| -> Vec<(u64, String)> {
        let code = |event| match event {
            Event::Unsent(ticket, why) => Some((ticket.0, why.code)),
            Event::Sent(ticket, count) => Some((ticket.0, count.to_string())),
            _ => None,
        };
        events.into_iter().filter_map(code).collect()
    };
    assert_eq!(codes(bench.events()), [(1, "not_connected".into())]);
    let link = bench.connect();
    let [two] = bench.say(2)[..] else { panic!("it is sent") };
    let [three] = bench.say(3)[..] else { panic!("it is sent") };
    bench.receive(link, ServerFrame::Sent(Sent { id: two, count: 5, reason: None }));
    let reason = Some(EndReason { code: "forbidden".into(), message: "no".into() });
    bench.receive(link, ServerFrame::Sent(Sent { id: three, count: 0, reason }));
    assert_eq!(codes(bench.events()), [(2, "5".into()), (3, "forbidden".into())]);
    bench.say(4);
    bench.input(Input::LinkDown(link));
    assert_eq!(codes(bench.events()), [(4, "not_connected".into())]);
}

#[test]
fn messages_come_to_their_room_or_to_who_listens_for_himself_until_taken() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.input(Input::Attend(QueryId(1), Attendance { listen: true, ..attend("board") }));
    bench.input(Input::Attend(QueryId(2), Attendance { room: None, listen: true, ..attend("board") }));
    for (room, data) in [(Some("board"), "1"), (None, "2"), (Some("board"), "3"), (Some("other"), "4")] {
        let (room, from) = (room.map(str::to_owned), "bob".to_owned());
        bench.receive(link, ServerFrame::Message(Message { room, from, data: json(data) }));
    }
    let heard = |bench: &Bench, id| -> Vec<(u64, String)> {
        let messages = bench.engine.room(QueryId(id)).unwrap().messages.into_iter();
        messages.map(|heard| (heard.number, heard.data.as_str().to_owned())).collect()
    };
    let [(first, one), (second, three)] = &heard(&bench, 1)[..] else { panic!("two") };
    assert!(first < second && one == "1" && three == "3");
    assert_eq!(heard(&bench, 2)[0].1, "2");
    bench.input(Input::Heard(QueryId(1), *first));
    assert_eq!(heard(&bench, 1).len(), 1);
}

#[test]
fn a_room_that_is_closed_to_one_is_not_asked_for_again_on_this_link() {
    let mut bench = Bench::fresh();
    bench.input(Input::Attend(QueryId(1), attend("board")));
    let link = bench.connect();
    assert_eq!(bench.entered(), [None]);
    let over = Some(EndReason { code: "forbidden".into(), message: "no".into() });
    bench.receive(link, ServerFrame::Room(RoomNews { room: "board".into(), over, ..RoomNews::default() }));
    bench.input(Input::Present(QueryId(1), Some(json("1"))));
    bench.later(1_000);
    assert!(bench.entered().is_empty());
    assert_eq!(bench.engine.room(QueryId(1)).unwrap().over.unwrap().code, "forbidden");
    bench.input(Input::Close(QueryId(1)));
    assert_eq!(bench.frames(), [], "there is nothing to leave");
}

#[test]
fn a_server_without_rooms_is_not_asked_for_any_and_the_number_of_rooms_has_a_cap() {
    let mut bench = Bench::fresh();
    for number in 0..=MAX_ROOMS as u64 {
        bench.input(Input::Attend(QueryId(number), attend(&format!("room-{number}"))));
    }
    assert!(bench.events().contains(&Event::QueryRefused(QueryId(MAX_ROOMS as u64))));
    let limits = Limits { rooms: 0, ..Limits::default() };
    bench.connect_to(Welcome { limits, ..welcome("ada") });
    assert!(bench.entered().is_empty());
}

#[test]
fn a_client_that_is_asked_to_slow_down_says_nothing_until_then_and_loses_nothing() {
    let mut bench = Bench::fresh();
    let link = bench.connect();
    bench.receive(link, ServerFrame::SlowDown(SlowDown { wait: 2_000 }));
    bench.submit(1, "a", 1);
    bench.commit();
    bench.input(Input::Attend(QueryId(1), attend("board")));
    assert!(bench.frames().is_empty());
    assert!(bench.say(2).is_empty());
    bench.later(1_999);
    assert!(bench.frames().is_empty());
    let at = bench.engine.poll_timeout().unwrap();
    assert_eq!(at.since(Millis(bench.now)), 1);
    bench.later(1);
    let frames = bench.frames();
    assert!(matches!(frames[..], [ClientFrame::Push(_), ClientFrame::Enter(_)]), "{frames:?}");
}
