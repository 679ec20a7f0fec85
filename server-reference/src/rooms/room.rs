//! One room: who is in it, and what the others have not been told yet.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use sdk_core::{
    clock::Millis,
    protocol::{ClientId, EndReason, Json, Member, RoomName, RoomNews, ServerFrame, encode},
};

use super::{
    code::Code,
    mailbox::{About, Mailbox},
};

/// Milliseconds between two times that a room tells what is new. In between the newest state of each member counts.
pub(super) const TICK: u64 = 50;
/// Bytes that one room sends in a millisecond, to all of its members together. What is new costs the square of the number
/// of those who move: beyond this a room tells of it less often.
const BYTES_A_MILLISECOND: usize = 32 * 1024;
/// Members of one room, those included who only watch.
pub(super) const MAX_MEMBERS: usize = 2_000;
/// Bytes of all states in one room.
const MAX_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Room {
    name: RoomName,
    /// One for each installation: who comes back before it was missed takes its former place.
    seats: HashMap<ClientId, Seat>,
    bytes: usize,
    changed: BTreeSet<ClientId>,
    left: Vec<u64>,
    /// Those who are to be told of everybody.
    newcomers: BTreeSet<ClientId>,
    /// Before this time nothing is told.
    rests: Millis,
}

#[derive(Debug)]
struct Seat {
    id: u64,
    mailbox: Arc<Mailbox>,
    state: Option<Json>,
    /// Nothing was heard of its session for a while.
    away: bool,
    /// Others were told of it.
    shown: bool,
}

impl Seat {
    fn visible(&self) -> Option<&Json> {
        self.state.as_ref().filter(|_| !self.away)
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Room {
    pub(super) fn new(name: RoomName) -> Self {
        Self {
            name,
            seats: HashMap::new(),
            bytes: 0,
            changed: BTreeSet::new(),
            left: Vec::new(),
            newcomers: BTreeSet::new(),
            rests: Millis(0),
        }
    }

    /// How many are in it.
    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// When to [`tell`](Self::tell), if there is anything to.
    pub(super) fn due(&self) -> Option<Millis> {
        let news = !self.changed.is_empty() || !self.left.is_empty() || !self.newcomers.is_empty();
        news.then_some(self.rests)
    }

    /// Somebody enters, or is in another state. `id` is the number of who is new.
    pub(super) fn enter(&mut self, mailbox: &Arc<Mailbox>, state: Option<Json>, id: u64) -> Result<(), Full> {
        let size = |state: &Option<Json>| state.as_ref().map_or(0, |state| state.as_str().len());
        let before = self.seats.get(&mailbox.client).map_or(0, |seat| size(&seat.state));
        let bytes = self.bytes - before + size(&state);
        let known = self.seats.contains_key(&mailbox.client);
        if bytes > MAX_BYTES || (!known && self.seats.len() >= MAX_MEMBERS) {
            return Err(Full);
        }
        self.bytes = bytes;
        let client = mailbox.client;
        let seat = self.seats.entry(client).or_insert_with(|| Seat {
            id,
            mailbox: mailbox.clone(),
            state: None,
            away: false,
            shown: false,
        });
        let other = !Arc::ptr_eq(&seat.mailbox, mailbox);
        if other {
            let former = std::mem::replace(&mut seat.mailbox, mailbox.clone());
            tell_over(
                &former,
                self.name.as_str(),
                Code::Replaced,
                "the same client is there in another session",
            );
        }
        if other || !known {
            let me = RoomNews { room: self.name.to_string(), me: Some(seat.id), ..RoomNews::default() };
            mailbox.say(About::Message, &text(me));
            self.newcomers.insert(client);
        }
        (seat.state, seat.away) = (state, false);
        self.changed.insert(client);
        Ok(())
    }

    /// A session leaves.
    pub(super) fn leave(&mut self, mailbox: &Arc<Mailbox>) {
        if !self.holds(mailbox) {
            return;
        }
        let client = mailbox.client;
        let Some(seat) = self.seats.remove(&client) else { return };
        self.bytes -= seat.state.map_or(0, |state| state.as_str().len());
        self.left.extend(seat.shown.then_some(seat.id));
        self.changed.remove(&client);
        self.newcomers.remove(&client);
    }

    /// Nothing was heard of a session for a while, or it is heard again.
    pub(super) fn set_away(&mut self, mailbox: &Arc<Mailbox>, away: bool) {
        if let Some(seat) = self.seats.get_mut(&mailbox.client)
            && Arc::ptr_eq(&seat.mailbox, mailbox)
            && seat.away != away
        {
            seat.away = away;
            self.changed.insert(mailbox.client);
        }
    }

    /// A session is to be told of everybody once more.
    pub(super) fn catch_up(&mut self, mailbox: &Arc<Mailbox>) {
        if self.holds(mailbox) {
            self.newcomers.insert(mailbox.client);
        }
    }

    /// Whether a session is in the room.
    pub(super) fn holds(&self, mailbox: &Arc<Mailbox>) -> bool {
        self.seats.get(&mailbox.client).is_some_and(|seat| Arc::ptr_eq(&seat.mailbox, mailbox))
    }

    /// Says something to everybody but the sender; returns to how many.
    pub(super) fn say(&self, sender: &Arc<Mailbox>, frame: &Arc<str>) -> u64 {
        let others = self.seats.values().filter(|seat| !Arc::ptr_eq(&seat.mailbox, sender));
        others.fold(0, |count, seat| {
            seat.mailbox.say(About::Message, frame);
            count + 1
        })
    }

    /// Tells everybody what is new.
    pub(super) fn tell(&mut self, now: Millis) {
        let changed = std::mem::take(&mut self.changed);
        let newcomers = std::mem::take(&mut self.newcomers);
        let mut news = RoomNews { room: self.name.to_string(), ..RoomNews::default() };
        news.left = std::mem::take(&mut self.left);
        for client in &changed {
            let Some(seat) = self.seats.get_mut(client) else { continue };
            match seat.visible() {
                Some(state) => {
                    news.members.push(member(seat, state));
                    seat.shown = true;
                }
                None if seat.shown => {
                    news.left.push(seat.id);
                    seat.shown = false;
                }
                None => {}
            }
        }
        let mut bytes = 0;
        if !news.members.is_empty() || !news.left.is_empty() {
            let frame = text(news);
            for (_, seat) in self.seats.iter().filter(|(client, _)| !newcomers.contains(client)) {
                seat.mailbox.show(&self.name, &frame);
                bytes += frame.len();
            }
        }
        if !newcomers.is_empty() {
            let frame = text(self.everybody());
            for seat in newcomers.iter().filter_map(|client| self.seats.get(client)) {
                seat.mailbox.show(&self.name, &frame);
                bytes += frame.len();
            }
        }
        self.rests = now.plus(TICK.max((bytes / BYTES_A_MILLISECOND) as u64));
    }

    fn everybody(&self) -> RoomNews {
        let members = self.seats.values().filter_map(|seat| Some(member(seat, seat.visible()?))).collect();
        RoomNews { room: self.name.to_string(), full: true, members, ..RoomNews::default() }
    }
}

fn member(seat: &Seat, state: &Json) -> Member {
    Member { id: seat.id, user: seat.mailbox.scope.subject().to_string(), state: state.clone() }
}

/// Tells a session that it is not in a room.
pub(super) fn tell_over(mailbox: &Mailbox, room: &str, code: Code, message: &str) {
    let over = Some(EndReason { code: code.as_str().to_owned(), message: message.to_owned() });
    let frame = text(RoomNews { room: room.to_owned(), over, ..RoomNews::default() });
    mailbox.say(About::Over(room.to_owned()), &frame);
}

fn text(news: RoomNews) -> Arc<str> {
    encode(&ServerFrame::Room(news)).into()
}
