//! All rooms, and all sessions, of all tenants; without a clock of its own.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use sdk_core::{
    clock::Millis,
    protocol::{
        EndReason, Json, MAX_MESSAGE, MAX_STATE, Message, Recipient, RoomName, Sent, ServerFrame, encode,
    },
};

use super::{
    code::Code,
    mailbox::{About, Mailbox},
    room::{Full, MAX_MEMBERS, Room, tell_over},
    shared::{Claim, Neighbours, Person, ServerId, Spot, Word},
};
use crate::{
    access::{Access, RoomRight, SubjectRight},
    tenant::TenantScope,
};

/// Rooms of one tenant with somebody in them.
pub(super) const MAX_ROOMS: usize = 10_000;

/// Who is where, and who is there at all.
#[derive(Debug, Default)]
pub(super) struct Places {
    rooms: HashMap<Spot, Room>,
    /// Rooms in use, by tenant.
    counts: HashMap<Arc<str>, usize>,
    /// Sessions, by tenant and subject.
    people: HashMap<Person, Vec<Arc<Mailbox>>>,
    /// Rooms that have something to tell, each with the time from which it may.
    due: BTreeSet<(Millis, Arc<str>, RoomName)>,
    newest: u64,
    server: ServerId,
    /// The other servers, if there are any.
    neighbours: Option<Arc<dyn Neighbours>>,
}

/// Why something was not done for a session.
struct Refused {
    code: Code,
    message: String,
}

fn refused<T>(code: Code, message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { code, message: message.into() })
}

impl Places {
    /// Those of one server among others.
    pub(super) fn among(server: ServerId, neighbours: Arc<dyn Neighbours>) -> Self {
        Self { server, neighbours: Some(neighbours), ..Self::default() }
    }

    /// Whether nobody is anywhere, and nothing is kept of anybody.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let Self { rooms, counts, people, due, newest: _, server: _, neighbours: _ } = self;
        rooms.is_empty() && counts.is_empty() && people.is_empty() && due.is_empty()
    }

    pub(super) fn attach(&mut self, mailbox: &Arc<Mailbox>) {
        let person = person(&mailbox.scope);
        let sessions = self.people.entry(person.clone()).or_default();
        sessions.push(mailbox.clone());
        if sessions.len() == 1
            && let Some(neighbours) = &self.neighbours
        {
            neighbours.present(&person, true);
        }
    }

    /// A session is over: it is nowhere any more.
    pub(super) fn detach(&mut self, mailbox: &Arc<Mailbox>, rooms: impl IntoIterator<Item = RoomName>) {
        rooms.into_iter().for_each(|room| self.leave(mailbox, &room));
        let person = person(&mailbox.scope);
        if let Some(sessions) = self.people.get_mut(&person) {
            sessions.retain(|session| !Arc::ptr_eq(session, mailbox));
            if sessions.is_empty() {
                self.people.remove(&person);
                if let Some(neighbours) = &self.neighbours {
                    neighbours.present(&person, false);
                }
            }
        }
    }

    /// A session enters a room, or is in another state there; what is wrong with that, it is told.
    pub(super) fn enter(&mut self, mailbox: &Arc<Mailbox>, room: &str, state: Option<Json>, now: Millis) {
        if let Err(Refused { code, message }) = self.try_enter(mailbox, room, state, now) {
            if let Ok(room) = RoomName::new(room) {
                self.leave(mailbox, &room);
            }
            tell_over(mailbox, room, code, &message);
        }
    }

    fn try_enter(
        &mut self,
        mailbox: &Arc<Mailbox>,
        room: &str,
        state: Option<Json>,
        now: Millis,
    ) -> Result<(), Refused> {
        let name = named(&mailbox.access(), room, RoomRight::Join)?;
        if state.as_ref().is_some_and(|state| state.as_str().len() > MAX_STATE) {
            return refused(Code::StateTooLarge, format!("a state has {MAX_STATE} bytes at most"));
        }
        let spot = (mailbox.scope.tenant().clone(), name);
        if !self.rooms.contains_key(&spot) {
            let count = self.counts.entry(spot.0.clone()).or_default();
            if *count >= MAX_ROOMS {
                return refused(Code::TooManyRooms, format!("a tenant uses {MAX_ROOMS} rooms at one time"));
            }
            *count += 1;
        }
        self.newest += 1;
        let id = self.server.member(self.newest);
        let claim = Claim { at: now.0, server: self.server };
        let entered = self.change(&spot, |room| room.enter(mailbox, state, id, claim));
        entered.or_else(|Full| {
            refused(
                Code::RoomFull,
                format!("a room has {MAX_MEMBERS} members at most, and their states a limit"),
            )
        })
    }

    /// Whether a session is in a room.
    pub(super) fn holds(&self, mailbox: &Arc<Mailbox>, room: &RoomName) -> bool {
        let spot = (mailbox.scope.tenant().clone(), room.clone());
        self.rooms.get(&spot).is_some_and(|room| room.holds(mailbox))
    }

    pub(super) fn leave(&mut self, mailbox: &Arc<Mailbox>, room: &RoomName) {
        let spot = (mailbox.scope.tenant().clone(), room.clone());
        if self.rooms.contains_key(&spot) {
            self.change(&spot, |room| room.leave(mailbox));
        }
    }

    /// A session may not be in a room any more: it is told what it would be told on entering.
    pub(super) fn expel(&mut self, mailbox: &Arc<Mailbox>, room: &RoomName) {
        if let Err(Refused { code, message }) = named(&mailbox.access(), room.as_str(), RoomRight::Join) {
            self.leave(mailbox, room);
            tell_over(mailbox, room.as_str(), code, &message);
        }
    }

    pub(super) fn set_away(&mut self, mailbox: &Arc<Mailbox>, room: &RoomName, away: bool) {
        let spot = (mailbox.scope.tenant().clone(), room.clone());
        if self.rooms.contains_key(&spot) {
            self.change(&spot, |room| room.set_away(mailbox, away));
        }
    }

    pub(super) fn catch_up(&mut self, mailbox: &Arc<Mailbox>, room: &RoomName) {
        let spot = (mailbox.scope.tenant().clone(), room.clone());
        if self.rooms.contains_key(&spot) {
            self.change(&spot, |room| room.catch_up(mailbox));
        }
    }

    /// Says something to those who are there now, and tells the sender to how many.
    pub(super) fn send(&self, mailbox: &Arc<Mailbox>, send: sdk_core::protocol::Send) {
        let id = send.id;
        if let Err(Refused { code, message }) = self.try_send(mailbox, send) {
            let reason = Some(EndReason { code: code.as_str().to_owned(), message });
            answer(mailbox, Sent { id, count: 0, reason });
        }
    }

    fn try_send(&self, mailbox: &Arc<Mailbox>, send: sdk_core::protocol::Send) -> Result<(), Refused> {
        let sdk_core::protocol::Send { id, to, data } = send;
        let scope = &mailbox.scope;
        if data.as_str().len() > MAX_MESSAGE {
            return refused(Code::MessageTooLarge, format!("a message has {MAX_MESSAGE} bytes at most"));
        }
        let from = scope.subject().to_string();
        let frame = |room| Arc::from(encode(&ServerFrame::Message(Message { room, from, data })));
        match to {
            Recipient::Room(room) => {
                let name = named(&mailbox.access(), &room, RoomRight::Send)?;
                let spot = (scope.tenant().clone(), name);
                let Some(place) = self.rooms.get(&spot).filter(|place| place.holds(mailbox)) else {
                    return refused(Code::NotInRoom, "who is not in a room cannot speak there");
                };
                let frame = frame(Some(room));
                answer(mailbox, Sent { id, count: place.say(mailbox, &frame), reason: None });
                if let Some(neighbours) = &self.neighbours {
                    neighbours.tell(&spot, Word::Said(frame.to_string()));
                }
            }
            Recipient::User(user) => {
                if !mailbox.access().subject(&user, SubjectRight::Send) {
                    return refused(Code::Forbidden, "this person may not be written to");
                }
                let person = (scope.tenant().clone(), user.into());
                let frame = frame(None);
                let here = self.write(&person, &frame, Some(mailbox));
                match &self.neighbours {
                    None => answer(mailbox, Sent { id, count: here, reason: None }),
                    Some(neighbours) => {
                        let sender = mailbox.clone();
                        let told =
                            move |there| answer(&sender, Sent { id, count: here + there, reason: None });
                        neighbours.write(&person, frame, Box::new(told));
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands a frame to a person's sessions here, except for the sender's; returns to how many.
    pub(super) fn write(&self, person: &Person, frame: &Arc<str>, sender: Option<&Arc<Mailbox>>) -> u64 {
        let sessions = self.people.get(person).into_iter().flatten();
        let others = sessions.filter(|session| sender.is_none_or(|sender| !Arc::ptr_eq(session, sender)));
        others.fold(0, |count, session| {
            session.say(About::Message, frame);
            count + 1
        })
    }

    /// Takes what another server has told of a room. Of one that nobody is in here, nothing is kept.
    pub(super) fn hear(&mut self, spot: &Spot, from: ServerId, word: Word) {
        if self.rooms.contains_key(spot) {
            self.change(spot, |room| room.hear(from, word));
        }
    }

    /// Another server is not heard any more.
    pub(super) fn lose(&mut self, server: ServerId) {
        self.each(|room| room.lose(server));
    }

    /// Has every room tell the other servers of everybody in it.
    pub(super) fn retell(&mut self) {
        self.each(Room::retell);
    }

    fn each(&mut self, change: impl Fn(&mut Room)) {
        let spots: Vec<Spot> = self.rooms.keys().cloned().collect();
        spots.iter().for_each(|spot| self.change(spot, &change));
    }

    /// The rooms with somebody in them, and the persons who are there.
    pub(super) fn survey(&self) -> (Vec<Spot>, Vec<Person>) {
        (self.rooms.keys().cloned().collect(), self.people.keys().cloned().collect())
    }

    /// How many rooms have somebody in them, and how many are in rooms.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.rooms.len(), self.rooms.values().map(Room::len).sum())
    }

    /// When the first room may tell what is new.
    pub(super) fn next(&self) -> Option<Millis> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// Has those rooms tell what is new whose time has come.
    pub(super) fn tell(&mut self, now: Millis) {
        while self.next().is_some_and(|at| at <= now)
            && let Some((_, tenant, name)) = self.due.pop_first()
        {
            let spot = (tenant, name);
            if let Some(room) = self.rooms.get_mut(&spot)
                && let Some(word) = room.tell(now)
                && let Some(neighbours) = &self.neighbours
            {
                neighbours.tell(&spot, word);
            }
        }
    }

    /// Changes a room, which is made if it is not there, and is gone when nobody is left in it.
    fn change<T>(&mut self, spot: &Spot, change: impl FnOnce(&mut Room) -> T) -> T {
        let (tenant, name) = spot;
        let neighbours = self.neighbours.as_ref();
        let room = self.rooms.entry(spot.clone()).or_insert_with(|| {
            if let Some(neighbours) = neighbours {
                neighbours.attend(spot);
            }
            Room::new(name.clone(), neighbours.is_some())
        });
        let before = room.due();
        let changed = change(room);
        let after = room.due().filter(|_| !room.is_empty());
        let entry = |at| (at, tenant.clone(), name.clone());
        if before != after {
            before.map(|at| self.due.remove(&entry(at)));
            after.map(|at| self.due.insert(entry(at)));
        }
        if room.is_empty() {
            if let Some(neighbours) = neighbours {
                // There will be no turn for it.
                if let Some(word) = room.outward() {
                    neighbours.tell(spot, word);
                }
                neighbours.depart(spot);
            }
            self.rooms.remove(spot);
            if let Some(count) = self.counts.get_mut(tenant) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(tenant);
                }
            }
        }
        changed
    }
}

fn answer(sender: &Mailbox, sent: Sent) {
    sender.say(About::Message, &encode(&ServerFrame::Sent(sent)).into());
}

fn person(scope: &TenantScope) -> Person {
    (scope.tenant().clone(), scope.subject().clone())
}

/// The room of that name, if a session's access covers it. That there is none of that name, and that it is not for this subject, look
/// alike: rooms are not made, one is in them.
fn named(access: &Access, room: &str, right: RoomRight) -> Result<RoomName, Refused> {
    match RoomName::new(room) {
        Err(bad) => refused(Code::BadRoom, bad.to_string()),
        Ok(name) if access.room(&name, right) => Ok(name),
        Ok(_) => refused(Code::Forbidden, "this room is not open to this subject"),
    }
}
