//! One room: who is in it, and what the others have not been told yet.

mod elsewhere;

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
    shared::{Claim, ServerId, Word},
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
    /// How many of the seats are of sessions of this server.
    here: usize,
    /// What the other servers have not been told yet, if there are any.
    outward: Option<Outward>,
    /// The servers that have told everybody who is in it there.
    heard: BTreeSet<ServerId>,
}

/// What is to be told to the other servers of those who are here.
#[derive(Debug, Default)]
struct Outward {
    changed: BTreeSet<ClientId>,
    left: Vec<ClientId>,
    /// One of them wants to know of everybody.
    all: bool,
}

#[derive(Debug)]
struct Seat {
    id: u64,
    claim: Claim,
    holder: Holder,
    state: Option<Json>,
    /// Nothing was heard of its session for a while.
    away: bool,
    /// Others were told of it.
    shown: bool,
}

/// Whose session is in a seat.
#[derive(Debug)]
enum Holder {
    /// One of this server.
    Here(Arc<Mailbox>),
    /// One of another, of this subject.
    There(ServerId, Arc<str>),
}

impl Seat {
    fn mailbox(&self) -> Option<&Arc<Mailbox>> {
        if let Holder::Here(mailbox) = &self.holder { Some(mailbox) } else { None }
    }

    fn is_of(&self, mailbox: &Arc<Mailbox>) -> bool {
        self.mailbox().is_some_and(|holder| Arc::ptr_eq(holder, mailbox))
    }

    fn is_at(&self, server: ServerId) -> bool {
        matches!(&self.holder, Holder::There(at, _) if *at == server)
    }

    fn user(&self) -> &Arc<str> {
        match &self.holder {
            Holder::Here(mailbox) => mailbox.scope.subject(),
            Holder::There(_, user) => user,
        }
    }

    fn visible(&self) -> Option<&Json> {
        self.state.as_ref().filter(|_| !self.away)
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Room {
    /// An empty one, which other servers may have as well.
    pub(super) fn new(name: RoomName, shared: bool) -> Self {
        Self {
            name,
            seats: HashMap::new(),
            bytes: 0,
            changed: BTreeSet::new(),
            left: Vec::new(),
            newcomers: BTreeSet::new(),
            rests: Millis(0),
            here: 0,
            outward: shared.then(Outward::default),
            heard: BTreeSet::new(),
        }
    }

    /// How many sessions of this server are in it.
    pub(super) fn len(&self) -> usize {
        self.here
    }

    pub(super) fn is_empty(&self) -> bool {
        self.here == 0
    }

    /// When to [`tell`](Self::tell), if there is anything to.
    pub(super) fn due(&self) -> Option<Millis> {
        let news = !self.changed.is_empty() || !self.left.is_empty() || !self.newcomers.is_empty();
        let outward = self.outward.as_ref().is_some_and(Outward::is_due);
        (news || outward).then_some(self.rests)
    }

    /// Somebody enters, or is in another state. `id` is the number of who is new, `claim` when it came.
    pub(super) fn enter(
        &mut self,
        mailbox: &Arc<Mailbox>,
        state: Option<Json>,
        id: u64,
        claim: Claim,
    ) -> Result<(), Full> {
        let client = mailbox.client;
        let bytes = self.room_for(client, &state)?;
        self.bytes = bytes;
        let new = match self.seats.get_mut(&client) {
            None => {
                let holder = Holder::Here(mailbox.clone());
                let seat = Seat { id, claim, holder, state: None, away: false, shown: false };
                self.seats.insert(client, seat);
                self.here += 1;
                true
            }
            Some(seat) if seat.is_of(mailbox) => false,
            Some(seat) => {
                // Whatever the clocks of two servers say.
                seat.claim = Claim { at: claim.at.max(seat.claim.at + 1), ..claim };
                match std::mem::replace(&mut seat.holder, Holder::Here(mailbox.clone())) {
                    Holder::Here(former) => replaced(&former, &self.name),
                    Holder::There(..) => self.here += 1,
                }
                true
            }
        };
        let Some(seat) = self.seats.get_mut(&client) else { return Ok(()) };
        (seat.state, seat.away) = (state, false);
        if new {
            let me = RoomNews { room: self.name.to_string(), me: Some(seat.id), ..RoomNews::default() };
            mailbox.say(About::Message, &text(me));
            self.newcomers.insert(client);
        }
        self.note(client);
        Ok(())
    }

    /// The bytes of all states, with that of a client; unless there is no room for it.
    fn room_for(&self, client: ClientId, state: &Option<Json>) -> Result<usize, Full> {
        let size = |state: &Option<Json>| state.as_ref().map_or(0, |state| state.as_str().len());
        let seat = self.seats.get(&client);
        let bytes = self.bytes - seat.map_or(0, |seat| size(&seat.state)) + size(state);
        if bytes > MAX_BYTES || (seat.is_none() && self.seats.len() >= MAX_MEMBERS) {
            Err(Full)
        } else {
            Ok(bytes)
        }
    }

    /// A session of this server is to be told of, here and to the others.
    fn note(&mut self, client: ClientId) {
        self.changed.insert(client);
        if let Some(outward) = &mut self.outward {
            outward.changed.insert(client);
        }
    }

    /// A session leaves.
    pub(super) fn leave(&mut self, mailbox: &Arc<Mailbox>) {
        if !self.holds(mailbox) {
            return;
        }
        let client = mailbox.client;
        self.remove(client);
        self.here -= 1;
        if let Some(outward) = &mut self.outward {
            outward.changed.remove(&client);
            outward.left.push(client);
        }
    }

    /// A seat is free.
    fn remove(&mut self, client: ClientId) {
        let Some(seat) = self.seats.remove(&client) else { return };
        self.bytes -= seat.state.map_or(0, |state| state.as_str().len());
        self.left.extend(seat.shown.then_some(seat.id));
        self.changed.remove(&client);
        self.newcomers.remove(&client);
    }

    /// Nothing was heard of a session for a while, or it is heard again.
    pub(super) fn set_away(&mut self, mailbox: &Arc<Mailbox>, away: bool) {
        if let Some(seat) = self.seats.get_mut(&mailbox.client)
            && seat.is_of(mailbox)
            && seat.away != away
        {
            seat.away = away;
            self.note(mailbox.client);
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
        self.seats.get(&mailbox.client).is_some_and(|seat| seat.is_of(mailbox))
    }

    /// Says something to everybody here but the sender; returns to how many it is, those at other servers included.
    pub(super) fn say(&self, sender: &Arc<Mailbox>, frame: &Arc<str>) -> u64 {
        let others = self.seats.values().filter(|seat| !seat.is_of(sender));
        others.fold(0, |count, seat| {
            if let Some(mailbox) = seat.mailbox() {
                mailbox.say(About::Message, frame);
            }
            count + 1
        })
    }

    /// Tells everybody what is new. Returns what the other servers are to be told.
    pub(super) fn tell(&mut self, now: Millis) -> Option<Word> {
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
            let others = self.seats.iter().filter(|(client, _)| !newcomers.contains(client));
            for mailbox in others.filter_map(|(_, seat)| seat.mailbox()) {
                mailbox.show(&self.name, &frame);
                bytes += frame.len();
            }
        }
        if !newcomers.is_empty() {
            let frame = text(self.everybody());
            for mailbox in newcomers.iter().filter_map(|client| self.seats.get(client)?.mailbox()) {
                mailbox.show(&self.name, &frame);
                bytes += frame.len();
            }
        }
        self.rests = now.plus(TICK.max((bytes / BYTES_A_MILLISECOND) as u64));
        self.outward()
    }

    fn everybody(&self) -> RoomNews {
        let members = self.seats.values().filter_map(|seat| Some(member(seat, seat.visible()?))).collect();
        RoomNews { room: self.name.to_string(), full: true, members, ..RoomNews::default() }
    }
}

fn member(seat: &Seat, state: &Json) -> Member {
    Member { id: seat.id, user: seat.user().to_string(), state: state.clone() }
}

fn replaced(former: &Mailbox, room: &RoomName) {
    tell_over(former, room.as_str(), Code::Replaced, "the same client is there in another session");
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
