//! Servers that share rooms: who is there among them, and how they reach one another.
//!
//! What carries their messages hands each to whoever listens at that moment, in the order of its sender, or to nobody. So each
//! server says again and again that it is there. One that was not heard for a while is taken for gone, with everybody who is at
//! it; after a gap everything is asked for anew. Nothing of it is kept anywhere.
//!
//! [`Circle`] decides, without a clock or a connection of its own.

mod message;
mod redis;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sdk_core::{clock::Millis, wire::encode};
use tokio::sync::mpsc;

use crate::rooms::{Neighbours, Person, Rooms, ServerId, Spot, Word};
pub use redis::{Redis, Shared};

use message::{Envelope, Here, Message, OfRoom, SERVERS, Write, Written, of_person, of_room, of_server};

/// Milliseconds between two times that a server says that it is there.
const BEAT: u64 = 1_000;
/// Milliseconds without a word after which a server is taken for gone.
const SILENCE: u64 = 5_000;
/// Milliseconds that the answers to what was written to a person are waited for.
const PATIENCE: u64 = 300;
/// What waits to be told to the others. Beyond it rooms are told whole, later.
const QUEUE: usize = 8_192;
/// Frames to persons whose answers are waited for. Beyond it only sessions of this server are counted.
const WRITES: usize = 4_096;
/// Servers that are known at a time.
const SERVERS_KNOWN: usize = 1_024;

/// What rooms want of the others.
enum Order {
    Attend(Spot),
    Depart(Spot),
    Tell(Spot, Word),
    Present(Person, bool),
    Write(Person, Arc<str>, Told),
}

/// Is told to how many sessions a frame was handed.
type Told = Box<dyn FnOnce(u64) + Send>;

/// What is to be done with what carries messages.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    /// Hear a channel from now on, and send this there once it is heard.
    Listen(String, Option<String>),
    /// Hear it no more.
    Ignore(String),
    /// Send this there.
    Send(String, String),
    /// The same, and say then [how many](Circle::reached) heard it.
    Write(String, String, u64),
}

/// The rooms' end.
struct Outbox {
    orders: mpsc::Sender<Order>,
    /// Something that was to be told was not.
    dropped: Arc<AtomicBool>,
}

impl Outbox {
    fn put(&self, order: Order) {
        use mpsc::error::TrySendError::{Closed, Full};
        if let Err(Full(order) | Closed(order)) = self.orders.try_send(order) {
            match order {
                Order::Write(_, _, told) => told(0),
                _ => self.dropped.store(true, Ordering::Release),
            }
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

impl Neighbours for Outbox {
    fn attend(&self, spot: &Spot) {
        self.put(Order::Attend(spot.clone()));
    }

    fn depart(&self, spot: &Spot) {
        self.put(Order::Depart(spot.clone()));
    }

    fn tell(&self, spot: &Spot, word: Word) {
        self.put(Order::Tell(spot.clone(), word));
    }

    fn present(&self, person: &Person, here: bool) {
        self.put(Order::Present(person.clone(), here));
    }

    fn write(&self, person: &Person, frame: Arc<str>, told: Told) {
        self.put(Order::Write(person.clone(), frame, told));
    }
}

/// One server's view of the others.
struct Circle {
    me: ServerId,
    /// When this server began, in Unix time.
    since: Millis,
    rooms: Arc<Rooms>,
    attended: HashSet<Spot>,
    present: HashSet<Person>,
    /// When each of the others was heard last, by the monotonic clock.
    heard: BTreeMap<ServerId, Millis>,
    /// Since when each was there that was ever heard; who is heard again was missed meanwhile.
    met: BTreeMap<ServerId, u64>,
    /// When this one is to say next that it is there.
    beat: Millis,
    writes: HashMap<u64, Waiting>,
    newest: u64,
}

/// A frame for a person whose answers are waited for.
struct Waiting {
    told: Told,
    /// This server has sessions of the person's as well, and hears of the frame.
    here: bool,
    count: u64,
    answers: u64,
    /// How many answers there will be, where that is known.
    expected: Option<u64>,
    until: Millis,
}

impl Circle {
    fn new(me: ServerId, since: Millis, rooms: Arc<Rooms>) -> Self {
        Self {
            me,
            since,
            rooms,
            attended: HashSet::new(),
            present: HashSet::new(),
            heard: BTreeMap::new(),
            met: BTreeMap::new(),
            beat: Millis(0),
            writes: HashMap::new(),
            newest: 0,
        }
    }

    /// Does what the rooms want.
    fn order(&mut self, order: Order, now: Millis) -> Vec<Act> {
        match order {
            Order::Attend(spot) => {
                let act = Act::Listen(of_room(&spot), Some(self.word(&spot, Word::Ask {})));
                self.attended.insert(spot);
                vec![act]
            }
            Order::Depart(spot) => {
                self.attended.remove(&spot);
                vec![Act::Ignore(of_room(&spot))]
            }
            Order::Tell(spot, word) => vec![Act::Send(of_room(&spot), self.word(&spot, word))],
            Order::Present(person, true) => {
                let act = Act::Listen(of_person(&person), None);
                self.present.insert(person);
                vec![act]
            }
            Order::Present(person, false) => {
                self.present.remove(&person);
                vec![Act::Ignore(of_person(&person))]
            }
            Order::Write(_, _, told) if self.writes.len() >= WRITES || self.heard.is_empty() => {
                told(0);
                Vec::new()
            }
            Order::Write(person, frame, told) => {
                self.newest += 1;
                let number = self.newest;
                let (here, until) = (self.present.contains(&person), now.plus(PATIENCE));
                let waiting = Waiting { told, here, count: 0, answers: 0, expected: None, until };
                self.writes.insert(number, waiting);
                let (tenant, subject) = (person.0.to_string(), person.1.to_string());
                let write = Write { tenant, subject, frame: frame.to_string(), number };
                vec![Act::Write(of_person(&person), self.envelope(Message::Write(write)), number)]
            }
        }
    }

    /// So many heard what was written to a person, this server included where it has sessions of that person's.
    fn reached(&mut self, number: u64, count: u64) {
        if let Some(waiting) = self.writes.get_mut(&number) {
            waiting.expected = Some(count.saturating_sub(u64::from(waiting.here)));
        }
        self.finish(number);
    }

    fn finish(&mut self, number: u64) {
        let done = |waiting: &Waiting| waiting.expected.is_some_and(|expected| waiting.answers >= expected);
        if self.writes.get(&number).is_some_and(done)
            && let Some(waiting) = self.writes.remove(&number)
        {
            (waiting.told)(waiting.count);
        }
    }

    /// Takes a message. What is none, or of this server itself, is passed over.
    fn hear(&mut self, text: &str, now: Millis) -> Vec<Act> {
        let Ok(Envelope { from, message }) = Envelope::parse(text) else {
            tracing::warn!("another server has said something that this one does not understand");
            return Vec::new();
        };
        if from == self.me {
            return Vec::new();
        }
        match message {
            Message::Here(Here { since }) => self.note(from, since, now),
            Message::Gone {} => {
                if self.heard.remove(&from).is_some() {
                    self.rooms.lose(from);
                }
                Vec::new()
            }
            Message::Room(OfRoom { tenant, room, word }) => {
                self.rooms.hear(&(tenant.into(), room), from, word);
                Vec::new()
            }
            Message::Write(Write { tenant, subject, frame, number }) => {
                let count = self.rooms.write(&(tenant.into(), subject.into()), &frame.into());
                let written = self.envelope(Message::Written(Written { number, count }));
                vec![Act::Send(of_server(from), written)]
            }
            Message::Written(Written { number, count }) => {
                if let Some(waiting) = self.writes.get_mut(&number) {
                    waiting.count += count;
                    waiting.answers += 1;
                }
                self.finish(number);
                Vec::new()
            }
        }
    }

    /// A server is there. One that was there before it was heard now has been missed, and so may have this one.
    fn note(&mut self, from: ServerId, since: u64, now: Millis) -> Vec<Act> {
        if self.heard.len() >= SERVERS_KNOWN && !self.heard.contains_key(&from) {
            return Vec::new();
        }
        if self.heard.insert(from, now).is_some() {
            return Vec::new();
        }
        if self.met.len() >= SERVERS_KNOWN {
            self.met.retain(|server, _| self.heard.contains_key(server));
        }
        let again = self.met.insert(from, since) == Some(since);
        let mut acts = vec![Act::Send(SERVERS.to_owned(), self.here())];
        // Who begins asks by itself.
        if again || since <= self.since.0 {
            acts.extend(self.ask_all());
        }
        acts
    }

    /// The connection is there, for the first time or again: everything is asked for, for something may have been missed.
    fn joined(&mut self) -> Vec<Act> {
        let mut acts = vec![Act::Listen(SERVERS.to_owned(), Some(self.here()))];
        acts.push(Act::Listen(of_server(self.me), None));
        acts.extend(self.present.iter().map(|person| Act::Listen(of_person(person), None)));
        let listen = |spot: &Spot| Act::Listen(of_room(spot), Some(self.word(spot, Word::Ask {})));
        acts.extend(self.attended.iter().map(listen));
        self.rooms.retell();
        acts
    }

    /// Something that the rooms wanted was dropped: what is heard is brought in line with them, and they tell everything.
    fn dropped(&mut self) -> Vec<Act> {
        let (spots, people) = self.rooms.survey();
        let (spots, people): (HashSet<Spot>, HashSet<Person>) =
            (spots.into_iter().collect(), people.into_iter().collect());
        let mut acts: Vec<Act> = Vec::new();
        let unheard = self.attended.difference(&spots).map(of_room);
        acts.extend(unheard.chain(self.present.difference(&people).map(of_person)).map(Act::Ignore));
        acts.extend(people.difference(&self.present).map(|person| Act::Listen(of_person(person), None)));
        let new = spots.difference(&self.attended);
        acts.extend(new.map(|spot| Act::Listen(of_room(spot), Some(self.word(spot, Word::Ask {})))));
        (self.attended, self.present) = (spots, people);
        self.rooms.retell();
        acts
    }

    /// Does what is due, and says when to come again.
    fn turn(&mut self, now: Millis) -> (Vec<Act>, Millis) {
        let lost: Vec<ServerId> = self
            .heard
            .iter()
            .filter(|(_, at)| now.since(**at) >= SILENCE)
            .map(|(server, _)| *server)
            .collect();
        for server in lost {
            self.heard.remove(&server);
            self.rooms.lose(server);
        }
        let late: Vec<u64> = self
            .writes
            .iter()
            .filter(|(_, waiting)| waiting.until <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            if let Some(waiting) = self.writes.remove(&number) {
                (waiting.told)(waiting.count);
            }
        }
        let mut acts = Vec::new();
        if self.beat <= now {
            self.beat = now.plus(BEAT);
            acts.push(Act::Send(SERVERS.to_owned(), self.here()));
        }
        let next = self.writes.values().map(|waiting| waiting.until).min();
        (acts, next.map_or(self.beat, |next| next.min(self.beat)))
    }

    /// This server will not be there any more.
    fn leave(&self) -> Act {
        Act::Send(SERVERS.to_owned(), self.envelope(Message::Gone {}))
    }

    fn ask_all(&self) -> impl Iterator<Item = Act> {
        self.attended.iter().map(|spot| Act::Send(of_room(spot), self.word(spot, Word::Ask {})))
    }

    fn here(&self) -> String {
        self.envelope(Message::Here(Here { since: self.since.0 }))
    }

    fn word(&self, (tenant, room): &Spot, word: Word) -> String {
        self.envelope(Message::Room(OfRoom { tenant: tenant.to_string(), room: room.clone(), word }))
    }

    fn envelope(&self, message: Message) -> String {
        encode(&Envelope { from: self.me, message })
    }
}
