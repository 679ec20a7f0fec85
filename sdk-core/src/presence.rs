//! One room, as a client is in it: who is there, and what was said.
//!
//! Nothing of it outlives the link. What the application wants to be seen as is kept, only its newest, and is said anew
//! on the next link; what the others are is told anew by the server.

use std::collections::VecDeque;

use crate::{
    protocol::{EndReason, Json, Member, Message, RoomNews},
    sorted::SortedMap,
    wire::record,
};

/// Messages that wait for the application. Of more the oldest are dropped, and counted.
const MOST_MESSAGES: usize = 256;
/// Bytes of messages that wait.
const MOST_BYTES: usize = 256 << 10;

/// What the application sees of a room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Room {
    /// Who is there, by name.
    pub people: Vec<Person>,
    /// Whether that is known: the link is up, and the server has told.
    pub loaded: bool,
    /// Messages that were not taken, oldest first.
    pub messages: Vec<Heard>,
    /// Messages before these that were not taken in time and are gone.
    pub dropped: u64,
    /// Why one is not in the room, and will not be.
    pub over: Option<EndReason>,
}

/// Somebody in a room, at one device or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The subject of the token.
    pub user: String,
    /// Whether this client is one of the devices.
    pub me: bool,
    /// The state that was changed last.
    pub state: Json,
    /// Each device, the one that has changed last first.
    pub devices: Vec<Device>,
}

/// A device at which somebody is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// A number that is nobody else's.
    pub id: u64,
    /// Its state.
    pub state: Json,
    changed: u64,
}

/// A message, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Grows from one message to the next, also from one life of the client to the next.
    pub number: u64,
    /// The sender.
    pub from: String,
    /// What it says.
    pub data: Json,
}

/// Who is in a room, as the server tells it.
#[derive(Debug, Default)]
pub struct Members {
    me: Option<u64>,
    loaded: bool,
    members: SortedMap<u64, Placed>,
    changes: u64,
}

#[derive(Debug)]
struct Placed {
    user: String,
    state: Json,
    changed: u64,
}

impl Members {
    /// Whether the server has said that one is in the room.
    pub fn is_in(&self) -> bool {
        self.me.is_some()
    }

    /// Takes what is new.
    pub fn news(&mut self, news: RoomNews) {
        let RoomNews { me, full, members, left, .. } = news;
        self.me = me.or(self.me);
        if full {
            self.loaded = true;
            let listed = |id: &u64| members.iter().any(|member| member.id == *id);
            self.members.retain(|id, _| listed(id));
        }
        for Member { id, user, state } in members {
            let known = self.members.get(&id).filter(|placed| placed.state == state);
            let changed = known.map_or_else(
                || {
                    self.changes += 1;
                    self.changes
                },
                |placed| placed.changed,
            );
            self.members.insert(id, Placed { user, state, changed });
        }
        left.iter().for_each(|id| drop(self.members.remove(id)));
    }

    /// What is seen of them.
    pub fn show(&self) -> Room {
        Room { people: self.people(), loaded: self.loaded, ..Room::default() }
    }

    /// The people, by name, each with the device first that has changed last.
    fn people(&self) -> Vec<Person> {
        let mut people: Vec<Person> = Vec::new();
        for (id, Placed { user, state, changed }) in self.members.iter() {
            let place = people.partition_point(|person| person.user < *user);
            if people.get(place).is_none_or(|person| person.user != *user) {
                let (user, state) = (user.clone(), state.clone());
                people.insert(place, Person { user, me: false, state, devices: Vec::new() });
            }
            let person = &mut people[place];
            person.me |= self.me == Some(*id);
            let place = person.devices.partition_point(|device| device.changed > *changed);
            person.devices.insert(place, Device { id: *id, state: state.clone(), changed: *changed });
            person.state = person.devices[0].state.clone();
        }
        people
    }
}

/// Messages that wait for one reader.
#[derive(Debug, Default)]
pub struct Inbox {
    waiting: VecDeque<Heard>,
    bytes: usize,
    dropped: u64,
}

impl Inbox {
    /// Takes a message.
    pub fn add(&mut self, number: u64, message: &Message) {
        let Message { from, data, .. } = message;
        self.bytes += data.as_str().len();
        self.waiting.push_back(Heard { number, from: from.clone(), data: data.clone() });
        while self.waiting.len() > MOST_MESSAGES || self.bytes > MOST_BYTES {
            self.pop();
            self.dropped += 1;
        }
    }

    /// The application has taken all up to this one.
    pub fn taken(&mut self, number: u64) {
        while self.waiting.front().is_some_and(|heard| heard.number <= number) {
            self.pop();
            self.dropped = 0;
        }
    }

    fn pop(&mut self) {
        let heard = self.waiting.pop_front();
        self.bytes -= heard.map_or(0, |heard| heard.data.as_str().len());
    }

    /// What is heard through it.
    pub fn show(&self) -> Room {
        let messages = self.waiting.iter().cloned().collect();
        Room { messages, dropped: self.dropped, ..Room::default() }
    }
}

record!(out Room {
    people: "people";
    loaded: "loaded";
    messages: "messages";
    dropped: "dropped";
    over: "over";
});

record!(out Person {
    user: "user";
    me: "me";
    state: "state";
    devices: "devices";
});

record!(out Device {
    id: "id";
    state: "state";
});

record!(out Heard {
    number: "number";
    from: "from";
    data: "data";
});

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    fn member(id: u64, user: &str, state: &str) -> Member {
        Member { id, user: user.into(), state: json(state) }
    }

    fn full(members: Vec<Member>) -> RoomNews {
        RoomNews { full: true, members, ..RoomNews::default() }
    }

    #[test]
    fn somebody_at_two_devices_is_one_person_in_the_state_that_changed_last() {
        let mut members = Members::default();
        members.news(RoomNews { me: Some(3), ..RoomNews::default() });
        assert!(!members.loaded);
        members.news(full(vec![member(1, "bob", "1"), member(2, "ada", "2"), member(3, "bob", "3")]));
        members.news(RoomNews { members: vec![member(1, "bob", "4")], ..RoomNews::default() });
        let people = members.people();
        let row = |person: &Person| (person.user.clone(), person.me, person.state.as_str().to_owned());
        assert_eq!(
            people.iter().map(row).collect::<Vec<_>>(),
            [("ada".into(), false, "2".into()), ("bob".into(), true, "4".into())]
        );
        assert_eq!(people[1].devices.iter().map(|device| device.id).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_full_account_takes_the_place_of_what_was_known() {
        let mut members = Members::default();
        members.news(full(vec![member(1, "ada", "1"), member(2, "bob", "2")]));
        members.news(full(vec![member(2, "bob", "2")]));
        members.news(RoomNews { left: vec![7], ..RoomNews::default() });
        assert_eq!(members.people().len(), 1);
    }

    #[test]
    fn of_messages_that_nobody_takes_the_oldest_are_dropped_and_counted() {
        let mut inbox = Inbox::default();
        let message = |data: String| Message { room: None, from: "ada".into(), data: json(&data) };
        for number in 1..=MOST_MESSAGES as u64 + 3 {
            inbox.add(number, &message(number.to_string()));
        }
        let shown = inbox.show();
        assert_eq!((shown.messages.len(), shown.messages[0].number, shown.dropped), (MOST_MESSAGES, 4, 3));
        inbox.taken(5);
        let shown = inbox.show();
        assert_eq!((shown.messages[0].number, shown.dropped), (6, 0));
        inbox.add(1_000, &message(format!("\"{}\"", "x".repeat(MOST_BYTES))));
        assert!(inbox.show().messages.is_empty());
    }
}
