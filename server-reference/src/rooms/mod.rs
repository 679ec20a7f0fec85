//! Live presence and messages: who is here now, and what they say to each other. Interaction class A: nothing of it is
//! stored, and what cannot be delivered at once is dropped.
//!
//! A session has a [`Mailbox`] with a budget. Who is in a room is told in turns, so that of what changes in between only
//! the newest counts; to a session that does not take what it is sent, all of the room is told once it does. A message
//! that does not fit ends that session, and nobody else's.

mod code;
mod mailbox;
mod places;
mod room;
mod shared;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) use code::Code;
pub use mailbox::{About, Mail, Mailbox, Post};
use places::Places;
use sdk_core::{
    clock::Millis,
    protocol::{ClientId, Enter, RoomName, Send},
};
pub use shared::{Changed, Guest, Neighbours, Person, ServerId, Spot, Word};
use tokio::{sync::Notify, time::sleep_until};

use crate::{access::Access, clock::Clock, tenant::TenantScope};

/// What a session asks of its rooms.
#[derive(Debug)]
pub enum Call {
    /// To enter one, or to be in another state there.
    Enter(Enter),
    /// To leave one.
    Leave(RoomName),
    /// To say something.
    Send(Send),
    /// To be told of everybody in one once more.
    CatchUp(RoomName),
    /// To be shown as gone in these, as nothing is heard of its client; or to be shown again.
    Away(Vec<RoomName>, bool),
    /// To do what another token covers, from now on: it is expelled from rooms that this one does not.
    Granted(Access),
}

/// All rooms of a server.
#[derive(Debug)]
pub struct Rooms {
    places: Mutex<Places>,
    clock: Clock,
    earlier: Notify,
}

impl Default for Rooms {
    fn default() -> Self {
        Self { places: Mutex::default(), clock: Clock::start(), earlier: Notify::new() }
    }
}

/// A session's part in them. It is nowhere any more when this is dropped.
#[derive(Debug)]
pub struct Presence {
    rooms: Arc<Rooms>,
    mailbox: Arc<Mailbox>,
    entered: Vec<RoomName>,
}

impl Rooms {
    /// Those of a server that shares them with others.
    pub fn among(server: ServerId, neighbours: Arc<dyn Neighbours>) -> Self {
        Self { places: Mutex::new(Places::among(server, neighbours)), ..Self::default() }
    }

    /// Takes what another server has told of a room.
    pub fn hear(&self, spot: &Spot, from: ServerId, word: Word) {
        self.change(|places| places.hear(spot, from, word));
    }

    /// Has every room tell the other servers of everybody who is in it here, in its turn.
    pub fn retell(&self) {
        self.change(Places::retell);
    }

    /// The rooms that somebody is in here, and the persons who have a session here.
    pub fn survey(&self) -> (Vec<Spot>, Vec<Person>) {
        self.places().survey()
    }

    /// Another server is not heard any more: whoever was there is gone.
    pub fn lose(&self, server: ServerId) {
        self.change(|places| places.lose(server));
    }

    /// Hands a frame to a person's sessions at this server; returns to how many.
    pub fn write(&self, person: &Person, frame: &Arc<str>) -> u64 {
        self.places().write(person, frame, None)
    }

    /// A session is there from now on.
    pub fn attach(self: &Arc<Self>, scope: TenantScope, client: ClientId) -> Presence {
        let mailbox = Arc::new(Mailbox::new(scope, client));
        self.places().attach(&mailbox);
        Presence { rooms: self.clone(), mailbox, entered: Vec::new() }
    }

    /// Has rooms tell what is new, when it is their turn.
    pub async fn run(&self) -> Infallible {
        loop {
            let next = self.places().next().and_then(|at| self.clock.at(at));
            let turn = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = turn => self.tell(self.clock.now().monotonic),
                // One that comes in between has left its mark.
                () = self.earlier.notified() => {}
            }
        }
    }

    /// Has those rooms tell what is new whose turn it is at a time of the monotonic clock.
    pub(crate) fn tell(&self, now: Millis) {
        self.places().tell(now);
    }

    /// Changes something, and wakes who tells of it if that is earlier now than it was.
    fn change(&self, change: impl FnOnce(&mut Places)) {
        let mut places = self.places();
        let before = places.next();
        change(&mut places);
        let after = places.next();
        drop(places);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.earlier.notify_one();
        }
    }

    /// How many rooms have somebody in them, and how many are in rooms.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        self.places().sizes()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // A panic in here would be a fault; what is told then is mended by the next full account of a room.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presence {
    /// Where the session's mail comes.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Does what the session asks. What comes of it is in the mailbox.
    pub fn call(&mut self, call: Call) {
        let mailbox = &self.mailbox;
        match call {
            Call::Enter(Enter { room, state }) => {
                let name = RoomName::new(&room).ok();
                self.entered.retain(|entered| Some(entered) != name.as_ref());
                let (mut entered, to, now) = (None, &room, self.rooms.clock.now().wall);
                self.rooms.change(|places| {
                    places.enter(mailbox, to, state, now);
                    entered = name.filter(|name| places.holds(mailbox, name));
                });
                self.entered.extend(entered);
            }
            Call::Leave(room) => {
                self.rooms.change(|places| places.leave(mailbox, &room));
                self.entered.retain(|entered| *entered != room);
            }
            Call::Send(send) => self.rooms.change(|places| places.send(mailbox, send)),
            Call::CatchUp(room) => self.rooms.change(|places| places.catch_up(mailbox, &room)),
            Call::Granted(access) => {
                mailbox.grant(access);
                let entered = &mut self.entered;
                self.rooms.change(|places| {
                    entered.iter().for_each(|room| places.expel(mailbox, room));
                    entered.retain(|room| places.holds(mailbox, room));
                });
            }
            Call::Away(rooms, away) => {
                self.rooms.change(|places| rooms.iter().for_each(|room| places.set_away(mailbox, room, away)))
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let entered = std::mem::take(&mut self.entered);
        self.rooms.change(|places| places.detach(&self.mailbox, entered));
    }
}
