//! Live presence and messages: only while the WebSocket works, and never kept.

use super::{Effect, Engine, Event, QueryId, Ticket, Unsent};
use crate::{
    clock::Millis,
    presence::{Inbox, Members, Room},
    protocol::{
        ClientFrame, EndReason, Enter, Json, Leave, MAX_ROOMS, Message, Recipient, RoomName, RoomNews, Send,
        Sent,
    },
    routing::{Class, Route, route},
    sorted::SortedMap,
    wire::record,
};

/// Ways into rooms that the application has open, those for messages to itself included.
const MAX_SEATS: usize = 128;
/// Messages that were sent and not answered.
const MAX_SENDS: usize = 64;
/// Milliseconds between two states that are sent, if the application does not say.
const INTERVAL: u64 = 50;
/// The least and the most that it may say.
const INTERVALS: std::ops::RangeInclusive<u64> = 16..=10_000;
/// Numbers of messages that one millisecond has room for, so that those of a later life of the client are greater.
const NUMBERS_A_MILLISECOND: u64 = 256;

/// What an application wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attendance {
    /// Which room; none for what is said to this person.
    pub room: Option<RoomName>,
    /// Not to see who is there, but to hear what is said.
    pub listen: bool,
    /// Milliseconds between two states of its own that are sent, of which the newest counts.
    pub interval: Option<u64>,
    /// What it wants to be seen as, to begin with.
    pub state: Option<Json>,
}

record!(Attendance {
    room: "room";
    listen: "listen" or false;
    interval: "interval";
    state: "state";
});

/// What a client has to do with rooms.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    seats: SortedMap<QueryId, Seat>,
    places: SortedMap<RoomName, Place>,
    sends: Vec<(u64, Ticket)>,
    /// Counts the states that were set.
    states: u64,
    newest_message: u64,
}

/// One of the application's ways into a room.
#[derive(Debug)]
struct Seat {
    room: Option<RoomName>,
    interval: u64,
    /// What was said; none where that is of no interest.
    inbox: Option<Inbox>,
    /// What it wants to be seen as, and when that was said among all.
    state: Option<(u64, Json)>,
}

/// A room, on the present link.
#[derive(Debug, Default)]
struct Place {
    members: Members,
    /// The server was told that one is there.
    entered: bool,
    /// The state is not the one that was sent.
    stale: bool,
    /// Before this time it is not sent.
    rests: Millis,
    over: Option<EndReason>,
}

impl Rooms {
    /// What is not answered yet.
    pub(super) fn asking(&self) -> usize {
        let asks = |place: &&Place| place.entered && !place.members.is_in() && place.over.is_none();
        self.sends.len() + self.places.values().filter(asks).count()
    }

    fn of(&self, room: Option<&RoomName>) -> impl Iterator<Item = (&QueryId, &Seat)> {
        self.seats.iter().filter(move |(_, seat)| seat.room.as_ref() == room)
    }

    fn is_stale(&mut self, room: &RoomName) {
        if let Some(place) = self.places.get_mut(room) {
            place.stale = true;
        }
    }

    /// The newest state that any part of the application has set, and how often it may be sent.
    fn state(&self, room: &RoomName) -> (Option<Json>, u64) {
        let newest =
            self.of(Some(room)).filter_map(|(_, seat)| seat.state.as_ref()).max_by_key(|(at, _)| *at);
        let interval = self.of(Some(room)).map(|(_, seat)| seat.interval).min();
        (newest.map(|(_, state)| state.clone()), interval.unwrap_or(INTERVAL))
    }
}

impl Engine {
    pub(super) fn attend(&mut self, id: QueryId, Attendance { room, listen, interval, state }: Attendance) {
        let rooms = &mut self.rooms;
        let known = room.as_ref().is_none_or(|room| rooms.places.contains_key(room));
        if rooms.seats.len() >= MAX_SEATS || (!known && rooms.places.len() >= MAX_ROOMS) {
            self.emit(Event::QueryRefused(id));
            return;
        }
        if let Some(room) = &room {
            rooms.places.get_or_insert_with(room.clone(), Place::default);
        }
        let interval = interval.unwrap_or(INTERVAL).clamp(*INTERVALS.start(), *INTERVALS.end());
        rooms.seats.insert(id, Seat { room, interval, inbox: listen.then(Inbox::default), state: None });
        if state.is_some() {
            self.present(id, state);
        }
        self.emit(Event::ViewChanged(id));
    }

    /// The application wants to be seen so in a room, or not at all.
    pub(super) fn present(&mut self, id: QueryId, state: Option<Json>) {
        let rooms = &mut self.rooms;
        let Some(seat) = rooms.seats.get_mut(&id) else { return };
        rooms.states += 1;
        seat.state = state.map(|state| (rooms.states, state));
        if let Some(room) = seat.room.clone() {
            rooms.is_stale(&room);
        }
    }

    /// The application has taken messages.
    pub(super) fn heard(&mut self, id: QueryId, number: u64) {
        let seat = self.rooms.seats.get_mut(&id);
        seat.and_then(|seat| seat.inbox.as_mut()).into_iter().for_each(|inbox| inbox.taken(number));
    }

    /// What is seen of a room now; none if it is not open.
    pub fn room(&self, id: QueryId) -> Option<Room> {
        let seat = self.rooms.seats.get(&id)?;
        let place = seat.room.as_ref().and_then(|room| self.rooms.places.get(room));
        let over = place.and_then(|place| place.over.clone());
        Some(match (&seat.inbox, place) {
            (Some(inbox), _) => Room { over, ..inbox.show() },
            (None, Some(place)) => Room { over, ..place.members.show() },
            (None, None) => Room::default(),
        })
    }

    pub(super) fn close_room(&mut self, id: QueryId) {
        let Some(Seat { room: Some(room), .. }) = self.rooms.seats.remove(&id) else { return };
        if self.rooms.of(Some(&room)).next().is_some() {
            self.rooms.is_stale(&room);
        } else if let Some(Place { entered: true, over: None, .. }) = self.rooms.places.remove(&room)
            && self.socket.is_live()
        {
            let leave = Leave { room: room.as_str().to_owned() };
            self.effects.push_back(Effect::Send(self.link, ClientFrame::Leave(leave)));
        }
    }

    /// Says something to those who are there now, or says that it was not said.
    pub(super) fn say(&mut self, ticket: Ticket, to: Recipient, data: Json) {
        if self.socket.is_quiet() {
            self.emit(Event::Unsent(ticket, Unsent::too_fast()));
        } else if !self.has_rooms() {
            self.emit(Event::Unsent(ticket, Unsent::not_connected()));
        } else if self.rooms.sends.len() >= MAX_SENDS {
            self.emit(Event::Unsent(ticket, Unsent::busy()));
        } else {
            let id = self.next_id();
            self.rooms.sends.push((id, ticket));
            self.effects.push_back(Effect::Send(self.link, ClientFrame::Send(Send { id, to, data })));
        }
    }

    fn has_rooms(&self) -> bool {
        let socket = route(Class::LivePresence, self.link_state()) == Route::Socket;
        socket && self.socket.is_live() && self.limits.rooms > 0
    }

    /// Tells the server where one is, and in which state. Returns whether an answer is waited for.
    pub(super) fn advance_rooms(&mut self, now: Millis) -> bool {
        if !self.has_rooms() {
            return false;
        }
        let due = |place: &Place| !place.entered || (place.stale && place.rests <= now);
        let places = self.rooms.places.iter().filter(|(_, place)| place.over.is_none() && due(place));
        let names: Vec<RoomName> = places.map(|(room, _)| room.clone()).collect();
        for room in names {
            let (state, interval) = self.rooms.state(&room);
            let Some(place) = self.rooms.places.get_mut(&room) else { continue };
            (place.entered, place.stale, place.rests) = (true, false, now.plus(interval));
            let enter = Enter { room: room.as_str().to_owned(), state };
            self.effects.push_back(Effect::Send(self.link, ClientFrame::Enter(enter)));
        }
        self.rooms.asking() > 0
    }

    pub(super) fn rooms_timeout(&self) -> Option<Millis> {
        let waits = |place: &&Place| place.entered && place.stale && place.over.is_none();
        let places = self.rooms.places.values().filter(waits);
        places.map(|place| place.rests).min().filter(|_| self.has_rooms())
    }

    pub(super) fn room_news(&mut self, mut news: RoomNews) {
        // One that was left meanwhile is of no interest any more.
        let Ok(room) = RoomName::new(&news.room) else { return };
        let Some(place) = self.rooms.places.get_mut(&room) else { return };
        place.over = news.over.take();
        if place.over.is_some() {
            place.members = Members::default();
        } else {
            place.members.news(news);
        }
        self.look(Some(&room));
    }

    pub(super) fn message(&mut self, message: &Message) {
        let room = message.room.as_deref();
        let least = self.wall.0.saturating_mul(NUMBERS_A_MILLISECOND);
        let number = least.max(self.rooms.newest_message + 1);
        self.rooms.newest_message = number;
        let seats =
            self.rooms.seats.iter_mut().filter(|(_, seat)| seat.room.as_ref().map(RoomName::as_str) == room);
        let told: Vec<QueryId> = seats
            .filter_map(|(id, seat)| {
                seat.inbox.as_mut()?.add(number, message);
                Some(*id)
            })
            .collect();
        told.into_iter().for_each(|id| self.emit(Event::ViewChanged(id)));
    }

    pub(super) fn sent(&mut self, Sent { id, count, reason }: Sent) {
        let Some(place) = self.rooms.sends.iter().position(|(send, _)| *send == id) else { return };
        let (_, ticket) = self.rooms.sends.remove(place);
        self.emit(match reason {
            None => Event::Sent(ticket, count),
            Some(reason) => Event::Unsent(ticket, reason.into()),
        });
    }

    /// The link is another one now, or none: nobody is known to be there.
    pub(super) fn leave_rooms(&mut self) {
        let sends = std::mem::take(&mut self.rooms.sends);
        sends.into_iter().for_each(|(_, ticket)| self.emit(Event::Unsent(ticket, Unsent::not_connected())));
        let rooms: Vec<RoomName> = self.rooms.places.keys().cloned().collect();
        for room in rooms {
            self.rooms.places.insert(room.clone(), Place::default());
            self.look(Some(&room));
        }
    }

    fn look(&mut self, room: Option<&RoomName>) {
        let seats: Vec<QueryId> = self.rooms.of(room).map(|(id, _)| *id).collect();
        seats.into_iter().for_each(|id| self.emit(Event::ViewChanged(id)));
    }
}
